//! What can be known before a restore begins: whether it can end, what will be lost, what is not carried.

use std::path::Path;

use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    ledger::{Ledger, Presence, history},
    migration::version::Version,
    record::BackupId,
};

use crate::{manifest::Manifest, source::database};

const NEEDS: &str = include_str!("../../sql/restore_needs.sql");
const FOLDER: &str = include_str!("../../sql/server_folder.sql");
const LACKING: &str = include_str!("../../sql/restore_lacking.sql");

/// What a copy takes beside its data: indexes are built from sorted copies of their columns.
const SPACE_PARTS: (u64, u64) = (5, 4);

/// What the place of the restore is like.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) bytes_needed: u64,
    /// Where it can be known: on our own machine.
    pub(crate) bytes_free: Option<u64>,
    /// What the copy will be without, in words.
    pub(crate) not_carried: Vec<String>,
}

/// What the database has gained since the backup, and will lose.
#[derive(Debug, Clone, Default)]
pub(crate) struct Losses {
    /// As the server counts; about, and only where it has counted without a break.
    pub(crate) rows_written: Option<u64>,
    pub(crate) migrations: Vec<Version>,
}

/// Refuses what could not be brought to its end. `session` is on the maintenance database.
pub(crate) fn check(session: &Session, manifest: &Manifest) -> Result<Found> {
    let extensions: Vec<&str> = manifest.extensions.iter().map(|it| it.name.as_str()).collect();
    let versions: Vec<&str> = manifest.extensions.iter().map(|it| it.version.as_str()).collect();
    let row = session
        .query_one(LACKING, &[&manifest.roles, &extensions, &manifest.tablespaces, &versions])
        .map_err(Error::database("see what the server lacks for the backup"))?;
    let mut lacking = Vec::new();
    for (what, column) in
        [("roles", "roles"), ("extensions", "extensions"), ("tablespaces", "tablespaces")]
    {
        let names: Vec<String> = row.get(column);
        if !names.is_empty() {
            lacking.push(format!("the {what} {}", names.join(", ")));
        }
    }
    if !lacking.is_empty() {
        return Err(Error::refused(
            "server_lacks",
            format!("the backup needs what this server lacks: {}", lacking.join("; ")),
            "create the roles and tablespaces, install the extensions; nothing was changed",
        ));
    }
    let other: Vec<String> = row.get("other_versions");
    let not_carried = other.iter().map(|it| format!("the extension's version: {it}")).collect();
    let (more, of) = SPACE_PARTS;
    let bytes_needed = manifest.database_facts.bytes / of * more;
    let bytes_free = free_space(session)?;
    if bytes_free.is_some_and(|it| it < bytes_needed) {
        return Err(Error::Unavailable {
            kind: "disk_full",
            message: format!(
                "a second copy takes about {bytes_needed} bytes on the server, where {} are free",
                bytes_free.unwrap_or_default()
            ),
            hint: Some(
                "free some space: the old database is kept until `restore --drop-old`".to_owned(),
            ),
        });
    }
    Ok(Found { bytes_needed, bytes_free, not_carried })
}

/// Only where the server's folder is one of this machine: nobody guesses from another disk.
fn free_space(session: &Session) -> Result<Option<u64>> {
    let row = session
        .query_one(FOLDER, &[])
        .map_err(Error::database("see where the server's data is"))?;
    let folder: Option<String> = row.get("folder");
    let Some(folder) = folder.filter(|_| row.get("local")) else { return Ok(None) };
    Ok(rustix::fs::statvfs(Path::new(&folder)).ok().map(|it| it.f_bavail * it.f_frsize))
}

/// Refuses what would stop the exchange of names: a session or transaction that nobody can end.
pub(crate) fn check_exchange(session: &Session, database: &str) -> Result<()> {
    let row = session
        .query_opt(NEEDS, &[&database])
        .map_err(Error::database("see what stands in the way of a restore"))?
        .ok_or_else(|| {
            Error::refused(
                "gone",
                format!("there is no database `{database}`"),
                "look with psql -l",
            )
        })?;
    let role = &session.facts().role;
    if !row.get::<_, bool>("may_create") || !row.get::<_, bool>("owns") {
        return Err(Error::refused(
            "not_allowed",
            format!(
                "role `{role}` cannot rename `{database}`: it has to be its owner and to have the \
                 attribute CREATEDB"
            ),
            "connect as a role that may, or as a superuser; nothing was changed",
        ));
    }
    let prepared: Vec<String> = row.get("prepared");
    if !prepared.is_empty() {
        return Err(Error::refused(
            "prepared_transactions",
            format!(
                "`{database}` has prepared transactions, which keep it from being renamed: {}",
                prepared.join(", ")
            ),
            "COMMIT PREPARED or ROLLBACK PREPARED them; nothing was changed",
        ));
    }
    let superusers: Vec<String> = row.get("superusers");
    if !superusers.is_empty() {
        return Err(Error::Busy {
            kind: "superuser_sessions",
            message: format!(
                "role `{role}` cannot end sessions of superusers in `{database}`: {}",
                superusers.join(", ")
            ),
            hint: Some("end them, or connect as a superuser; nothing was changed".to_owned()),
        });
    }
    Ok(())
}

/// What will be lost; `live` is on the database that will be replaced.
pub(crate) fn losses(live: &Session, ledger: &Ledger, manifest: &Manifest) -> Result<Losses> {
    let now = database::writes(live)?;
    let rows_written = manifest.writes.as_ref().and_then(|then| {
        let same = then.since == now.since && then.database_oid == now.database_oid;
        if same { u64::try_from(now.rows - then.rows).ok() } else { None }
    });
    let mut migrations = Vec::new();
    if ledger.look(live)? == Presence::Present {
        for run in history::all(live, ledger)? {
            let since = run.applied_at > manifest.summary.created_at;
            if since && run.status == history::Status::Applied && !migrations.contains(&run.version)
            {
                migrations.push(run.version);
            }
        }
    }
    Ok(Losses { rows_written, migrations })
}

/// A backup of another database would silently take the place of this one.
pub(crate) fn check_identity(live: &Session, manifest: &Manifest, id: &BackupId) -> Result<()> {
    let facts = live.facts();
    let summary = &manifest.summary;
    if facts.database == summary.database && facts.system_identifier == summary.system_identifier {
        return Ok(());
    }
    Err(Error::refused(
        "backup_of_another_database",
        format!(
            "the backup {id} is of database `{}` of system {}, and this is `{}` of {}",
            summary.database, summary.system_identifier, facts.database, facts.system_identifier
        ),
        "restore it with `--into NEW_DB`; or say that you mean it, with `--of-another-database`",
    ))
}
