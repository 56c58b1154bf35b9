//! `_migration_progress`: the journal of migrations that run outside a transaction.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Ledger;
use crate::{
    connect::session::Session,
    error::{Error, Result},
};

const BEGIN: &str = include_str!("../../sql/progress_begin.sql");
const DONE: &str = include_str!("../../sql/progress_done.sql");
const CHECKPOINT: &str = include_str!("../../sql/progress_checkpoint.sql");
const LACKS_CHECKPOINT: &str = include_str!("../../sql/progress_lacks_checkpoint.sql");
const UPGRADE: &str = include_str!("../../sql/progress_upgrade.sql");
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
    /// Only of a batched change.
    pub checkpoint: Option<Checkpoint>,
}

/// How far a batched change has come. It is written in the transaction of each range.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// All keys up to this one are done; values of the key's columns as texts.
    pub reached: Vec<String>,
    /// The greatest key when the change began.
    pub last: Vec<String>,
    pub ranges: u64,
    /// Rows that the statement touched.
    pub rows: u64,
    /// Keys that the ranges held, about.
    pub keys: u64,
    /// How many keys the next range is to have.
    pub size: u64,
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

/// Journals how far a batched statement has come.
pub fn checkpoint(
    session: &Session,
    ledger: &Ledger,
    place: Place<'_>,
    checkpoint: &Checkpoint,
) -> Result<()> {
    let checkpoint = serde_json::to_value(checkpoint).expect("texts and numbers");
    session
        .execute(
            &ledger.sql(CHECKPOINT),
            &[&place.history_id, &place.statement, &place.sha256, &place.command, &checkpoint],
        )
        .map_err(Error::database("journal a range"))
        .map(drop)
}

/// Makes the journal fit for checkpoints where an earlier version made it, in the transaction
/// under way.
pub fn upgrade(session: &Session, ledger: &Ledger) -> Result<()> {
    let upgrade = || {
        if session.query_one(LACKS_CHECKPOINT, &[&ledger.schema()])?.get(0) {
            session.run(&ledger.sql(UPGRADE))?;
        }
        Ok(())
    };
    upgrade().map_err(Error::database("upgrade the journal"))
}

/// The journal of a run, in the order of statements.
pub fn read(session: &Session, ledger: &Ledger, history_id: i64) -> Result<Vec<Entry>> {
    let rows = session
        .query(&ledger.sql(READ), &[&history_id])
        .map_err(Error::database("read the journal"))?;
    rows.iter()
        .map(|row| {
            Ok(Entry {
                statement: row.get("statement"),
                sha256: row.get("sha256"),
                done: row.get::<_, &str>("status") == "done",
                before: row.get("before"),
                rows: row.get::<_, Option<i64>>("rows").unwrap_or(0),
                checkpoint: checkpoint_of(row.get("checkpoint"))?,
            })
        })
        .collect()
}

fn checkpoint_of(value: Option<Value>) -> Result<Option<Checkpoint>> {
    serde_json::from_value(value.unwrap_or_default()).map_err(|err| {
        Error::refused(
            "foreign_ledger",
            format!("`_migration_progress` holds a checkpoint that cannot be read: {err}"),
            "find out who wrote it; nothing of ours does",
        )
    })
}
