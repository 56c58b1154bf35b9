//! Which backup a command means: an id, the newest one, or the one that a pipe tells of.

use std::str::FromStr;

use migrate_core::{
    error::{Error, Result},
    input,
    record::{BackupId, NotABackupId},
};

use crate::store::{
    Store,
    entry::{Complete, Found},
};

/// An id, or `-` for a record on stdin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Which {
    Id(BackupId),
    Stdin,
}

impl FromStr for Which {
    type Err = NotABackupId;

    fn from_str(text: &str) -> Result<Which, NotABackupId> {
        if text == "-" { Ok(Which::Stdin) } else { text.trim().parse().map(Which::Id) }
    }
}

impl Which {
    /// Reads stdin to its end, if that is where the id comes from.
    pub(crate) fn resolve(&self) -> Result<BackupId> {
        match self {
            Which::Id(id) => Ok(id.clone()),
            Which::Stdin => from_stdin(),
        }
    }
}

/// The last backup that the tool before made, imported or proved.
fn from_stdin() -> Result<BackupId> {
    let mut found = None;
    input::read_stdin(&mut |record| {
        let tells = ["backup.created", "backup.imported", "backup.verified"];
        if record["type"].as_str().is_some_and(|it| tells.contains(&it)) {
            found = Some(record["backup_id"].as_str().unwrap_or_default().to_owned());
        }
    })?;
    let id = found.ok_or_else(|| input::missing("backup.created", "migrate-backup create"))?;
    id.parse().map_err(|err: NotABackupId| {
        Error::usage(
            format!("the record on stdin names no backup: {err}"),
            "feed it from `migrate-backup create`",
        )
    })
}

/// The newest complete backup, damaged or not. With backups of several databases, one is to be named.
pub(crate) fn latest(store: &Store, database: Option<&str>) -> Result<BackupId> {
    let mut backups: Vec<Complete> = Vec::new();
    for entry in store.entries()? {
        if let Found::Complete(it) = entry.found
            && database.is_none_or(|name| it.summary.database == name)
        {
            backups.push(*it);
        }
    }
    let source =
        |it: &Complete| (it.summary.system_identifier.clone(), it.summary.database.clone());
    let mut sources: Vec<_> = backups.iter().map(source).collect();
    sources.sort();
    sources.dedup();
    if sources.len() > 1 {
        let names: Vec<String> =
            sources.iter().map(|(system, name)| format!("`{name}` of system {system}")).collect();
        return Err(Error::usage(
            format!("the store has backups of several databases: {}", names.join(", ")),
            "name one with `--database NAME`, or the backup by its id",
        ));
    }
    backups.sort_by_key(|it| it.summary.created_at);
    backups.pop().map(|it| it.summary.backup_id).ok_or_else(|| {
        Error::usage(
            format!("there is no complete backup in {}", store.path().display()),
            "`migrate-backup list` shows what there is",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_have_blanks_around_it() {
        // The runbook's `grep "Backup created:" | cut -d: -f2` leaves one in front.
        let id = " 20261124T181522Z-3fa94c".parse::<Which>().unwrap();
        assert_eq!(id, Which::Id("20261124T181522Z-3fa94c".parse().unwrap()));
        assert_eq!("-".parse(), Ok(Which::Stdin));
        assert!("latest".parse::<Which>().is_err());
    }
}
