//! `export`: the whole log, or a part of it, with all that is hashed, for another system to keep.

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
};

use crate::{exported, period, place::Place, rows};

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
Each line of the jsonl form is an `audit` record with the text that was hashed and both hashes:
whoever keeps it can check the chain without the database. `migrate-audit verify --archive` reads
it, too, as long as the table begins where it ends.";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "jsonl")]
    format: Format,

    /// Not before this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// How to write rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Jsonl,
    Csv,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let now = ctx.now();
    let at = |text: &Option<String>| text.as_deref().map(|it| period::time(it, now)).transpose();
    let (since, until) = (at(&args.since)?, at(&args.until)?);
    let place = Place::open("export", ctx)?;
    if !place.has_log()? {
        return Ok(Exit::Ok);
    }
    place.read_only()?;
    let (from, to) = period::bounds(&place.session, &place.ledger, since, until)?;
    let wanted = |micros: i64| {
        since.is_none_or(|it| micros >= it.timestamp_micros())
            && until.is_none_or(|it| micros < it.timestamp_micros())
    };
    let mut out = Vec::new();
    if args.format == Format::Csv {
        exported::head(&mut out);
    }
    let tool = ctx.tool();
    let read = rows::read(&place.session, &place.ledger, from, to, &mut |row| {
        if wanted(row.timestamp) {
            match args.format {
                Format::Jsonl => exported::json(row, now, tool, &mut out)?,
                Format::Csv => exported::csv(row, &mut out)?,
            }
        }
        if out.len() > 64 * 1024 {
            ctx.print(&out);
            out.clear();
        }
        if ctx.output_is_lost() { Err(nobody_reads()) } else { Ok(()) }
    });
    if !ctx.output_is_lost() {
        read?;
    }
    ctx.print(&out);
    Ok(Exit::Ok)
}

/// Ends the reading; that the reader has gone is no failure.
fn nobody_reads() -> Error {
    Error::WriteFile { path: "stdout".into(), source: std::io::ErrorKind::BrokenPipe.into() }
}
