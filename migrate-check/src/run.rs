//! `run`: files of queries that say what is wrong; nothing in them can write.

use std::{path::PathBuf, time::Duration};

use migrate_core::{
    cli,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
};

use crate::{
    check_file::CheckFile,
    file_run::{FileRun, Unjudged},
    place::Place,
    report::Report,
    runner::Limits,
    selection::Selection,
};

pub(crate) const HELP: &str = "\
A query fails when a row of it has a column `count` with a value over 0, or a
column `violation`; `check_name` names the check. NULL and NaN are no answer,
so they fail too. The rows of any other query are told as they are.

Each statement runs alone in a read-only transaction that is rolled back. A
file with anything but queries and SET is refused before any of it is run.

Examples:
  migrate-check run post-migration-tests.sql data-integrity-check.sql
  migrate-check run checks/orders.sql --timeout 30s --show 20
  migrate-check run report.sql | jq -c 'select(.type == \"query.row\") | .values'

Exit codes: 0 no query fails · 1 one fails, or gave no answer · 2 a file is
refused, nothing of it was run";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files of SQL, run one after another
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    selection: Selection,

    /// How long the whole run may take; what is not finished by then fails
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = cli::duration)]
    timeout: Duration,

    /// How many wrong rows to show of each check
    #[arg(long, value_name = "N", default_value_t = 5)]
    show: u32,

    /// How many rows to tell of a query that gives no verdict
    #[arg(long, value_name = "N", default_value_t = 1000)]
    rows: u64,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let files = args.files.iter().map(|it| CheckFile::read(it)).collect::<Result<Vec<_>>>()?;
    let place = Place::find("run", ctx)?;
    let session = place.session(ctx)?;
    let limits = Limits::new(args.timeout, 1, args.show);
    let mut report = Report::new("run", ctx);
    report.about(&session.facts().database);
    let run = FileRun {
        group: "run",
        session: &session,
        limits: &limits,
        selection: &args.selection,
        unjudged: Unjudged::Tell(args.rows),
    };
    for file in &files {
        run.run(file, &mut report)?;
    }
    // Known only now: names come out of the queries.
    if let Some(name) = args.selection.only.iter().find(|it| !report.has(it)) {
        let message = format!("no query named a check `{}`", name.escape_debug());
        return Err(Error::usage(message, "run it without `--only` to see the names"));
    }
    Ok(report.finish())
}
