//! `_migration_history`: a row a run of a migration.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::{Ledger, Presence};
use crate::{
    connect::session::Session,
    error::{Error, Result},
    migration::{risk::Risk, version::Version},
    record::Direction,
};

const ALL: &str = include_str!("../../sql/history_all.sql");
const DOWN: &str = include_str!("../../sql/history_down.sql");
pub(crate) const INSERT: &str = include_str!("../../sql/history_insert.sql");
const FINISH: &str = include_str!("../../sql/history_finish.sql");
const TOOK_PLACE: &str = include_str!("../../sql/history_took_place.sql");
const RESTART: &str = include_str!("../../sql/history_restart.sql");
pub(crate) const ROLL_BACK: &str = include_str!("../../sql/history_roll_back.sql");

/// What a run of a migration came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Running,
    Applied,
    Failed,
    RolledBack,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Applied => "applied",
            Status::Failed => "failed",
            Status::RolledBack => "rolled_back",
        }
    }

    fn parse(text: &str) -> Status {
        match text {
            "running" => Status::Running,
            "applied" => Status::Applied,
            "failed" => Status::Failed,
            // The table's own CHECK allows nothing else.
            _ => Status::RolledBack,
        }
    }
}

/// A run as the table has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: i64,
    pub version: Version,
    pub name: String,
    pub checksum: String,
    pub status: Status,
    pub applied_at: DateTime<Utc>,
    pub execution_ms: Option<i64>,
    pub applied_by: String,
    pub error: Option<String>,
    pub run_id: String,
    /// As it was judged then.
    pub risk: Option<Risk>,
    /// It did not end, and some of its statements are done or began.
    pub in_part: bool,
    /// It is applied, and a run down of it did not end that has done or begun some statements.
    pub rolled_back_in_part: bool,
}

/// A run to record.
#[derive(Debug, Clone)]
pub struct NewRun<'a> {
    pub version: &'a Version,
    pub name: &'a str,
    pub direction: Direction,
    pub checksum: &'a str,
    pub status: Status,
    pub execution_ms: Option<i64>,
    pub estimate_ms: Option<i64>,
    pub risk: Option<Risk>,
    pub run_id: &'a str,
    pub error: Option<&'a str>,
}

/// The last run up of each version, in the order of application.
pub fn all(session: &Session, ledger: &Ledger) -> Result<Vec<Run>> {
    let runs = read(session, &ledger.sql(ALL))?;
    let last: HashMap<&Version, i64> = runs.iter().map(|it| (&it.version, it.id)).collect();
    if last.len() == runs.len() {
        return Ok(runs);
    }
    let last: HashSet<i64> = last.into_values().collect();
    Ok(runs.into_iter().filter(|it| last.contains(&it.id)).collect())
}

/// The same, by one who does not know yet whether there is a ledger.
pub fn look(session: &Session, ledger: &Ledger) -> Result<Vec<Run>> {
    match ledger.look(session)? {
        Presence::Absent => Ok(Vec::new()),
        Presence::Present => all(session, ledger),
    }
}

/// Runs down that began and did not end well.
pub fn unfinished_down(session: &Session, ledger: &Ledger) -> Result<Vec<Run>> {
    read(session, &ledger.sql(DOWN))
}

fn read(session: &Session, sql: &str) -> Result<Vec<Run>> {
    let rows = session.query_once(sql, &[]).map_err(Error::database("read the history"))?;
    rows.iter().map(run).collect()
}

/// In the order of the columns: by name they would be looked for again in each of many rows.
fn run(row: &Row) -> Result<Run> {
    let version: &str = row.get(1);
    Ok(Run {
        id: row.get(0),
        version: version.parse().map_err(|_| {
            Error::refused(
                "foreign_ledger",
                format!("`_migration_history` holds `{version}`, which is no version"),
                "find out who wrote it; nothing of ours does",
            )
        })?,
        name: row.get(2),
        checksum: row.get(3),
        status: Status::parse(row.get(4)),
        applied_at: row.get(5),
        execution_ms: row.get(6),
        applied_by: row.get(7),
        error: row.get(8),
        run_id: row.get(9),
        risk: row.get::<_, Option<&str>>(10).and_then(|it| it.parse().ok()),
        in_part: row.get(11),
        rolled_back_in_part: row.get(12),
    })
}

/// Inserts a run in the transaction under way and returns its id.
pub fn insert(session: &Session, ledger: &Ledger, run: &NewRun<'_>) -> Result<i64> {
    let row = session
        .query_one(
            &ledger.sql(INSERT),
            &[
                &run.version.to_string(),
                &run.name,
                &run.direction.as_str(),
                &run.checksum,
                &run.status.as_str(),
                &run.execution_ms,
                &run.estimate_ms,
                &run.risk.map(Risk::name),
                &run.run_id,
                &run.error,
            ],
        )
        .map_err(Error::database("write to the history"))?;
    Ok(row.get("id"))
}

/// Ends the run `id`.
pub fn finish(
    session: &Session,
    ledger: &Ledger,
    id: i64,
    status: Status,
    execution_ms: i64,
    error: Option<&str>,
) -> Result<()> {
    let rows = session
        .execute(&ledger.sql(FINISH), &[&id, &status.as_str(), &execution_ms, &error])
        .map_err(Error::database("write to the history"))?;
    one_row(rows)
}

/// Whether `run_id` has brought a migration to its end in that direction.
pub fn took_place(
    session: &Session,
    ledger: &Ledger,
    run_id: &str,
    version: &Version,
    direction: Direction,
) -> Result<bool> {
    let row = session
        .query_one(&ledger.sql(TOOK_PLACE), &[&run_id, &version.to_string(), &direction.as_str()])
        .map_err(Error::database("look for the migration in the history"))?;
    Ok(row.get(0))
}

/// Takes an unfinished run up again, by the file as it is now.
pub fn restart(
    session: &Session,
    ledger: &Ledger,
    id: i64,
    run_id: &str,
    name: &str,
    checksum: &str,
) -> Result<()> {
    let rows = session
        .execute(&ledger.sql(RESTART), &[&id, &run_id, &name, &checksum])
        .map_err(Error::database("write to the history"))?;
    one_row(rows)
}

/// Marks the run up of a version as undone.
pub fn roll_back(session: &Session, ledger: &Ledger, version: &Version) -> Result<()> {
    session
        .execute(&ledger.sql(ROLL_BACK), &[&version.to_string()])
        .map_err(Error::database("write to the history"))
        .map(drop)
}

fn one_row(rows: u64) -> Result<()> {
    if rows == 1 {
        return Ok(());
    }
    Err(Error::refused(
        "history_changed",
        "the history was changed by somebody else while this ran",
        "see `migrate-apply status` and the audit log, then run again",
    ))
}
