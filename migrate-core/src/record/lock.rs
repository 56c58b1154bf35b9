//! Records of the lock: the lease, who holds it, who waits.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::migration::version::Version;

/// A row of `_migration_locks`, with what the server knows of its holder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LockRow {
    pub lock_name: String,
    /// The fencing token; it only rises. None where a session holds the advisory lock without a
    /// lease: somebody removed the row while it worked.
    pub token: Option<i64>,
    pub state: LockState,
    pub owner: Option<String>,
    pub host: Option<String>,
    pub pid: Option<i32>,
    /// The server process of a lease that lives with a session.
    pub backend_pid: Option<i32>,
    pub backend_start: Option<DateTime<Utc>>,
    pub reason: Option<String>,
    pub acquired_at: Option<DateTime<Utc>>,
    pub renewed_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether `expires_at` has passed, by the server's clock.
    pub expired: bool,
    /// Whether a session holds the advisory lock that goes with the lease.
    pub advisory_held: bool,
    /// The server process of that session: of who works, which under `migrate-lock run` is not
    /// who holds the lease.
    pub advisory_pid: Option<i32>,
    /// What the holder's server process does, where it can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_age_ms: Option<i64>,
}

/// Whether another run could have the lock now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LockState {
    /// In force.
    Held,
    /// Its time is over, or its session is proven gone: the next run takes it over.
    Free,
    /// Its time is over, but its session still lives: it stays busy.
    Orphaned,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LockAcquired {
    pub lock_name: String,
    pub token: i64,
    pub owner: String,
    pub host: String,
    pub pid: i32,
    pub backend_pid: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub expires_at: DateTime<Utc>,
    /// How long it took to get.
    pub waited_ms: u64,
    /// The token of the dead or expired lease that this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_over: Option<i64>,
}

/// Somebody stands in the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LockWaited {
    /// What was waited for: the migration lock's name, a table, or the place of a statement.
    pub waiting_for: String,
    /// The migration that waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The statement that waited, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<u64>,
    pub waited_ms: u64,
    pub holders: Vec<Holder>,
    /// How many sessions queue behind us.
    pub queue: u32,
}

/// A session that holds what is waited for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// Its server process; 0 where it cannot be seen, and for a prepared transaction.
    pub pid: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_start: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The start of its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Since its transaction began, or its lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LockRenewed {
    pub lock_name: String,
    pub token: i64,
    pub expires_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LockReleased {
    pub lock_name: String,
    pub token: i64,
    pub held_ms: u64,
}

/// A lease was removed by somebody else than its owner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LockBroken {
    pub lock_name: String,
    pub token: i64,
    pub owner: String,
    pub host: String,
    pub expired: bool,
    pub forced: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Server processes of the old owner that were ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terminated: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LockLost {
    pub lock_name: String,
    pub token: i64,
    pub message: String,
}

/// The command of `migrate-lock run` has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommandFinished {
    pub lock_name: String,
    pub token: i64,
    /// The program without its arguments, which may hold secrets.
    pub program: String,
    pub exit_code: u8,
    pub ms: u64,
}
