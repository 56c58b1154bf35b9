//! The database and its ledger, for commands that only read and for those that append.

use std::time::Duration;

use migrate_core::{
    anchor,
    connect::{session::Session, target::Database},
    ctx::Ctx,
    error::{Error, Result},
    ledger::{Ledger, Presence, audit, claim},
    record::Record,
};

/// How long to wait for a run that makes the ledger at this moment.
const WAIT: Duration = Duration::from_secs(30);

pub(crate) struct Place {
    /// A private server lives as long as this.
    _database: Database,
    pub(crate) session: Session,
    pub(crate) ledger: Ledger,
}

impl Place {
    /// Connects for `command`, which is what others see of us in `pg_stat_activity`.
    pub(crate) fn open(command: &str, ctx: &Ctx) -> Result<Place> {
        let ledger = Ledger::new(&ctx.config.ledger_schema)?;
        let database = ctx.config.target()?.database()?;
        let session = Session::open(&database, &format!("migrate-audit/{command}"))?;
        ctx.config.check_pin(session.facts())?;
        Ok(Place { _database: database, session, ledger })
    }

    /// From now on one snapshot, in which nothing can be written.
    pub(crate) fn read_only(&self) -> Result<()> {
        // By the order of the key, not by sorting: whatever the planner knows of the table.
        self.session
            .run(
                "begin isolation level repeatable read read only; \
                 set local enable_sort = off; set local jit = off",
            )
            .map_err(Error::database("begin to read"))
    }

    /// Whether there is a log to read; says so where there is none yet.
    pub(crate) fn has_log(&self) -> Result<bool> {
        let there = self.ledger.look(&self.session)? == Presence::Present;
        if !there {
            log::info!("there is no audit log in schema `{}` yet", self.ledger.schema());
        }
        Ok(there)
    }

    pub(crate) fn has_history(&self) -> Result<bool> {
        Ok(self.count("_migration_history")? > 0)
    }

    /// Whether there is nothing of a ledger at all.
    pub(crate) fn is_empty(&self) -> Result<bool> {
        Ok(self.count("_migration_%")? == 0)
    }

    fn count(&self, name: &str) -> Result<i64> {
        let row = self
            .session
            .query_one(
                "select count(*) from pg_tables where schemaname = $1 and tablename like $2",
                &[&self.ledger.schema(), &name.replace('_', "\\_")],
            )
            .map_err(Error::database("look for the ledger's tables"))?;
        Ok(row.get(0))
    }

    pub(crate) fn no_ledger(&self) -> Error {
        Error::refused(
            "no_ledger",
            format!("there is no ledger in schema `{}` of this database", self.ledger.schema()),
            "is it the right database? `--ledger-schema` names another schema",
        )
    }

    /// Appends a record to the log, which is made where it lacks, and says it.
    pub(crate) fn append(
        &self,
        record: Record,
        subject: Option<&str>,
        ctx: &mut Ctx,
    ) -> Result<()> {
        claim::ensure_ledger(&self.session, &self.ledger, WAIT, ctx)?;
        let line = ctx.line(record);
        let head = audit::record(&self.session, &self.ledger, &line, subject, None)?;
        ctx.emit_line(line);
        if let Some(path) = &ctx.config.anchors {
            let facts = self.session.facts();
            anchor::keep(path, ctx.now(), facts, self.ledger.schema(), &head);
        }
        Ok(())
    }
}
