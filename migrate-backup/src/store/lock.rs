//! The store's lock: many may read backups at a time, and only who is alone removes some.
//!
//! `flock` on `STORE/.lock`: the system takes it back however a process ends. A run that makes a
//! backup holds a lock on its own folder instead, and needs no other.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use migrate_core::{
    error::{Error, Result},
    interrupt,
    text::took,
};
use rustix::fs::OFlags;

use super::folder::Folder;

const NAME: &str = ".lock";

/// While this lives, no backup of the store is removed.
#[derive(Debug)]
pub(crate) struct Reading {
    _file: Option<File>,
}

/// While this lives, nobody relies on a backup of the store.
#[derive(Debug)]
pub(crate) struct Removing {
    _file: File,
}

impl Reading {
    pub(super) fn take(store: &Folder, wait: Duration) -> Result<Reading> {
        let file = match open(store) {
            Ok(file) => file,
            // Where nothing can be written, nothing can be removed.
            Err(err) if is_read_only(&err) => return Ok(Reading { _file: None }),
            Err(source) => return Err(store.cannot_write(NAME)(source)),
        };
        acquire(store, &file, wait, File::try_lock_shared)?;
        Ok(Reading { _file: Some(file) })
    }
}

impl Removing {
    pub(super) fn take(store: &Folder, wait: Duration) -> Result<Removing> {
        let file = open(store).map_err(store.cannot_write(NAME))?;
        acquire(store, &file, wait, File::try_lock)?;
        Ok(Removing { _file: file })
    }
}

pub(super) fn is_lock(name: &std::ffi::OsStr) -> bool {
    name == NAME
}

fn open(store: &Folder) -> io::Result<File> {
    store.open_with(NAME, OFlags::RDWR | OFlags::CREATE)
}

fn is_read_only(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

fn acquire(
    store: &Folder,
    file: &File,
    wait: Duration,
    take: fn(&File) -> Result<(), TryLockError>,
) -> Result<()> {
    let began = Instant::now();
    loop {
        match take(file) {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(source)) => return Err(store.cannot_write(NAME)(source)),
            Err(TryLockError::WouldBlock) => (),
        }
        if let Some(signal) = interrupt::received() {
            let state = "it waited for the store's lock, and nothing was done".to_owned();
            return Err(Error::Interrupted { signal, state });
        }
        if began.elapsed() >= wait {
            return Err(Error::StoreBusy {
                store: store.path().to_owned(),
                holders: holders(file, &store.join(NAME)),
                waited: took(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            });
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Who holds the lock, by what the system says of it: that cannot be out of date.
fn holders(file: &File, path: &Path) -> String {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let inode = file.metadata().map(|it| it.ino()).unwrap_or_default();
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let found: Vec<String> =
        pids(&locks, inode).into_iter().filter(|&it| has_open(it, &path)).map(describe).collect();
    if found.is_empty() { "a process that cannot be seen".to_owned() } else { found.join(", ") }
}

/// From lines such as `3: FLOCK  ADVISORY  WRITE 4711 08:01:131075 0 EOF`.
fn pids(locks: &str, inode: u64) -> Vec<u32> {
    let holder = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = fields[..] else { return None };
        let same = place.rsplit(':').next()?.parse::<u64>().ok()? == inode;
        if same { pid.parse().ok() } else { None }
    };
    locks.lines().filter_map(holder).collect()
}

/// An inode's number means nothing without its file system. What we may not see, we believe.
fn has_open(pid: u32, path: &Path) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return true };
    files.flatten().any(|it| fs::read_link(it.path()).is_ok_and(|it| it == path))
}

/// The program and its first argument only: more could hold a password.
fn describe(pid: u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).into_owned();
    let mut words = words.split('\0').filter(|it| !it.is_empty());
    let program = words.next().map(PathBuf::from);
    let program = program.as_deref().and_then(Path::file_name).map(|it| it.to_string_lossy());
    let command = words.next().filter(|it| it.bytes().all(|it| it.is_ascii_lowercase()));
    match (program, command) {
        (Some(program), Some(command)) => format!("process {pid} (`{program} {command}`)"),
        (Some(program), None) => format!("process {pid} (`{program}`)"),
        (None, _) => format!("process {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        (dir, folder)
    }

    #[test]
    fn many_read_and_who_removes_is_alone() {
        let (_dir, folder) = store();
        let first = Reading::take(&folder, Duration::ZERO).unwrap();
        let second = Reading::take(&folder, Duration::ZERO).unwrap();
        assert!(Removing::take(&folder, Duration::ZERO).is_err());
        drop((first, second));
        let removing = Removing::take(&folder, Duration::ZERO).unwrap();
        assert!(Reading::take(&folder, Duration::ZERO).is_err());
        drop(removing);
        Reading::take(&folder, Duration::ZERO).unwrap();
    }

    #[test]
    fn who_holds_it_is_named() {
        let (_dir, folder) = store();
        let _reading = Reading::take(&folder, Duration::ZERO).unwrap();
        let message = Removing::take(&folder, Duration::ZERO).unwrap_err().to_string();
        assert!(message.contains(&format!("process {} (", std::process::id())), "{message}");
    }

    #[test]
    fn only_holders_of_this_file_are_read_out_of_the_systems_list() {
        let locks = "1: FLOCK  ADVISORY  WRITE 11 08:01:7 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 12 08:01:7 0 EOF\n\
                     3: POSIX  ADVISORY  WRITE 13 08:01:7 0 EOF\n\
                     4: FLOCK  ADVISORY  READ 14 08:01:77 0 EOF\n\
                     5: FLOCK  ADVISORY  READ 15 08:01:7 0 EOF\n";
        assert_eq!(pids(locks, 7), [11, 15]);
    }
}
