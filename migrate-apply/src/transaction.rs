//! A transactional step: its statements, its history row and its audit row are one transaction.
//!
//! xid, fence, statements, history, audit, same xid still, COMMIT alone. Whatever dies between
//! two of these leaves the database as it was; after COMMIT, `txid_status` knows.

use std::time::{Duration, Instant};

use migrate_core::{
    connect::{flight::Flight, session::Session},
    ctx::Ctx,
    error::{Error, Left, PgError, Result, StatementError},
    fault::{self, Point},
    interrupt,
    ledger::{audit, history, history::Status},
    record::{
        Commit, Direction, FailedState, Line, LockWaited, MigrationApplied, MigrationFailed,
        MigrationStarted, Record,
    },
};
use tokio_postgres::Statement as Prepared;

use crate::{
    progress,
    run::Run,
    send::{self, Stop, Totals},
    step::Step,
};

const APPLIED: &str = include_str!("../../migrate-core/sql/history_applied.sql");
const ROLLED_BACK: &str = include_str!("../../migrate-core/sql/history_rolled_back.sql");
/// What a script may leave in a session beside settings; our own advisory lock must stay.
pub(crate) const CLEANUP: &str = "close all; unlisten *; discard temp; discard sequences";
/// No pause between two tries is longer.
pub(crate) const MAX_PAUSE_MS: u64 = 500;
/// How long a COMMIT may stay `in progress` after its connection broke.
const COMMIT_PATIENCE: Duration = Duration::from_secs(30);

/// How long locks may be waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For one statement; then the transaction is rolled back and tried again.
    pub(crate) lock_timeout: Duration,
    /// For all tries together.
    pub(crate) retry_budget: Duration,
}

/// The statements that each transaction needs, prepared once on a session.
pub(crate) struct Writer {
    limits: Limits,
    prepared: Option<(i32, [Prepared; 3])>,
    /// Of the transaction before, whose COMMIT is looked at once more.
    last_xid: Option<i64>,
}

impl Writer {
    pub(crate) fn new(limits: Limits) -> Writer {
        Writer { limits, prepared: None, last_xid: None }
    }

    /// Applies `steps` in one transaction.
    pub(crate) fn apply(&mut self, run: &mut Run, steps: &[Step], ctx: &mut Ctx) -> Result<()> {
        let start = Instant::now();
        let mut retries = 0;
        loop {
            let mut at = 0;
            let stop = match self.attempt(run, steps, retries, &mut at, ctx) {
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
            let step = &steps[at];
            if !run.session.is_closed() {
                let _ = run.session.run(&format!("rollback; {}", run.ledger_view()));
            }
            match stop {
                Stop::Refused(error)
                    if is_passing(&error)
                        && start.elapsed() < self.limits.retry_budget
                        && run.stopped(String::new).is_none() =>
                {
                    retries += 1;
                    self.pause(step, &error, start, ctx);
                }
                stop => return Err(self.give_up(run, step, stop, start, ctx)),
            }
        }
    }

    /// What stands after the last COMMIT, once more: an answer alone has been wrong before.
    pub(crate) fn verify_last(&self, run: &Run) -> Result<()> {
        let Some(xid) = self.last_xid else { return Ok(()) };
        match status_of(&run.session, xid).map_err(Error::database("verify the last commit"))? {
            Some(status) if status != "committed" => Err(unverified(xid, &status)),
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
        interrupt::leaves(Some("the transaction under way is rolled back by the server".into()));
        let mut xid = None;
        let mut lines = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            *at = index;
            if let Some(err) = run.stopped(|| nothing_of(step)) {
                return Err(err.into());
            }
            ctx.emit(Record::MigrationStarted(started(step, None)));
            let start = Instant::now();
            let totals = self.statements(run, step, &mut xid, ctx)?;
            let execution = start.elapsed();
            fault::hit(Point::BeforeRecord);
            lines.push(self.record(run, step, totals, execution, retries, xid, ctx)?);
        }
        fault::hit(Point::BeforeCommit);
        let xid = xid.unwrap_or_default();
        let commit = self.commit(run, &steps[steps.len() - 1], xid)?;
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
        xid: &mut Option<i64>,
        ctx: &mut Ctx,
    ) -> Result<Totals, Stop> {
        let mut flight = Flight::new(&run.session);
        let view = run.script_view(Some(self.limits.lock_timeout));
        let first = xid.is_none();
        if first {
            flight.send(CLEANUP.to_owned());
            flight.send(format!(
                "begin; {}; select txid_current() as xid, txid_status({}) as before; {view}",
                run.lease.fence_sql(&run.ledger),
                self.last_xid.map_or("null".to_owned(), |it| it.to_string()),
            ));
        } else {
            flight.send(view);
        }
        let last_xid = self.last_xid;
        let mut answered = |flight: &mut Flight<'_>, _: &mut Ctx| -> Result<(), Stop> {
            let mut quiet = |_| ();
            let lost = |error: PgError| match send::is_lost(&run.session, &error) {
                true => Stop::Lost(error),
                false => Stop::Other(run.lease.fenced_or(error)),
            };
            flight.answers(&mut quiet).map_err(|it| lost(it.error))?;
            if !first {
                return Ok(());
            }
            let answers = flight.answers(&mut quiet).map_err(|it| lost(it.error))?;
            let row = answers.into_iter().filter_map(|it| it.first_row).last();
            *xid = row.as_ref().and_then(|it| it.get("xid")?.parse().ok());
            match (last_xid, row.as_ref().and_then(|it| it.get("before"))) {
                (Some(before), Some(status)) if status != "committed" => {
                    Err(unverified(before, status).into())
                }
                _ => Ok(()),
            }
        };
        let stopped = || run.stopped(|| nothing_of(step));
        send::run_script(&run.session, flight, step, &mut answered, &stopped, ctx)
    }

    /// Writes the history and the audit row, and checks that this is still the transaction that began.
    #[expect(clippy::too_many_arguments, reason = "the parts of one record")]
    fn record(
        &mut self,
        run: &Run,
        step: &Step,
        totals: Totals,
        execution: Duration,
        retries: u32,
        xid: Option<i64>,
        ctx: &Ctx,
    ) -> Result<Line, Stop> {
        let execution_ms = execution.as_millis() as i64;
        let applied = applied(step, totals, execution_ms, retries);
        let line = ctx.line(match step.direction {
            Direction::Up => Record::MigrationApplied(applied),
            Direction::Down => Record::MigrationRolledBack(applied),
        });
        let version = step.version.to_string();
        let entry = audit::Entry::new(&run.session, &line, Some(&version), Some(&run.run_id));
        if totals.deallocated {
            self.prepared = None;
            run.session.run(&run.ledger_view()).map_err(Error::database("reset the session"))?;
            self.prepare(run)?;
        }
        let (_, [up, down, append]) = self.prepared.as_ref().expect("prepared above");
        let risk = step.risk.name();
        let estimate_ms = step.estimate_ms().map(|it| it as i64);
        let back = step.way_back.as_ref();
        let file = back.map(|(script, _)| script.file.as_str());
        let first_line = back.map(|(script, _)| script.first_line as i32);
        let transactional = back.map(|(script, _)| script.transaction);
        let back_sql = back.map(|(script, _)| &*script.text);
        let back_checksum = back.map(|(_, checksum)| checksum.as_str());
        let client = run.session.client();
        // The lock is a statement of its own, in front of those that read what it guards.
        let view = format!("{}; {}", run.ledger_view(), run.ledger.sql(audit::LOCK));
        let common: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
            [&version, &step.name, &step.checksum, &execution_ms, &estimate_ms, &risk, &run.run_id];
        let with_script: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = common
            .into_iter()
            .chain([
                &file as &(dyn tokio_postgres::types::ToSql + Sync),
                &first_line,
                &transactional,
                &back_sql,
                &back_checksum,
            ])
            .collect();
        let (statement, params) = match step.direction {
            Direction::Up => (up, &with_script[..]),
            Direction::Down => (down, &common[..]),
        };
        let (reset, recorded, appended) = run.session.wait(futures_util::future::join3(
            client.batch_execute(&view),
            client.execute(statement, params),
            client.query_opt(
                append,
                &[
                    &entry.timestamp,
                    &entry.actor,
                    &entry.action,
                    &entry.subject,
                    &entry.run_id,
                    &entry.canonical,
                ],
            ),
        ));
        let lost = |error: PgError| match send::is_lost(&run.session, &error) {
            true => Stop::Lost(error),
            false => Stop::Refused(Box::new(crate::failure::of_server(&error))),
        };
        reset.map_err(lost)?;
        recorded.map_err(lost)?;
        let now: Option<i64> = appended.map_err(lost)?.and_then(|row| row.get("xid"));
        if now.is_none() || now != xid {
            return Err(Stop::Other(Error::refused(
                "transaction_ended",
                format!(
                    "migration {} `{}` ended the transaction that it ran in",
                    step.version, step.name
                ),
                "what it had done by then is in the database; look, then use `migrate-apply resolve`",
            )));
        }
        Ok(line)
    }

    /// Sends COMMIT, and where its answer is lost finds out what became of it.
    fn commit(&self, run: &mut Run, step: &Step, xid: i64) -> Result<Option<Commit>, Stop> {
        let error = match run.session.run("commit") {
            Ok(()) => return Ok(None),
            Err(error) => error,
        };
        if !send::is_lost(&run.session, &error) {
            let mut refused = crate::failure::of_server(&error);
            refused.message = format!("at COMMIT: {}", refused.message);
            return Err(Stop::Refused(Box::new(refused)));
        }
        log::warn!("the connection was lost at COMMIT; asking the server what became of it");
        match outcome(run, step, xid) {
            Ok(true) => Ok(Some(Commit::Recovered)),
            Ok(false) => Err(Stop::Lost(error)),
            Err(err) => {
                log::error!("{err}");
                Err(Stop::Other(Error::CommitUnknown {
                    version: step.version.clone(),
                    name: step.name.clone(),
                    xid,
                    system: run.session.facts().system_identifier.clone(),
                }))
            }
        }
    }

    fn prepare(&mut self, run: &Run) -> Result<()> {
        let pid = run.session.facts().backend_pid;
        if self.prepared.as_ref().is_some_and(|(it, _)| *it == pid) {
            return Ok(());
        }
        let client = run.session.client();
        let [up, down, append] = [APPLIED, ROLLED_BACK, audit::APPEND].map(|it| run.ledger.sql(it));
        let (up, down, append) = run.session.wait(futures_util::future::join3(
            client.prepare(&up),
            client.prepare(&down),
            client.prepare(&append),
        ));
        let doing = "prepare the ledger's statements";
        self.prepared = Some((
            pid,
            [
                up.map_err(Error::database(doing))?,
                down.map_err(Error::database(doing))?,
                append.map_err(Error::database(doing))?,
            ],
        ));
        Ok(())
    }

    fn pause(&self, step: &Step, error: &StatementError, start: Instant, ctx: &mut Ctx) {
        let pause = Duration::from_millis(fastrand::u64(50..=MAX_PAUSE_MS));
        log::warn!("migration {}: {}; rolled back, trying again", step.version, error.message);
        ctx.emit(Record::LockWaited(LockWaited {
            waiting_for: error.at.as_ref().map(ToString::to_string).unwrap_or_default(),
            waited_ms: start.elapsed().as_millis() as u64,
            holders: Vec::new(),
            queue: 0,
        }));
        std::thread::sleep(pause);
    }

    /// Nothing of `step` stays: says so to the history, the audit log and the caller.
    fn give_up(
        &self,
        run: &mut Run,
        step: &Step,
        stop: Stop,
        start: Instant,
        ctx: &mut Ctx,
    ) -> Error {
        let (version, name) = (step.version.clone(), step.name.clone());
        let err = match (run.stopped(|| nothing_of(step)), stop) {
            (Some(err), _) => err,
            (None, Stop::Other(err)) => err,
            (None, Stop::Lost(source)) => {
                Error::ConnectionLost { version, name, left: Left::Nothing, source }
            }
            (None, Stop::Refused(error)) if is_passing(&error) => {
                let budget = humantime::format_duration(self.limits.retry_budget).to_string();
                Error::LocksBusy { version, name, error, budget }
            }
            (None, Stop::Refused(error)) => {
                Error::Statement { version, name, error, left: Left::Nothing }
            }
        };
        if !matches!(err, Error::LeaseLost { .. } | Error::CommitUnknown { .. }) {
            let failed = failed(step, &err, start.elapsed());
            if let Err(second) = record_failure(run, step, failed, &err, ctx) {
                log::error!("the failure could not be recorded: {second}");
            }
        }
        err
    }
}

/// Errors that another try may not meet.
pub(crate) fn is_passing(error: &StatementError) -> bool {
    error.sqlstate.as_deref().is_some_and(|it| ["55P03", "40P01", "40001"].contains(&it))
}

pub(crate) fn started(step: &Step, resumed_at: Option<u64>) -> MigrationStarted {
    MigrationStarted {
        version: step.version.clone(),
        name: step.name.clone(),
        direction: step.direction,
        transaction: step.script.transaction,
        statements: step.summary.statements,
        estimate_ms: step.estimate_ms(),
        resumed_at,
    }
}

pub(crate) fn applied(
    step: &Step,
    totals: Totals,
    execution_ms: i64,
    retries: u32,
) -> MigrationApplied {
    MigrationApplied {
        version: step.version.clone(),
        name: step.name.clone(),
        direction: step.direction,
        checksum: step.checksum.clone(),
        down_checksum: step.way_back.as_ref().map(|(_, checksum)| checksum.clone()),
        statements: totals.statements,
        rows: totals.rows,
        execution_ms: execution_ms.unsigned_abs(),
        estimate_ms: step.estimate_ms(),
        retries,
        transaction: step.script.transaction,
        commit: None,
        warning: step.warning(),
    }
}

fn nothing_of(step: &Step) -> String {
    format!("nothing of migration {} was done; what was applied before it stays", step.version)
}

fn failed(step: &Step, err: &Error, elapsed: Duration) -> MigrationFailed {
    let error = match err {
        Error::Statement { error, .. } | Error::LocksBusy { error, .. } => Some(error),
        _ => None,
    };
    let at = error.and_then(|it| it.at.as_ref());
    MigrationFailed {
        version: step.version.clone(),
        name: step.name.clone(),
        direction: step.direction,
        state: FailedState::RolledBack,
        message: error.map_or_else(|| err.to_string(), |it| it.message.clone()),
        sqlstate: error.and_then(|it| it.sqlstate.clone()),
        file: at.map(|it| it.file.clone()),
        line: at.map(|it| it.line),
        column: at.map(|it| it.column),
        statement: error.and_then(|it| it.statement),
        statements_done: 0,
        execution_ms: elapsed.as_millis() as u64,
        leftovers: Vec::new(),
    }
}

/// Records a failure in a transaction of its own: a rollback must not erase the attempt.
fn record_failure(
    run: &mut Run,
    step: &Step,
    failed: MigrationFailed,
    err: &Error,
    ctx: &mut Ctx,
) -> Result<()> {
    if run.session.is_closed() {
        run.reconnect()?;
    }
    let message = failed.message.clone();
    let line = ctx.line(Record::MigrationFailed(failed));
    let version = step.version.to_string();
    run.session.transaction(|session| {
        run.lease.fence(session, &run.ledger)?;
        if matches!(err, Error::Statement { .. }) && step.direction == Direction::Up {
            history::insert(
                session,
                &run.ledger,
                &new_run(step, run, Status::Failed, Some(&message)),
            )?;
        }
        audit::append(session, &run.ledger, &line, Some(&version), Some(&run.run_id))
    })?;
    ctx.emit_line(line);
    Ok(())
}

/// The history row of `step` in this run.
pub(crate) fn new_run<'a>(
    step: &'a Step,
    run: &'a Run,
    status: Status,
    error: Option<&'a str>,
) -> history::NewRun<'a> {
    history::NewRun {
        version: &step.version,
        name: &step.name,
        direction: step.direction,
        checksum: &step.checksum,
        status,
        execution_ms: None,
        estimate_ms: step.estimate_ms().map(|it| it as i64),
        risk: Some(step.risk),
        run_id: &run.run_id,
        error,
    }
}

/// Whether the transaction took place: by its id, and where the server forgot it by the history.
fn outcome(run: &mut Run, step: &Step, xid: i64) -> Result<bool> {
    let session = run.connect_again()?;
    let doing = "ask what became of the COMMIT";
    let deadline = Instant::now() + COMMIT_PATIENCE;
    let committed = loop {
        match status_of(&session, xid).map_err(Error::database(doing))?.as_deref() {
            Some("committed") => break true,
            Some("aborted") => break false,
            Some(_) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(100));
            }
            _ => {
                let found = history::all(&session, &run.ledger)?.into_iter().any(|it| {
                    it.run_id == run.run_id
                        && it.version == step.version
                        && (it.status == Status::Applied) == (step.direction == Direction::Up)
                });
                break found;
            }
        }
    };
    run.adopt(session)?;
    Ok(committed)
}

fn status_of(session: &Session, xid: i64) -> Result<Option<String>, PgError> {
    Ok(session.query_one("select txid_status($1)", &[&xid])?.get(0))
}

fn unverified(xid: i64, status: &str) -> Error {
    Error::refused(
        "commit_not_kept",
        format!("the server said COMMIT, but transaction {xid} is {status}"),
        "stop, and look at the server: `migrate-apply status` shows what the history has",
    )
}
