//! A statement that runs in key ranges, each a transaction with its checkpoint in it.
//!
//! A range and the journal's word of it are committed together, so each row is changed exactly
//! once, wherever a run dies. The greatest key is read with the first range and kept: rows that
//! come behind it meanwhile are for the application's new code, or the change would never end.

use std::{
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
};

use super::{At, Work};
use crate::{
    batch::{
        self,
        give_way::Standbys,
        key::{self, Key, Unusable},
        size,
    },
    failure,
    guard::Policy,
    limits::Limits,
    progress::{Progress, Ranges},
    send::{self, Stop},
    transaction::{
        commit,
        tries::{MAX_PAUSE_MS, Tries},
    },
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

/// The way of one run along the key.
struct Walk<'a> {
    batched: &'a Batched,
    at: &'a At<'a>,
    key: Key,
    /// Of the next range.
    size: u64,
    standbys: Standbys,
    progress: Progress,
    begun: Instant,
    /// Of the range that is next.
    tries: Tries,
    said: Instant,
    /// What earlier runs have done.
    keys_before: u64,
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
        if let Some(ranges) = self.ranges() {
            log::info!("{}: {ranges}; going on behind them", self.location(at.statement));
        }
        self.run.session.transaction(|session| {
            self.run.lease.fence(session, &self.run.ledger)?;
            journal::upgrade(session, &self.run.ledger)
        })?;
        let first = batched.batch.size.unwrap_or(size::FIRST);
        let mut walk = Walk {
            batched,
            at,
            key: self.key_of(batched, at)?,
            size: self.checkpoint.as_ref().map_or(first, |it| it.size),
            standbys: Standbys::new(),
            progress: self.progress(at),
            begun,
            tries: Tries::new(self.limits),
            said: begun,
            keys_before: self.checkpoint.as_ref().map_or(0, |it| it.keys),
        };
        while !self.go_on(&mut walk, ctx)? {}
        drop(walk);
        let rows = self.checkpoint.take().map_or(0, |it| it.rows);
        self.said(at, rows, begun.elapsed().as_secs_f64() * 1000.0, ctx);
        Ok(())
    }

    /// One range, or one try of it; true at the end of the walk.
    fn go_on(&mut self, walk: &mut Walk<'_>, ctx: &mut Ctx) -> Result<bool, Stop> {
        if let Some(err) = self.run.stopped(|| self.state()) {
            return Err(err.into());
        }
        self.give_way(walk, ctx)?;
        let start = Instant::now();
        let Range { checkpoint, last, blocked } = match self.range(walk, ctx) {
            Ok(range) => range,
            Err(stop) => {
                // First: a cancel must not hit what comes now.
                let seen = self.run.unwatch();
                self.roll_back();
                walk.progress.hide();
                walk.size = size::smaller(walk.size);
                self.again(&mut walk.tries, stop, seen, ctx)?;
                return Ok(false);
            }
        };
        fault::hit(Point::AfterCommit);
        walk.size = checkpoint.size;
        if blocked > 0 && !last {
            // They go first.
            walk.size = size::smaller(walk.size);
            pause((start.elapsed().as_millis() as u64).clamp(10, MAX_PAUSE_MS));
        }
        walk.passed(&checkpoint, self.limits, ctx);
        self.checkpoint = Some(checkpoint);
        Ok(last)
    }

    /// The table and the key, if ranges can be cut by it.
    fn key_of(&mut self, batched: &Batched, at: &At<'_>) -> Result<Key, Stop> {
        self.script_view(Some(self.limits.lock_timeout))?;
        let session = &self.run.session;
        let aggregate = match at.statement.tag() {
            "INSERT" => key::aggregate(session, &batched.calls).map_err(|it| self.no(it))?,
            // The server refuses them there.
            _ => None,
        };
        let oid = key::resolve(session, &batched.batch.table).map_err(|it| self.no(it))?;
        self.ledger_view()?;
        let key = match aggregate {
            Some(unusable) => Err(unusable),
            None => key::look(session, oid, &batched.batch).map_err(|it| self.no(it))?,
        };
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
    fn range(&mut self, walk: &Walk<'_>, ctx: &mut Ctx) -> Result<Range, Stop> {
        let Walk { batched, at, key, size, .. } = walk;
        let start = Instant::now();
        let begun = self.begin()?;
        self.run.watch(Policy::GiveWay);
        self.script_view(Some(self.limits.lock_timeout))?;
        self.query(KEY_VIEW)?;
        let mut now = self.checkpoint.clone().unwrap_or_default();
        let after = (now.ranges > 0).then(|| now.reached.clone());
        if after.is_none() {
            now.last = self.one_key(&key.last_sql())?.unwrap_or_default();
        }
        let mut rows = 0;
        if !now.last.is_empty() {
            let end = self.one_key(&key.end_sql(after.as_deref(), &now.last, *size))?;
            now.reached = end.unwrap_or_else(|| now.last.clone());
            let predicate = key.predicate(&batched.qualifier, after.as_deref(), &now.reached);
            self.script_view(Some(self.limits.lock_timeout))?;
            let sql = batched.sql(at.statement.text(&self.step.script.text), &predicate);
            let mut tick = |_| walk.progress.tick(walk.begun.elapsed(), ctx);
            rows = batch::send(&self.run.session, sql, &mut tick)
                .map_err(|error| self.no_at(at, error))?;
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
        now.size = size::after(*size, start.elapsed());
        let place = at.place(self.history_id);
        journal::checkpoint(session, ledger, place, &now)?;
        if last {
            journal::done(session, ledger, place, now.rows as i64)?;
        }
        fault::hit(Point::BeforeCommit);
        self.unwatch()?;
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
    fn give_way(&self, walk: &mut Walk<'_>, ctx: &mut Ctx) -> Result<(), Stop> {
        let start = Instant::now();
        while let Some(reason) = walk.standbys.reason(&self.run.session)? {
            if let Some(err) = self.run.stopped(|| self.state()) {
                return Err(err.into());
            }
            if start.elapsed() >= self.limits.retry_budget {
                return Err(Stop::Refused(Box::new(StatementError {
                    at: Some(self.location(walk.at.statement)),
                    statement: Some(walk.at.number as u64),
                    message: format!("gave up waiting: {reason}"),
                    ..StatementError::default()
                })));
            }
            walk.progress.stands_back = Some(reason);
            walk.progress.tick(walk.begun.elapsed(), ctx);
            thread::sleep(SECOND);
        }
        walk.progress.stands_back = None;
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

impl Walk<'_> {
    /// Takes note of a range that is done.
    fn passed(&mut self, done: &Checkpoint, limits: Limits, ctx: &mut Ctx) {
        self.tries = Tries::new(limits);
        let now = done.keys - self.keys_before;
        let total = self.key.rows;
        self.progress.ranges = Some(Ranges {
            touched: done.rows,
            passed: total.map_or(done.keys, |it| it.min(done.keys)),
            total,
            left_ms: left_ms(done.keys, now, total, self.begun.elapsed()),
        });
        if self.said.elapsed() >= SECOND {
            self.said = Instant::now();
            self.progress.tick(self.begun.elapsed(), ctx);
        }
    }
}

/// How long the rest of `all` keys will take if it goes on like the keys of this run, `now`, which
/// took `elapsed`.
fn left_ms(keys: u64, now: u64, all: Option<u64>, elapsed: Duration) -> Option<u64> {
    let left = all?.checked_sub(keys).filter(|&it| it > 0)?;
    Some((elapsed.as_secs_f64() * 1000.0 * left as f64 / now.max(1) as f64) as u64)
}

fn pause(longest_ms: u64) {
    if interrupt::received().is_none() {
        thread::sleep(Duration::from_millis(fastrand::u64(longest_ms / 10..=longest_ms)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_by_the_pace_of_this_run() {
        let ten = Duration::from_secs(10);
        assert_eq!(left_ms(500, 100, Some(1000), ten), Some(50_000));
        assert_eq!(left_ms(1000, 100, Some(1000), ten), None);
        assert_eq!(left_ms(1000, 100, None, ten), None);
    }
}
