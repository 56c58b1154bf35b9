//! `_migration_inventories`: the schema as it was at the end of each run.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::{Row, error::SqlState, types::Type};

use super::Ledger;
use crate::{
    connect::session::Session,
    error::{Error, PgError, Result},
    inventory::{self, Digest},
};

pub(super) const CREATE: &str = include_str!("../../sql/inventories_create.sql");
const INSERT: &str = include_str!("../../sql/inventories_insert.sql");
const LAST: &str = include_str!("../../sql/inventories_last.sql");

/// What the end of a run may take for it: others wait for the lock of this run.
const LIMIT: Duration = Duration::from_secs(5);

/// The newest inventory of the ledger.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub run_id: String,
    pub at: DateTime<Utc>,
    pub server_version_num: i32,
    pub sha256: String,
    /// None where somebody removed it.
    pub inventory: Option<String>,
    /// A migration ran or began after it, and left none: it says nothing of now.
    pub outdated: bool,
}

/// Records the schema in the transaction under way, or says in the log why not: work that is done
/// must not fail for it. The row that the caller then appends to the audit log names the hash.
pub fn record(session: &Session, ledger: &Ledger, run_id: &str) -> Result<Option<Digest>> {
    let run = |sql: &str| session.run(sql).map_err(Error::database("record the schema"));
    let settings = format!("{}; set local lock_timeout = '1s'", inventory::settings(Some(LIMIT)));
    run(&format!("savepoint inventory; {settings}"))?;
    let mut written = insert(session, ledger, run_id);
    if matches!(&written, Err(err) if err.code() == Some(&SqlState::UNDEFINED_TABLE)) {
        // A ledger of an earlier version.
        let create = format!("rollback to inventory; {}; {settings}", ledger.sql(CREATE));
        written = session.run(&create).and_then(|()| insert(session, ledger, run_id));
    }
    match written {
        Ok(digest) => {
            run(
                "set local statement_timeout = 0; set local lock_timeout = '5s'; release inventory",
            )?;
            Ok(digest)
        }
        Err(err) if session.is_closed() => {
            Err(Error::Database { doing: "record the schema", source: err })
        }
        Err(err) => {
            let why =
                err.as_db_error().map_or_else(|| err.to_string(), |it| it.message().to_owned());
            log::warn!(
                "the schema is not recorded, and `migrate-check schema` will know of none: {why}"
            );
            run("rollback to inventory; release inventory")?;
            Ok(None)
        }
    }
}

/// Nothing where a trigger that is not ours swallows the row.
fn insert(session: &Session, ledger: &Ledger, run_id: &str) -> Result<Option<Digest>, PgError> {
    let sql = inventory::over_lines(&ledger.sql(INSERT), session.facts().server_version_num);
    let rows = session.query_once(&sql, &[(&run_id, Type::TEXT)])?;
    let digest = |row: &Row| Digest { sha256: row.get("sha256"), objects: row.get("objects") };
    Ok(rows.first().map(digest))
}

/// The newest inventory, if there is one that the audit log vouches for.
pub fn last(session: &Session, ledger: &Ledger) -> Result<Option<Recorded>> {
    let rows = match session.query_once(&ledger.sql(LAST), &[]) {
        Err(err) if err.code() == Some(&SqlState::UNDEFINED_TABLE) => return Ok(None),
        rows => rows.map_err(Error::database("read the recorded schema"))?,
    };
    Ok(rows.first().map(|row| Recorded {
        run_id: row.get("run_id"),
        at: row.get("recorded_at"),
        server_version_num: row.get("server_version_num"),
        sha256: row.get("sha256"),
        inventory: row.get("inventory"),
        outdated: row.get("outdated"),
    }))
}
