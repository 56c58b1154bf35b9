//! Removal of what `prune` decided to remove: out of sight first, then away.

use std::ffi::{OsStr, OsString};

use migrate_core::{
    error::Result,
    fault::{self, Point},
    record::BackupId,
};

use super::{Store, entry, lock::Removing, state};

impl Store {
    /// Moves entries away in one go: from here on they are no backups any more, whatever happens.
    ///
    /// The order: each gets the name of trash, which is one rename; then these names are brought
    /// down to the disk; only then what is known of them goes, and the lock may be given back.
    /// A crash between any two leaves whole backups and whole trash, and the next `prune` goes on.
    /// `_removing` keeps readers away until the names are gone.
    pub(crate) fn move_to_trash(
        &self,
        entries: &[(OsString, BackupId)],
        _removing: &Removing,
    ) -> Result<Vec<OsString>> {
        let store = &self.folder;
        let mut trash = Vec::new();
        for (name, id) in entries {
            let to = OsString::from(entry::trash_name(id));
            if *name != to && name != OsStr::new(&state::file_name(id)) {
                // What an earlier run did not end to remove.
                store.remove_tree(&to).map_err(store.cannot_write(&to))?;
                store.rename(name, &to).map_err(store.cannot_write(name))?;
                fault::hit(Point::MovedToTrash);
            }
            trash.push(to);
        }
        store.sync().map_err(store.cannot_write(""))?;
        for (_, id) in entries {
            let name = state::file_name(id);
            store.remove_file(&name).map_err(store.cannot_write(&name))?;
        }
        fault::hit(Point::BeforeTrashRemoved);
        Ok(trash)
    }

    /// Removes what was moved away; needs no lock, as nobody looks there.
    pub(crate) fn empty_trash(&self, trash: &[OsString]) -> Result<()> {
        for name in trash {
            self.folder.remove_tree(name).map_err(self.folder.cannot_write(name))?;
        }
        self.folder.sync().map_err(self.folder.cannot_write(""))
    }

    /// How many bytes the files of an entry have.
    pub(crate) fn bytes_of(&self, name: &OsStr) -> u64 {
        self.folder.tree_bytes(name).unwrap_or_default()
    }
}
