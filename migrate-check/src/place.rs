//! The database to look at: sessions that can only read, and what they can see.

use std::sync::Arc;

use migrate_core::{
    connect::{session::Session, target::Database},
    ctx::Ctx,
    error::{Error, Result},
    ledger::quote_literal,
};

use crate::definition::Need;

const SIGHT: &str = include_str!("../sql/sight.sql");

pub(crate) struct Place {
    database: Arc<Database>,
    application: String,
}

/// What the server and the role make possible.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    version: u32,
    in_recovery: bool,
    monitor: bool,
    extensions: Vec<String>,
}

impl Place {
    pub(crate) fn find(command: &str, ctx: &Ctx) -> Result<Place> {
        Ok(Place {
            database: Arc::new(ctx.config.target()?.database()?),
            application: format!("migrate-check/{command}"),
        })
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// For evidence: the one thing that this tool writes.
    pub(crate) fn writing_session(&self) -> Result<Session> {
        Session::open(&self.database, &self.application)
    }

    /// A session whose transactions are read only unless they say otherwise.
    pub(crate) fn session(&self, ctx: &Ctx) -> Result<Session> {
        let session = Session::open(&self.database, &self.application)?;
        ctx.config.check_pin(session.facts())?;
        session
            .run("set default_transaction_read_only = on")
            .map_err(Error::database("make the session read only"))?;
        Ok(session)
    }
}

impl Sight {
    pub(crate) fn of(session: &Session) -> Result<Sight> {
        let rows = session
            .query_once(SIGHT, &[])
            .map_err(Error::database("see what this role may see"))?;
        let row = rows.first().expect("it is one row");
        Ok(Sight {
            version: session.facts().server_version_num,
            in_recovery: session.facts().in_recovery,
            monitor: row.get("monitor"),
            extensions: row.get("extensions"),
        })
    }

    /// Whether this role sees what others do.
    pub(crate) fn monitors(&self) -> bool {
        self.monitor
    }

    /// The first thing that lacks, in the order of the check's file.
    pub(crate) fn lacks<'a>(&self, needs: &'a [Need]) -> Option<&'a Need> {
        needs.iter().find(|need| match need {
            Need::Version(number) => self.version < *number,
            Need::Extension(name) => !self.extensions.contains(name),
            Need::Primary => self.in_recovery,
            Need::Monitor => !self.monitor,
        })
    }
}

/// Settings `migrate.…` that the SQL of checks reads, for one transaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings(Vec<(&'static str, String)>);

impl Settings {
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Settings {
        self.0.push((name, value.to_string()));
        self
    }

    /// To be sent behind `begin`.
    pub(crate) fn sql(&self) -> String {
        let set = |(name, value): &(&str, String)| {
            format!("set local migrate.{name} = {};", quote_literal(value))
        };
        self.0.iter().map(set).collect()
    }
}
