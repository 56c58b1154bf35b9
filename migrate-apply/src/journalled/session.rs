//! What all statements of a step outside a transaction need of its session, its journal and its records.

use std::time::{Duration, Instant};

use migrate_core::{
    ctx::Ctx,
    error::{Error, Location, Result},
    fault::{self, Point},
    ledger::progress as journal,
    record::{Record, StatementDone},
    sql::split::Statement,
};

use super::{At, Begun, Work};
use crate::{
    failure,
    guard::Seen,
    progress::Progress,
    send::{self, GaveWay, Stop},
    transaction::{
        commit,
        record::ledger_changed,
        tries::{Tried, Tries},
    },
};

impl Work<'_> {
    /// Sends one statement and returns its rows and milliseconds.
    pub(super) fn run_one(&mut self, at: &At<'_>, ctx: &mut Ctx) -> Result<(u64, f64), Stop> {
        let began = Instant::now();
        let progress = self.progress(at);
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

    pub(super) fn progress(&self, at: &At<'_>) -> Progress {
        Progress::of(self.step, at.number as u64, at.statement, self.start, self.run.guard())
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

    /// Pauses before another try, or hands `stop` back.
    pub(super) fn again(
        &self,
        tries: &mut Tries,
        stop: Stop,
        seen: Seen,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        let stopped = || self.run.must_stop();
        let (session, step, run) = (&self.run.session, self.step, Some(&*self.run));
        let tried = Tried { session, step, run, stopped: &stopped };
        tries.again(tried, stop, seen, ctx)
    }

    /// In front of COMMIT: a cancel must not hit it.
    pub(super) fn unwatch(&self) -> Result<(), Stop> {
        match self.run.unwatch().gave_way {
            Some(victims) => Err(Stop::GaveWay(GaveWay { victims, statement: None })),
            None => Ok(()),
        }
    }

    pub(super) fn roll_back(&self) {
        self.run.unwatch();
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

    /// Begins a transaction of ours, under the lease.
    pub(super) fn begin(&self) -> Result<Begun, Stop> {
        self.query("begin")?;
        self.begun()
    }

    /// The fence of a transaction that has begun, and what must be the same at its end.
    pub(super) fn begun(&self) -> Result<Begun, Stop> {
        let (session, ledger) = (&self.run.session, &self.run.ledger);
        self.run.lease.fence(session, ledger)?;
        let sql = format!("select txid_current() as xid, ({}) as ledger", ledger.state_sql());
        let row =
            session.query_one(&sql, &[]).map_err(Error::database("look at the transaction"))?;
        Ok(Begun { xid: row.get("xid"), ledger: row.get("ledger") })
    }

    /// Refuses a script that wrote to the ledger in this transaction.
    pub(super) fn ledger_is_as(&self, begun: &Begun) -> Result<(), Stop> {
        let row = self
            .run
            .session
            .query_one(&self.run.ledger.state_sql(), &[])
            .map_err(Error::database("look at the ledger's tables"))?;
        if row.get::<_, Option<String>>("ledger") == begun.ledger {
            return Ok(());
        }
        Err(Stop::Refused(Box::new(ledger_changed())))
    }

    /// Commits what the journal now says of `statement`, once and for certain.
    pub(super) fn commit(&mut self, statement: i32, begun: &Begun) -> Result<(), Stop> {
        let history_id = self.history_id;
        fault::hit(Point::BeforeCommit);
        commit::commit(self.run, self.step, begun.xid, &|session, ledger| {
            let journal = journal::read(session, ledger, history_id)?;
            Ok(journal.iter().any(|it| it.statement == statement && it.done))
        })
        .map(drop)
    }
}
