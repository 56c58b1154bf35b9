//! `health`: the state of the server in numbers and verdicts; reads only.

use std::{collections::BTreeMap, time::Duration};

use migrate_core::{cli, ctx::Ctx, error::Result, exit::Exit, ledger::Ledger, record::Record};

use crate::{
    catalogue, metrics,
    place::{Place, Settings},
    report::Report,
    runner::{self, Limits, snapshot::Snapshot},
    selection::Selection,
};

pub(crate) const HELP: &str = "\
With `--output prometheus` it writes what the textfile collector of
node_exporter reads. Write to another file first, so that it never reads half.

Examples:
  migrate-check health                           numbers, then checks
  migrate-check health --only replication_lag
  migrate-check health --output prometheus > shop.prom.new && mv shop.prom.new shop.prom
  migrate-check health | jq -r 'select(.type == \"metric\") | [.name, .value] | @tsv'

Exit codes: 0 no check fails · 1 one fails";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    selection: Selection,

    /// How long the whole run may take; what is not finished by then fails
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = cli::duration)]
    timeout: Duration,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let all = catalogue::of_group("health");
    let names: Vec<&str> = all.iter().map(|it| it.name).collect();
    args.selection.refuse_unknown(&names)?;
    let picked: Vec<_> = all.into_iter().filter(|it| args.selection.has(it.name)).collect();
    let limits = Limits::new(args.timeout, 1, 0);
    let ledger = Ledger::new(&ctx.config.ledger_schema)?;
    let session = Place::find("health", ctx)?.session(ctx)?;
    let database = session.facts().database.clone();
    let mut labels = BTreeMap::from([("database".to_owned(), database)]);
    labels.extend(ctx.config.env.clone().map(|it| ("environment".to_owned(), it)));
    let metrics = metrics::read(&session, &ledger, &labels, args.timeout)?;
    ctx.emit_together(metrics.into_iter().map(Record::Metric).collect());
    let mut report = Report::new("health", ctx);
    let snapshot = Snapshot::none(session, &Settings::default());
    runner::run(&picked, &snapshot, &limits, &mut report)?;
    Ok(report.finish())
}
