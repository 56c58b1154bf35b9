//! Records of the audit log: its rows, what its chain proves, what people say and sign.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Direction;
use crate::migration::version::Version;

/// A row of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRow {
    /// Gapless, from 1.
    pub id: i64,
    /// By the server's clock, in microseconds.
    pub timestamp: DateTime<Utc>,
    /// The database role.
    pub actor: String,
    /// The type of the record in `details`.
    pub action: String,
    /// What it is about: a version, a lock, a plan, a backup.
    pub subject: Option<String>,
    pub run_id: Option<String>,
    pub details: Value,
    /// The bytes that are hashed; only in an export and in an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canonical: Option<String>,
    /// Hexadecimal SHA-256; only in an export and in an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev_hash: Option<String>,
    /// Hexadecimal SHA-256.
    pub hash: String,
}

/// A row of the history: a run of a migration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryRow {
    pub id: i64,
    pub version: Version,
    pub name: String,
    pub direction: Direction,
    /// `running`, `applied`, `failed` or `rolled_back`.
    pub status: String,
    pub applied_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub execution_ms: Option<i64>,
    pub estimate_ms: Option<i64>,
    pub risk: Option<String>,
    pub applied_by: String,
    pub run_id: String,
    pub checksum: String,
    pub error: Option<String>,
}

/// A person wrote something down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditNoted {
    pub text: String,
}

/// The chain holds, from its first row to its head, and the history agrees with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditVerified {
    pub head_id: i64,
    /// Hexadecimal SHA-256: keep both, to prove later that nothing was cut off.
    pub head_hash: String,
    /// How many were read, archives included.
    pub rows: u64,
    /// Heads that were kept elsewhere and that are in the chain.
    pub anchors: u64,
    /// The newest of them: what stands behind it could be cut off unseen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchored_id: Option<i64>,
    /// The first rows, which stand in archives that were not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<i64>,
    pub history_rows: u64,
    /// What is odd, but no damage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    pub ms: u64,
}

/// The chain is broken, or something that guards it is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditDamaged {
    /// The first bad row; absent where it is the whole log, a trigger or the history.
    pub id: Option<i64>,
    pub damage: LogDamage,
    /// What was edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    pub message: String,
    /// What else was found, in the order of rows; at most the first of each kind and place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherDamage>,
    /// What the newest row says, whether or not it can be believed.
    pub head_id: Option<i64>,
    pub head_hash: Option<String>,
    pub rows: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    pub ms: u64,
}

/// Another place that is damaged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OtherDamage {
    pub id: Option<i64>,
    pub damage: LogDamage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    pub message: String,
}

/// What was done to the log.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LogDamage {
    /// A column says something else than what was hashed, or the hash doesn't fit.
    Edited,
    /// Rows are missing between others.
    Deleted,
    /// Rows have changed places.
    Swapped,
    /// A row stands here that the chain doesn't know.
    Inserted,
    /// A row stands here twice, or a copy of another.
    Duplicated,
    /// The end is gone, by an anchor, or the whole log.
    Truncated,
    /// The rows fit each other, but not an anchor: they were hashed anew, or another copy went on.
    Recomputed,
    /// The beginning is gone or another one.
    Genesis,
    /// What keeps the table append-only is switched off, gone or changed.
    Unprotected,
    /// The history tells something else than the log.
    History,
}

/// Old rows of the audit log stand in a file from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditArchived {
    /// The name of the file, without its folder.
    pub file: String,
    /// Of the file: `sha256:` and hex.
    pub sha256: String,
    pub bytes: u64,
    pub rows: u64,
    pub first_id: i64,
    pub last_id: i64,
    /// Of the last row in it, which the first row that stays continues.
    pub last_hash: String,
    pub before: DateTime<Utc>,
    /// What the first row of all said, for those who cannot read it any more.
    pub environment: Option<String>,
    pub database: String,
    pub system_identifier: String,
}

/// Somebody has read a plan and wants it to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanApproved {
    pub plan_hash: String,
    /// Who: counts once for a plan.
    pub approver: String,
    pub identity: Identity,
    /// The database role that brought the approval.
    pub role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Of the key, as `ssh-keygen -l` shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// As `ssh-keygen -Y sign` made it, so that anybody can check it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// How it is known who somebody is, from weak to strong.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The name that was given with `--as`.
    Stated,
    /// The database role, which the server has let in.
    Database,
    /// A key of the allowed signers.
    Signature,
}

/// A gate of `up`, and whether it lets the plan through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    /// As in `[env.X.require]`: `backup`, `approvals`, `rehearsal`, `max_risk`, `preflight`.
    pub name: String,
    pub status: GateStatus,
    pub plan_hash: String,
    /// What there is, or what lacks.
    pub message: String,
    /// The command that brings what lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateStatus {
    Pass,
    Fail,
    /// It fails, and a person went on with `--override`.
    Overridden,
}
