//! The history row and the audit row of a transactional step, written by the transaction that did it.

use std::time::Duration;

use migrate_core::{
    ctx::Ctx,
    error::{Error, Left, PgError, Result, StatementError},
    ledger::{audit, quote_literal},
    record::{Direction, Line, Record},
};
use tokio_postgres::SimpleQueryMessage;

use super::{Begun, Writer};
use crate::{
    run::Run,
    send::{self, Stop, Totals},
    step::Step,
};

const APPLIED: &str = include_str!("../../../migrate-core/sql/history_applied.sql");
const LEFT_OVER_SQL: &str = include_str!("../../sql/left_over.sql");
/// Prepared on the session, as planning takes longer than running: the ledger's state, and
/// whether the script has left something.
pub(super) const STATE: &str = "_migration_state";
const LEFT_OVER: &str = "_migration_left_over";
const ROLLED_BACK: &str = include_str!("../../../migrate-core/sql/history_rolled_back.sql");

impl Writer {
    /// Writes the history and the audit row, and checks that this is still the transaction that began.
    #[expect(clippy::too_many_arguments, reason = "the parts of one record")]
    pub(super) fn record(
        &mut self,
        run: &Run,
        step: &Step,
        totals: Totals,
        execution: Duration,
        retries: u32,
        begun: &Begun,
        ctx: &Ctx,
    ) -> Result<Line, Stop> {
        let execution_ms = execution.as_millis() as i64;
        let applied = step.applied(totals, execution_ms, retries);
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
        let view = format!(
            "{}; execute {STATE}; execute {LEFT_OVER}({}); {}",
            run.ledger_view(),
            begun.recorded,
            run.ledger.sql(audit::LOCK)
        );
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
            client.simple_query(&view),
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
        let answers = reset.map_err(lost)?;
        let untouched = said(&answers, "ledger") == begun.ledger.as_deref()
            && said(&answers, "ledger_locked") == Some("f");
        if !untouched {
            return Err(Stop::Refused(Box::new(ledger_changed())));
        }
        self.clean = said(&answers, "left_over") == Some("f");
        recorded.map_err(lost)?;
        let now: Option<i64> = appended.map_err(lost)?.and_then(|row| row.get("xid"));
        if now.is_none() || now != begun.xid {
            return Err(Stop::Other(transaction_ended(step)));
        }
        Ok(line)
    }

    pub(super) fn prepare(&mut self, run: &Run) -> Result<()> {
        let pid = run.session.facts().backend_pid;
        if self.prepared.as_ref().is_some_and(|(it, _)| *it == pid) {
            return Ok(());
        }
        let client = run.session.client();
        let [up, down, append] = [APPLIED, ROLLED_BACK, audit::APPEND].map(|it| run.ledger.sql(it));
        let looks = format!(
            "deallocate all; prepare {STATE} as {}; prepare {LEFT_OVER}(boolean) as {}",
            run.ledger.state_sql(),
            LEFT_OVER_SQL.replace("$2", &quote_literal(run.ledger.schema())),
        );
        let (looks, up, down, append) = run.session.wait(futures_util::future::join4(
            client.batch_execute(&looks),
            client.prepare(&up),
            client.prepare(&down),
            client.prepare(&append),
        ));
        let doing = "prepare the ledger's statements";
        looks.map_err(Error::database(doing))?;
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

/// The column of that name among the answers to a message.
pub(crate) fn said<'a>(answers: &'a [SimpleQueryMessage], name: &str) -> Option<&'a str> {
    answers.iter().find_map(|it| match it {
        SimpleQueryMessage::Row(row) => row.try_get(name).ok().flatten(),
        _ => None,
    })
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
