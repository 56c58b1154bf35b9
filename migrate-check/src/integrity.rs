//! `integrity`: does the data keep the rules that the schema states; reads only.

use std::{path::PathBuf, time::Duration};

use migrate_core::{cli, ctx::Ctx, error::Result, exit::Exit};

use crate::{
    catalogue,
    place::{Place, Settings},
    project,
    report::Report,
    runner::{self, Limits, snapshot::Snapshot},
    selection::Selection,
};

pub(crate) const HELP: &str = "\
Examples:
  migrate-check integrity                        all checks
  migrate-check integrity --only orphans --jobs 4
  migrate-check integrity --timeout 10m --show 20
  migrate-check integrity | jq -r 'select(.status == \"fail\") | .object'

Exit codes: 0 nothing fails · 1 a check fails, or was not finished in time";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    selection: Selection,

    /// How long the whole run may take; what is not finished by then fails
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = cli::duration)]
    timeout: Duration,

    /// How many sessions work at once, all on the same snapshot
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,

    /// How many wrong rows to show of each object, by their keys
    #[arg(long, value_name = "N", default_value_t = 5)]
    show: u32,

    /// Look for orphans among this part of the rows only, by whole pages; in percent
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    sample: Option<f64>,

    /// Look for damage and duplicate keys in tables and indexes of more than 32 MB,
    /// too, and for each row in its indexes: slow
    #[arg(long)]
    deep: bool,

    /// The folder with the project's own checks, as for `run`
    /// [default: checks, beside the migrations]
    #[arg(long, value_name = "DIR")]
    checks: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let all = catalogue::of_group("integrity");
    let files = project::read(args.checks.as_deref(), &ctx.config)?;
    let mut names: Vec<&str> = all.iter().map(|it| it.name).collect();
    names.extend(files.iter().map(|it| it.stem.as_str()));
    args.selection.refuse_unknown(&names)?;
    let picked: Vec<_> = all.into_iter().filter(|it| args.selection.has(it.name)).collect();
    let place = Place::find("integrity", ctx)?;
    let limits =
        Limits { sample: args.sample, ..Limits::new(args.timeout, args.jobs.into(), args.show) };
    let mut report = Report::new("integrity", ctx);
    let mut settings = Settings::default();
    if let Some(sample) = args.sample {
        settings = settings.with("sample", sample);
    }
    if args.deep {
        settings = settings.with("deep", "on").with("large", i64::MAX);
    }
    if !picked.is_empty() {
        let snapshot = Snapshot::shared(&place, &settings, &limits, report.ctx())?;
        runner::run(&picked, &snapshot, &limits, &mut report)?;
    }
    let files: Vec<_> = files.iter().filter(|it| args.selection.has(&it.stem)).collect();
    if !files.is_empty() {
        project::run(&files, &place, &limits, &mut report)?;
    }
    Ok(report.finish())
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        _ => Err("a part is more than 0 and at most 100".to_owned()),
    }
}
