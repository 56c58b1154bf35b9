//! Records of a dry run: what each statement did to tables, and what that means for the target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::apply::{Direction, RunStatus};

/// Where a dry run runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DryRunPlace {
    /// On a throwaway schema-only copy.
    Copy,
    /// On the target, in one transaction that is rolled back.
    Here,
}

/// What a statement did to tables, seen in the server's own tables while it ran.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Impact {
    /// What it locked, as far as the migration did not hold it before.
    pub locks: Vec<TableLock>,
    pub rewritten: Vec<TableSize>,
    /// Read from end to end.
    pub scanned: Vec<TableSize>,
    /// The server runs it only outside a transaction: there is no rolling it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outside_transaction: bool,
    /// Why it could not be run here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableLock {
    pub table: String,
    /// As `pg_locks` names it, such as `AccessExclusiveLock`.
    pub mode: String,
    /// What cannot go on meanwhile: `reads`, `writes`, `index builds`, `vacuum`, `schema changes`.
    pub blocks: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableSize {
    pub table: String,
    /// On the target, not on the copy; with indexes and what is stored out of line.
    pub bytes: i64,
    pub rows_estimate: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DryRunFinished {
    pub run_id: String,
    pub place: DryRunPlace,
    pub direction: Direction,
    pub status: RunStatus,
    /// How many ran to their end.
    pub migrations: u32,
    pub statements: u64,
    pub rows: u64,
    pub ms: u64,
    /// The tables of the target that it would touch, those that it blocks most first.
    pub tables: Vec<TableImpact>,
    /// What stays behind although everything was rolled back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_undone: Vec<String>,
    /// What this run could not tell, or not tell well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What a run does to a table of the target, all its migrations together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableImpact {
    pub table: String,
    /// The strongest lock.
    pub mode: String,
    pub blocks: Vec<String>,
    /// How long that lock was held: from its statement to the end of its migration.
    pub held_ms: u64,
    pub rewritten: bool,
    pub scanned: bool,
    /// On the target, not on the copy; with indexes and what is stored out of line.
    pub bytes: i64,
    pub rows_estimate: i64,
}
