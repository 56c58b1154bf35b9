//! The store: a folder with backups, plain enough to be used by hand.
//!
//! ```text
//! STORE/
//!   ID/manifest.json          what the backup is: files, hashes, row counts, facts
//!   ID/manifest.json.sha256   as sha256sum writes it
//!   ID/dump/                  pg_dump --format=directory: pg_restore reads it without us
//!   ID.state.jsonl            levels proven, pins, labels: all that may change
//!   .ID.partial/              in the making, or left by a crash
//!   .trash-ID/                being removed, or left by a crash
//!   .lock                     see `lock.rs`
//! ```
//!
//! `ID/` is written once and never changed.

pub(crate) mod backup;
pub(crate) mod entry;
pub(crate) mod folder;
mod lock;
mod partial;
mod state;
mod trash;

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use migrate_core::{
    error::{Error, Result},
    record::BackupId,
};

pub(crate) use lock::{Reading, Removing};
pub(crate) use partial::{Partial, Published, Sealed};
pub(crate) use state::{Event, State};

use self::{
    backup::{Backup, Problem},
    folder::Folder,
};

#[derive(Debug)]
pub(crate) struct Store {
    folder: Folder,
}

impl Store {
    /// Opens a store that is there.
    pub(crate) fn open(path: &Path) -> Result<Store> {
        // Without a slash at its end, which would follow a link.
        let path: PathBuf = path.components().collect();
        let folder = Folder::open(&path).map_err(|err| cannot_open(&path, err))?;
        check_owner(&folder)?;
        Ok(Store { folder })
    }

    /// Opens a store, and makes it where there is none.
    pub(crate) fn open_or_make(path: &Path) -> Result<Store> {
        let path: PathBuf = path.components().collect();
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
        let name = path.file_name();
        if let (Some(name), Err(err)) = (name, Folder::open(&path))
            && err.kind() == ErrorKind::NotFound
        {
            let parent = parent.unwrap_or(Path::new("."));
            let made = Folder::open(parent).and_then(|parent| {
                match parent.make_folder(name) {
                    // Somebody else was faster, which is as good.
                    Err(err) if err.kind() == ErrorKind::AlreadyExists => Ok(()),
                    Err(err) => Err(err),
                    Ok(_) => parent.sync(),
                }
            });
            made.map_err(|source| Error::WriteFile { path: path.clone(), source })?;
        }
        Store::open(&path)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps every backup from being removed.
    pub(crate) fn reading(&self, wait: Duration) -> Result<Reading> {
        Reading::take(&self.folder, wait)
    }

    /// Waits until nobody reads, and keeps readers out.
    pub(crate) fn removing(&self, wait: Duration) -> Result<Removing> {
        Removing::take(&self.folder, wait)
    }

    /// A complete backup whose manifest is the one that was written.
    pub(crate) fn backup(&self, id: &BackupId, reading: &Reading) -> Result<Backup> {
        self.look(id, reading).map_err(|problem| self.error(problem, id))
    }

    /// For a command that cannot do without the backup.
    pub(crate) fn error(&self, problem: Problem, id: &BackupId) -> Error {
        problem.error(&self.folder, id)
    }

    /// As [`Store::backup`], for who wants to know what is wrong.
    pub(crate) fn look(&self, id: &BackupId, reading: &Reading) -> Result<Backup, Problem> {
        Backup::open(&self.folder, id, reading)
    }

    /// Begins a backup under a new id, made of the time.
    pub(crate) fn begin(&self, at: DateTime<Utc>) -> Result<Partial<'_>> {
        Partial::begin_new(self, at)
    }

    /// Begins a copy of a backup, under the id that it has elsewhere.
    pub(crate) fn begin_as(&self, id: &BackupId) -> Result<Partial<'_>> {
        Partial::begin_as(self, id)
    }

    /// Whether anything has the name of this backup.
    pub(crate) fn has(&self, id: &BackupId) -> Result<bool> {
        self.folder.exists(id.as_str()).map_err(self.folder.cannot_read(id.as_str()))
    }

    /// What the file system has left for us.
    pub(crate) fn free_bytes(&self) -> Result<u64> {
        self.folder.free_bytes().map_err(self.folder.cannot_read(""))
    }

    pub(crate) fn state(&self, id: &BackupId) -> Result<State> {
        let name = state::file_name(id);
        state::read(&self.folder, id).map_err(self.folder.cannot_read(name))
    }

    /// Adds to what is known of a backup: a level proven, a pin, a label.
    pub(crate) fn note(&self, id: &BackupId, at: DateTime<Utc>, event: Event) -> Result<()> {
        state::append(&self.folder, id, at, &somebody(), event)
    }
}

/// Who says it: the operating system's user, and the host.
fn somebody() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| rustix::process::geteuid().as_raw().to_string());
    let host = rustix::system::uname();
    format!("{user}@{}", host.nodename().to_string_lossy())
}

fn cannot_open(path: &Path, source: io::Error) -> Error {
    match source.kind() {
        _ if folder::is_of_other_kind(&source) => Error::refused(
            "unsafe_store",
            format!("{} is a link or no folder", path.display()),
            "name the folder itself: a link could be turned to another place meanwhile",
        ),
        _ => Error::Store { path: path.to_owned(), source },
    }
}

/// Whoever may write to the store can put a backup there that runs SQL of theirs at the next restore.
fn check_owner(folder: &Folder) -> Result<()> {
    let path = folder.path().display();
    let stat = folder.stat().map_err(folder.cannot_read(""))?;
    let user = rustix::process::geteuid().as_raw();
    if stat.st_uid != user {
        return Err(Error::refused(
            "unsafe_store",
            format!("{path} belongs to user {}, and this is user {user}", stat.st_uid),
            "run as the user who owns the backups",
        ));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(Error::refused(
            "unsafe_store",
            format!("others may write to {path} (mode {:04o})", stat.st_mode & 0o7777),
            format!("chmod 0700 {path}"),
        ));
    }
    Ok(())
}
