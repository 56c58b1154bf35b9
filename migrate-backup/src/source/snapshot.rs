//! One moment of the database, in which the dump, the counts and the facts agree.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use migrate_core::{
    connect::{session::Session, target::Database},
    error::{Error, Result},
    ledger::quote_literal,
};
use tokio_postgres::error::SqlState;

use super::holds::Table;
use crate::names::qualified;

/// How many tables one statement locks.
const LOCKED_TOGETHER: usize = 500;

/// A transaction that keeps the moment; whoever joins it sees the same.
pub(crate) struct Snapshot {
    pub(crate) session: Session,
    /// By which `pg_dump --snapshot` and others join it.
    pub(crate) id: String,
    /// By the server's clock.
    pub(crate) taken_at: DateTime<Utc>,
    pub(crate) lsn: String,
}

impl Snapshot {
    pub(crate) fn take(database: &Arc<Database>, application: &str) -> Result<Snapshot> {
        let session = Session::open(database, application)?;
        let row = session
            .run("begin isolation level repeatable read read only")
            .and_then(|()| {
                session.query_one(
                    "select pg_export_snapshot() as id, now() as at, pg_current_wal_lsn()::text as lsn",
                    &[],
                )
            })
            .map_err(Error::database("take a snapshot"))?;
        Ok(Snapshot { id: row.get("id"), taken_at: row.get("at"), lsn: row.get("lsn"), session })
    }

    /// Another session in the same moment.
    pub(crate) fn join(&self, database: &Arc<Database>, application: &str) -> Result<Session> {
        let session = Session::open(database, application)?;
        session
            .run(&format!(
                "begin isolation level repeatable read read only; set transaction snapshot {}",
                quote_literal(&self.id)
            ))
            .map_err(Error::database("join the snapshot"))?;
        Ok(session)
    }

    /// Keeps TRUNCATE away, which no snapshot is safe from: from here on all see the same rows.
    pub(crate) fn lock(&self, tables: &[Table]) -> Result<()> {
        let names: Vec<String> = tables.iter().map(|it| qualified(&it.schema, &it.name)).collect();
        for names in names.chunks(LOCKED_TOGETHER) {
            let locked = self
                .session
                .run(&format!("lock table only {} in access share mode", names.join(", only ")));
            locked.map_err(|source| match source.code() {
                Some(&SqlState::OUT_OF_MEMORY) => self.too_many(tables.len()),
                _ => Error::Database { doing: "lock the tables for reading", source },
            })?;
        }
        Ok(())
    }

    fn too_many(&self, tables: usize) -> Error {
        Error::refused(
            "lock_table_full",
            format!("the server cannot lock {tables} tables at once, which pg_dump has to"),
            format!(
                "raise `max_locks_per_transaction` (needs a restart): with {} it is enough for sure",
                (tables / 50).max(64)
            ),
        )
    }

    /// Whether the moment is still kept: the server may have ended it.
    pub(crate) fn is_kept(&self) -> bool {
        self.session.query_one("select 1", &[]).is_ok()
    }
}
