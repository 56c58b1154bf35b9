//! Records of a server's state at one moment: numbers, and what its sessions do.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One number, under the name that Prometheus knows it by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// With its unit at the end, such as `migrate_database_size_bytes`.
    pub name: String,
    pub kind: MetricKind,
    pub help: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Null where this role may not see it.
    pub value: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// It goes up and down.
    Gauge,
    /// It only rises, until the server's statistics are reset.
    Counter,
}

impl MetricKind {
    pub fn as_str(self) -> &'static str {
        match self {
            MetricKind::Gauge => "gauge",
            MetricKind::Counter => "counter",
        }
    }
}

/// A session that works, waits or keeps others waiting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Activity {
    /// 0 is a prepared transaction, which has no process.
    pub pid: i32,
    pub user: Option<String>,
    pub database: Option<String>,
    pub application: Option<String>,
    /// From where; absent over a socket of the same machine.
    pub client: Option<String>,
    /// `active`, `idle in transaction`, …; `unknown` where this role may not see it.
    pub state: String,
    /// What it waits for: a lock, the disk, its client.
    pub wait: Option<String>,
    /// Since the query began, or ended where it is idle.
    pub age_ms: Option<i64>,
    pub transaction_age_ms: Option<i64>,
    /// Who keeps it waiting.
    pub blocked_by: Vec<i32>,
    /// How long it has been kept waiting for a lock.
    pub waited_ms: Option<i64>,
    /// How many sessions wait for it, directly or behind others.
    pub blocks: u32,
    /// How deep it stands in a tree of who waits for whom; 0 waits for nobody.
    pub depth: u32,
    /// What it waits for, such as `AccessExclusiveLock on public.orders`.
    pub lock: Option<String>,
    pub query: Option<String>,
}

/// What the server counts is kept in a file, to compare with later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BaselineSaved {
    pub file: String,
    pub database: String,
    pub system_identifier: String,
    pub tables: u64,
    pub indexes: u64,
    /// Null where pg_stat_statements is not there or may not be read.
    pub statements: Option<u64>,
}
