//! Whether what met a lock or blocked others is tried again, when, and what is said about it.

use std::{
    thread,
    time::{Duration, Instant},
};

use migrate_core::{
    connect::session::Session,
    ctx::Ctx,
    error::{Error, Left, Result, StatementError},
    ledger::audit,
    record::{Holder, Line, LockWaited, MigrationYielded, Record, Victim},
    text,
};

use super::waiting;
use crate::{
    guard::{Seen, Waiting},
    limits::Limits,
    run::Run,
    send::{GaveWay, Stop},
    step::Step,
};

/// No pause between two tries to get a lock is longer.
pub(crate) const MAX_PAUSE_MS: u64 = 500;
/// Whoever was blocked for as long as `block_limit` has this many times as long for himself.
const FREE_FOR: u32 = 4;
const LONGEST_FREE: Duration = Duration::from_secs(60);

/// What was tried, and whether the run is to stop.
#[derive(Clone, Copy)]
pub(crate) struct Tried<'a> {
    /// In the ledger's view.
    pub(crate) session: &'a Session,
    pub(crate) step: &'a Step,
    /// Whose audit log keeps for whom it gave way; none in a dry run.
    pub(crate) run: Option<&'a Run>,
    pub(crate) stopped: &'a dyn Fn() -> bool,
}

/// The tries of one transaction, or of one statement outside of any.
pub(crate) struct Tries {
    limits: Limits,
    start: Instant,
    pub(crate) retries: u32,
    yields: u32,
}

impl Tries {
    pub(crate) fn new(limits: Limits) -> Tries {
        Tries { limits, start: Instant::now(), retries: 0, yields: 0 }
    }

    /// Says whom a try that was stopped waited for, or who waited for it, and pauses; hands
    /// `stop` back where there is no other try.
    pub(crate) fn again(
        &mut self,
        tried: Tried<'_>,
        stop: Stop,
        seen: Seen,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        let Tried { session, step, run, stopped } = tried;
        if stopped() {
            return Err(stop);
        }
        match stop.or_gave_way(seen.gave_way) {
            Stop::Refused(mut error) if is_passing(&error) => {
                let waiting = seen.waiting.unwrap_or_default();
                let holders = holders(session, &waiting);
                ctx.emit(Record::LockWaited(LockWaited {
                    waiting_for: waiting
                        .table
                        .or_else(|| error.at.as_ref().map(ToString::to_string))
                        .unwrap_or_default(),
                    version: Some(step.version.clone()),
                    statement: error.statement,
                    waited_ms: self.start.elapsed().as_millis() as u64,
                    holders: holders.clone(),
                    queue: waiting.queue,
                }));
                if self.start.elapsed() >= self.limits.retry_budget {
                    explain(session, &mut error, &holders);
                    return Err(Stop::Refused(error));
                }
                log::warn!(
                    "migration {}: {}; rolled back, trying again{}",
                    step.version,
                    error.message,
                    held_by(&holders)
                );
                pause(stopped, Duration::from_millis(fastrand::u64(50..=MAX_PAUSE_MS)));
            }
            Stop::GaveWay(it) => {
                let free = self.free();
                self.yields += 1;
                let line = ctx.line(Record::MigrationYielded(MigrationYielded {
                    version: step.version.clone(),
                    name: step.name.clone(),
                    direction: step.direction,
                    statement: it.statement,
                    block_limit_ms: self.limits.block_limit.as_millis() as u64,
                    victims: it.victims.clone(),
                    retry_in_ms: free.map(|it| it.as_millis() as u64),
                }));
                let kept = run.map_or(Ok(()), |run| keep(run, step, &line));
                ctx.emit_line(line);
                kept?;
                let Some(free) = free else { return Err(Stop::GaveWay(it)) };
                log::warn!(
                    "migration {}: it blocked {}; rolled back, trying again in {}",
                    step.version,
                    victims(&it.victims),
                    text::took(free.as_millis() as u64)
                );
                pause(stopped, free);
            }
            stop => return Err(stop),
        }
        self.retries += 1;
        Ok(())
    }

    /// How long to keep away from those who were blocked, longer each time; None where the budget
    /// doesn't leave them at least as long as they were blocked.
    fn free(&self) -> Option<Duration> {
        let left = self.limits.retry_budget.checked_sub(self.start.elapsed())?;
        let free = self.limits.block_limit * FREE_FOR * 2_u32.pow(self.yields.min(8));
        let free = free.min(LONGEST_FREE).mul_f64(0.75 + 0.5 * fastrand::f64());
        (left >= self.limits.block_limit).then(|| free.min(left))
    }

    /// The error where there is no other try and nothing of the step stays.
    pub(crate) fn busy(limits: Limits, step: &Step, stop: Stop) -> Error {
        let (version, name) = (step.version.clone(), step.name.clone());
        let budget = humantime::format_duration(limits.retry_budget).to_string();
        match stop {
            Stop::GaveWay(it) => Error::OthersBlocked {
                version,
                name,
                limit: humantime::format_duration(limits.block_limit).to_string(),
                budget,
                victims: victims(&it.victims),
            },
            Stop::Refused(error) if is_passing(&error) => {
                Error::LocksBusy { version, name, error, budget }
            }
            Stop::Refused(error) => Error::Statement { version, name, error, left: Left::Nothing },
            Stop::Lost(source) => {
                Error::ConnectionLost { version, name, left: Left::Nothing, source }
            }
            Stop::Other(err) => err,
        }
    }
}

/// Whom a migration has hurt is evidence, and stays whatever becomes of the run.
fn keep(run: &Run, step: &Step, line: &Line) -> Result<()> {
    let version = step.version.to_string();
    run.session.transaction(|session| {
        run.lease.fence(session, &run.ledger)?;
        audit::append(session, &run.ledger, line, Some(&version), Some(&run.run_id)).map(drop)
    })
}

/// Errors that another try may not meet.
pub(crate) fn is_passing(error: &StatementError) -> bool {
    error.sqlstate.as_deref().is_some_and(|it| ["55P03", "40P01", "40001"].contains(&it))
}

/// Ends early where the run is to stop.
fn pause(stopped: &dyn Fn() -> bool, time: Duration) {
    let until = Instant::now() + time;
    while !stopped() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// Who stood in the way; what the server calls process 0 is looked up where it can be.
fn holders(session: &Session, waiting: &Waiting) -> Vec<Holder> {
    let mut holders = waiting.holders.clone();
    if holders.is_empty() || holders.iter().any(|it| it.pid == 0) {
        let prepared = waiting::prepared(session).unwrap_or_default();
        if !prepared.is_empty() {
            holders.retain(|it| it.pid != 0);
            holders.extend(prepared.iter().map(waiting::Prepared::holder));
        }
    }
    holders
}

/// Adds who stood in the way to an error that is about to be said.
fn explain(session: &Session, error: &mut StatementError, holders: &[Holder]) {
    error.message += &held_by(holders);
    if holders.iter().any(|it| it.pid == 0)
        && let Ok(prepared) = waiting::prepared(session)
        && let Some(oldest) = prepared.first()
    {
        oldest.explain(error);
    }
}

fn held_by(holders: &[Holder]) -> String {
    let said: Vec<String> = holders.iter().map(text::holder).collect();
    if said.is_empty() { String::new() } else { format!("; in the way: {}", said.join("; ")) }
}

fn victims(victims: &[Victim]) -> String {
    let said: Vec<String> = victims.iter().map(text::victim).collect();
    said.join("; ")
}

impl GaveWay {
    /// In words, where a part of the migration stays.
    pub(crate) fn as_error(&self) -> StatementError {
        StatementError {
            statement: self.statement,
            message: format!("it blocked others for too long: {}", victims(&self.victims)),
            ..StatementError::default()
        }
    }
}

impl Stop {
    /// A cancelled statement, where it was cancelled for others.
    pub(crate) fn or_gave_way(self, victims: Option<Vec<Victim>>) -> Stop {
        let Some(victims) = victims else { return self };
        let statement = match &self {
            Stop::Refused(error) if error.sqlstate.as_deref() == Some("57014") => error.statement,
            Stop::Other(Error::Database { source, .. })
                if source.code().is_some_and(|it| it.code() == "57014") =>
            {
                None
            }
            Stop::GaveWay(it) => it.statement,
            _ => return self,
        };
        Stop::GaveWay(GaveWay { victims, statement })
    }
}
