//! A step outside a transaction: each statement is journalled, so that a crash is resumed where it stopped.
//!
//! A statement that may run in a transaction shares one with its journal row: exactly once. Only
//! the others run alone, between a row that says `running` and one that says `done`, and what
//! became of them is read from the catalog.

mod alone;
mod batch;
mod end;
mod holding_up;
mod session;
mod together;

use std::{collections::HashMap, time::Instant};

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    interrupt,
    ledger::{
        history,
        history::Status,
        progress::{self as journal, Checkpoint},
        script,
    },
    plan,
    record::{Leftover, Record},
    sql::{
        alone::Alone,
        kind::{Control, Kind},
        split::{self, Statement},
    },
};
use sha2::{Digest, Sha256};

use crate::{
    limits::Limits,
    run::Run,
    send::{Stop, Totals},
    step::Step,
    transaction::CLEANUP,
};

/// Applies `step`, or goes on with it.
pub(crate) fn apply(run: &mut Run, step: &Step, limits: Limits, ctx: &mut Ctx) -> Result<()> {
    let start = Instant::now();
    run.session.run(CLEANUP).map_err(Error::database("clean the session up"))?;
    let (history_id, journal) = begin(run, step)?;
    let mut work = Work {
        run,
        step,
        limits,
        history_id,
        journal,
        settings: Vec::new(),
        block: Vec::new(),
        block_begun: Begun::default(),
        block_settings: 0,
        totals: Totals::default(),
        leftovers: Vec::new(),
        checkpoint: None,
        current: 0,
        start,
    };
    let resumed_at = work.resume_point();
    ctx.emit(Record::MigrationStarted(step.started(resumed_at)));
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
        let ledger = &run.ledger;
        let (id, entries) = match step.unfinished {
            Some(id) => {
                history::restart(session, ledger, id, &run.run_id, &step.name, &step.checksum)?;
                (id, journal::read(session, ledger, id)?)
            }
            None => {
                let new = step.new_run(run, Status::Running, None);
                (history::insert(session, ledger, &new)?, Vec::new())
            }
        };
        if let Some((way_back, checksum)) = &step.way_back {
            script::insert(session, ledger, id, way_back, checksum)?;
        }
        Ok((id, entries.into_iter().map(|it| (it.statement, it)).collect()))
    })
}

/// A transaction of ours.
#[derive(Default)]
struct Begun {
    xid: i64,
    /// What the ledger's tables were, before the script.
    ledger: Option<String>,
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
    block: Vec<Done>,
    block_begun: Begun,
    /// How many of `settings` stood before the block.
    block_settings: usize,
    totals: Totals,
    leftovers: Vec<Leftover>,
    /// Of the statement under way, if it runs in ranges and some are done.
    checkpoint: Option<Checkpoint>,
    current: u64,
    start: Instant,
}

/// A statement of the script, its number from 1, and the hash of its text.
struct At<'a> {
    number: i32,
    statement: &'a Statement,
    sha256: String,
}

impl At<'_> {
    fn place(&self, history_id: i64) -> journal::Place<'_> {
        journal::Place {
            history_id,
            statement: self.number,
            sha256: &self.sha256,
            command: self.statement.tag(),
        }
    }

    fn done(&self) -> Done {
        Done {
            number: self.number,
            sha256: self.sha256.clone(),
            command: self.statement.tag().to_owned(),
        }
    }
}

/// A statement that is done once the script's own transaction is.
struct Done {
    number: i32,
    sha256: String,
    command: String,
}

impl Done {
    fn place(&self, history_id: i64) -> journal::Place<'_> {
        journal::Place {
            history_id,
            statement: self.number,
            sha256: &self.sha256,
            command: &self.command,
        }
    }
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
            if let Some(stop) = self.run.gives_way() {
                return Err(stop);
            }
            self.statement(number, &statement, ctx)?;
        }
        Ok(())
    }

    fn statement(&mut self, number: i32, statement: &Statement, ctx: &mut Ctx) -> Result<(), Stop> {
        let text = &self.step.script.text[statement.range.clone()];
        let mut hash = Sha256::new_with_prefix(text);
        if let Some(batched) = self.step.batched(number as u64) {
            hash.update(batched.identity());
        }
        let at = At { number, statement, sha256: plan::hex(&hash.finalize()) };
        let entry = self.journal.get(&number).cloned();
        if let Some(entry) = &entry
            && entry.sha256 != at.sha256
        {
            return Err(self.edited(&at).into());
        }
        let done = entry.as_ref().is_some_and(|it| it.done);
        if done {
            self.totals.statements += 1;
        } else {
            self.run_statement(&at, entry, ctx)?;
        }
        match statement.kind {
            Kind::Set { local: false, .. } => self.settings.push(text.to_owned()),
            Kind::TransactionControl(Control::Begin { .. }) => {
                self.block_settings = self.settings.len();
            }
            Kind::TransactionControl(Control::Rollback) => {
                self.settings.truncate(self.block_settings);
            }
            _ => (),
        }
        Ok(())
    }

    fn run_statement(
        &mut self,
        at: &At<'_>,
        interrupted: Option<journal::Entry>,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        if let Some(batched) = self.step.batched(at.number as u64) {
            return self.batched(batched, interrupted, at, ctx);
        }
        match (&at.statement.kind, interrupted) {
            (Kind::TransactionControl(control), _) => self.control(*control, at, ctx),
            _ if !self.block.is_empty() => self.in_block(at, ctx),
            (Kind::Alone(Alone::DiscardAll), _) => self.discard_all(at, ctx),
            (Kind::Alone(alone), entry) => {
                self.alone(alone, entry.and_then(|it| it.before), at, ctx)
            }
            (_, Some(_)) => Err(unclear(at).into()),
            (_, None) => self.in_transaction(at, ctx),
        }
    }

    fn edited(&self, at: &At<'_>) -> Error {
        Error::refused(
            "edited_after_checkpoint",
            format!(
                "{}: statement {} was changed after it had run",
                self.location(at.statement),
                at.number
            ),
            "restore what has run, and change only what comes after it; or use `migrate-apply resolve`",
        )
    }
}

/// Only what commits by itself is journalled before it runs, beside what has to run alone.
fn unclear(at: &At<'_>) -> Error {
    Error::refused(
        "outcome_unclear",
        format!(
            "statement {} ({}) commits by itself and was interrupted: how far it came cannot be told",
            at.number,
            at.statement.tag()
        ),
        "look at its data, then use `migrate-apply resolve`",
    )
}
