//! A folder of migration files: reads it in parallel and puts it in order.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    panic,
    path::Path,
    thread,
};

use rustix::{
    buffer::spare_capacity,
    fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat},
};

use super::{
    Migration,
    file::{self, File},
    name::{self, Layout, escaped},
};
use crate::error::{Error, Result};

/// All migrations of a folder, in the order of their versions. Each file is opened and read once.
pub fn read_dir(dir: &Path) -> Result<Vec<Migration>> {
    let folder = open_folder(dir)?;
    let mut names = list(dir, &folder)?;
    // So that of several errors always the same one is told.
    names.sort_unstable();
    let workers = thread::available_parallelism().map_or(1, usize::from).min(8);
    // A thread costs about as much as reading a few dozen small files.
    let chunk = names.len().div_ceil(workers).max(64);
    let read = |names: &[OsString], room: usize| -> Result<Vec<File>> {
        let mut files = Vec::with_capacity(room);
        for name in names {
            files.extend(read_file(dir, &folder, name)?);
        }
        Ok(files)
    };
    let files = thread::scope(|scope| {
        let mut chunks = names.chunks(chunk);
        let first = chunks.next().unwrap_or_default();
        let others: Vec<_> =
            chunks.map(|names| scope.spawn(move || read(names, names.len()))).collect();
        let mut files = read(first, names.len())?;
        for other in others {
            files.extend(other.join().unwrap_or_else(|cause| panic::resume_unwind(cause))?);
        }
        Ok(files)
    })?;
    join(files)
}

/// Puts files in order and pairs together. Two files of one version are refused.
pub fn join(mut files: Vec<File>) -> Result<Vec<Migration>> {
    // Sorted by name they nearly are: few of them are compared.
    files.sort_by(|one, two| {
        let downs = |file: &File| file.name.layout == Layout::Down;
        one.name.version.cmp(&two.name.version).then(downs(one).cmp(&downs(two)))
    });
    let mut migrations: Vec<Migration> = Vec::with_capacity(files.len());
    for file in files {
        let previous = migrations.last_mut().filter(|last| last.version == file.name.version);
        match (previous, file.name.layout) {
            (Some(up), Layout::Down) if is_pair(up, &file) => add_down(up, file),
            (Some(previous), _) => return Err(duplicate(&previous.file, &file)),
            (None, Layout::Down) => return Err(lonely(&file.file)),
            (None, _) => migrations.extend(migration(file)),
        }
    }
    Ok(migrations)
}

fn is_pair(up: &Migration, down: &File) -> bool {
    let stem = |file: &str, ending| file.strip_suffix(ending).map(str::to_owned);
    up.down.is_none() && stem(&up.file, ".up.sql") == stem(&down.file, ".down.sql")
}

fn add_down(up: &mut Migration, file: File) {
    up.down_checksum = file.down_checksum;
    up.down = file.down;
}

fn migration(file: File) -> Option<Migration> {
    Some(Migration {
        version: file.name.version,
        name: file.name.name,
        file: file.file,
        up: file.up?,
        down_checksum: file.down_checksum,
        down: file.down,
        checksum: file.checksum,
        risk: file.header.risk,
        estimate: file.header.estimate,
        requires: file.header.requires,
        author: file.header.author,
    })
}

fn duplicate(first: &str, second: &File) -> Error {
    Error::MigrationFile {
        file: second.file.clone(),
        message: format!("`{first}` has the version {} too", second.name.version),
        hint: Some(
            "give one of them another version; a pair differs only in `.up` and `.down`".to_owned(),
        ),
    }
}

fn lonely(file: &str) -> Error {
    let up = file.strip_suffix(".down.sql").unwrap_or(file);
    Error::MigrationFile {
        file: file.to_owned(),
        message: format!("there is no `{up}.up.sql`"),
        hint: Some("add the up file, or remove this one".to_owned()),
    }
}

fn open_folder(dir: &Path) -> Result<OwnedFd> {
    let unreadable = |source: io::Error| Error::MigrationFolder { path: dir.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(CWD, dir, flags, Mode::empty()).map_err(|e| unreadable(e.into()))?;
    let mode = fstat(&folder).map_err(|e| unreadable(e.into()))?.st_mode;
    // With the sticky bit others can add files, but not replace ours.
    if mode & 0o002 != 0 && mode & 0o1000 == 0 {
        return Err(Error::MigrationFile {
            file: escaped(dir.as_os_str()),
            message: "every user of this machine can write to the folder".to_owned(),
            hint: Some("take the right away with `chmod o-w`".to_owned()),
        });
    }
    Ok(folder)
}

fn list(dir: &Path, folder: &OwnedFd) -> Result<Vec<OsString>> {
    let unreadable = |source: io::Error| Error::MigrationFolder { path: dir.to_owned(), source };
    let mut names = Vec::new();
    for entry in Dir::read_from(folder).map_err(|e| unreadable(e.into()))? {
        let entry = entry.map_err(|e| unreadable(e.into()))?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if !name::is_migration(name) || entry.file_type() == FileType::Directory {
            continue;
        }
        names.push(name.to_owned());
        // Some file systems don't say what an entry is; then opening it tells.
        if !matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown) {
            return Err(not_a_file(name, entry.file_type()));
        }
    }
    Ok(names)
}

/// None for a folder. What isn't a regular file is never read: it might not end.
fn read_file(dir: &Path, folder: &OwnedFd, name: &OsStr) -> Result<Option<File>> {
    let unreadable = |source: io::Error| Error::ReadFile { path: dir.join(name), source };
    let Some(utf8) = name.to_str() else {
        return Err(name::refused(name, "the name is not UTF-8".to_owned()));
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match openat(folder, name, flags, Mode::empty()) {
        Err(rustix::io::Errno::LOOP) => return Err(not_a_file(name, FileType::Symlink)),
        other => other.map_err(|e| unreadable(e.into()))?,
    };
    let stat = fstat(&opened).map_err(|e| unreadable(e.into()))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Ok(None),
        other => return Err(not_a_file(name, other)),
    }
    let size = usize::try_from(stat.st_size).unwrap_or_default();
    let bytes = read_all(&opened, size).map_err(unreadable)?;
    file::parse(utf8, bytes).map(Some)
}

/// One byte more than the size lets the first read see the end.
fn read_all(file: &OwnedFd, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(size.saturating_add(1));
    loop {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(bytes.len().max(4096));
        }
        let before = bytes.len();
        let read = match rustix::io::read(file, spare_capacity(&mut bytes)) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if read == 0 || (before + read == size && size < 1 << 30) {
            return Ok(bytes);
        }
    }
}

fn not_a_file(name: &OsStr, kind: FileType) -> Error {
    let what = match kind {
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a pipe",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Socket => "a socket",
        _ => "not a regular file",
    };
    Error::MigrationFile {
        file: escaped(name),
        message: format!("this is {what}, and only regular files are read"),
        hint: Some("put the file itself into the folder".to_owned()),
    }
}

#[cfg(test)]
#[path = "dir_tests.rs"]
mod tests;
