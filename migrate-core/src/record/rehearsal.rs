//! The record of a rehearsal: what became of a plan on a throwaway copy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{TableLock, TableSize};
use crate::migration::version::Version;

/// Evidence for a plan: it stands in the target's audit log, too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rehearsal {
    /// As `migrate-apply plan` says it of the target: it holds for nothing else.
    pub plan_hash: String,
    pub database: String,
    pub system_identifier: String,
    pub versions: Vec<Version>,
    pub place: RehearsalPlace,
    /// No check failed.
    pub passed: bool,
    /// Whether everything could be rolled back, and the schema was as before.
    pub reversible: bool,
    /// Checks that failed.
    pub failed: Vec<String>,
    /// Objects that the migrations make, change or drop.
    pub objects_changed: u32,
    /// Those that take locks or time, in order.
    pub statements: Vec<RehearsedStatement>,
    /// Statements of the application, where there were some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries: Option<RehearsedQueries>,
    /// What the copy could not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    pub ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RehearsalPlace {
    /// A copy without rows.
    SchemaOnly,
}

/// A statement of the way up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RehearsedStatement {
    pub version: Version,
    /// From 1.
    pub statement: u64,
    pub line: u32,
    pub command: String,
    /// On the copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
    pub locks: Vec<TableLock>,
    /// With the size that they have on the target.
    pub rewritten: Vec<TableSize>,
    pub scanned: Vec<TableSize>,
}

/// Statements of the application that were prepared before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RehearsedQueries {
    /// Those that could be prepared before.
    pub checked: u32,
    /// Of them, those that no longer can be.
    pub broken: u32,
    /// Texts that cannot be prepared, whatever the schema.
    pub not_checkable: u32,
}
