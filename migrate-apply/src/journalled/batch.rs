//! A statement that runs in key ranges, each a transaction with its checkpoint in it.
//!
//! A range and the journal's word of it are committed together, so each row is changed exactly
//! once, wherever a run dies. The greatest key is read with the first range and kept: rows that
//! come behind it meanwhile are for the application's new code, or the change would never end.

use std::{
    cell::Cell,
    thread,
    time::{Duration, Instant},
};

use migrate_core::{
    ctx::Ctx,
    error::{Error, Location, PgError, StatementError},
    fault::{self, Point},
    interrupt,
    ledger::progress::{self as journal, Checkpoint},
    migration::batch::Batched,
    text,
};

use super::{At, Work};
use crate::{
    batch::{
        self, give_way,
        key::{self, Key, Unusable},
        size,
    },
    failure,
    progress::Progress,
    send::{self, Stop},
    transaction::{self, commit},
};

const BLOCKED: &str = include_str!("../../sql/batch_blocked.sql");
/// Under which keys become texts that any setting reads back as the same values.
const KEY_VIEW: &str = "set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; \
                        set timezone = 'UTC'; set extra_float_digits = 1; set bytea_output = 'hex'";
const SECOND: Duration = Duration::from_secs(1);

/// What came of a range.
struct Range {
    checkpoint: Checkpoint,
    /// Nothing is left behind it.
    last: bool,
    /// How many others waited for it.
    blocked: i64,
}

impl Work<'_> {
    /// Runs the ranges that are left.
    pub(super) fn batched(
        &mut self,
        batched: &Batched,
        interrupted: Option<journal::Entry>,
        at: &At<'_>,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        let begun = Instant::now();
        self.checkpoint = interrupted.and_then(|it| it.checkpoint);
        if let Some(done) = &self.checkpoint {
            log::info!(
                "{}: going on behind {} ranges with {} rows",
                self.location(at.statement),
                done.ranges,
                done.rows
            );
        }
        self.run.session.transaction(|session| {
            self.run.lease.fence(session, &self.run.ledger)?;
            journal::upgrade(session, &self.run.ledger)
        })?;
        let key = self.key_of(batched, at)?;
        let first = batched.batch.size.unwrap_or(size::FIRST);
        let mut size = self.checkpoint.as_ref().map_or(first, |it| it.size);
        let mut progress = self.progress_of(at);
        let resumed_at = self.checkpoint.as_ref().map_or(0, |it| it.keys);
        let (mut since, mut said) = (Instant::now(), Instant::now());
        loop {
            if let Some(err) = self.run.stopped(|| self.state()) {
                return Err(err.into());
            }
            self.give_way(at, &mut progress, begun, ctx)?;
            let start = Instant::now();
            let mut tick = |progress: &Progress| progress.tick(begun.elapsed(), ctx);
            let range = match self.range(batched, &key, size, at, &mut |_| tick(&progress)) {
                Ok(range) => range,
                Err(Stop::Refused(error))
                    if transaction::is_passing(&error)
                        && since.elapsed() < self.limits.retry_budget
                        && self.run.stopped(String::new).is_none() =>
                {
                    self.roll_back();
                    size = size::smaller(size);
                    log::warn!("{error}; the range was rolled back, trying again");
                    pause(transaction::MAX_PAUSE_MS);
                    continue;
                }
                Err(stop) => return Err(stop),
            };
            fault::hit(Point::AfterCommit);
            let took = start.elapsed();
            let Range { checkpoint, last, blocked } = range;
            let (rows, keys) = (checkpoint.rows, checkpoint.keys);
            size = checkpoint.size;
            self.checkpoint = Some(checkpoint);
            if last {
                break;
            }
            if blocked > 0 {
                // They go first.
                size = size::smaller(size);
                pause((took.as_millis() as u64).clamp(1, transaction::MAX_PAUSE_MS));
            }
            since = Instant::now();
            progress.command =
                standing(at, rows, keys, keys - resumed_at, key.rows, begun.elapsed());
            if said.elapsed() >= SECOND {
                said = Instant::now();
                progress.tick(begun.elapsed(), ctx);
            }
        }
        drop(progress);
        let rows = self.checkpoint.take().map_or(0, |it| it.rows);
        self.said(at, rows, begun.elapsed().as_secs_f64() * 1000.0, ctx);
        Ok(())
    }

    fn progress_of(&self, at: &At<'_>) -> Progress {
        Progress {
            version: self.step.version.clone(),
            statement: at.number as u64,
            statements: self.step.summary.statements,
            command: at.statement.tag().to_owned(),
            estimate_ms: self.step.estimate_ms(),
            migration_start: self.start,
            shown: Cell::default(),
        }
    }

    /// The table and the key, if ranges can be cut by it.
    fn key_of(&mut self, batched: &Batched, at: &At<'_>) -> Result<Key, Stop> {
        self.script_view(Some(self.limits.lock_timeout))?;
        let session = &self.run.session;
        let oid = key::resolve(session, &batched.batch.table).map_err(|it| self.no(it))?;
        self.ledger_view()?;
        let key = key::look(session, oid, &batched.batch).map_err(|it| self.no(it))?;
        key.map_err(|Unusable { message, hint }| {
            let place = Location {
                file: self.step.script.file.clone(),
                line: batched.batch.line,
                column: 1,
            };
            if self.totals.statements == 0 && self.checkpoint.is_none() {
                return Error::refused("batch_key", format!("{place}: {message}"), hint).into();
            }
            Stop::Refused(Box::new(StatementError {
                at: Some(place),
                statement: Some(at.number as u64),
                message,
                hint: Some(hint),
                ..StatementError::default()
            }))
        })
    }

    /// One range: its end, its rows, its checkpoint, COMMIT.
    fn range(
        &mut self,
        batched: &Batched,
        key: &Key,
        size: u64,
        at: &At<'_>,
        tick: &mut dyn FnMut(Duration),
    ) -> Result<Range, Stop> {
        let start = Instant::now();
        let begun = self.begin()?;
        self.script_view(Some(self.limits.lock_timeout))?;
        self.query(KEY_VIEW)?;
        let mut now = self.checkpoint.clone().unwrap_or_default();
        let after = (now.ranges > 0).then(|| now.reached.clone());
        if after.is_none() {
            now.last = self.one_key(&key.last_sql())?.unwrap_or_default();
        }
        let mut rows = 0;
        if !now.last.is_empty() {
            let end = self.one_key(&key.end_sql(after.as_deref(), &now.last, size))?;
            now.reached = end.unwrap_or_else(|| now.last.clone());
            let predicate = key.predicate(&batched.qualifier, after.as_deref(), &now.reached);
            self.script_view(Some(self.limits.lock_timeout))?;
            let sql = batched.sql(at.statement.text(&self.step.script.text), &predicate);
            rows = batch::send(&self.run.session, sql, tick).map_err(|it| self.no_at(at, it))?;
        }
        fault::hit(Point::StatementRun);
        self.ledger_view()?;
        self.ledger_is_as(&begun)?;
        let (session, ledger) = (&self.run.session, &self.run.ledger);
        let blocked = session.query_once(BLOCKED, &[]).map_err(|it| self.no(it))?[0].get(0);
        let last = now.reached == now.last;
        now.ranges += 1;
        now.rows += rows;
        now.keys += size;
        now.size = size::after(size, start.elapsed());
        let place = at.place(self.history_id);
        journal::checkpoint(session, ledger, place, &now)?;
        if last {
            journal::done(session, ledger, place, now.rows as i64)?;
        }
        fault::hit(Point::BeforeCommit);
        let (history_id, number, ranges) = (self.history_id, at.number, now.ranges);
        commit::commit(self.run, self.step, begun.xid, &|session, ledger| {
            let journal = journal::read(session, ledger, history_id)?;
            let mut checkpoints = journal
                .iter()
                .filter(|it| it.statement == number)
                .filter_map(|it| it.checkpoint.as_ref());
            Ok(checkpoints.any(|it| it.ranges >= ranges))
        })?;
        Ok(Range { checkpoint: now, last, blocked })
    }

    fn one_key(&self, sql: &str) -> Result<Option<Vec<String>>, Stop> {
        let rows = self.run.session.query_once(sql, &[]).map_err(|it| self.no(it))?;
        Ok(rows.first().map(|row| (0..row.len()).map(|at| row.get(at)).collect()))
    }

    /// Stands back while a standby is far behind, as long as anything may be waited for.
    fn give_way(
        &self,
        at: &At<'_>,
        progress: &mut Progress,
        begun: Instant,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        let start = Instant::now();
        while let Some(reason) = give_way::reason(&give_way::replicas(&self.run.session)?) {
            if let Some(err) = self.run.stopped(|| self.state()) {
                return Err(err.into());
            }
            if start.elapsed() >= self.limits.retry_budget {
                return Err(Stop::Refused(Box::new(StatementError {
                    at: Some(self.location(at.statement)),
                    statement: Some(at.number as u64),
                    message: format!("gave up waiting for a standby: {reason}"),
                    ..StatementError::default()
                })));
            }
            progress.command = format!("{}, waiting: {reason}", at.statement.tag());
            progress.tick(begun.elapsed(), ctx);
            thread::sleep(SECOND);
        }
        Ok(())
    }

    fn no(&self, error: PgError) -> Stop {
        if send::is_lost(&self.run.session, &error) {
            return Stop::Lost(error);
        }
        Stop::Refused(Box::new(failure::of_server(&error)))
    }

    /// The statement was sent with a range in it, so the server's place in it is none in the file.
    fn no_at(&self, at: &At<'_>, error: PgError) -> Stop {
        let mut stop = self.no(error);
        if let Stop::Refused(error) = &mut stop {
            error.at = Some(self.location(at.statement));
            error.statement = Some(at.number as u64);
        }
        stop
    }
}

fn pause(longest_ms: u64) {
    if interrupt::received().is_none() {
        thread::sleep(Duration::from_millis(fastrand::u64(longest_ms.div_ceil(10)..=longest_ms)));
    }
}

/// How far it has come, and how long the rest will take at the pace of this run.
fn standing(
    at: &At<'_>,
    rows: u64,
    keys: u64,
    keys_now: u64,
    all: Option<u64>,
    elapsed: Duration,
) -> String {
    let done = format!("{}, {rows} rows", at.statement.tag());
    match all {
        Some(all) if all > keys => {
            let left = elapsed.as_secs_f64() * (all - keys) as f64 / keys_now.max(1) as f64;
            let percent = keys * 100 / all;
            format!("{done}, {percent}%, about {} left", text::took((left * 1000.0) as u64))
        }
        _ => done,
    }
}
