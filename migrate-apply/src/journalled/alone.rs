//! Statements that run alone: journalled as running, run, looked up in the catalog, journalled as done.

use std::{mem, time::Instant};

use migrate_core::{
    ctx::Ctx,
    error::StatementError,
    fault::{self, Point},
    ledger::progress as journal,
    record::Leftover,
    sql::alone::Alone,
};
use serde_json::Value;

use super::{At, Work};
use crate::{
    catalog::{self, Verdict},
    guard::Policy,
    send::Stop,
    transaction::{CLEANUP, tries::Tries},
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
            rows = self.until_done(alone, &before, verdict, at, ctx)?;
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

    /// Runs it until it is done; each time it gave way to others, what it left is repaired at once.
    fn until_done(
        &mut self,
        alone: &Alone,
        before: &Value,
        mut verdict: Verdict,
        at: &At<'_>,
        ctx: &mut Ctx,
    ) -> Result<u64, Stop> {
        let mut tries = Tries::new(self.limits);
        loop {
            self.script_view(None)?;
            self.let_them_end(alone, at, ctx)?;
            self.run.watch(Policy::GiveWay);
            let ran = self.repair_and_run(alone, &verdict, at, ctx);
            // Before the catalog is asked: a cancel must not hit that.
            let seen = self.run.unwatch();
            let ran = ran.map_err(|stop| stop.or_gave_way(seen.gave_way.clone()));
            let stop = match self.judge(alone, before, ran, at) {
                Ok(rows) => return Ok(rows),
                Err(stop @ Stop::Lost(_)) => return Err(stop),
                Err(stop) => stop,
            };
            // An unusable unique index may reject what the application writes.
            if matches!(stop, Stop::GaveWay(_)) {
                let leftovers = mem::take(&mut self.leftovers);
                if let Err(stop) = self.repair(&leftovers) {
                    self.leftovers = leftovers;
                    return Err(stop);
                }
            }
            self.ledger_view()?;
            self.again(&mut tries, stop, seen, ctx)?;
            self.leftovers.clear();
            self.script_view(None)?;
            verdict = catalog::inspect(&self.run.session, alone, before)?;
            if verdict == Verdict::Done {
                return Ok(0);
            }
        }
    }

    fn repair_and_run(
        &mut self,
        alone: &Alone,
        verdict: &Verdict,
        at: &At<'_>,
        ctx: &mut Ctx,
    ) -> Result<u64, Stop> {
        if let Verdict::Broken(leftovers) = verdict {
            self.repair(leftovers)?;
            // The repair of a half detached partition is to finish it.
            if matches!(alone, Alone::DetachPartitionConcurrently { .. }) {
                return Ok(0);
            }
        }
        Ok(self.run_one(at, ctx)?.0)
    }

    fn repair(&self, leftovers: &[Leftover]) -> Result<(), Stop> {
        for Leftover { object, problem, repair } in leftovers {
            log::warn!("{object}: {problem}; running: {repair}");
            self.query(repair)?;
        }
        Ok(())
    }

    /// Believes the catalog only.
    fn judge(
        &mut self,
        alone: &Alone,
        before: &Value,
        ran: Result<u64, Stop>,
        at: &At<'_>,
    ) -> Result<u64, Stop> {
        if let Err(Stop::Lost(_)) = &ran {
            return ran;
        }
        let after = catalog::inspect(&self.run.session, alone, before)?;
        match (ran, after) {
            (Ok(rows), Verdict::Done | Verdict::NotDone) => Ok(rows),
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
        self.run.watch(Policy::Stand);
        let ran = self.run_one(at, ctx);
        self.run.unwatch();
        let (rows, ms) = ran?;
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
