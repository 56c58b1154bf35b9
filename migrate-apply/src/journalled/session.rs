//! What all statements of a step outside a transaction need of its session, its journal and its records.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use migrate_core::{
    ctx::Ctx,
    error::{Location, PgError, Result},
    ledger::progress as journal,
    record::{Record, StatementDone},
    sql::split::Statement,
};

use super::{At, Work};
use crate::{
    failure,
    progress::Progress,
    send::{self, Stop},
};

impl Work<'_> {
    /// Sends one statement and returns its rows and milliseconds.
    pub(super) fn run_one(&mut self, at: &At<'_>, ctx: &mut Ctx) -> Result<(u64, f64), Stop> {
        let began = Instant::now();
        let progress = Progress {
            version: self.step.version.clone(),
            statement: at.number as u64,
            statements: self.step.summary.statements,
            command: at.statement.tag().to_owned(),
            estimate_ms: self.step.estimate_ms(),
            migration_start: self.start,
            shown: Cell::default(),
        };
        let rows = send::one(&self.run.session, &self.step.script, at.statement, &mut |elapsed| {
            progress.tick(elapsed, ctx);
        });
        drop(progress);
        match rows {
            Ok(rows) => Ok((rows, began.elapsed().as_secs_f64() * 1000.0)),
            Err(error) if send::is_lost(&self.run.session, &error) => Err(Stop::Lost(error)),
            Err(error) => Err(Stop::Refused(Box::new(failure::of_statement(
                &self.step.script,
                at.statement,
                at.number as u64,
                at.statement.range.start,
                &error,
            )))),
        }
    }

    pub(super) fn said(&mut self, at: &At<'_>, rows: u64, ms: f64, ctx: &mut Ctx) {
        self.totals.statements += 1;
        self.totals.rows += rows;
        ctx.emit(Record::StatementDone(StatementDone {
            version: self.step.version.clone(),
            statement: at.number as u64,
            line: at.statement.line,
            command: at.statement.tag().to_owned(),
            rows,
            ms: Some((ms * 1000.0).round() / 1000.0),
            impact: None,
        }));
    }

    pub(super) fn journal_done(&self, at: &At<'_>, rows: u64) -> Result<()> {
        let place = at.place(self.history_id);
        journal::done(&self.run.session, &self.run.ledger, place, rows as i64)
    }

    pub(super) fn location(&self, statement: &Statement) -> Location {
        Location {
            file: self.step.script.file.clone(),
            line: statement.line,
            column: statement.column,
        }
    }

    pub(super) fn script_view(&self, lock_timeout: Option<Duration>) -> Result<(), Stop> {
        let mut view = self.run.script_view(lock_timeout);
        for setting in &self.settings {
            view += "; ";
            view += setting;
        }
        self.query(&view)
    }

    pub(super) fn ledger_view(&self) -> Result<(), Stop> {
        self.query(&self.run.ledger_view())
    }

    pub(super) fn roll_back(&self) {
        if !self.run.session.is_closed() {
            let _ = self.run.session.run("rollback");
            let _ = self.run.session.run(&self.run.ledger_view());
        }
    }

    pub(super) fn query(&self, sql: &str) -> Result<(), Stop> {
        self.run.session.run(sql).map_err(|error| {
            if send::is_lost(&self.run.session, &error) {
                Stop::Lost(error)
            } else {
                Stop::Refused(Box::new(failure::of_server(&error)))
            }
        })
    }

    pub(super) fn at_commit(&self, error: PgError) -> Stop {
        if send::is_lost(&self.run.session, &error) {
            return Stop::Lost(error);
        }
        let mut refused = failure::of_server(&error);
        refused.message = format!("at COMMIT: {}", refused.message);
        Stop::Refused(Box::new(refused))
    }
}
