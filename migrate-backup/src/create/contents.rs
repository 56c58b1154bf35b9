//! What a manifest says: facts of the database, of the tables and of the tools, put together.

use chrono::{DateTime, Utc};
use migrate_core::{
    connect::session::Session,
    error::Result,
    inventory::Inventory,
    ledger::{Ledger, Presence, audit, history},
    plan,
    record::{AuditHead, BackupId},
    server::programs::Programs,
};

use crate::{
    dump::Compression,
    manifest::{
        self, DatabaseFacts, Extension, Made, Manifest, MigrationHead, Program, Summary, Writes,
    },
    source::{
        count::Counted,
        database,
        holds::{Holds, Table},
    },
    store::Sealed,
};

/// Of the database as a whole.
pub(super) struct Facts {
    database: DatabaseFacts,
    extensions: Vec<Extension>,
    roles: Vec<String>,
    tablespaces: Vec<String>,
    subscriptions: Vec<String>,
    not_carried: Vec<String>,
    writes: Writes,
    /// The schema, to be compared with that of a restored copy.
    pub(super) inventory: String,
    migration_head: Option<MigrationHead>,
    audit_head: Option<AuditHead>,
}

impl Facts {
    /// In the snapshot of `session`.
    pub(super) fn read(session: &Session, ledger: &Ledger) -> Result<Facts> {
        let there = ledger.look(session)? == Presence::Present;
        let runs = history::look(session, ledger)?;
        let head = plan::newest(&runs);
        let applied =
            |it: &&history::Run| Some(&it.version) == head && it.status == history::Status::Applied;
        Ok(Facts {
            database: database::facts(session)?,
            extensions: database::extensions(session)?,
            roles: database::roles(session)?,
            tablespaces: database::tablespaces(session)?,
            subscriptions: database::subscriptions(session)?,
            not_carried: database::not_carried(session)?,
            writes: database::writes(session)?,
            inventory: Inventory::read_here(session)?.text().to_owned(),
            migration_head: runs.iter().rev().find(applied).map(|it| MigrationHead {
                version: it.version.clone(),
                checksum: it.checksum.clone(),
            }),
            audit_head: if there { audit::head(session, ledger)? } else { None },
        })
    }
}

/// What was found in the snapshot.
pub(super) struct Found {
    pub(super) holds: Holds,
    pub(super) counted: Vec<Counted>,
    /// Of pg_dump.
    pub(super) remarks: Vec<String>,
    pub(super) compression: Compression,
    pub(super) facts: Facts,
    pub(super) taken_at: DateTime<Utc>,
    pub(super) lsn: String,
}

pub(super) fn manifest(
    session: &Session,
    programs: &Programs,
    label: Option<&str>,
    id: &BackupId,
    sealed: &Sealed<'_>,
    found: Found,
) -> Manifest {
    let facts = session.facts();
    let Found { holds, counted, remarks, compression, facts: of, taken_at, lsn } = found;
    let tables = tables(&holds, counted);
    let mut warnings = of.not_carried;
    warnings.extend(remarks);
    Manifest {
        summary: Summary {
            format: manifest::FORMAT,
            backup_id: id.clone(),
            created_at: taken_at,
            database: facts.database.clone(),
            system_identifier: facts.system_identifier.clone(),
            server_version: version(facts.server_version_num),
            server_version_num: facts.server_version_num,
            bytes: sealed.files().iter().map(|it| it.bytes).sum(),
            rows: tables.iter().map(|it| it.rows).sum(),
            table_count: tables.len() as u64,
            migration_head: of.migration_head,
        },
        made: Made {
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            pg_dump: Program {
                path: programs.path("pg_dump").display().to_string(),
                version: programs.version.clone(),
            },
            user: user(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            role: facts.role.clone(),
            label: label.map(str::to_owned),
            compression: compression.shown().to_owned(),
            audit_head: of.audit_head,
            timeline: facts.timeline,
            lsn: Some(lsn),
        },
        database_facts: of.database,
        tables,
        sequences: holds.sequences,
        large_objects: holds.large_objects,
        extensions: of.extensions,
        roles: of.roles,
        tablespaces: of.tablespaces,
        subscriptions: of.subscriptions,
        warnings,
        writes: Some(of.writes),
        files: sealed.files().to_vec(),
    }
}

fn tables(holds: &Holds, counted: Vec<Counted>) -> Vec<manifest::Table> {
    let mut counted = counted.into_iter();
    let of = |table: &Table| {
        let count = if table.carried { counted.next() } else { None };
        manifest::Table {
            schema: table.schema.clone(),
            name: table.name.clone(),
            kind: table.kind,
            carried: table.carried,
            bytes: table.bytes,
            rows: count.as_ref().map_or(0, |it| it.rows),
            fingerprint: count.and_then(|it| it.fingerprint),
        }
    };
    holds.tables.iter().map(of).collect()
}

/// `15.18`, or `9.6.24`.
pub(crate) fn version(num: u32) -> String {
    match num {
        100_000.. => format!("{}.{}", num / 10_000, num % 10_000),
        _ => format!("{}.{}.{}", num / 10_000, num / 100 % 100, num % 100),
    }
}

fn user() -> String {
    let named = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    named.unwrap_or_else(|_| rustix::process::geteuid().as_raw().to_string())
}
