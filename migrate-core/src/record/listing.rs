//! Rows that commands list: migrations, findings, plans.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Direction;
use crate::migration::{risk::Risk, version::Version};

/// A migration, as the files and the ledger together tell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationRow {
    pub version: Version,
    pub name: String,
    pub state: MigrationState,
    pub risk: Option<Risk>,
    pub applied_at: Option<DateTime<Utc>>,
    pub execution_ms: Option<i64>,
    /// Absent where it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// From here on only with `--verbose`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_checksum: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversible: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MigrationState {
    /// `up` would apply it.
    Pending,
    Applied,
    /// Its last run failed, or began and did not end.
    Failed,
    /// Applied, and its file says something else now.
    Changed,
    /// Applied, and its file is gone.
    Missing,
    /// Pending, but older than one that is applied.
    OutOfOrder,
}

impl MigrationState {
    pub fn as_str(self) -> &'static str {
        match self {
            MigrationState::Pending => "pending",
            MigrationState::Applied => "applied",
            MigrationState::Failed => "failed",
            MigrationState::Changed => "changed",
            MigrationState::Missing => "missing",
            MigrationState::OutOfOrder => "out_of_order",
        }
    }
}

/// Something that `validate` or `plan` noticed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub severity: Severity,
    /// A stable word for it.
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// How long it may take on the tables of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Warning,
    Error,
}

/// The answer of `validate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Validation {
    pub valid: bool,
    pub errors: u32,
    pub warnings: u32,
    pub pending: Vec<PendingRow>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PendingRow {
    pub version: Version,
    pub file: String,
    pub risk: Risk,
}

/// One migration of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanStep {
    pub version: Version,
    pub name: String,
    pub direction: Direction,
    pub checksum: String,
    pub down_checksum: Option<String>,
    pub risk: Risk,
    pub findings: Vec<Finding>,
    pub statements: u64,
    pub transaction: bool,
    pub estimate_ms: Option<u64>,
    /// As the file states it; who wrote it cannot approve it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// A whole plan, bound to this database in this state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// `sha256:` over the database's identity, the migration head and the ordered steps.
    pub plan_hash: String,
    pub database: String,
    pub system_identifier: String,
    /// The last migration applied.
    pub head: Option<Version>,
    pub steps: u32,
    pub risk: Option<Risk>,
    pub estimate_ms: Option<u64>,
}
