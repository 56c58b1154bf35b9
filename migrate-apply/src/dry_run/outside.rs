//! A step outside a transaction, in a copy: each statement by itself, as `up` would run it.

use std::{collections::HashSet, time::Instant};

use migrate_core::{
    ctx::Ctx,
    error::{Error, StatementError},
    migration::batch::Batched,
    record::{Impact, Record},
    sql::{
        kind::{Control, Kind},
        split,
    },
};

use super::{
    alone,
    observe::Telling,
    work::{At, Ground, Work, changes_server},
};
use crate::{
    batch::key::{self, Unusable},
    send::Stop,
    step::Step,
    transaction::CLEANUP,
};

impl Work<'_> {
    /// Runs a step outside a transaction, but for the statements in `done`, which an earlier run
    /// has journalled.
    pub(super) fn outside(
        &mut self,
        step: &Step,
        done: &HashSet<i32>,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        let script = &step.script;
        let resumed_at = (1..).find(|it| !done.contains(it)).filter(|_| !done.is_empty());
        let resumed_at = resumed_at.map(|it| u64::from(it.unsigned_abs()));
        ctx.emit(Record::MigrationStarted(step.started(resumed_at)));
        self.query(CLEANUP)?;
        self.query(&self.view())?;
        let start = Instant::now();
        let mut block = None;
        for (index, statement) in
            split::split(&script.file, &script.text, script.first_line).enumerate()
        {
            let statement = statement?;
            let number = index as u64 + 1;
            let at = At { step, statement: &statement, number, start };
            if done.contains(&(number as i32)) && !matches!(statement.kind, Kind::Set { .. }) {
                continue;
            }
            if let Kind::TransactionControl(control) = statement.kind {
                block = self.control(control, block, at, ctx)?;
                continue;
            }
            let (rows, ms, impact) = match &statement.kind {
                _ if block.is_some() => self.observed(at, ctx)?,
                Kind::Alone(alone) => match alone::not_in_a_copy(alone, self.place) {
                    Some(why) => (0, 0.0, Some(alone::skipped(why))),
                    None => self.alone(at, ctx)?,
                },
                _ => self.in_transaction(at, ctx)?,
            };
            self.said(at, rows, ms, impact, ctx);
        }
        if block.is_some() {
            return Err(Stop::Refused(Box::new(StatementError {
                message: "the script ends inside a transaction that it began".to_owned(),
                ..StatementError::default()
            })));
        }
        self.migrations += 1;
        Ok(())
    }

    /// The script's own `BEGIN … COMMIT`; `block` is what databases shared when it began.
    fn control(
        &mut self,
        control: Control,
        block: Option<Option<String>>,
        at: At<'_>,
        ctx: &mut Ctx,
    ) -> Result<Option<Option<String>>, Stop> {
        match (control, block) {
            (Control::Begin { .. }, None) => {
                self.look()?;
                self.send(at, ctx)?;
                self.statements += 1;
                Ok(Some(self.shared()?))
            }
            (Control::Commit | Control::Rollback, Some(shared)) => {
                self.check_shared(&shared)?;
                self.send(at, ctx)?;
                self.statements += 1;
                self.observer.end_transaction();
                Ok(None)
            }
            _ => Err(Stop::Other(Error::Sql {
                at: at.statement.location(&at.step.script.file),
                message: format!("{} has no meaning here", at.statement.tag()),
                hint: Some("a script without a transaction may hold `BEGIN; … COMMIT;`".to_owned()),
            })),
        }
    }

    fn in_transaction(
        &mut self,
        at: At<'_>,
        ctx: &mut Ctx,
    ) -> Result<(u64, f64, Option<Impact>), Stop> {
        if let Some(batched) = at.step.batched(at.number) {
            self.check_key(batched, at)?;
        }
        self.look()?;
        self.query("begin")?;
        let shared = self.shared()?;
        match self.observed(at, ctx) {
            Ok(observed) => {
                self.check_shared(&shared)?;
                self.at_commit("commit")?;
                self.observer.end_transaction();
                Ok(observed)
            }
            // A procedure that commits by itself: as `up` does, once more without a transaction.
            Err(Stop::Refused(error))
                if error.sqlstate.as_deref() == Some("2D000")
                    && ["CALL", "DO"].contains(&at.statement.tag()) =>
            {
                self.query("rollback")?;
                if self.place == Ground::SharedCopy {
                    return Err(
                        changes_server("more than can be seen: it commits by itself").into()
                    );
                }
                self.alone(at, ctx)
            }
            Err(stop) => Err(stop),
        }
    }

    /// Whether `up` would find a key to cut ranges by.
    fn check_key(&self, batched: &Batched, at: At<'_>) -> Result<(), Stop> {
        let lost_or = |error| self.lost_or("look at the key of a batch", error);
        let oid = key::resolve(self.session, &batched.batch.table).map_err(lost_or)?;
        let key = key::look(self.session, oid, &batched.batch).map_err(lost_or)?;
        let refused = |Unusable { message, hint }| StatementError {
            at: Some(at.statement.location(&at.step.script.file)),
            statement: Some(at.number),
            message,
            hint: Some(hint),
            ..StatementError::default()
        };
        key.map(drop).map_err(|it| Stop::Refused(Box::new(refused(it))))
    }

    fn alone(&mut self, at: At<'_>, ctx: &mut Ctx) -> Result<(u64, f64, Option<Impact>), Stop> {
        self.look()?;
        let began = Instant::now();
        let pid = self.session.facts().backend_pid;
        let (seen, sent) = match self.watcher {
            Some(watcher) => alone::watch(watcher, pid, || self.send(at, ctx)),
            None => (Vec::new(), self.send(at, ctx)),
        };
        let (rows, ms) = sent?;
        if at.statement.tag() == "DISCARD ALL" {
            self.query(&self.view())?;
        }
        let mut impact = self.observer.statement(&seen, began, Telling::LocksAndFiles);
        self.observer
            .new_files(self.session, &mut impact)
            .map_err(|error| self.lost_or("look at the tables", error))?;
        self.observer.end_transaction();
        impact.outside_transaction = true;
        Ok((rows, ms, Some(impact)))
    }
}
