//! A transactional step: its statements, its history row and its audit row are one transaction.
//!
//! xid, fence, statements, history, audit, same xid still, COMMIT alone. Whatever dies between
//! two of these leaves the database as it was; after COMMIT, `txid_status` knows.

pub(crate) mod commit;
mod failure;
pub(crate) mod record;
pub(crate) mod tries;
mod waiting;

use record::STATE;
use std::{mem, time::Instant};
use tries::{Tried, Tries};

use migrate_core::{
    connect::flight::Flight,
    ctx::Ctx,
    error::{Error, PgError, Result},
    fault::{self, Point},
    interrupt,
    ledger::history,
    record::{Line, Record},
};
use tokio_postgres::Statement as Prepared;

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

/// The statements that each transaction needs, prepared once on a session.
pub(crate) struct Writer {
    limits: Limits,
    prepared: Option<(i32, [Prepared; 3])>,
    /// Of the transaction before, whose COMMIT is looked at once more.
    last_xid: Option<i64>,
    /// Whether the session is known to hold nothing that takes time to find and take away.
    clean: bool,
}

/// What the first message of a transaction found.
#[derive(Default)]
struct Begun {
    xid: Option<i64>,
    /// Of the ledger's tables, before the script.
    ledger: Option<String>,
    /// A step of it is recorded already, which has locked the audit log.
    recorded: bool,
}

impl Writer {
    pub(crate) fn new(limits: Limits) -> Writer {
        Writer { limits, prepared: None, last_xid: None, clean: false }
    }

    /// A step outside a transaction had the session, and may have deallocated what was prepared.
    pub(crate) fn lent(&mut self) {
        self.clean = false;
        self.prepared = None;
    }

    /// Applies `steps` in one transaction.
    pub(crate) fn apply(&mut self, run: &mut Run, steps: &[Step], ctx: &mut Ctx) -> Result<()> {
        let start = Instant::now();
        let mut tries = Tries::new(self.limits);
        loop {
            let mut at = 0;
            let stop = match self.attempt(run, steps, tries.retries, &mut at, ctx) {
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
        retries: u32,
        at: &mut usize,
        ctx: &mut Ctx,
    ) -> Result<Vec<Line>, Stop> {
        self.prepare(run)?;
        let clean = mem::replace(&mut self.clean, false);
        run.watch(Policy::GiveWay);
        interrupt::leaves(Some("the transaction under way is rolled back by the server".into()));
        let mut begun = Begun::default();
        let mut lines = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            *at = index;
            if let Some(err) = run.stopped(|| failure::nothing_of(step)) {
                return Err(err.into());
            }
            ctx.emit(Record::MigrationStarted(step.started(None)));
            let start = Instant::now();
            let totals = self.statements(run, step, clean, &mut begun, ctx)?;
            let execution = start.elapsed();
            fault::hit(Point::BeforeRecord);
            lines.push(self.record(run, step, totals, execution, retries, &begun, ctx)?);
            begun.recorded = true;
        }
        fault::hit(Point::BeforeCommit);
        // A COMMIT that waits for a standby would not be undone by a cancel, only be less safe.
        let seen = run.unwatch();
        if let Some(victims) = seen.gave_way {
            return Err(Stop::GaveWay(GaveWay { victims, statement: None }));
        }
        let xid = begun.xid.unwrap_or_default();
        let last = &steps[steps.len() - 1];
        let run_id = run.run_id.clone();
        let commit = commit::commit(run, last, xid, &|session, ledger| {
            history::took_place(session, ledger, &run_id, &last.version, last.direction)
        })?;
        self.last_xid = Some(xid);
        if commit.is_some() {
            for line in &mut lines {
                if let Record::MigrationApplied(it) | Record::MigrationRolledBack(it) =
                    &mut line.record
                {
                    it.commit = commit;
                }
            }
        }
        Ok(lines)
    }

    fn statements(
        &mut self,
        run: &Run,
        step: &Step,
        clean: bool,
        begun: &mut Begun,
        ctx: &mut Ctx,
    ) -> Result<Totals, Stop> {
        let mut flight = Flight::new(&run.session);
        let view = run.script_view(Some(self.limits.lock_timeout));
        let first = begun.xid.is_none();
        if first {
            flight.send(if clean { CLEANUP_CHEAP } else { CLEANUP }.to_owned());
            flight.send(format!(
                "begin; {}; execute {STATE}; select txid_current() as xid, txid_status({}) as before; {view}",
                run.lease.fence_sql(&run.ledger),
                self.last_xid.map_or("null".to_owned(), |it| it.to_string()),
            ));
        } else {
            flight.send(format!("execute {STATE}; {view}"));
        }
        let last_xid = self.last_xid;
        let mut answered = |flight: &mut Flight<'_>, _: &mut Ctx| -> Result<(), Stop> {
            let mut quiet = |_| ();
            let lost = |error: PgError| match send::is_lost(&run.session, &error) {
                true => Stop::Lost(error),
                false => Stop::Other(run.lease.fenced_or(error)),
            };
            if first {
                flight.answers(&mut quiet).map_err(|it| lost(it.error))?;
            }
            let answers = flight.answers(&mut quiet).map_err(|it| lost(it.error))?;
            let said = |name: &str| {
                let mut rows = answers.iter().filter_map(|it| it.first_row.as_ref());
                rows.find_map(|it| it.try_get(name).ok().flatten()).map(str::to_owned)
            };
            begun.ledger = said("ledger");
            if !first {
                return Ok(());
            }
            begun.xid = said("xid").and_then(|it| it.parse().ok());
            match (last_xid, said("before")) {
                (Some(before), Some(status)) if status != "committed" => {
                    Err(commit::unverified(before, &status).into())
                }
                _ => Ok(()),
            }
        };
        let stopped = || {
            run.stopped(|| failure::nothing_of(step)).map(Stop::Other).or_else(|| run.gives_way())
        };
        send::run_script(run, flight, step, &mut answered, &stopped, ctx)
    }
}
