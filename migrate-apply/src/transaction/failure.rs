//! A transactional step that failed: nothing of it stays but the record that it was tried.

use std::time::{Duration, Instant};

use migrate_core::{
    ctx::Ctx,
    error::{Error, Left, Result},
    ledger::{history, history::Status},
    record::{Direction, FailedState, MigrationFailed, Record},
};

use super::{Writer, tries::Tries};
use crate::{run::Run, send::Stop, step::Step};

impl Writer {
    /// Nothing of `step` stays: says so to the history, the audit log and the caller.
    pub(super) fn give_up(
        &self,
        run: &mut Run,
        step: &Step,
        stop: Stop,
        start: Instant,
        ctx: &mut Ctx,
    ) -> Error {
        let err = match (run.stopped(|| nothing_of(step)), stop.or_lost(&run.session)) {
            // Whatever else asks to stop: this must be known.
            (_, Stop::Other(err @ Error::CommitUnknown { .. })) => err,
            (Some(err), _) => err,
            (None, stop) => Tries::busy(self.limits, step, stop),
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

pub(super) fn nothing_of(step: &Step) -> String {
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
        state: match err {
            Error::Statement { left: Left::Part, .. } => FailedState::Partial,
            _ => FailedState::RolledBack,
        },
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

/// Records a failure in the history, where it is one of the script, and in the audit log.
fn record_failure(
    run: &mut Run,
    step: &Step,
    failed: MigrationFailed,
    err: &Error,
    ctx: &mut Ctx,
) -> Result<()> {
    let message = failed.message.clone();
    let line = ctx.line(Record::MigrationFailed(failed));
    run.record(&line, &step.version.to_string(), |run| {
        if matches!(err, Error::Statement { .. } | Error::ConnectionLost { .. })
            && step.direction == Direction::Up
        {
            let failed = step.new_run(run, Status::Failed, Some(&message));
            history::insert(&run.session, &run.ledger, &failed)?;
        }
        Ok(())
    })?;
    ctx.emit_line(line);
    Ok(())
}
