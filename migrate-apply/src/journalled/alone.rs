//! Statements that run alone: journalled as running, run, looked up in the catalog, journalled as done.

use std::time::Instant;

use migrate_core::{
    ctx::Ctx,
    error::StatementError,
    fault::{self, Point},
    ledger::progress as journal,
    sql::alone::Alone,
};
use serde_json::Value;

use super::{At, Work};
use crate::{
    catalog::{self, Verdict},
    send::Stop,
    transaction::CLEANUP,
};

impl Work<'_> {
    /// A statement that the server refuses in a transaction.
    pub(super) fn alone(
        &mut self,
        alone: &Alone,
        before: Option<Value>,
        at: &At<'_>,
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
        let place = at.place(self.history_id);
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
            log::info!("{} had been done when the run before was interrupted", at.statement.tag());
        } else {
            rows = self.run_alone(alone, &before, &verdict, at, ctx)?;
        }
        fault::hit(Point::StatementRun);
        self.ledger_view()?;
        self.run.session.transaction(|session| {
            self.run.lease.fence(session, &self.run.ledger)?;
            journal::done(session, &self.run.ledger, place, rows as i64)
        })?;
        self.said(at, rows, start.elapsed().as_secs_f64() * 1000.0, ctx);
        Ok(())
    }

    /// Repairs what is broken, runs the statement, and believes the catalog only.
    fn run_alone(
        &mut self,
        alone: &Alone,
        before: &Value,
        verdict: &Verdict,
        at: &At<'_>,
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
        let ran = if finalized { Ok((0, 0.0)) } else { self.run_one(at, ctx) };
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
                    at.statement.tag(),
                    what.collect::<Vec<_>>().join(", ")
                );
                self.leftovers = leftovers;
                Err(Stop::Refused(Box::new(StatementError {
                    at: Some(self.location(at.statement)),
                    statement: Some(at.number as u64),
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
    pub(super) fn commits_itself(&mut self, at: &At<'_>, ctx: &mut Ctx) -> Result<(), Stop> {
        let place = at.place(self.history_id);
        self.run.session.transaction(|session| {
            self.run.lease.fence(session, &self.run.ledger)?;
            journal::begin(session, &self.run.ledger, place, None)
        })?;
        fault::hit(Point::StatementJournalled);
        self.script_view(Some(self.limits.lock_timeout))?;
        let (rows, ms) = self.run_one(at, ctx)?;
        fault::hit(Point::StatementRun);
        self.ledger_view()?;
        self.run.session.transaction(|session| {
            self.run.lease.fence(session, &self.run.ledger)?;
            self.journal_done(at, rows)
        })?;
        self.said(at, rows, ms, ctx);
        Ok(())
    }

    /// `DISCARD ALL` would drop our advisory lock: does the rest of it.
    pub(super) fn discard_all(&mut self, at: &At<'_>, ctx: &mut Ctx) -> Result<(), Stop> {
        self.settings.clear();
        self.query(&format!("discard plans; {CLEANUP}"))?;
        self.ledger_view()?;
        self.run.session.transaction(|session| {
            self.run.lease.fence(session, &self.run.ledger)?;
            self.journal_done(at, 0)
        })?;
        self.said(at, 0, 0.0, ctx);
        Ok(())
    }
}
