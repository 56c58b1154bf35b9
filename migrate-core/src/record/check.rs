//! Records of checks: what each one answers, and what they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::migration::risk::Risk;

/// One answer. A check that found nothing wrong has one record; one that did has a record for each
/// object that it found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    pub name: String,
    pub group: String,
    pub status: CheckStatus,
    /// What the answer is about, with its schema; absent where it is about all.
    pub object: Option<String>,
    /// How many rows or objects are wrong, where that can be counted.
    pub count: Option<i64>,
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Why it is no plain yes or no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<CheckReason>,
    /// SQL or a command that mends it; to be read before it is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The keys of the first rows that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<String>,
    /// Where the query stands, for one out of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Of a finding in a migration, on the tables that the database has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// How long it may take there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    pub ms: u64,
}

impl Check {
    /// An answer about all, with nothing more to say; to be filled further.
    pub fn new(
        group: impl Into<String>,
        name: impl Into<String>,
        status: CheckStatus,
        message: impl Into<String>,
    ) -> Check {
        Check {
            name: name.into(),
            group: group.into(),
            status,
            object: None,
            count: None,
            message: message.into(),
            hint: None,
            reason: None,
            fix: None,
            rows: Vec::new(),
            sqlstate: None,
            file: None,
            line: None,
            risk: None,
            estimate_ms: None,
            ms: 0,
        }
    }
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    Pass,
    /// It was not looked at, or could not be: `reason` says which.
    Skip,
    Warn,
    Fail,
}

impl CheckStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            CheckStatus::Pass => "pass",
            CheckStatus::Skip => "skip",
            CheckStatus::Warn => "warn",
            CheckStatus::Fail => "fail",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckReason {
    /// Time was up; it fails, as nobody knows.
    NotFinished,
    /// The query failed; so does the check.
    Error,
    /// The server found damaged data while it was read.
    Damage,
    /// This role, or anybody from here, cannot see it.
    Unknown,
    /// This server, database or state has nothing of the kind.
    NotApplicable,
    /// Left out because of its size, until it is asked for.
    NotLookedAt,
    /// Only a part of the rows was looked at, as asked for.
    Sample,
}

/// The end of a run of checks. Numbers are of checks, not of records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckSummary {
    /// The command, such as `integrity`.
    pub group: String,
    pub checks: u32,
    pub pass: u32,
    pub warn: u32,
    pub fail: u32,
    pub skip: u32,
    /// Of those that fail: time was up.
    pub not_finished: u32,
    /// Of those that were skipped: nobody can tell from here.
    pub unknown: u32,
    pub database: String,
    pub ms: u64,
}

/// What a check is: the same text that the documents are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckDefinition {
    pub name: String,
    /// The commands that it belongs to.
    pub groups: Vec<String>,
    pub title: String,
    /// What it means when it fails.
    pub meaning: String,
    pub hint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// What the server or role must have for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Absent where the answer isn't got by SQL alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
}

/// A row of a query that gives no verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueryRow {
    pub file: String,
    /// Where the query begins.
    pub line: u32,
    pub values: Map<String, Value>,
}

/// A query that gives no verdict has told its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueryFinished {
    pub file: String,
    pub line: u32,
    pub rows: u64,
    /// How many of them were told; fewer than `rows` where there are too many.
    pub told: u64,
    pub ms: u64,
}
