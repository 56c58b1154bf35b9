//! A transactional step: its statements, its history row and its audit row are one transaction.
//!
//! xid, fence, statements, same xid still, history, audit, COMMIT alone. Whatever dies between
//! two of these leaves the database as it was; after COMMIT, `txid_status` knows.
//!
//! Two waits a migration: for the statements, behind which the look at what they did is sent already;
//! and for COMMIT, which is sent behind the record, and before the beginning of the next transaction.
//! Where the record fails, the server makes a ROLLBACK of that COMMIT.

pub(crate) mod commit;
mod failure;
mod prepared;
pub(crate) mod record;
pub(crate) mod tries;
mod waiting;

use std::{mem, time::Instant};
use tries::{Tried, Tries};

use migrate_core::{
    connect::flight::{Flight, said},
    ctx::Ctx,
    error::{Error, PgError, Result},
    fault::{self, Point},
    interrupt,
    ledger::history,
    record::{Commit, Line, Record},
};

use crate::{
    guard::Policy,
    limits::Limits,
    progress,
    run::Run,
    send::{self, GaveWay, Stop, Totals},
    step::Step,
};

const CLEANUP_CHEAP: &str = include_str!("../../sql/cleanup.sql");
/// What a script may leave in its session beside settings.
pub(crate) const CLEANUP: &str =
    concat!(include_str!("../../sql/cleanup.sql"), include_str!("../../sql/cleanup_left_over.sql"));

/// What comes behind a transaction on the same session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another one of these: it is begun ahead.
    Transaction,
    Other,
}

/// Runs steps in transactions, one after the other.
pub(crate) struct Writer {
    limits: Limits,
    /// The session on which the ledger's statements are prepared.
    prepared_on: Option<i32>,
    /// Of the transaction before, whose COMMIT is looked at once more.
    last_xid: Option<i64>,
    /// Whether the session is known to hold nothing that takes time to find and take away.
    clean: bool,
    /// The next transaction, begun behind the last COMMIT.
    ahead: Option<Flight>,
}

/// What the first message of a transaction found.
#[derive(Default)]
struct Begun {
    xid: Option<i64>,
    /// Of the ledger's tables, before the script; where the transaction wrote to them itself.
    ledger: Option<String>,
    /// A step of it is recorded already, which has locked the audit log.
    recorded: bool,
}

impl Writer {
    pub(crate) fn new(limits: Limits) -> Writer {
        Writer { limits, prepared_on: None, last_xid: None, clean: false, ahead: None }
    }

    /// A step outside a transaction had the session, and may have deallocated what was prepared.
    pub(crate) fn lent(&mut self) {
        self.clean = false;
        self.prepared_on = None;
    }

    /// Applies `steps` in one transaction.
    pub(crate) fn apply(
        &mut self,
        run: &mut Run,
        steps: &[Step],
        next: Next,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let start = Instant::now();
        let mut tries = Tries::new(self.limits);
        loop {
            let mut at = 0;
            let stop = match self.attempt(run, steps, next, tries.retries, &mut at, ctx) {
                Ok(lines) => {
                    fault::hit(Point::AfterCommit);
                    for line in lines {
                        progress::done(&line.record);
                        ctx.emit_line(line);
                    }
                    return Ok(());
                }
                Err(stop) => stop,
            };
            // First: a cancel must not hit what comes now.
            let seen = run.unwatch();
            let step = &steps[at];
            self.ahead = None;
            if !run.session.is_closed() {
                let _ = run.session.run(&format!("rollback; {}", run.ledger_view()));
            }
            let stopped = || run.must_stop();
            let tried = Tried { session: &run.session, step, run: Some(run), stopped: &stopped };
            if let Err(stop) = tries.again(tried, stop, seen, ctx) {
                return Err(self.give_up(run, step, stop, start, ctx));
            }
        }
    }

    /// What stands after the last COMMIT, once more: an answer alone has been wrong before.
    pub(crate) fn verify_last(&self, run: &mut Run) -> Result<()> {
        let Some(xid) = self.last_xid else { return Ok(()) };
        let mut status = commit::status_of(&run.session, xid);
        if status.as_ref().is_err_and(|it| send::is_lost(&run.session, it)) {
            run.reconnect()?;
            status = commit::status_of(&run.session, xid);
        }
        match status.map_err(Error::database("verify the last commit"))? {
            Some(status) if status != "committed" => Err(commit::unverified(xid, &status)),
            _ => Ok(()),
        }
    }

    fn attempt(
        &mut self,
        run: &mut Run,
        steps: &[Step],
        next: Next,
        retries: u32,
        at: &mut usize,
        ctx: &mut Ctx,
    ) -> Result<Vec<Line>, Stop> {
        self.prepare(run)?;
        run.watch(Policy::GiveWay);
        interrupt::leaves(Some("the transaction under way is rolled back by the server".into()));
        let mut begun = Begun::default();
        let mut lines = Vec::new();
        let mut flight = match self.ahead.take() {
            Some(flight) => flight,
            None => self.begin(run, self.last_xid),
        };
        for (index, step) in steps.iter().enumerate() {
            *at = index;
            if let Some(err) = run.stopped(|| failure::nothing_of(step)) {
                return Err(err.into());
            }
            ctx.emit(Record::MigrationStarted(step.started(None)));
            let start = Instant::now();
            let totals = self.statements(run, step, &mut flight, &mut begun, ctx)?;
            let execution = start.elapsed();
            fault::hit(Point::BeforeRecord);
            let (line, record) = record::record(run, step, totals, execution, retries, ctx);
            lines.push(line);
            flight.send(&run.session, &record);
            begun.recorded = true;
            if index + 1 < steps.len() {
                answer(&mut flight, run).map_err(|error| record::not_taken(run, error))?;
                flight.send(&run.session, &prepared::go_on(run, self.limits));
            }
        }
        let commit = self.commit(run, &steps[steps.len() - 1], flight, &begun, next)?;
        for line in &mut lines {
            if let Record::MigrationApplied(it) | Record::MigrationRolledBack(it) = &mut line.record
            {
                it.commit = commit;
            }
        }
        Ok(lines)
    }

    fn prepare(&mut self, run: &Run) -> Result<()> {
        let pid = run.session.facts().backend_pid;
        if self.prepared_on != Some(pid) {
            prepared::prepare(run)?;
            self.prepared_on = Some(pid);
        }
        Ok(())
    }

    /// Takes away what the script before left, and begins a transaction.
    fn begin(&mut self, run: &Run, before: Option<i64>) -> Flight {
        let mut flight = Flight::default();
        let clean = mem::replace(&mut self.clean, false);
        flight.send(&run.session, if clean { CLEANUP_CHEAP } else { CLEANUP });
        flight.send(&run.session, &prepared::begin(run, self.limits, before));
        flight
    }

    /// COMMIT, behind the record that is under way.
    fn commit(
        &mut self,
        run: &mut Run,
        step: &Step,
        mut flight: Flight,
        begun: &Begun,
        next: Next,
    ) -> Result<Option<Commit>, Stop> {
        // A COMMIT that waits for a standby would not be undone by a cancel, only be less safe.
        let seen = run.unwatch();
        if let Some(victims) = seen.gave_way {
            return Err(Stop::GaveWay(GaveWay { victims, statement: None }));
        }
        fault::hit(Point::BeforeCommit);
        flight.send(&run.session, "commit");
        let xid = begun.xid.unwrap_or_default();
        let ahead = match next {
            Next::Transaction => Some(self.begin(run, Some(xid))),
            Next::Other => {
                flight.send(&run.session, &run.ledger_view());
                None
            }
        };
        let answer = match answer(&mut flight, run) {
            Ok(()) => answer(&mut flight, run),
            // COMMIT was sent, too, and may have arrived.
            Err(error) if send::is_lost(&run.session, &error) => Err(error),
            Err(error) => return Err(record::not_taken(run, error)),
        };
        let run_id = run.run_id.clone();
        let commit = commit::settle(run, step, xid, answer, &|session, ledger| {
            history::took_place(session, ledger, &run_id, &step.version, step.direction)
        })?;
        self.last_xid = Some(xid);
        // Another session has taken over where it was recovered.
        self.ahead = ahead.filter(|_| commit.is_none());
        Ok(commit)
    }

    fn statements(
        &mut self,
        run: &Run,
        step: &Step,
        flight: &mut Flight,
        begun: &mut Begun,
        ctx: &mut Ctx,
    ) -> Result<Totals, Stop> {
        let look = prepared::look(run, begun.recorded);
        let last_xid = self.last_xid;
        let first = begun.xid.is_none();
        let mut answered = |flight: &mut Flight| -> Result<(), Stop> {
            let quiet = &mut |_| ();
            let lost = |error: PgError| match send::is_lost(&run.session, &error) {
                true => Stop::Lost(error),
                false => Stop::Other(run.lease.fenced_or(error)),
            };
            if first {
                flight.answers(&run.session, quiet).map_err(|it| lost(it.error))?;
            }
            let answers = flight.answers(&run.session, quiet).map_err(|it| lost(it.error))?;
            begun.ledger = said(&answers, "ledger").map(str::to_owned);
            if !first {
                return Ok(());
            }
            begun.xid = said(&answers, "xid").and_then(|it| it.parse().ok());
            match (last_xid, said(&answers, "before")) {
                (Some(before), Some(status)) if status != "committed" => {
                    Err(commit::unverified(before, status).into())
                }
                _ => Ok(()),
            }
        };
        let stopped = || {
            run.stopped(|| failure::nothing_of(step)).map(Stop::Other).or_else(|| run.gives_way())
        };
        let totals = send::run_script(run, flight, step, &mut answered, &stopped, &look, ctx)?;
        if totals.deallocated {
            run.session.run(&run.ledger_view()).map_err(Error::database("reset the session"))?;
            self.prepared_on = None;
            self.prepare(run)?;
            flight.send(&run.session, &look);
        }
        let answers = flight.answers(&run.session, &mut |_| ());
        let answers = answers.map_err(|it| record::not_taken(run, it.error))?;
        self.look(step, begun, &answers)?;
        Ok(totals)
    }
}

fn answer(flight: &mut Flight, run: &Run) -> Result<(), PgError> {
    flight.answers(&run.session, &mut |_| ()).map(drop).map_err(|it| it.error)
}
