//! The folder of a private server: who may use it, its locks, and where its socket lies.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, fchown},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::account::{Account, is_root};
use crate::error::{Error, Result};

/// Longer than a first start on a slow disk, or the recovery after a crash, may take.
const LOCK_LIMIT: Duration = Duration::from_secs(180);

/// What a Unix socket's path may have, on every system, less `/.s.PGSQL.5432`.
const SOCKET_FOLDER_BYTES: usize = 103 - 14;

#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) account: Account,
}

impl Folder {
    /// Makes the folder, or checks that it is one of ours.
    pub(super) fn open(dir: &Path) -> Result<Folder> {
        let path = real_path(dir)?;
        let account = Account::for_folder(&path)?;
        account.check_reach(&path)?;
        let folder = Folder { path, account };
        folder.create()?;
        Ok(folder)
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the socket lies: in the folder itself, or under /tmp when its path is too long for
    /// a socket or has what libpq and PostgreSQL would take apart.
    pub(super) fn socket_folder(&self) -> PathBuf {
        let beside = self.join("run");
        match beside.to_str() {
            Some(text) if text.len() <= SOCKET_FOLDER_BYTES && !text.contains(',') => beside,
            _ => {
                let hash = Sha256::digest(self.path.as_os_str().as_bytes());
                let name: String = hash[..8].iter().map(|it| format!("{it:02x}")).collect();
                PathBuf::from(format!("/tmp/migrate-{name}"))
            }
        }
    }

    /// Held while the server is being started or stopped.
    pub(super) fn lock_exclusive(&self, name: &str) -> Result<File> {
        let file = self.open_lock(name)?;
        let deadline = Instant::now() + LOCK_LIMIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(source)) => {
                    return Err(Error::WriteFile { path: self.join(name), source });
                }
                Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                    return Err(Error::Embedded {
                        message: format!(
                            "another process has been starting or stopping the server in {} for \
                             {} s",
                            self.path.display(),
                            LOCK_LIMIT.as_secs()
                        ),
                        hint: Some(format!(
                            "see who holds it: fuser {}",
                            self.join(name).display()
                        )),
                    });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    pub(super) fn open_lock(&self, name: &str) -> Result<File> {
        let path = self.join(name);
        let open = || {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .mode(0o600)
                .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
                .open(&path)?;
            if is_root() {
                // So that the account can use the folder without root later.
                fchown(&file, Some(self.account.uid), Some(self.account.gid))?;
            }
            Ok(file)
        };
        open().map_err(|source| Error::WriteFile { path: path.clone(), source })
    }

    fn create(&self) -> Result<()> {
        if self.path.exists() {
            if !is_root() {
                self.account.check_own_folder(&self.path)?;
            }
            self.check_ours()?;
        } else if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent)
                .map_err(|source| Error::WriteFile { path: parent.to_owned(), source })?;
            // The umask may have made new parents too narrow.
            self.account.check_reach(&self.path)?;
        }
        self.account.own_folder(&self.path).map(drop)
    }

    /// A mistyped folder must not become a server's, nor change its owner.
    fn check_ours(&self) -> Result<()> {
        let read_error = |source| Error::ReadFile { path: self.path.clone(), source };
        let mut entries = fs::read_dir(&self.path).map_err(read_error)?;
        if entries.next().is_none() || self.join("start.lock").is_file() {
            return Ok(());
        }
        Err(Error::Embedded {
            message: format!("{} has files that are no private server's", self.path.display()),
            hint: Some(format!("name a new or empty folder: {}", self.join("pg").display())),
        })
    }
}

/// Absolute and without symbolic links, as far as it exists: one folder must have one name.
fn real_path(dir: &Path) -> Result<PathBuf> {
    let read_error = |source| Error::ReadFile { path: dir.to_owned(), source };
    let absolute = std::path::absolute(dir).map_err(read_error)?;
    for existing in absolute.ancestors() {
        match fs::canonicalize(existing) {
            Ok(real) => {
                let rest = absolute.strip_prefix(existing).unwrap_or(Path::new(""));
                // Joining an empty path would add a slash.
                let missing = rest.components().next().is_some();
                return Ok(if missing { real.join(rest) } else { real });
            }
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(read_error(source)),
        }
    }
    Ok(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(path: &str) -> Folder {
        Folder {
            path: PathBuf::from(path),
            account: Account { uid: 1, gid: 1, name: "daemon".to_owned() },
        }
    }

    #[test]
    fn the_socket_lies_beside_the_data_where_its_path_fits() {
        assert_eq!(folder("/srv/pg").socket_folder(), Path::new("/srv/pg/run"));
        let long = format!("/{}", "x".repeat(86));
        for path in [long.as_str(), "/srv/a,b"] {
            let socket = folder(path).socket_folder();
            assert!(socket.starts_with("/tmp"), "{}", socket.display());
            assert_eq!(socket.as_os_str().len(), "/tmp/migrate-0123456789abcdef".len());
        }
    }

    #[test]
    fn a_link_and_a_relative_path_lead_to_the_same_folder() {
        let dir = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(dir.path()).unwrap();
        std::os::unix::fs::symlink(&real, real.join("link")).unwrap();
        assert_eq!(real_path(&real.join("link/new/pg")).unwrap(), real.join("new/pg"));
        assert_eq!(real_path(&real.join("link")).unwrap(), real);
        assert!(real_path(Path::new("pg")).unwrap().is_absolute());
    }

    #[test]
    fn a_folder_with_other_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), "").unwrap();
        let err = Folder::open(dir.path()).unwrap_err();
        assert!(err.to_string().ends_with("has files that are no private server's"), "{err}");
        assert!(err.hint().unwrap().contains("/pg"), "{err:?}");
    }
}
