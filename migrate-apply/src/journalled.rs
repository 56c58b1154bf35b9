//! A step outside a transaction: each statement is journalled, so that a crash is resumed where it stopped.
//!
//! A statement that may run in a transaction shares one with its journal row: exactly once. Only
//! the others run alone, between a row that says `running` and one that says `done`, and what
//! became of them is read from the catalog.

use std::{cell::Cell, collections::HashMap, time::Instant};

use migrate_core::{
    ctx::Ctx,
    error::{Error, Left, Location, PgError, Result, StatementError},
    fault::{self, Point},
    interrupt,
    ledger::{audit, history, history::Status, progress as journal, script},
    plan,
    record::{Direction, FailedState, Leftover, MigrationFailed, Record, StatementDone},
    sql::{
        alone::Alone,
        kind::{Control, Kind},
        split::{self, Statement},
    },
};
use sha2::{Digest, Sha256};

use crate::{
    catalog::{self, Verdict},
    failure,
    progress::{self, Progress},
    run::Run,
    send::{self, Stop, Totals},
    step::Step,
    transaction::{self, Limits},
};

/// Applies `step`, or goes on with it.
pub(crate) fn apply(run: &mut Run, step: &Step, limits: Limits, ctx: &mut Ctx) -> Result<()> {
    let start = Instant::now();
    let (history_id, journal) = begin(run, step)?;
    let mut work = Work {
        run,
        step,
        limits,
        history_id,
        journal,
        settings: Vec::new(),
        block: Vec::new(),
        totals: Totals::default(),
        leftovers: Vec::new(),
        current: 0,
        start,
    };
    let resumed_at = work.resume_point();
    ctx.emit(Record::MigrationStarted(transaction::started(step, resumed_at)));
    interrupt::leaves(Some(format!(
        "migration {} is done in part and recorded; `migrate-apply up` goes on with it",
        step.version
    )));
    match work.statements(ctx).and_then(|()| work.finish(ctx)) {
        Ok(()) => Ok(()),
        Err(stop) => Err(work.give_up(stop, ctx)),
    }
}

type Journal = HashMap<i32, journal::Entry>;

/// The `running` row of the history, new or taken up again.
fn begin(run: &Run, step: &Step) -> Result<(i64, Journal)> {
    run.session.transaction(|session| {
        run.lease.fence(session, &run.ledger)?;
        match step.unfinished {
            Some(id) => {
                history::restart(session, &run.ledger, id, &run.run_id)?;
                let entries = journal::read(session, &run.ledger, id)?;
                Ok((id, entries.into_iter().map(|it| (it.statement, it)).collect()))
            }
            None => {
                let new = transaction::new_run(step, run, Status::Running, None);
                let id = history::insert(session, &run.ledger, &new)?;
                if let Some((way_back, checksum)) = &step.way_back {
                    script::insert(session, &run.ledger, id, way_back, checksum)?;
                }
                Ok((id, Journal::new()))
            }
        }
    })
}

struct Work<'a> {
    run: &'a mut Run,
    step: &'a Step,
    limits: Limits,
    history_id: i64,
    journal: Journal,
    /// The script's own SETs so far: made again whenever the session comes back to the script.
    settings: Vec<String>,
    /// Statements since the script's own BEGIN, journalled in front of its COMMIT.
    block: Vec<(i32, String, String)>,
    totals: Totals,
    leftovers: Vec<Leftover>,
    current: u64,
    start: Instant,
}

impl Work<'_> {
    fn resume_point(&self) -> Option<u64> {
        self.step.unfinished?;
        (1..).find(|number| !self.journal.get(number).is_some_and(|it| it.done)).map(|it| it as u64)
    }

    fn statements(&mut self, ctx: &mut Ctx) -> Result<(), Stop> {
        let step = self.step;
        let script = &step.script;
        for (index, statement) in
            split::split(&script.file, &script.text, script.first_line).enumerate()
        {
            let statement = statement?;
            let number = index as i32 + 1;
            self.current = number as u64;
            if let Some(err) = self.run.stopped(|| self.state()) {
                return Err(err.into());
            }
            self.statement(number, &statement, ctx)?;
        }
        Ok(())
    }

    fn statement(&mut self, number: i32, statement: &Statement, ctx: &mut Ctx) -> Result<(), Stop> {
        let text = &self.step.script.text[statement.range.clone()];
        let sha256 = plan::hex(&Sha256::digest(text));
        let entry = self.journal.get(&number).cloned();
        if let Some(entry) = &entry
            && entry.sha256 != sha256
        {
            return Err(self.edited(number, statement).into());
        }
        let done = entry.as_ref().is_some_and(|it| it.done);
        if let Kind::Set { local: false, .. } = statement.kind {
            if !done {
                self.in_transaction(number, statement, &sha256, ctx)?;
            }
            self.settings.push(text.to_owned());
            return Ok(());
        }
        if done {
            self.totals.statements += 1;
            return Ok(());
        }
        let before = entry.and_then(|it| it.before);
        match &statement.kind {
            Kind::TransactionControl(control) => {
                self.control(*control, number, statement, &sha256, ctx)
            }
            _ if !self.block.is_empty() => self.in_block(number, statement, &sha256, ctx),
            Kind::Alone(Alone::DiscardAll) => self.discard_all(number, statement, &sha256, ctx),
            Kind::Alone(alone) => self.alone(alone, before, number, statement, &sha256, ctx),
            _ => self.in_transaction(number, statement, &sha256, ctx),
        }
    }

    /// Exactly once: the statement and its journal row are one transaction.
    fn in_transaction(
        &mut self,
        number: i32,
        statement: &Statement,
        sha256: &str,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        let start = Instant::now();
        loop {
            let stop = match self.try_in_transaction(number, statement, sha256, ctx) {
                Ok(()) => return Ok(()),
                Err(stop) => stop,
            };
            self.roll_back();
            match stop {
                // A procedure that commits cannot run in a transaction: what became of it is then
                // for its own code to know.
                Stop::Refused(error)
                    if error.sqlstate.as_deref() == Some("2D000")
                        && ["CALL", "DO"].contains(&statement.tag()) =>
                {
                    return self.commits_itself(number, statement, sha256, ctx);
                }
                Stop::Refused(error)
                    if transaction::is_passing(&error)
                        && start.elapsed() < self.limits.retry_budget
                        && self.run.stopped(String::new).is_none() =>
                {
                    log::warn!("{}: {}; trying again", error, self.step.version);
                    std::thread::sleep(std::time::Duration::from_millis(fastrand::u64(50..=500)));
                }
                stop => return Err(stop),
            }
        }
    }

    fn try_in_transaction(
        &mut self,
        number: i32,
        statement: &Statement,
        sha256: &str,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        self.query("begin")?;
        self.run.lease.fence(&self.run.session, &self.run.ledger)?;
        self.script_view(Some(self.limits.lock_timeout))?;
        let (rows, ms) = self.run_one(number, statement, ctx)?;
        self.ledger_view()?;
        self.journal_done(number, statement, sha256, rows)?;
        fault::hit(Point::BeforeCommit);
        self.run.session.run("commit").map_err(|error| self.at_commit(error))?;
        self.said(number, statement, rows, ms, ctx);
        Ok(())
    }

    /// The script's own `BEGIN … COMMIT`: a transaction as psql would run it, with the journal in it.
    fn control(
        &mut self,
        control: Control,
        number: i32,
        statement: &Statement,
        sha256: &str,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        match control {
            Control::Begin { .. } if self.block.is_empty() => {
                self.script_view(Some(self.limits.lock_timeout))?;
                self.run_one(number, statement, ctx)?;
                let fence = self.run.lease.fence_sql(&self.run.ledger);
                self.query(&format!("set local search_path = pg_catalog, pg_temp; {fence}"))?;
                self.script_view(Some(self.limits.lock_timeout))?;
                self.block.push((number, sha256.to_owned(), statement.tag().to_owned()));
                Ok(())
            }
            Control::Commit if !self.block.is_empty() => {
                self.block.push((number, sha256.to_owned(), statement.tag().to_owned()));
                self.ledger_view()?;
                for (number, sha256, command) in std::mem::take(&mut self.block) {
                    let place = journal::Place {
                        history_id: self.history_id,
                        statement: number,
                        sha256: &sha256,
                        command: &command,
                    };
                    journal::done(&self.run.session, &self.run.ledger, place, 0)?;
                    self.totals.statements += 1;
                }
                fault::hit(Point::BeforeCommit);
                self.run.session.run("commit").map_err(|error| self.at_commit(error))?;
                Ok(())
            }
            Control::Rollback if !self.block.is_empty() => {
                self.roll_back();
                self.block.push((number, sha256.to_owned(), statement.tag().to_owned()));
                let block = std::mem::take(&mut self.block);
                self.journal_block(&block)
            }
            _ => Err(Stop::Other(Error::Sql {
                at: self.location(statement),
                message: format!("{} has no meaning here", statement.tag()),
                hint: Some("a script without a transaction may hold `BEGIN; … COMMIT;`".to_owned()),
            })),
        }
    }

    fn journal_block(&mut self, block: &[(i32, String, String)]) -> Result<(), Stop> {
        let (session, ledger) = (&self.run.session, &self.run.ledger);
        session.transaction(|session| {
            self.run.lease.fence(session, ledger)?;
            for (number, sha256, command) in block {
                let place = journal::Place {
                    history_id: self.history_id,
                    statement: *number,
                    sha256,
                    command,
                };
                journal::done(session, ledger, place, 0)?;
            }
            Ok(())
        })?;
        self.totals.statements += block.len() as u64;
        Ok(())
    }

    fn in_block(
        &mut self,
        number: i32,
        statement: &Statement,
        sha256: &str,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        let (rows, ms) = self.run_one(number, statement, ctx)?;
        self.block.push((number, sha256.to_owned(), statement.tag().to_owned()));
        self.said(number, statement, rows, ms, ctx);
        self.totals.statements -= 1;
        Ok(())
    }

    /// A statement that the server refuses in a transaction.
    fn alone(
        &mut self,
        alone: &Alone,
        before: Option<serde_json::Value>,
        number: i32,
        statement: &Statement,
        sha256: &str,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        // The names in the statement are looked up as the script would.
        self.script_view(None)?;
        let resumed = before.is_some();
        let before = match before {
            Some(before) => before,
            None => catalog::before(&self.run.session, alone)?,
        };
        let verdict = if resumed {
            catalog::inspect(&self.run.session, alone, &before)?
        } else {
            match catalog::obstacle(&self.run.session, alone)? {
                Some(obstacle) => Verdict::Broken(vec![obstacle]),
                None => Verdict::NotDone,
            }
        };
        self.ledger_view()?;
        let place = journal::Place {
            history_id: self.history_id,
            statement: number,
            sha256,
            command: statement.tag(),
        };
        if verdict != Verdict::Done {
            self.run.session.transaction(|session| {
                self.run.lease.fence(session, &self.run.ledger)?;
                journal::begin(session, &self.run.ledger, place, Some(&before))
            })?;
            fault::hit(Point::StatementJournalled);
        }
        let start = Instant::now();
        let mut rows = 0;
        if verdict == Verdict::Done {
            log::info!("{} had been done when the run before was interrupted", statement.tag());
        } else {
            rows = self.run_alone(alone, &before, &verdict, number, statement, ctx)?;
        }
        fault::hit(Point::StatementRun);
        self.ledger_view()?;
        self.run.session.transaction(|session| {
            self.run.lease.fence(session, &self.run.ledger)?;
            journal::done(session, &self.run.ledger, place, rows as i64)
        })?;
        self.said(number, statement, rows, start.elapsed().as_secs_f64() * 1000.0, ctx);
        Ok(())
    }

    /// Repairs what is broken, runs the statement, and believes the catalog only.
    fn run_alone(
        &mut self,
        alone: &Alone,
        before: &serde_json::Value,
        verdict: &Verdict,
        number: i32,
        statement: &Statement,
        ctx: &mut Ctx,
    ) -> Result<u64, Stop> {
        self.script_view(None)?;
        let mut finalized = false;
        if let Verdict::Broken(leftovers) = verdict {
            for leftover in leftovers {
                log::warn!(
                    "{}: {}; running: {}",
                    leftover.object,
                    leftover.problem,
                    leftover.repair
                );
                self.query(&leftover.repair)?;
            }
            finalized = matches!(alone, Alone::DetachPartitionConcurrently { .. });
        }
        // The repair of a half detached partition is to finish it.
        let ran = if finalized { Ok((0, 0.0)) } else { self.run_one(number, statement, ctx) };
        if let Err(Stop::Lost(_)) = &ran {
            return ran.map(|it| it.0);
        }
        let after = catalog::inspect(&self.run.session, alone, before)?;
        match (ran, after) {
            (Ok((rows, _)), Verdict::Done | Verdict::NotDone) => Ok(rows),
            (Ok(_), Verdict::Broken(leftovers)) => {
                let what = leftovers.iter().map(|it| format!("{}: {}", it.object, it.problem));
                let message = format!(
                    "the server said {} was done, but it left {}",
                    statement.tag(),
                    what.collect::<Vec<_>>().join(", ")
                );
                self.leftovers = leftovers;
                Err(Stop::Refused(Box::new(StatementError {
                    at: Some(self.location(statement)),
                    statement: Some(number as u64),
                    message,
                    ..StatementError::default()
                })))
            }
            (Err(stop), Verdict::Broken(leftovers)) => {
                self.leftovers = leftovers;
                Err(stop)
            }
            (Err(stop), _) => Err(stop),
        }
    }

    /// `DO` or `CALL` with a COMMIT inside: nothing can be in one transaction with all of it.
    fn commits_itself(
        &mut self,
        number: i32,
        statement: &Statement,
        sha256: &str,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        if self.journal.get(&number).is_some_and(|it| !it.done) {
            return Err(Stop::Other(Error::refused(
                "outcome_unclear",
                format!(
                    "statement {number} ({}) commits by itself and was interrupted: how far it came cannot be told",
                    statement.tag()
                ),
                "look at its data, then use `migrate-apply resolve`",
            )));
        }
        let place = journal::Place {
            history_id: self.history_id,
            statement: number,
            sha256,
            command: statement.tag(),
        };
        self.run.session.transaction(|session| {
            self.run.lease.fence(session, &self.run.ledger)?;
            journal::begin(session, &self.run.ledger, place, None)
        })?;
        fault::hit(Point::StatementJournalled);
        self.script_view(Some(self.limits.lock_timeout))?;
        let (rows, ms) = self.run_one(number, statement, ctx)?;
        fault::hit(Point::StatementRun);
        self.ledger_view()?;
        self.run.session.transaction(|session| {
            self.run.lease.fence(session, &self.run.ledger)?;
            self.journal_done(number, statement, sha256, rows)
        })?;
        self.said(number, statement, rows, ms, ctx);
        Ok(())
    }

    /// `DISCARD ALL` would drop our advisory lock: does the rest of it.
    fn discard_all(
        &mut self,
        number: i32,
        statement: &Statement,
        sha256: &str,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        self.settings.clear();
        self.query("close all; unlisten *; discard plans; discard temp; discard sequences")?;
        self.ledger_view()?;
        self.run.session.transaction(|session| {
            self.run.lease.fence(session, &self.run.ledger)?;
            self.journal_done(number, statement, sha256, 0)
        })?;
        self.said(number, statement, 0, 0.0, ctx);
        Ok(())
    }

    /// Sends one statement and returns its rows and milliseconds.
    fn run_one(
        &mut self,
        number: i32,
        statement: &Statement,
        ctx: &mut Ctx,
    ) -> Result<(u64, f64), Stop> {
        let began = Instant::now();
        let progress = Progress {
            version: self.step.version.clone(),
            statement: number as u64,
            statements: self.step.summary.statements,
            command: statement.tag().to_owned(),
            estimate_ms: self.step.estimate_ms(),
            migration_start: self.start,
            shown: Cell::default(),
        };
        let rows = send::one(&self.run.session, &self.step.script, statement, &mut |elapsed| {
            progress.tick(elapsed, ctx);
        });
        drop(progress);
        match rows {
            Ok(rows) => Ok((rows, began.elapsed().as_secs_f64() * 1000.0)),
            Err(error) if send::is_lost(&self.run.session, &error) => Err(Stop::Lost(error)),
            Err(error) => Err(Stop::Refused(Box::new(failure::of_statement(
                &self.step.script,
                statement,
                number as u64,
                statement.range.start,
                &error,
            )))),
        }
    }

    fn said(&mut self, number: i32, statement: &Statement, rows: u64, ms: f64, ctx: &mut Ctx) {
        self.totals.statements += 1;
        self.totals.rows += rows;
        ctx.emit(Record::StatementDone(StatementDone {
            version: self.step.version.clone(),
            statement: number as u64,
            line: statement.line,
            command: statement.tag().to_owned(),
            rows,
            ms: Some((ms * 1000.0).round() / 1000.0),
            impact: None,
        }));
    }

    fn journal_done(
        &self,
        number: i32,
        statement: &Statement,
        sha256: &str,
        rows: u64,
    ) -> Result<()> {
        let place = journal::Place {
            history_id: self.history_id,
            statement: number,
            sha256,
            command: statement.tag(),
        };
        journal::done(&self.run.session, &self.run.ledger, place, rows as i64)
    }

    /// All statements are done: says so in the history and the audit log.
    fn finish(&mut self, ctx: &mut Ctx) -> Result<(), Stop> {
        if !self.block.is_empty() {
            self.roll_back();
            return Err(Stop::Refused(Box::new(StatementError {
                message: "the script ends inside a transaction that it began".to_owned(),
                ..StatementError::default()
            })));
        }
        fault::hit(Point::BeforeFinish);
        let execution_ms = self.start.elapsed().as_millis() as i64;
        let applied = transaction::applied(self.step, self.totals, execution_ms, 0);
        let line = ctx.line(match self.step.direction {
            Direction::Up => Record::MigrationApplied(applied),
            Direction::Down => Record::MigrationRolledBack(applied),
        });
        self.query(&format!(
            "close all; unlisten *; discard temp; discard sequences; {}",
            self.run.ledger_view()
        ))?;
        let version = self.step.version.to_string();
        self.run.session.transaction(|session| {
            let ledger = &self.run.ledger;
            self.run.lease.fence(session, ledger)?;
            if self.step.direction == Direction::Down {
                history::roll_back(session, ledger, &self.step.version)?;
            }
            history::finish(session, ledger, self.history_id, Status::Applied, execution_ms, None)?;
            audit::append(session, ledger, &line, Some(&version), Some(&self.run.run_id))
        })?;
        fault::hit(Point::AfterCommit);
        progress::done(&line.record);
        ctx.emit_line(line);
        Ok(())
    }

    /// Records how far it came and what lies about.
    fn give_up(&mut self, stop: Stop, ctx: &mut Ctx) -> Error {
        self.roll_back();
        let (version, name) = (self.step.version.clone(), self.step.name.clone());
        let state = self.state();
        let done = self.totals.statements;
        let left = if done == 0 && self.leftovers.is_empty() { Left::Nothing } else { Left::Part };
        let err = match (self.run.stopped(|| state), stop) {
            (Some(err), _) => err,
            (None, Stop::Other(err)) => err,
            (None, Stop::Lost(source)) => {
                Error::ConnectionLost { version, name, left: Left::Part, source }
            }
            (None, Stop::Refused(error)) => Error::Statement { version, name, error, left },
        };
        if !matches!(err, Error::LeaseLost { .. })
            && let Err(second) = self.record_failure(&err, left, ctx)
        {
            log::error!("the failure could not be recorded: {second}");
        }
        err
    }

    fn record_failure(&mut self, err: &Error, left: Left, ctx: &mut Ctx) -> Result<()> {
        if self.run.session.is_closed() {
            self.run.reconnect()?;
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
        let version = self.step.version.to_string();
        self.run.session.transaction(|session| {
            let ledger = &self.run.ledger;
            self.run.lease.fence(session, ledger)?;
            history::finish(
                session,
                ledger,
                self.history_id,
                Status::Failed,
                execution_ms as i64,
                Some(&message),
            )?;
            audit::append(session, ledger, &line, Some(&version), Some(&self.run.run_id))
        })?;
        ctx.emit_line(line);
        Ok(())
    }

    fn state(&self) -> String {
        format!(
            "{} of {} statements of migration {} are done and recorded; `migrate-apply up` goes on with it",
            self.totals.statements, self.step.summary.statements, self.step.version
        )
    }

    fn edited(&self, number: i32, statement: &Statement) -> Error {
        Error::refused(
            "edited_after_checkpoint",
            format!(
                "{}: statement {number} was changed after it had run",
                self.location(statement)
            ),
            "restore what has run, and change only what comes after it; or use `migrate-apply resolve`",
        )
    }

    fn location(&self, statement: &Statement) -> Location {
        Location {
            file: self.step.script.file.clone(),
            line: statement.line,
            column: statement.column,
        }
    }

    fn script_view(&self, lock_timeout: Option<std::time::Duration>) -> Result<(), Stop> {
        let mut view = self.run.script_view(lock_timeout);
        for setting in &self.settings {
            view += "; ";
            view += setting;
        }
        self.query(&view)
    }

    fn ledger_view(&self) -> Result<(), Stop> {
        self.query(&self.run.ledger_view())
    }

    fn roll_back(&self) {
        if !self.run.session.is_closed() {
            let _ = self.run.session.run("rollback");
            let _ = self.run.session.run(&self.run.ledger_view());
        }
    }

    fn query(&self, sql: &str) -> Result<(), Stop> {
        self.run.session.run(sql).map_err(|error| {
            if send::is_lost(&self.run.session, &error) {
                Stop::Lost(error)
            } else {
                Stop::Refused(Box::new(failure::of_server(&error)))
            }
        })
    }

    fn at_commit(&self, error: PgError) -> Stop {
        if send::is_lost(&self.run.session, &error) {
            return Stop::Lost(error);
        }
        let mut refused = failure::of_server(&error);
        refused.message = format!("at COMMIT: {}", refused.message);
        Stop::Refused(Box::new(refused))
    }
}
