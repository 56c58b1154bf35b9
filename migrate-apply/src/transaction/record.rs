//! The history row and the audit row of a transactional step, and the look at what the script did before them.

use std::time::Duration;

use migrate_core::{
    connect::flight::{Answer, said},
    ctx::Ctx,
    error::{Error, Left, PgError, StatementError},
    ledger::audit,
    record::{Direction, Line, Record},
};
use tokio_postgres::error::SqlState;

use super::{Begun, Writer, prepared};
use crate::{
    run::Run,
    send::{self, Stop, Totals},
    step::Step,
};

impl Writer {
    /// Refuses what the script may not have done: end the transaction, change the ledger.
    /// `answers` are those to [`prepared::look`].
    pub(super) fn look(
        &mut self,
        step: &Step,
        begun: &Begun,
        answers: &[Answer],
    ) -> Result<(), Stop> {
        self.clean = said(answers, "left_over") == Some("f");
        if begun.xid.is_none() || begun.xid != said(answers, "xid").and_then(|it| it.parse().ok()) {
            return Err(Stop::Other(transaction_ended(step)));
        }
        let untouched = said(answers, "ledger_locked") == Some("f")
            && said(answers, "ledger") == begun.ledger.as_deref();
        if untouched { Ok(()) } else { Err(Stop::Refused(Box::new(ledger_changed()))) }
    }
}

/// What to say of `step`, and the message that writes it down.
pub(super) fn record(
    run: &Run,
    step: &Step,
    totals: Totals,
    execution: Duration,
    retries: u32,
    ctx: &Ctx,
) -> (Line, String) {
    let execution_ms = execution.as_millis() as i64;
    let applied = step.applied(totals, execution_ms, retries);
    let line = ctx.line(match step.direction {
        Direction::Up => Record::MigrationApplied(applied),
        Direction::Down => Record::MigrationRolledBack(applied),
    });
    let version = step.version.to_string();
    let entry = audit::Entry::new(&run.session, &line, Some(&version), Some(&run.run_id));
    let history = prepared::history(run, step, execution_ms);
    (line, format!("{history}; {}", prepared::audit(run, &entry)))
}

/// Why a message of ours was not taken.
pub(super) fn not_taken(run: &Run, error: PgError) -> Stop {
    if send::is_lost(&run.session, &error) {
        return Stop::Lost(error);
    }
    if error.code() == Some(&SqlState::DIVISION_BY_ZERO) {
        return Stop::Other(audit::not_taken());
    }
    Stop::Refused(Box::new(crate::failure::of_server(&error)))
}

/// What it had done by then stays, and nobody knows what that is.
fn transaction_ended(step: &Step) -> Error {
    Error::Statement {
        version: step.version.clone(),
        name: step.name.clone(),
        error: Box::new(StatementError {
            message: "the script ended the transaction that it ran in".to_owned(),
            hint: Some(
                "what it had done by then is in the database: look, then use `migrate-apply resolve`"
                    .to_owned(),
            ),
            ..StatementError::default()
        }),
        left: Left::Part,
    }
}

/// A migration that writes its own history.
pub(crate) fn ledger_changed() -> StatementError {
    StatementError {
        message: "the script changes the ledger's own tables".to_owned(),
        hint: Some(
            "`migrate-apply` alone writes to `_migration_…`; see `resolve` and `baseline`"
                .to_owned(),
        ),
        ..StatementError::default()
    }
}
