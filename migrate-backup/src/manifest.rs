//! `manifest.json`: what a backup is, written once and never changed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use migrate_core::{
    migration::version::Version,
    record::{AuditHead, BackupId},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Raised when an older program could take the new content for something else. Fields may be added
/// without raising it: who reads an older manifest fills them in, who reads a newer one skips them.
pub(crate) const FORMAT: u64 = 1;

/// More than any database needs: 20,000 tables take about 5 MB.
pub(crate) const LARGEST_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    #[serde(flatten)]
    pub(crate) summary: Summary,
    pub(crate) made: Made,
    pub(crate) database_facts: DatabaseFacts,
    /// Counted in the snapshot that the dump was made of.
    pub(crate) tables: Vec<Table>,
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) large_objects: u64,
    pub(crate) extensions: Vec<Extension>,
    /// Owners, grantees and members of policies: they must be there before a restore.
    pub(crate) roles: Vec<String>,
    pub(crate) tablespaces: Vec<String>,
    /// Left out: a restored copy would attach to the original's slots.
    pub(crate) subscriptions: Vec<String>,
    /// What `pg_dump` remarked, and what the dump cannot carry.
    pub(crate) warnings: Vec<String>,
    /// All of `dump/`, by path.
    pub(crate) files: Vec<DumpFile>,
}

/// What a listing shows: the start of the file, so that the rest may be skipped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// [`FORMAT`].
    pub(crate) format: u64,
    pub(crate) backup_id: BackupId,
    /// When the snapshot was taken, by the server's clock.
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) database: String,
    pub(crate) system_identifier: String,
    pub(crate) server_version: String,
    pub(crate) server_version_num: u32,
    /// Of all files of the dump.
    pub(crate) bytes: u64,
    /// Of all tables.
    pub(crate) rows: u64,
    pub(crate) table_count: u64,
    pub(crate) migration_head: Option<MigrationHead>,
}

/// By whom, with what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) tool_version: String,
    pub(crate) pg_dump: Program,
    /// The user of the operating system, the host, and the database role.
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) role: String,
    /// As it was given at creation; the one in force stands outside of the backup.
    pub(crate) label: Option<String>,
    pub(crate) compression: String,
    pub(crate) audit_head: Option<AuditHead>,
    pub(crate) timeline: i32,
    /// The write-ahead log's position at the snapshot.
    pub(crate) lsn: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) path: String,
    pub(crate) version: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MigrationHead {
    pub(crate) version: Version,
    pub(crate) checksum: String,
}

/// What belongs to the database as a whole, which a dump without `--create` leaves out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DatabaseFacts {
    pub(crate) owner: String,
    pub(crate) encoding: String,
    pub(crate) collate: String,
    pub(crate) ctype: String,
    /// `libc`, `icu` or `builtin`.
    pub(crate) locale_provider: String,
    pub(crate) locale: Option<String>,
    pub(crate) icu_rules: Option<String>,
    pub(crate) collation_version: Option<String>,
    /// -1: no limit.
    pub(crate) connection_limit: i32,
    pub(crate) tablespace: String,
    pub(crate) comment: Option<String>,
    /// As `pg_database.datacl` has them; none where nothing was granted or revoked.
    pub(crate) acl: Option<Vec<String>>,
    /// ALTER DATABASE … SET.
    pub(crate) settings: BTreeMap<String, String>,
    /// ALTER ROLE … IN DATABASE … SET, by role.
    pub(crate) role_settings: BTreeMap<String, BTreeMap<String, String>>,
    /// Versions of the collations that indexes may depend on, by name.
    pub(crate) collation_versions: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) kind: TableKind,
    /// Exact, in the dump's snapshot; 0 for what has no rows of its own.
    pub(crate) rows: u64,
    /// Sum of a hash of each row: equal content in any order gives the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TableKind {
    Table,
    Partitioned,
    MaterializedView,
    Foreign,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) value: i64,
    pub(crate) is_called: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Extension {
    pub(crate) name: String,
    pub(crate) schema: String,
    pub(crate) version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DumpFile {
    /// From the backup's folder: `dump/toc.dat`.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// Hexadecimal.
    pub(crate) sha256: String,
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Written by a newer program.
    UnknownVersion(u64),
    NotAManifest(String),
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unusable::UnknownVersion(version) => {
                write!(f, "its manifest has format {version}, and this program knows {FORMAT} only")
            }
            Unusable::NotAManifest(why) => write!(f, "its manifest cannot be read: {why}"),
        }
    }
}

impl Manifest {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Manifest, Unusable> {
        known(bytes, |it: &Manifest| it.summary.format)
    }

    /// As it stands on disk: indented, so that a person can read it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a manifest has string keys only");
        bytes.push(b'\n');
        bytes
    }
}

impl Summary {
    /// Reads what a listing needs, and skips the rest.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Summary, Unusable> {
        known(bytes, |it: &Summary| it.format)
    }
}

fn known<T: DeserializeOwned>(bytes: &[u8], format: fn(&T) -> u64) -> Result<T, Unusable> {
    let why = match serde_json::from_slice::<T>(bytes) {
        Ok(parsed) if format(&parsed) == FORMAT => return Ok(parsed),
        Ok(_) => String::new(),
        Err(err) => err.to_string(),
    };
    // What an unknown version holds is unknown, too: only its number is looked for.
    #[derive(Deserialize)]
    struct Head {
        format: u64,
    }
    match serde_json::from_slice::<Head>(bytes) {
        Ok(head) if head.format != FORMAT => Err(Unusable::UnknownVersion(head.format)),
        _ => Err(Unusable::NotAManifest(why)),
    }
}
