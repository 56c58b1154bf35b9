//! Statements that share a transaction with their journal row: each is done exactly once.

use migrate_core::{ctx::Ctx, error::Error, ledger::progress as journal, sql::kind::Control};

use super::{At, Done, Work};
use crate::{guard::Policy, send::Stop, transaction::tries::Tries};

impl Work<'_> {
    /// Exactly once: the statement and its journal row are one transaction.
    pub(super) fn in_transaction(&mut self, at: &At<'_>, ctx: &mut Ctx) -> Result<(), Stop> {
        let mut tries = Tries::new(self.limits);
        loop {
            let stop = match self.try_in_transaction(at, ctx) {
                Ok(()) => return Ok(()),
                Err(stop) => stop,
            };
            let seen = self.run.unwatch();
            self.roll_back();
            match stop {
                // A procedure that commits cannot run in a transaction: what became of it is then
                // for its own code to know.
                Stop::Refused(error)
                    if error.sqlstate.as_deref() == Some("2D000")
                        && ["CALL", "DO"].contains(&at.statement.tag()) =>
                {
                    return self.commits_itself(at, ctx);
                }
                stop => self.again(&mut tries, stop, seen, ctx)?,
            }
        }
    }

    fn try_in_transaction(&mut self, at: &At<'_>, ctx: &mut Ctx) -> Result<(), Stop> {
        let begun = self.begin()?;
        self.run.watch(Policy::GiveWay);
        self.script_view(Some(self.limits.lock_timeout))?;
        let (rows, ms) = self.run_one(at, ctx)?;
        self.ledger_view()?;
        self.ledger_is_as(&begun)?;
        self.journal_done(at, rows)?;
        self.unwatch()?;
        self.commit(at.number, &begun)?;
        self.said(at, rows, ms, ctx);
        Ok(())
    }

    /// The script's own `BEGIN … COMMIT`: a transaction as psql would run it, with the journal in it.
    pub(super) fn control(
        &mut self,
        control: Control,
        at: &At<'_>,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        match control {
            Control::Begin { .. } if self.block.is_empty() => {
                self.script_view(Some(self.limits.lock_timeout))?;
                self.run_one(at, ctx)?;
                self.run.watch(Policy::GiveWay);
                self.query("set local search_path = pg_catalog, pg_temp")?;
                self.block_begun = self.begun()?;
                self.script_view(Some(self.limits.lock_timeout))?;
                self.block.push(at.done());
                Ok(())
            }
            Control::Commit if !self.block.is_empty() => {
                self.block.push(at.done());
                self.ledger_view()?;
                let begun = std::mem::take(&mut self.block_begun);
                self.ledger_is_as(&begun)?;
                let block = std::mem::take(&mut self.block);
                for done in &block {
                    let place = done.place(self.history_id);
                    journal::done(&self.run.session, &self.run.ledger, place, 0)?;
                }
                self.unwatch()?;
                self.commit(at.number, &begun)?;
                self.totals.statements += block.len() as u64;
                Ok(())
            }
            Control::Rollback if !self.block.is_empty() => {
                self.roll_back();
                self.block.push(at.done());
                let block = std::mem::take(&mut self.block);
                self.journal_block(&block)
            }
            _ => Err(Stop::Other(Error::Sql {
                at: self.location(at.statement),
                message: format!("{} has no meaning here", at.statement.tag()),
                hint: Some("a script without a transaction may hold `BEGIN; … COMMIT;`".to_owned()),
            })),
        }
    }

    fn journal_block(&mut self, block: &[Done]) -> Result<(), Stop> {
        let (session, ledger) = (&self.run.session, &self.run.ledger);
        session.transaction(|session| {
            self.run.lease.fence(session, ledger)?;
            for done in block {
                journal::done(session, ledger, done.place(self.history_id), 0)?;
            }
            Ok(())
        })?;
        self.totals.statements += block.len() as u64;
        Ok(())
    }

    pub(super) fn in_block(&mut self, at: &At<'_>, ctx: &mut Ctx) -> Result<(), Stop> {
        let (rows, ms) = self.run_one(at, ctx)?;
        self.block.push(at.done());
        self.said(at, rows, ms, ctx);
        self.totals.statements -= 1;
        Ok(())
    }
}
