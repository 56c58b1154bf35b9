//! Runs migrations on a session as `up` would, statement by statement, and measures each.

use std::time::{Duration, Instant};

use migrate_core::{
    connect::session::Session,
    ctx::Ctx,
    error::{Error, PgError, Result},
    interrupt,
    record::{Impact, Record, StatementDone},
    sql::split::Statement,
};

use super::observe::{self, Observer, Seen, Telling};
use crate::{
    batch, failure,
    guard::Guard,
    progress::Progress,
    send::{self, GaveWay, Stop},
    step::Step,
    transaction::CLEANUP,
    view,
};

const SHARED: &str = include_str!("../../sql/dry_run_shared.sql");

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Commit,
    /// After the checks that COMMIT would make.
    RollBack,
}

/// Where the work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// Nothing that is done reaches the target's server.
    PrivateCopy,
    /// What all databases of the server share must not be changed.
    SharedCopy,
    Target,
}

pub(super) struct Work<'a> {
    pub(super) session: &'a Session,
    /// Sees who waits for it, on the target.
    pub(super) guard: Option<&'a Guard>,
    /// Watches while a statement runs that leaves no locks behind; none on the target.
    pub(super) watcher: Option<&'a Session>,
    pub(super) place: Ground,
    /// All migrations are one transaction in a real run, too: locks are held until its end.
    pub(super) together: bool,
    pub(super) observer: Observer,
    pub(super) application: String,
    pub(super) lock_timeout: Duration,
    pub(super) migrations: u32,
    pub(super) statements: u64,
    pub(super) rows: u64,
}

/// A statement with its place in its step.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) step: &'a Step,
    pub(super) statement: &'a Statement,
    /// From 1.
    pub(super) number: u64,
    pub(super) start: Instant,
}

impl Work<'_> {
    /// Runs `steps` in one transaction; `at` is where it stands.
    pub(super) fn transaction(
        &mut self,
        steps: &[Step],
        end: End,
        at: &mut usize,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        self.query(CLEANUP)?;
        self.query("begin")?;
        let begun = self.locks()?;
        let shared = self.shared()?;
        let first = *at;
        for (index, step) in steps.iter().enumerate() {
            *at = first + index;
            ctx.emit(Record::MigrationStarted(step.started(None)));
            let start = Instant::now();
            self.look()?;
            self.query(&self.view())?;
            for (index, statement) in step.script.statements().enumerate() {
                let statement = statement?;
                let here = At { step, statement: &statement, number: index as u64 + 1, start };
                let (rows, ms, seen) = self.send_and_look(here, ctx)?;
                // What comes after the end of the transaction would not be rolled back.
                if transaction_of(&seen) != transaction_of(&begun) {
                    return Err(ended(step).into());
                }
                let impact = self.impact(here, &seen, ms)?;
                self.said(here, rows, ms, Some(impact), ctx);
            }
            if !self.together {
                self.observer.end_migration();
            }
        }
        self.check_shared(&shared)?;
        match end {
            End::Commit => self.at_commit("commit")?,
            End::RollBack => {
                self.at_commit("set constraints all immediate")?;
                self.query("rollback")?;
            }
        }
        self.observer.end_transaction();
        self.migrations += steps.len() as u32;
        Ok(())
    }

    /// Runs a statement inside a transaction.
    pub(super) fn observed(
        &mut self,
        at: At<'_>,
        ctx: &mut Ctx,
    ) -> Result<(u64, f64, Option<Impact>), Stop> {
        let (rows, ms, seen) = self.send_and_look(at, ctx)?;
        let impact = self.impact(at, &seen, ms)?;
        Ok((rows, ms, Some(impact)))
    }

    fn send_and_look(&self, at: At<'_>, ctx: &mut Ctx) -> Result<(u64, f64, Vec<Seen>), Stop> {
        let (rows, ms) = self.send(at, ctx)?;
        Ok((rows, ms, self.locks()?))
    }

    /// What the statement that took `ms` did, by the locks that stand after it.
    fn impact(&mut self, at: At<'_>, seen: &[Seen], ms: f64) -> Result<Impact, Stop> {
        if self.place == Ground::SharedCopy
            && let Some(catalog) = observe::shared_change(seen)
        {
            return Err(changes_server(&format!("`{catalog}`")).into());
        }
        let began = Instant::now() - Duration::from_secs_f64(ms / 1000.0);
        let impact = self.observer.statement(seen, began, telling(at.statement.tag(), self.place));
        Ok(impact)
    }

    fn locks(&self) -> Result<Vec<Seen>, Stop> {
        observe::locks(self.session, self.session.facts().backend_pid)
            .map_err(|error| self.lost_or("look at the locks", error))
    }

    pub(super) fn send(&self, at: At<'_>, ctx: &mut Ctx) -> Result<(u64, f64), Stop> {
        if let Some(err) = interrupted() {
            return Err(err.into());
        }
        if let Some(victims) = self.guard.and_then(Guard::gives_way) {
            return Err(Stop::GaveWay(GaveWay { victims, statement: None }));
        }
        let began = Instant::now();
        let progress = Progress::of(at.step, at.number, at.statement, at.start, self.guard);
        let mut tick = |elapsed| progress.tick(elapsed, ctx);
        let sent = match at.step.batched(at.number) {
            // All of it at once: a copy has no rows.
            Some(batched) => {
                let sql = batched.sql(at.statement.text(&at.step.script.text), "true");
                batch::send(self.session, sql, &mut tick)
            }
            None => send::one(self.session, &at.step.script, at.statement, &mut tick),
        };
        drop(progress);
        match sent {
            Ok(rows) => Ok((rows, began.elapsed().as_secs_f64() * 1000.0)),
            Err(error) if send::is_lost(self.session, &error) => Err(Stop::Lost(error)),
            Err(error) => Err(Stop::Refused(Box::new(failure::of_statement(
                &at.step.script,
                at.statement,
                at.number,
                at.statement.range.start,
                &error,
            )))),
        }
    }

    pub(super) fn said(
        &mut self,
        at: At<'_>,
        rows: u64,
        ms: f64,
        impact: Option<Impact>,
        ctx: &mut Ctx,
    ) {
        self.statements += 1;
        self.rows += rows;
        ctx.emit(Record::StatementDone(StatementDone {
            version: at.step.version.clone(),
            statement: at.number,
            line: at.statement.line,
            command: at.statement.tag().to_owned(),
            rows,
            ms: Some((ms * 1000.0).round() / 1000.0),
            impact,
        }));
    }

    pub(super) fn view(&self) -> String {
        view::script(self.session.facts(), &self.application, Some(self.lock_timeout))
    }

    /// What the migration has put off until COMMIT fails here.
    pub(super) fn at_commit(&self, sql: &str) -> Result<(), Stop> {
        self.session.run(sql).map_err(|error| {
            if send::is_lost(self.session, &error) {
                return Stop::Lost(error);
            }
            let mut refused = failure::of_server(&error);
            refused.message = format!("at COMMIT: {}", refused.message);
            Stop::Refused(Box::new(refused))
        })
    }

    pub(super) fn query(&self, sql: &str) -> Result<(), Stop> {
        self.session.run(sql).map_err(|error| self.lost_or("prepare the dry run", error))
    }

    /// Only where a change would reach others.
    pub(super) fn shared(&self) -> Result<Option<String>, Stop> {
        if self.place != Ground::SharedCopy {
            return Ok(None);
        }
        let row = self
            .session
            .query_once(SHARED, &[])
            .map_err(|error| self.lost_or("look at what databases share", error))?;
        Ok(row[0].get("state"))
    }

    pub(super) fn check_shared(&self, before: &Option<String>) -> Result<(), Stop> {
        match self.shared()? == *before {
            true => Ok(()),
            false => Err(changes_server("a database or tablespace").into()),
        }
    }

    pub(super) fn look(&mut self) -> Result<(), Stop> {
        let looked = self.observer.look(self.session);
        looked.map_err(|error| self.lost_or("look at the tables", error))
    }

    pub(super) fn lost_or(&self, doing: &'static str, source: PgError) -> Stop {
        match send::is_lost(self.session, &source) {
            true => Stop::Lost(source),
            false => Stop::Other(Error::Database { doing, source }),
        }
    }
}

fn telling(tag: &str, place: Ground) -> Telling {
    let rows_decide = ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES"];
    if tag.starts_with("TRUNCATE") {
        Telling::Locks
    } else if place != Ground::Target && rows_decide.contains(&tag) {
        Telling::LocksAndFiles
    } else {
        Telling::All
    }
}

fn transaction_of(seen: &[Seen]) -> Option<&str> {
    seen.first().map(|it| it.transaction.as_str())
}

/// What a signal asks for, in a dry run.
pub(super) fn interrupted() -> Option<Error> {
    interrupt::received().map(|signal| Error::Interrupted {
        signal,
        state: "the dry run was stopped; the target is as before".to_owned(),
    })
}

fn ended(step: &Step) -> Error {
    Error::refused(
        "transaction_ended",
        format!("migration {} `{}` ended the transaction that it ran in", step.version, step.name),
        "look at what it has done by then; this migration cannot be run dry",
    )
}

pub(super) fn changes_server(what: &str) -> Error {
    Error::refused(
        "changes_server",
        format!(
            "this would change {what}, which the copy shares with the target; it was rolled back"
        ),
        "install PostgreSQL's server programs here, for a copy in a server of its own",
    )
}
