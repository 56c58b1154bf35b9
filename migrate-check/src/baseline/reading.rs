//! The numbers of one moment, as they stand in a baseline's file.

use std::time::Duration;

use chrono::{DateTime, Utc};
use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    sql::secret,
};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use crate::place::Sight;

const PLACE: &str = include_str!("../../sql/baseline_place.sql");
const TABLES: &str = include_str!("../../sql/baseline_tables.sql");
const INDEXES: &str = include_str!("../../sql/baseline_indexes.sql");
const STATEMENTS: &str = include_str!("../../sql/baseline_statements.sql");
const QUERY_CHARACTERS: usize = 500;
/// The format of the file.
pub(super) const VERSION: u8 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Reading {
    pub(super) v: u8,
    pub(super) at: DateTime<Utc>,
    pub(super) database: String,
    pub(super) system_identifier: String,
    /// Since when the server counts; unknown where it never was reset.
    pub(super) counted_since: Option<DateTime<Utc>>,
    pub(super) tables: Vec<Table>,
    pub(super) indexes: Vec<Index>,
    pub(super) statements: Statements,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) bytes: i64,
    pub(super) index_bytes: i64,
    pub(super) rows: i64,
    pub(super) seq_scans: i64,
    pub(super) seq_rows: i64,
    pub(super) index_scans: i64,
    /// Another one where columns or indexes are others.
    pub(super) shape: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) table: String,
    pub(super) bytes: i64,
    pub(super) scans: i64,
    pub(super) is_unique: bool,
}

/// What pg_stat_statements counts, or why there is nothing of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Statements {
    Counted {
        since: Option<DateTime<Utc>>,
        list: Vec<Statement>,
    },
    /// The extension is not here.
    Absent,
    /// This role may not see what others ask.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Statement {
    pub(super) id: String,
    pub(super) query: String,
    pub(super) calls: i64,
    pub(super) total_ms: f64,
}

impl Reading {
    pub(super) fn take(session: &Session, timeout: Duration) -> Result<Reading> {
        let failed = || Error::database("read what the server counts");
        let limit = i32::try_from(timeout.as_millis().max(1)).unwrap_or(i32::MAX);
        session.run(&format!("set statement_timeout = {limit}")).map_err(failed())?;
        let ask = |sql: &str| session.query_once(sql, &[]).map_err(failed());
        let place = ask(PLACE)?;
        let place = place.first().expect("it is one row");
        Ok(Reading {
            v: VERSION,
            at: session.server_now(),
            database: session.facts().database.clone(),
            system_identifier: session.facts().system_identifier.clone(),
            counted_since: place.get("counted_since"),
            tables: ask(TABLES)?.iter().map(table).collect(),
            indexes: ask(INDEXES)?.iter().map(index).collect(),
            statements: statements(session, place.get("statements"))?,
        })
    }
}

fn statements(session: &Session, view: Option<String>) -> Result<Statements> {
    let Some(view) = view else { return Ok(Statements::Absent) };
    if !Sight::of(session)?.monitors() {
        return Ok(Statements::Unknown);
    }
    let sql = STATEMENTS.replace("{statements}", &view);
    // Made, but not loaded by the server: then it counts nothing.
    let Ok(rows) = session.query_once(&sql, &[]) else { return Ok(Statements::Absent) };
    let since = format!("select stats_reset from {view}_info");
    let since = session.query_once(&since, &[]).ok();
    let since = since.as_deref().and_then(<[Row]>::first).and_then(|it| it.get("stats_reset"));
    Ok(Statements::Counted { since, list: rows.iter().map(statement).collect() })
}

fn table(row: &Row) -> Table {
    Table {
        name: row.get("name"),
        bytes: row.get("bytes"),
        index_bytes: row.get("index_bytes"),
        rows: row.get("rows"),
        seq_scans: row.get("seq_scans"),
        seq_rows: row.get("seq_rows"),
        index_scans: row.get("index_scans"),
        shape: row.get("shape"),
    }
}

fn index(row: &Row) -> Index {
    Index {
        name: row.get("name"),
        table: row.get("table"),
        bytes: row.get("bytes"),
        scans: row.get("scans"),
        is_unique: row.get("is_unique"),
    }
}

fn statement(row: &Row) -> Statement {
    Statement {
        id: row.get("id"),
        query: secret::shown(row.get("query"), QUERY_CHARACTERS),
        calls: row.get("calls"),
        total_ms: row.get("total_ms"),
    }
}
