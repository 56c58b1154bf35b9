//! The temporary folder of a private server; what killed runs left of such is removed by the next one.

use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    error::{Error, Result},
    server::embedded::Embedded,
};

/// Not in TMPDIR: a socket's path must be short, and the server's account must reach it.
const PARENT: &str = "/tmp";
const PREFIX: &str = "migrate-scratch-";
const DATA: &str = "pg";

/// Where the server's data is; goes when this is dropped, the server having stopped before.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A name that nobody else has; nothing is made yet.
    pub(super) fn new() -> Folder {
        Folder { path: Path::new(PARENT).join(format!("{PREFIX}{:016x}", fastrand::u64(..))) }
    }

    /// Anybody may pass through it to the server's own folder, nobody else write.
    pub(super) fn create(&self) -> Result<PathBuf> {
        let write_error = |source| Error::WriteFile { path: self.path.clone(), source };
        DirBuilder::new().mode(0o700).create(&self.path).map_err(write_error)?;
        fs::set_permissions(&self.path, Permissions::from_mode(0o711)).map_err(write_error)?;
        Ok(self.path.join(DATA))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    if let Err(err) = fs::remove_dir_all(path)
        && err.kind() != std::io::ErrorKind::NotFound
    {
        log::warn!("cannot remove {}: {err}; the next dry run tries again", path.display());
    }
}

/// Stops and removes the servers of runs that were killed. The system took their locks back.
pub(super) fn remove_leftovers() {
    let own = rustix::process::geteuid().as_raw();
    let Ok(entries) = fs::read_dir(PARENT) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir() && it.uid() == own);
        if !ours || Embedded::is_used(&path.join(DATA)).unwrap_or_else(|| is_new(&path)) {
            continue;
        }
        match Embedded::stop_unused(&path.join(DATA)) {
            Ok(true) => {
                log::debug!("removing {}, which a killed run left", path.display());
                remove(&path);
            }
            Ok(false) => (),
            Err(err) => log::debug!("cannot remove {}: {err}", path.display()),
        }
    }
}

/// Without a lock yet: somebody is just making it, or was killed while doing so.
fn is_new(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|it| it.modified()).map(|it| it.elapsed());
    age.is_ok_and(|it| it.is_ok_and(|it| it < Duration::from_secs(60)))
}
