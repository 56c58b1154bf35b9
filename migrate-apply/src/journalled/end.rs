//! How a step outside a transaction ends: applied, or part way with what lies about.

use migrate_core::{
    ctx::Ctx,
    error::{Error, Left, Result, StatementError},
    fault::{self, Point},
    ledger::{audit, history, history::Status, progress::Checkpoint},
    record::{Direction, FailedState, Leftover, MigrationFailed, Record},
};

use super::Work;
use crate::{
    progress,
    send::Stop,
    transaction::{commit, tries::Tries},
};

impl Work<'_> {
    /// All statements are done: says so in the history and the audit log.
    pub(super) fn finish(&mut self, ctx: &mut Ctx) -> Result<(), Stop> {
        if !self.block.is_empty() {
            self.roll_back();
            return Err(Stop::Refused(Box::new(StatementError {
                message: "the script ends inside a transaction that it began".to_owned(),
                ..StatementError::default()
            })));
        }
        fault::hit(Point::BeforeFinish);
        let execution_ms = self.start.elapsed().as_millis() as i64;
        let applied = self.step.applied(self.totals, execution_ms, 0);
        let mut line = ctx.line(match self.step.direction {
            Direction::Up => Record::MigrationApplied(applied),
            Direction::Down => Record::MigrationRolledBack(applied),
        });
        let version = self.step.version.to_string();
        self.ledger_view()?;
        let begun = self.begin()?;
        let (session, ledger) = (&self.run.session, &self.run.ledger);
        if self.step.direction == Direction::Down {
            history::roll_back(session, ledger, &self.step.version)?;
        }
        history::finish(session, ledger, self.history_id, Status::Applied, execution_ms, None)?;
        audit::append(session, ledger, &line, Some(&version), Some(&self.run.run_id))?;
        let (step, run_id) = (self.step, self.run.run_id.clone());
        let commit = commit::commit(self.run, step, begun.xid, &|session, ledger| {
            history::took_place(session, ledger, &run_id, &step.version, step.direction)
        })?;
        if let Record::MigrationApplied(it) | Record::MigrationRolledBack(it) = &mut line.record {
            it.commit = commit;
        }
        fault::hit(Point::AfterCommit);
        progress::done(&line.record);
        ctx.emit_line(line);
        Ok(())
    }

    /// Records how far it came and what lies about.
    pub(super) fn give_up(&mut self, stop: Stop, ctx: &mut Ctx) -> Error {
        let stop = stop.or_gave_way(self.run.unwatch().gave_way);
        self.roll_back();
        let (version, name) = (self.step.version.clone(), self.step.name.clone());
        let state = self.state();
        let done = self.totals.statements;
        let nothing = done == 0 && self.leftovers.is_empty() && self.checkpoint.is_none();
        let left = if nothing { Left::Nothing } else { Left::Part };
        let err = match (self.run.stopped(|| state), stop.or_lost(&self.run.session)) {
            // Whatever else asks to stop: this must be known.
            (_, Stop::Other(err @ Error::CommitUnknown { .. })) => err,
            (Some(err), _) => err,
            (None, stop) if left == Left::Nothing => {
                match Tries::busy(self.limits, self.step, stop) {
                    // A row says that it was begun.
                    Error::ConnectionLost { version, name, source, .. } => {
                        Error::ConnectionLost { version, name, left: Left::Part, source }
                    }
                    err => err,
                }
            }
            (None, Stop::Other(err)) => err,
            (None, Stop::Lost(source)) => Error::ConnectionLost { version, name, left, source },
            (None, Stop::GaveWay(it)) => {
                Error::Statement { version, name, error: Box::new(it.as_error()), left }
            }
            (None, Stop::Refused(mut error)) => {
                if let Some(ranges) = self.ranges() {
                    error.detail = Some(match error.detail.take() {
                        Some(detail) => format!("{detail}; {ranges} and recorded"),
                        None => format!("{ranges} and recorded"),
                    });
                }
                Error::Statement { version, name, error, left }
            }
        };
        if !matches!(err, Error::LeaseLost { .. } | Error::CommitUnknown { .. })
            && let Err(second) = self.record_failure(&err, left, ctx)
        {
            log::error!("the failure could not be recorded: {second}");
        }
        err
    }

    fn record_failure(&mut self, err: &Error, left: Left, ctx: &mut Ctx) -> Result<()> {
        for Leftover { object, problem, repair } in &self.leftovers {
            log::warn!("{object}: {problem}; the next run repairs it with: {repair}");
        }
        let error = match err {
            Error::Statement { error, .. } => Some(error),
            _ => None,
        };
        let at = error.and_then(|it| it.at.as_ref());
        let message = error.map_or_else(|| err.to_string(), |it| it.message.clone());
        let execution_ms = self.start.elapsed().as_millis();
        let line = ctx.line(Record::MigrationFailed(MigrationFailed {
            version: self.step.version.clone(),
            name: self.step.name.clone(),
            direction: self.step.direction,
            state: if left == Left::Nothing {
                FailedState::RolledBack
            } else {
                FailedState::Partial
            },
            message: message.clone(),
            sqlstate: error.and_then(|it| it.sqlstate.clone()),
            file: at.map(|it| it.file.clone()),
            line: at.map(|it| it.line),
            column: at.map(|it| it.column),
            statement: Some(self.current),
            statements_done: self.totals.statements,
            execution_ms: execution_ms as u64,
            leftovers: self.leftovers.clone(),
        }));
        let history_id = self.history_id;
        self.run.record(&line, &self.step.version.to_string(), |run| {
            history::finish(
                &run.session,
                &run.ledger,
                history_id,
                Status::Failed,
                execution_ms as i64,
                Some(&message),
            )
        })?;
        ctx.emit_line(line);
        Ok(())
    }

    pub(super) fn state(&self) -> String {
        let ranges = self.ranges().map(|it| format!(", {it},"));
        format!(
            "{} of {} statements of migration {} are done{} and recorded; `migrate-apply {}` goes on with it",
            self.totals.statements,
            self.step.summary.statements,
            self.step.version,
            ranges.unwrap_or_default(),
            self.step.direction.as_str()
        )
    }

    /// What is done of a batched change.
    pub(super) fn ranges(&self) -> Option<String> {
        let Checkpoint { ranges, rows, .. } = self.checkpoint.as_ref()?;
        let current = self.current;
        Some(format!("{ranges} ranges with {rows} rows of statement {current} are done"))
    }
}
