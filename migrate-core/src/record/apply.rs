//! Records of a run of `up` or `down`: what was tried, done, and how long it took.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    dry_run::{DryRunPlace, Impact},
    lock::Holder,
};
use crate::migration::version::Version;

/// Which way a migration runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Up,
    Down,
}

impl Direction {
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }
}

/// The intent of a run, written before its first change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApplyStarted {
    pub run_id: String,
    pub direction: Direction,
    pub versions: Vec<Version>,
    pub database: String,
    pub system_identifier: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The fencing token that the run works under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_hash: Option<String>,
    /// Checks that a person set aside with `--force`, `--override` or `--allow-out-of-order`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<DryRunPlace>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApplyFinished {
    /// Absent where there was nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    pub direction: Direction,
    pub status: RunStatus,
    /// How many migrations were applied, or rolled back.
    pub done: u32,
    pub pending: u32,
    pub ms: u64,
    /// The head of the audit log just before this record: keep it to prove that nothing was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_head: Option<AuditHead>,
    /// The hash of the schema that the run left, as `_migration_inventories` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_sha256: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Done,
    NothingToDo,
    Failed,
    Interrupted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditHead {
    pub id: i64,
    /// Hexadecimal SHA-256.
    pub hash: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationStarted {
    pub version: Version,
    pub name: String,
    pub direction: Direction,
    pub transaction: bool,
    pub statements: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    /// The first statement that is run, where an earlier run had done some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_at: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatementDone {
    pub version: Version,
    /// Counts from 1 in the migration.
    pub statement: u64,
    pub line: u32,
    /// What kind of statement, such as `CREATE TABLE`.
    pub command: String,
    /// Rows touched or returned.
    pub rows: u64,
    /// Statements that share a message share its time: then only the last one of them has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
    /// Only in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<Impact>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationProgress {
    pub version: Version,
    pub statement: u64,
    pub statements: u64,
    pub elapsed_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    /// How long the same file took when it was applied here before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_ms: Option<u64>,
    /// Of a batched change: rows of the table that its ranges have passed, changed or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Rows of the table, as the last ANALYZE has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_total: Option<u64>,
    /// How long the rest takes at the pace so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_ms: Option<u64>,
    /// What the server is at, such as `building index: scanning table`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// How much of that is done, of how much, and of what: `blocks`, `rows` or `bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_done: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_total: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_unit: Option<String>,
    /// Who is waited for at the moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
    /// How many sessions wait for this migration at the moment.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub blocked: u32,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationApplied {
    pub version: Version,
    pub name: String,
    pub direction: Direction,
    /// `sha256:` over the text with LF line ends and no byte order mark.
    pub checksum: String,
    /// Of the down SQL that is kept in the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_checksum: Option<String>,
    /// Whether that runs in a transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_transaction: Option<bool>,
    pub statements: u64,
    pub rows: u64,
    pub execution_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    /// How often it was tried before, because a lock was not free in time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u32,
    pub transaction: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// What is odd about it although it went well: a file without a statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// It blocked others for too long, so it was cancelled and rolled back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationYielded {
    pub version: Version,
    pub name: String,
    pub direction: Direction,
    /// The statement that was cancelled, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<u64>,
    pub block_limit_ms: u64,
    /// Who waited for it, the longest wait first.
    pub victims: Vec<Victim>,
    /// When it is tried again; absent where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
}

/// A session that waits for a migration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Victim {
    pub pid: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The start of its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    pub waited_ms: u64,
}

/// How it is known that a migration was committed, where the server's answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Commit {
    /// The connection broke at COMMIT; the server says that it took place.
    Recovered,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationFailed {
    pub version: Version,
    pub name: String,
    pub direction: Direction,
    pub state: FailedState,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// Which statement, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<u64>,
    /// How many statements are done and stay done.
    pub statements_done: u64,
    pub execution_ms: u64,
    /// What lies about, and the SQL that removes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<Leftover>,
}

/// In what state a failed migration left the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailedState {
    /// Nothing of it is there.
    RolledBack,
    /// A part of it is there and recorded.
    Partial,
    /// It could not be found out.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Leftover {
    pub object: String,
    pub problem: String,
    pub repair: String,
}

/// A person decided what an unclear migration is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationResolved {
    pub version: Version,
    pub name: String,
    #[serde(rename = "as")]
    pub resolved_as: ResolvedAs,
    pub reason: String,
    pub previous_status: String,
    /// Of the way back that is kept for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_checksum: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_transaction: Option<bool>,
    /// The hash of the schema then, as `_migration_inventories` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_sha256: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResolvedAs {
    Applied,
    Pending,
}

/// Recorded as applied without being run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationBaselined {
    pub version: Version,
    pub name: String,
    pub checksum: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_checksum: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_transaction: Option<bool>,
    /// The hash of the schema then, as `_migration_inventories` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_sha256: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationCreated {
    pub version: Version,
    pub name: String,
    pub file: String,
}

/// The first row of the audit log: which database it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerCreated {
    pub schema: String,
    pub database: String,
    pub system_identifier: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    pub created_at: DateTime<Utc>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
