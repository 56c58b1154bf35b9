//! A backup in the making: it becomes one as a whole, or it goes.

use std::{
    fs::{File, TryLockError},
    io::{self, ErrorKind},
    path::PathBuf,
    time::Duration,
};

use chrono::{DateTime, Utc};
use migrate_core::{
    error::{Error, Result},
    fault::{self, Point},
    record::BackupId,
};

use super::{
    Store, backup,
    folder::{self, Folder, Tick},
    state,
};
use crate::manifest::{DumpFile, Manifest};

/// The lock is held for a moment only, or by a `prune` that moves folders away.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// `.ID.partial`, for us alone. It is removed when this is dropped before it is published.
#[derive(Debug)]
pub(crate) struct Partial<'a> {
    store: &'a Store,
    id: BackupId,
    folder: Folder,
    /// Held as long as we live: so `prune` and `list` tell what a crash left from what is under way.
    _lock: File,
    published: bool,
}

/// A dump that is complete and on disk, and of which every byte was read again.
#[derive(Debug)]
pub(crate) struct Sealed<'a> {
    partial: Partial<'a>,
    files: Vec<DumpFile>,
}

/// A backup that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) path: PathBuf,
    /// Hexadecimal SHA-256 of `manifest.json`.
    pub(crate) manifest_sha256: String,
}

pub(crate) fn name_of(id: &BackupId) -> String {
    format!(".{id}.partial")
}

impl<'a> Partial<'a> {
    /// Begins a backup under a new id, made of the time. Two that begin in one second get two ids.
    pub(super) fn begin_new(store: &'a Store, at: DateTime<Utc>) -> Result<Partial<'a>> {
        loop {
            let id = BackupId::new(at, fastrand::u32(..));
            if store.has(&id)? {
                continue;
            }
            if let Some(partial) = Partial::make(store, &id)? {
                return Ok(partial);
            }
        }
    }

    /// Begins a backup under the id that it has elsewhere. What a crash left of the same id goes.
    pub(super) fn begin_as(store: &'a Store, id: &BackupId) -> Result<Partial<'a>> {
        if let Some(partial) = Partial::make(store, id)? {
            return Ok(partial);
        }
        let name = name_of(id);
        if is_being_made(&store.folder, &name).map_err(store.folder.cannot_read(&name))? {
            return Err(Error::StoreBusy {
                store: store.path().to_owned(),
                holders: format!("a process that makes the backup {id}"),
                waited: "0 s".to_owned(),
            });
        }
        store.folder.remove_tree(&name).map_err(store.folder.cannot_write(&name))?;
        let partial = Partial::make(store, id)?;
        partial.ok_or_else(|| store.folder.cannot_write(&name)(ErrorKind::AlreadyExists.into()))
    }

    /// None where there is one of this id.
    fn make(store: &'a Store, id: &BackupId) -> Result<Option<Partial<'a>>> {
        // Between its making and its locking, the folder looks like one that a crash left.
        let _reading = store.reading(LOCK_WAIT)?;
        let name = name_of(id);
        let folder = match store.folder.make_folder(&name) {
            Ok(folder) => folder,
            Err(err) if err.kind() == ErrorKind::AlreadyExists => return Ok(None),
            Err(source) => return Err(store.folder.cannot_write(&name)(source)),
        };
        let lock = folder.as_file().and_then(|file| {
            file.try_lock_shared().map_err(io::Error::from)?;
            Ok(file)
        });
        let lock = lock.map_err(store.folder.cannot_write(&name))?;
        fault::hit(Point::PartialMade);
        Ok(Some(Partial { store, id: id.clone(), folder, _lock: lock, published: false }))
    }

    pub(crate) fn id(&self) -> &BackupId {
        &self.id
    }

    /// Where `pg_dump --file` writes; not there yet.
    pub(crate) fn dump_path(&self) -> PathBuf {
        self.folder.join(backup::DUMP)
    }

    /// The folder itself, for who writes files one by one.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Brings the dump down to the disk, then reads all of it again: what is hashed is what can be
    /// read back, not what was meant to be written. `tick` is told of bytes read.
    pub(crate) fn seal(self, tick: Tick<'_>) -> Result<Sealed<'a>> {
        let dump = self.folder.folder(backup::DUMP);
        let dump = dump.map_err(self.folder.cannot_read(backup::DUMP))?;
        let names = dump.names().map_err(self.folder.cannot_read(backup::DUMP))?;
        for name in &names {
            let settled = dump.open_file(name).and_then(|it| folder::settle(&it));
            settled.map_err(dump.cannot_write(name))?;
        }
        let synced = dump.make_private().and_then(|()| dump.sync());
        synced.map_err(self.folder.cannot_write(backup::DUMP))?;
        fault::hit(Point::DumpSynced);
        let mut files = Vec::new();
        for name in names {
            let path = backup::dump_path(&name);
            let path = path.ok_or_else(|| odd_name(&dump.join(&name)))?;
            let mut file = dump.open_file(&name).map_err(dump.cannot_read(&name))?;
            let hashed = folder::hash(&mut file, &dump.join(&name), tick)?;
            files.push(DumpFile { path, bytes: hashed.bytes, sha256: hashed.sha256 });
        }
        Ok(Sealed { partial: self, files })
    }
}

/// A program wrote what no `pg_dump` that we know writes.
fn odd_name(path: &std::path::Path) -> Error {
    Error::Refused {
        kind: "odd_dump",
        message: format!("the dump has a file of an odd name: {}", path.display()),
        hint: None,
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        if let Err(err) = self.remove() {
            log::warn!("cannot remove what was begun: {err}; `migrate-backup prune` will");
        }
    }
}

impl Partial<'_> {
    /// With what was said about it before it was there; but not what is said of another backup
    /// that has its name.
    fn remove(&self) -> Result<()> {
        let store = &self.store.folder;
        let name = name_of(&self.id);
        store.remove_tree(&name).map_err(store.cannot_write(&name))?;
        if !self.store.has(&self.id)? {
            let name = state::file_name(&self.id);
            store.remove_file(&name).map_err(store.cannot_write(&name))?;
        }
        Ok(())
    }
}

impl Sealed<'_> {
    /// For the manifest, by path.
    pub(crate) fn files(&self) -> &[DumpFile] {
        &self.files
    }

    pub(crate) fn publish(self, manifest: &Manifest) -> Result<Published> {
        debug_assert_eq!(manifest.files, self.files, "the manifest is one of other files");
        self.publish_bytes(&manifest.to_bytes())
    }

    /// Makes the backup appear, with a manifest that is written already.
    ///
    /// The order: the dump's bytes are on disk (`seal`). Then the manifest and its hash, which name
    /// these bytes; then the folder's own names. Only then the folder gets its name, and that name
    /// is brought down to the disk. Whenever power fails, there is a folder `ID` with all of it,
    /// or none. A manifest under the final name before its files were on disk could name bytes that
    /// a crash lost.
    pub(crate) fn publish_bytes(mut self, manifest: &[u8]) -> Result<Published> {
        let store = &self.partial.store.folder;
        let folder = &self.partial.folder;
        let id = self.partial.id.clone();
        let manifest_sha256 = folder::sha256(manifest);
        folder.write(backup::MANIFEST, manifest).map_err(folder.cannot_write(backup::MANIFEST))?;
        let hash = backup::hash_line(&manifest_sha256);
        folder
            .write(backup::MANIFEST_HASH, hash.as_bytes())
            .map_err(folder.cannot_write(backup::MANIFEST_HASH))?;
        folder.sync().map_err(store.cannot_write(name_of(&id)))?;
        fault::hit(Point::BeforePublish);
        // A folder with something in it is never replaced: that would be another backup.
        store.rename(name_of(&id), id.as_str()).map_err(store.cannot_write(id.as_str()))?;
        fault::hit(Point::AfterPublish);
        if let Err(source) = store.sync() {
            // A name that may not survive is taken back: a backup is there for certain, or not.
            store.rename(id.as_str(), name_of(&id)).map_err(store.cannot_write(id.as_str()))?;
            return Err(store.cannot_write("")(source));
        }
        self.partial.published = true;
        Ok(Published { path: store.join(id.as_str()), manifest_sha256 })
    }
}

/// Whether a process is at work in the folder. Where that cannot be told, it is said to be.
pub(super) fn is_being_made(store: &Folder, name: &str) -> io::Result<bool> {
    let file = match store.folder(name).and_then(|it| it.as_file()) {
        Ok(file) => file,
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(false),
        Err(err) => return Err(err),
    };
    match file.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_make(&dir.path().join("store")).unwrap();
        (dir, store)
    }

    #[test]
    fn two_backups_of_one_second_get_two_ids() {
        let (_dir, store) = store();
        let at = "2026-11-24T18:15:22Z".parse().unwrap();
        let partials: Vec<Partial<'_>> = (0..50).map(|_| store.begin(at).unwrap()).collect();
        let mut ids: Vec<&BackupId> = partials.iter().map(Partial::id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 50);
        assert!(ids.iter().all(|it| it.as_str().starts_with("20261124T181522Z-")));
    }

    #[test]
    fn one_id_is_for_one_at_a_time_and_what_a_crash_left_of_it_goes() {
        let (dir, store) = store();
        let id: BackupId = "20261124T181522Z-3fa94c".parse().unwrap();
        let first = store.begin_as(&id).unwrap();
        assert!(matches!(store.begin_as(&id), Err(Error::StoreBusy { .. })));
        drop(first);
        let left = dir.path().join("store").join(name_of(&id));
        std::fs::create_dir_all(left.join("dump")).unwrap();
        let second = store.begin_as(&id).unwrap();
        assert!(!second.dump_path().exists());
    }

    #[test]
    fn what_is_not_published_is_gone_with_all_that_was_said_of_it() {
        let (dir, store) = store();
        let at = "2026-11-24T18:15:22Z".parse().unwrap();
        let partial = store.begin(at).unwrap();
        let pinned = super::super::Event::Pinned { reason: None };
        store.note(partial.id(), at, pinned).unwrap();
        std::fs::create_dir(partial.dump_path()).unwrap();
        drop(partial);
        let names = std::fs::read_dir(dir.path().join("store")).unwrap();
        let names: Vec<_> = names.map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, [".lock"]);
    }
}
