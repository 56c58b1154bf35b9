//! `log`: the last rows of the audit log, the newest at the end, as `journalctl` shows them.

use std::{thread, time::Duration};

use chrono::{DateTime, Utc};
use migrate_core::{
    cli::Format,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    interrupt,
    ledger::Presence,
    record::{AuditRow, Record},
};
use tokio_postgres::{Row, types::Type};

use crate::{period, place::Place};

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
The newest row stands at the end, as with `journalctl` and `tail`, so that `--follow` goes on
below it. Times are UTC: a day, a minute, RFC 3339, or how long ago (2h, 3days). `*` at the end of
an action stands for anything: `--action 'migration.*'`.";

const PAGE: &str = include_str!("../sql/log_page.sql");
const NEXT: &str = include_str!("../sql/log_next.sql");
/// How many rows to ask for at once.
const ROWS: i64 = 1000;
/// How often to look for new rows.
const LOOK: Duration = Duration::from_millis(250);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Not before this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// Of this database role
    #[arg(long, value_name = "ROLE")]
    actor: Option<String>,

    /// Of this kind, such as `migration.applied`
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,

    /// About this version, lock, plan or backup
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,

    /// At most so many, the newest; 0 for all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: u32,

    /// Go on with new rows as they come, until interrupted
    #[arg(short, long)]
    follow: bool,
}

/// Which rows are wanted.
struct Wanted {
    actor: Option<String>,
    action: Option<String>,
    like: Option<String>,
    subject: Option<String>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    if args.follow && ctx.format() == Format::Csv {
        return Err(Error::usage(
            "csv is written as a whole, and `--follow` has no end",
            "use `--output json`",
        ));
    }
    let now = ctx.now();
    let at = |text: &Option<String>| text.as_deref().map(|it| period::time(it, now)).transpose();
    let (since, until) = (at(&args.since)?, at(&args.until)?);
    let (action, like) = match args.action.as_deref() {
        Some(it) if it.contains('*') => (None, Some(pattern(it))),
        it => (it.map(str::to_owned), None),
    };
    let wanted = Wanted {
        actor: args.actor.clone(),
        action,
        like,
        subject: args.subject.clone(),
        since,
        until,
    };
    let place = Place::open("log", ctx)?;
    let mut last = 0;
    if place.has_log()? {
        last = show(&place, &wanted, args.limit, ctx)?;
    }
    if args.follow { follow(&place, &wanted, last, ctx) } else { Ok(Exit::Ok) }
}

fn pattern(action: &str) -> String {
    action.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_").replace('*', "%")
}

/// Shows the newest rows, and returns the number of the last one that was there.
fn show(place: &Place, wanted: &Wanted, limit: u32, ctx: &mut Ctx) -> Result<i64> {
    let (from, to) = period::bounds(&place.session, &place.ledger, wanted.since, wanted.until)?;
    let mut last = from;
    if limit > 0 {
        let mut rows = page(place, PAGE, wanted, from, to, i64::from(limit))?;
        rows.reverse();
        last = rows.last().map_or(last, |it| it.id);
        ctx.emit_together(rows.into_iter().map(Record::Audit).collect());
        return Ok(last);
    }
    loop {
        let rows = page(place, NEXT, wanted, last, to, ROWS)?;
        let Some(newest) = rows.last() else { return Ok(last) };
        last = newest.id;
        ctx.emit_together(rows.into_iter().map(Record::Audit).collect());
        if ctx.output_is_lost() || interrupt::received().is_some() {
            return Ok(last);
        }
    }
}

/// Shows rows as they come, to the end of a signal or of the reader.
fn follow(place: &Place, wanted: &Wanted, mut last: i64, ctx: &mut Ctx) -> Result<Exit> {
    let mut there = false;
    loop {
        there = there || place.ledger.look(&place.session)? == Presence::Present;
        let rows = match there {
            true => page(place, NEXT, wanted, last, i64::MAX, ROWS)?,
            false => Vec::new(),
        };
        let more = rows.len() as i64 == ROWS;
        last = rows.last().map_or(last, |it| it.id);
        ctx.emit_together(rows.into_iter().map(Record::Audit).collect());
        if let Some(signal) = interrupt::received() {
            return Ok(Exit::Signal(signal));
        }
        if ctx.output_is_lost() {
            return Ok(Exit::Ok);
        }
        if !more {
            thread::sleep(LOOK);
        }
    }
}

fn page(
    place: &Place,
    sql: &'static str,
    wanted: &Wanted,
    from: i64,
    to: i64,
    limit: i64,
) -> Result<Vec<AuditRow>> {
    let rows = place
        .session
        .query_once(
            &place.ledger.sql(sql),
            &[
                (&from, Type::INT8),
                (&to, Type::INT8),
                (&wanted.actor, Type::TEXT),
                (&wanted.action, Type::TEXT),
                (&wanted.like, Type::TEXT),
                (&wanted.subject, Type::TEXT),
                (&limit, Type::INT8),
                (&wanted.since, Type::TIMESTAMPTZ),
                (&wanted.until, Type::TIMESTAMPTZ),
            ],
        )
        .map_err(Error::database("read the audit log"))?;
    Ok(rows.iter().map(row).collect())
}

pub(crate) fn row(row: &Row) -> AuditRow {
    AuditRow {
        id: row.get("id"),
        timestamp: row.get("timestamp"),
        actor: row.get("actor"),
        action: row.get("action"),
        subject: row.get("subject"),
        run_id: row.get("run_id"),
        details: row.get("details"),
        canonical: None,
        prev_hash: None,
        hash: row.get("hash"),
    }
}
