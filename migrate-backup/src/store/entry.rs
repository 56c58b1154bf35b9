//! What there is in the store, each entry judged by itself.

use std::{ffi::OsString, io, path::PathBuf};

use chrono::{DateTime, Utc};
use migrate_core::{
    error::Result,
    record::{BackupId, BackupRow, BackupState},
};

use super::{
    Store,
    backup::{self, Problem},
    lock, partial,
    state::{self, State},
};
use crate::manifest::Summary;

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) found: Found,
}

#[derive(Debug)]
pub(crate) enum Found {
    Complete(Box<Complete>),
    /// Has the name of a backup, and is none that can be used.
    Unusable(BackupId, Problem),
    Partial {
        id: BackupId,
        being_made: bool,
    },
    Trash(BackupId),
    /// What is known of a backup that is not there.
    StateAlone(BackupId),
    Foreign,
}

#[derive(Debug)]
pub(crate) struct Complete {
    pub(crate) summary: Summary,
    pub(crate) state: State,
}

impl Store {
    /// All entries, by the time in their id; what has none comes last.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>> {
        let names = self.folder.names().map_err(self.folder.cannot_read(PathBuf::new()))?;
        let mut entries = Vec::new();
        for name in &names {
            if lock::is_lock(name) {
                continue;
            }
            let has = |other: String| names.binary_search(&OsString::from(other)).is_ok();
            let found = match kind(name.to_str().unwrap_or_default()) {
                Kind::Backup(id) => self.look_at(id),
                Kind::Partial(id) => {
                    let being_made = partial::is_being_made(&self.folder, &partial::name_of(&id))
                        .unwrap_or(true);
                    Found::Partial { id, being_made }
                }
                Kind::Trash(id) => Found::Trash(id),
                Kind::State(id) if has(id.to_string()) || has(partial::name_of(&id)) => continue,
                Kind::State(id) => Found::StateAlone(id),
                Kind::Other => Found::Foreign,
            };
            entries.push(Entry { name: name.clone(), found });
        }
        entries.sort_by(|one, other| one.order().cmp(&other.order()));
        Ok(entries)
    }

    fn look_at(&self, id: BackupId) -> Found {
        match backup::summary(&self.folder, &id) {
            Ok(summary) => {
                // What is said about a backup may be lost; the backup is not.
                let state = state::read(&self.folder, &id).unwrap_or_else(|err| {
                    log::warn!("{}: {err}", self.folder.join(state::file_name(&id)).display());
                    State::default()
                });
                Found::Complete(Box::new(Complete { summary, state }))
            }
            Err(problem) => Found::Unusable(id, problem),
        }
    }

    /// What kind of thing an entry is that nobody of us made.
    pub(crate) fn describe_foreign(&self, entry: &Entry) -> String {
        let kind = |stat: io::Result<rustix::fs::Stat>| match stat {
            Ok(stat) => match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
                rustix::fs::FileType::RegularFile => "a file",
                rustix::fs::FileType::Directory => "a folder",
                rustix::fs::FileType::Symlink => "a symbolic link",
                rustix::fs::FileType::Fifo => "a pipe",
                _ => "a special file",
            },
            Err(_) => "something that cannot be looked at",
        };
        format!("{} that is not of this tool", kind(self.folder.stat_of(&entry.name)))
    }
}

pub(super) fn trash_name(id: &BackupId) -> String {
    format!(".trash-{id}")
}

enum Kind {
    Backup(BackupId),
    Partial(BackupId),
    Trash(BackupId),
    State(BackupId),
    Other,
}

/// By the name alone, which must be one of ours to the letter.
fn kind(name: &str) -> Kind {
    let id = |text: Option<&str>| text.and_then(|it| it.parse::<BackupId>().ok());
    if let Some(id) = id(Some(name)) {
        Kind::Backup(id)
    } else if let Some(id) = id(name.strip_suffix(".partial").and_then(|it| it.strip_prefix('.'))) {
        Kind::Partial(id)
    } else if let Some(id) = id(name.strip_prefix(".trash-")) {
        Kind::Trash(id)
    } else if let Some(id) = id(name.strip_suffix(".state.jsonl")) {
        Kind::State(id)
    } else {
        Kind::Other
    }
}

impl Entry {
    pub(crate) fn id(&self) -> Option<&BackupId> {
        match &self.found {
            Found::Complete(it) => Some(&it.summary.backup_id),
            Found::Unusable(id, _)
            | Found::Partial { id, .. }
            | Found::Trash(id)
            | Found::StateAlone(id) => Some(id),
            Found::Foreign => None,
        }
    }

    fn order(&self) -> (bool, Option<&BackupId>, &OsString) {
        (self.id().is_none(), self.id(), &self.name)
    }

    pub(crate) fn state(&self) -> BackupState {
        match &self.found {
            Found::Complete(it) if it.state.damaged.is_some() => BackupState::Damaged,
            Found::Complete(_) => BackupState::Complete,
            Found::Unusable(_, problem) => problem.state(),
            Found::Partial { .. } => BackupState::Partial,
            Found::Trash(_) | Found::StateAlone(_) => BackupState::Trash,
            Found::Foreign => BackupState::Foreign,
        }
    }

    /// What a person should know of an entry that is no sound backup.
    pub(crate) fn problem(&self, store: &Store) -> Option<String> {
        Some(match &self.found {
            Found::Complete(it) => {
                let (level, at) = it.state.damaged?;
                format!(
                    "`verify --level {}` found damage at {}",
                    level.as_str(),
                    migrate_core::record::timestamp(&at)
                )
            }
            Found::Unusable(_, problem) => problem.to_string(),
            Found::Partial { being_made: true, .. } => "it is being made".to_owned(),
            Found::Partial { .. } => {
                "left by a run that was killed; `migrate-backup prune` removes it".to_owned()
            }
            Found::Trash(_) | Found::StateAlone(_) => {
                "left of a removal that was killed; `migrate-backup prune` ends it".to_owned()
            }
            Found::Foreign => store.describe_foreign(self),
        })
    }

    pub(crate) fn row(&self, store: &Store, now: DateTime<Utc>) -> BackupRow {
        let complete = match &self.found {
            Found::Complete(it) => Some(it.as_ref()),
            _ => None,
        };
        let summary = complete.map(|it| &it.summary);
        let state = complete.map(|it| &it.state);
        BackupRow {
            backup_id: self.id().cloned(),
            state: self.state(),
            created_at: summary.map(|it| it.created_at),
            age_ms: summary.map(|it| (now - it.created_at).num_milliseconds()),
            database: summary.map(|it| it.database.clone()),
            system_identifier: summary.map(|it| it.system_identifier.clone()),
            server_version: summary.map(|it| it.server_version.clone()),
            bytes: summary.map(|it| it.bytes),
            rows: summary.map(|it| it.rows),
            tables: summary.map(|it| it.table_count),
            migration_head: summary
                .and_then(|it| Some(it.migration_head.as_ref()?.version.clone())),
            proven: state.and_then(|it| Some(it.proven?.0)),
            proven_at: state.and_then(|it| Some(it.proven?.1)),
            pinned: state.is_some_and(|it| it.pinned.is_some()),
            pin_reason: state.and_then(|it| it.pinned.as_ref()?.reason.clone()),
            label: state.and_then(|it| it.label.clone()),
            name: self.name.to_string_lossy().into_owned(),
            problem: self.problem(store),
        }
    }
}
