//! `_migration_progress`: the journal of migrations that run outside a transaction.

use serde_json::Value;

use super::Ledger;
use crate::{
    connect::session::Session,
    error::{Error, Result},
};

const BEGIN: &str = include_str!("../../sql/progress_begin.sql");
const DONE: &str = include_str!("../../sql/progress_done.sql");
const READ: &str = include_str!("../../sql/progress_read.sql");

/// A statement as the journal has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// From 1.
    pub statement: i32,
    /// Hash of the statement's text: what was done may not be edited.
    pub sha256: String,
    pub done: bool,
    /// What the catalog said before it ran.
    pub before: Option<Value>,
    pub rows: i64,
}

/// Which statement of which run.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub history_id: i64,
    /// From 1.
    pub statement: i32,
    pub sha256: &'a str,
    pub command: &'a str,
}

/// Journals that a statement begins.
pub fn begin(
    session: &Session,
    ledger: &Ledger,
    place: Place<'_>,
    before: Option<&Value>,
) -> Result<()> {
    session
        .execute(
            &ledger.sql(BEGIN),
            &[&place.history_id, &place.statement, &place.sha256, &place.command, &before],
        )
        .map_err(Error::database("journal a statement"))
        .map(drop)
}

/// Journals that a statement is done.
pub fn done(session: &Session, ledger: &Ledger, place: Place<'_>, rows: i64) -> Result<()> {
    session
        .execute(
            &ledger.sql(DONE),
            &[&place.history_id, &place.statement, &place.sha256, &place.command, &rows],
        )
        .map_err(Error::database("journal a statement"))
        .map(drop)
}

/// The journal of a run, in the order of statements.
pub fn read(session: &Session, ledger: &Ledger, history_id: i64) -> Result<Vec<Entry>> {
    let rows = session
        .query(&ledger.sql(READ), &[&history_id])
        .map_err(Error::database("read the journal"))?;
    Ok(rows
        .iter()
        .map(|row| Entry {
            statement: row.get("statement"),
            sha256: row.get("sha256"),
            done: row.get::<_, &str>("status") == "done",
            before: row.get("before"),
            rows: row.get::<_, Option<i64>>("rows").unwrap_or(0),
        })
        .collect())
}
