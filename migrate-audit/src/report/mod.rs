//! `report`: what happened in a run or a period, as one page for a change ticket or a post-mortem.

mod page;
mod story;
mod timeline;

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::PathBuf,
};

use chrono::{DateTime, Utc};
use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    ledger::audit,
    record::AuditRow,
};
use serde_json::Value;
use tokio_postgres::types::Type;

use self::story::{Journalled, Told};
use crate::{log, period, place::Place};

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
Without `--run` and a period it tells of the last run. The page needs no network and no other file.
Statements, waits and who was blocked are not in the log: keep what `up` prints, and name the file:
  migrate-apply up | tee run.jsonl
  migrate-audit report --records run.jsonl > report.html";

const LAST_RUN: &str = include_str!("../../sql/report_last_run.sql");
const RUN: &str = include_str!("../../sql/report_run.sql");
const ROWS: &str = include_str!("../../sql/report_rows.sql");
const JOURNAL: &str = include_str!("../../sql/report_journal.sql");
/// More rows are no page that anybody reads.
const MOST: i64 = 5000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Of this run
    #[arg(long, value_name = "ID", conflicts_with_all = ["since", "until"])]
    run: Option<String>,

    /// Not before this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// What `migrate-apply up` printed as JSON: its statements, waits and gates
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
}

/// Which part of the log.
struct Part {
    first: i64,
    last: i64,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    run: Option<String>,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let records = match &args.records {
        Some(path) => read_records(path)?,
        None => Vec::new(),
    };
    let now = ctx.now();
    let place = Place::open("report", ctx)?;
    if !place.has_log()? {
        return Err(place.no_ledger());
    }
    let part = part(args, &records, &place, now)?;
    let mut plan_hash = None;
    if let Some(run) = &part.run {
        let rows = read_rows(&place, &part, None)?;
        let started =
            rows.iter().find(|it| it.action == "apply.started" && it.run_id.as_ref() == Some(run));
        plan_hash = started.and_then(|it| it.details["plan_hash"].as_str().map(str::to_owned));
    }
    let rows = read_rows(&place, &part, plan_hash.as_deref())?;
    let told = Told {
        run: part.run,
        since: part.since,
        until: part.until,
        at: now,
        database: place.session.facts().database.clone(),
        system_identifier: place.session.facts().system_identifier.clone(),
        head: audit::head(&place.session, &place.ledger)?,
        cut: rows.len() as i64 == MOST,
        journal: journal(&place, &rows)?,
        rows,
        records,
    };
    ctx.print(page::page(&story::tell(told)).into_string().as_bytes());
    Ok(Exit::Ok)
}

fn part(args: &Args, records: &[Value], place: &Place, now: DateTime<Utc>) -> Result<Part> {
    let at = |text: &Option<String>| text.as_deref().map(|it| period::time(it, now)).transpose();
    let (since, until) = (at(&args.since)?, at(&args.until)?);
    if since.is_some() || until.is_some() {
        let (before, after) = period::bounds(&place.session, &place.ledger, since, until)?;
        let (first, last) = (before + 1, after.saturating_sub(1));
        return Ok(Part { first, last, since, until, run: None });
    }
    let told = records.iter().find(|it| it["type"] == "apply.started");
    let told = told.and_then(|it| it["run_id"].as_str()).map(str::to_owned);
    let failed = || Error::database("look for the run");
    let run = match (&args.run, told) {
        (Some(run), Some(told)) if *run != told => {
            return Err(Error::usage(
                format!("the records are of run {told}, and `--run` names {run}"),
                "name the file of that run",
            ));
        }
        (Some(run), _) => run.clone(),
        (None, Some(told)) => told,
        (None, None) => {
            let row = place.session.query_opt(&place.ledger.sql(LAST_RUN), &[]).map_err(failed())?;
            row.map(|it| it.get(0)).ok_or_else(|| {
                Error::usage(
                    "no run is in the log",
                    "`--since TIME` tells of what else happened since then",
                )
            })?
        }
    };
    let row = place.session.query_one(&place.ledger.sql(RUN), &[&run]).map_err(failed())?;
    let (Some(first), Some(last)) = (row.get::<_, Option<i64>>("first"), row.get("last")) else {
        return Err(Error::usage(
            format!("no run {} is in the log", run.escape_debug()),
            "`migrate-audit log --action apply.started` lists them",
        ));
    };
    // The lock is taken just before a run says what it is about to do.
    Ok(Part { first: (first - 1).max(1), last, since: None, until: None, run: Some(run) })
}

fn read_rows(place: &Place, part: &Part, plan_hash: Option<&str>) -> Result<Vec<AuditRow>> {
    let rows = place
        .session
        .query_once(
            &place.ledger.sql(ROWS),
            &[
                (&part.first, Type::INT8),
                (&part.last, Type::INT8),
                (&part.since, Type::TIMESTAMPTZ),
                (&part.until, Type::TIMESTAMPTZ),
                (&plan_hash, Type::TEXT),
                (&MOST, Type::INT8),
            ],
        )
        .map_err(Error::database("read the audit log"))?;
    Ok(rows.iter().map(log::row).collect())
}

fn journal(place: &Place, rows: &[AuditRow]) -> Result<Vec<Journalled>> {
    let mut runs: Vec<&String> = rows.iter().filter_map(|it| it.run_id.as_ref()).collect();
    runs.sort_unstable();
    runs.dedup();
    let rows = place
        .session
        .query(&place.ledger.sql(JOURNAL), &[&runs])
        .map_err(Error::database("read the journal"))?;
    let journalled = rows.iter().map(|row| Journalled {
        version: row.get("version"),
        statement: row.get::<_, i32>("statement").unsigned_abs().into(),
        command: row.get("command"),
        rows: row.get("rows"),
        started_at: row.get("started_at"),
        finished_at: row.get("finished_at"),
        ranges: row.get("ranges"),
    });
    Ok(journalled.collect())
}

/// What a run printed; an `error` at its end is a part of the story, and so may be what went to
/// stderr between the records, as with `2>&1 | tee`: that is passed over.
fn read_records(path: &PathBuf) -> Result<Vec<Value>> {
    let failed = |source| Error::ReadFile { path: path.clone(), source };
    let reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut records = Vec::new();
    for line in reader.split(b'\n') {
        let record = serde_json::from_slice::<Value>(&line.map_err(failed)?);
        records.extend(record.ok().filter(|it| it["type"].is_string()));
    }
    if records.is_empty() {
        return Err(Error::usage(
            format!("{} holds no record", path.display()),
            "keep what `migrate-apply up --output json` prints",
        ));
    }
    Ok(records)
}
