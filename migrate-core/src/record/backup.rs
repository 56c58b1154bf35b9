//! Records of backups: what is in the store, what was made, proven, restored and removed.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AuditHead, BackupId};
use crate::migration::version::Version;

/// How much is known of a backup. Each level includes those before it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The files are those of the manifest, byte by byte.
    Checksum,
    /// `pg_restore` reads all of it.
    Read,
    /// It was restored, and the copy is what the manifest says.
    Restore,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Checksum => "checksum",
            Level::Read => "read",
            Level::Restore => "restore",
        }
    }
}

/// An entry of the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupRow {
    /// Absent where the entry's name has none in it.
    pub backup_id: Option<BackupId>,
    pub state: BackupState,
    pub created_at: Option<DateTime<Utc>>,
    /// Since `created_at`; negative where that lies in the future.
    pub age_ms: Option<i64>,
    pub database: Option<String>,
    pub system_identifier: Option<String>,
    /// Such as 15.20.
    pub server_version: Option<String>,
    /// All files of the dump.
    pub bytes: Option<u64>,
    /// In all tables.
    pub rows: Option<u64>,
    pub tables: Option<u64>,
    /// The last migration that is in it.
    pub migration_head: Option<Version>,
    /// The highest level that `verify` has proven.
    pub proven: Option<Level>,
    pub proven_at: Option<DateTime<Utc>>,
    /// A pinned backup is never pruned.
    pub pinned: bool,
    pub pin_reason: Option<String>,
    pub label: Option<String>,
    /// The name of the entry in the store.
    pub name: String,
    /// What is wrong with it, or why it is no backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackupState {
    Complete,
    /// Its manifest is whole, but `verify` found its files to be otherwise.
    Damaged,
    /// Being made, or left by a run that was killed.
    Partial,
    /// Its removal was begun and not ended.
    Trash,
    /// It has no manifest, or one that is not what was written.
    DamagedManifest,
    /// Its manifest is of a version that this program does not know.
    UnknownVersion,
    /// It cannot be read.
    Unreadable,
    /// Not of this tool: it is left alone.
    Foreign,
}

impl BackupState {
    pub fn as_str(self) -> &'static str {
        match self {
            BackupState::Complete => "complete",
            BackupState::Damaged => "damaged",
            BackupState::Partial => "partial",
            BackupState::Trash => "trash",
            BackupState::DamagedManifest => "damaged_manifest",
            BackupState::UnknownVersion => "unknown_version",
            BackupState::Unreadable => "unreadable",
            BackupState::Foreign => "foreign",
        }
    }
}

/// How far a long command has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupProgress {
    pub backup_id: BackupId,
    pub phase: BackupPhase,
    pub bytes_done: u64,
    /// Absent where it cannot be known.
    pub bytes_total: Option<u64>,
    pub tables_done: Option<u64>,
    pub tables_total: Option<u64>,
    pub ms: u64,
    pub eta_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackupPhase {
    /// Rows are counted.
    Count,
    /// `pg_dump` writes.
    Dump,
    /// Files are read and hashed.
    Checksum,
    /// `pg_restore` reads.
    Read,
    /// `pg_restore` loads.
    Load,
    /// The copy is compared with the manifest.
    Compare,
    Analyze,
}

/// A backup that is whole, on disk and in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupCreated {
    pub backup_id: BackupId,
    pub path: String,
    pub database: String,
    pub system_identifier: String,
    /// When the snapshot was taken.
    pub created_at: DateTime<Utc>,
    pub bytes: u64,
    pub rows: u64,
    pub tables: u64,
    pub ms: u64,
    pub server_version: String,
    /// Hexadecimal SHA-256 of `manifest.json`.
    pub manifest_sha256: String,
    pub migration_head: Option<Version>,
    /// The head of the audit log in the snapshot.
    pub audit_head: Option<AuditHead>,
    pub label: Option<String>,
    pub pinned: bool,
    /// What `pg_dump` remarked, and what the backup cannot carry.
    pub warnings: Vec<String>,
}

/// A backup is proven to be what its manifest says, at this level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupVerified {
    pub backup_id: BackupId,
    pub level: Level,
    pub system_identifier: String,
    pub database: String,
    pub created_at: DateTime<Utc>,
    pub bytes: u64,
    pub rows: u64,
    pub files: u64,
    pub manifest_sha256: String,
    /// What the audit log says of the manifest.
    pub audit: AuditMatch,
    pub ms: u64,
}

/// Whether the audit log of the database holds the hash of this manifest. Only `matches` proves that
/// nobody has changed both the manifest and the hash beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditMatch {
    Matches,
    /// The log has another hash for this backup.
    Differs,
    /// The log knows no backup of this id.
    NotFound,
    /// The database that is reached is not the one that was backed up.
    OtherDatabase,
    NotReachable,
    /// No database was named.
    NotAsked,
}

impl AuditMatch {
    pub fn as_str(self) -> &'static str {
        match self {
            AuditMatch::Matches => "matches",
            AuditMatch::Differs => "differs",
            AuditMatch::NotFound => "not_found",
            AuditMatch::OtherDatabase => "other_database",
            AuditMatch::NotReachable => "not_reachable",
            AuditMatch::NotAsked => "not_asked",
        }
    }
}

/// A backup is not what its manifest says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupDamaged {
    pub backup_id: BackupId,
    /// The level at which it was found.
    pub level: Level,
    /// From here on absent where the manifest is not to be trusted.
    pub system_identifier: Option<String>,
    pub database: Option<String>,
    pub created_at: Option<DateTime<Utc>>,
    pub damages: Vec<Damage>,
    pub ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Damage {
    /// From the backup's folder; a table's name at level `restore`.
    pub object: String,
    pub kind: DamageKind,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DamageKind {
    Missing,
    Extra,
    Size,
    Sha256,
    /// A link, a pipe, a device, or a folder where a file is expected.
    NotAFile,
    /// The same file has another name elsewhere.
    HardLink,
    /// The manifest is not what its hash says, or cannot be used.
    Manifest,
    Unreadable,
    /// `pg_restore` refuses it.
    Archive,
    /// The restored copy is otherwise.
    Content,
}

/// The database was replaced by the restored one, or a new one was made of the backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupRestored {
    pub backup_id: BackupId,
    pub created_at: DateTime<Utc>,
    /// The database that now has the backup's content.
    pub database: String,
    pub system_identifier: String,
    /// Where the content from before is; absent with `--into`.
    pub old_database: Option<String>,
    pub bytes: u64,
    pub rows: u64,
    pub tables: u64,
    pub ms: u64,
    /// How long no connection was possible.
    pub gap_ms: Option<u64>,
    /// What was not carried over.
    pub warnings: Vec<String>,
}

/// A restore was taken back: the old database has its name again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupSwappedBack {
    pub database: String,
    pub system_identifier: String,
    /// Where the restored content is now.
    pub restored_database: String,
    pub gap_ms: Option<u64>,
    pub ms: u64,
}

/// The database from before a restore was dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupDropped {
    pub database: String,
    pub old_database: String,
    pub system_identifier: String,
    pub bytes: u64,
    pub ms: u64,
}

/// What `prune` decided about an entry of the store, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RetentionRow {
    pub action: RetentionAction,
    pub backup_id: Option<BackupId>,
    pub created_at: Option<DateTime<Utc>>,
    pub database: Option<String>,
    pub system_identifier: Option<String>,
    pub bytes: Option<u64>,
    pub reasons: Vec<String>,
    /// The name of the entry in the store.
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetentionAction {
    Keep,
    Remove,
    /// Not a backup that can be judged: a person has to look.
    LeaveAlone,
}

impl RetentionAction {
    pub fn as_str(self) -> &'static str {
        match self {
            RetentionAction::Keep => "keep",
            RetentionAction::Remove => "remove",
            RetentionAction::LeaveAlone => "leave alone",
        }
    }
}

/// The end of `prune`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupPruned {
    /// With `--dry-run` nothing was removed: these are the numbers that it would be.
    pub dry_run: bool,
    pub kept: u64,
    pub removed: u64,
    pub left_alone: u64,
    /// Of removed backups and leftovers.
    pub freed_bytes: u64,
    pub ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupImported {
    pub backup_id: BackupId,
    pub path: String,
    pub database: String,
    pub system_identifier: String,
    pub created_at: DateTime<Utc>,
    pub bytes: u64,
    pub rows: u64,
    pub manifest_sha256: String,
    /// The store had this very backup already: nothing was written.
    pub already_there: bool,
    pub ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupPinned {
    pub backup_id: BackupId,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupUnpinned {
    pub backup_id: BackupId,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupLabelled {
    pub backup_id: BackupId,
    /// None: the label was removed.
    pub label: Option<String>,
}
