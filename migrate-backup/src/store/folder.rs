//! A folder that is held open, so that no link can lead elsewhere what is done below it.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use migrate_core::error::{Error, Result};
use rustix::{
    fd::OwnedFd,
    fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use sha2::{Digest, Sha256};

const FOLDER: Mode = Mode::RWXU;
const FILE: Mode = Mode::RUSR.union(Mode::WUSR);
const OPEN_FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const BUFFER_BYTES: usize = 1024 * 1024;

/// Told after each part of a long work how many bytes it was; may stop it with an error.
pub(crate) type Tick<'a> = &'a mut dyn FnMut(u64) -> Result<()>;

#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// What a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hashed {
    pub(crate) bytes: u64,
    /// Hexadecimal.
    pub(crate) sha256: String,
}

impl Folder {
    /// Opens a folder by its path. Its last part may not be a link.
    pub(crate) fn open(path: &Path) -> io::Result<Folder> {
        Ok(Folder { fd: fs::open(path, OPEN_FOLDER, Mode::empty())?, path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn stat(&self) -> io::Result<Stat> {
        Ok(fs::fstat(&self.fd)?)
    }

    /// Of the entry itself, not of what a link points at.
    pub(crate) fn stat_of(&self, name: impl AsRef<OsStr>) -> io::Result<Stat> {
        Ok(fs::statat(&self.fd, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    pub(crate) fn exists(&self, name: impl AsRef<OsStr>) -> io::Result<bool> {
        match self.stat_of(name) {
            Ok(_) => Ok(true),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(err) => Err(err),
        }
    }

    pub(crate) fn folder(&self, name: impl AsRef<OsStr>) -> io::Result<Folder> {
        let name = name.as_ref();
        let fd = fs::openat(&self.fd, name, OPEN_FOLDER, Mode::empty())?;
        Ok(Folder { fd, path: self.join(name) })
    }

    /// Makes a folder for us alone; one that is there already is an error.
    pub(crate) fn make_folder(&self, name: impl AsRef<OsStr>) -> io::Result<Folder> {
        fs::mkdirat(&self.fd, name.as_ref(), FOLDER)?;
        self.folder(name)
    }

    /// All names but `.` and `..`, in order.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Opens a regular file to read. A pipe does not block, and is refused like any other kind.
    pub(crate) fn open_file(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        self.open_with(name, OFlags::RDONLY)
    }

    pub(crate) fn open_with(&self, name: impl AsRef<OsStr>, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = fs::openat(&self.fd, name.as_ref(), flags, FILE)?;
        if FileType::from_raw_mode(fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file"));
        }
        Ok(File::from(fd))
    }

    /// Makes a file for us alone; one that is there already is an error.
    pub(crate) fn create_file(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        self.open_with(name, flags)
    }

    /// Reads a small file whole; one that is larger than `limit` is an error.
    pub(crate) fn read(&self, name: impl AsRef<OsStr>, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open_file(name)?;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            let message = format!("it is larger than {limit} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(bytes)
    }

    /// Writes a new file, down to the disk.
    pub(crate) fn write(&self, name: impl AsRef<OsStr>, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.create_file(name)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    pub(crate) fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(fs::renameat(&self.fd, from.as_ref(), &self.fd, to.as_ref())?)
    }

    /// Brings the names in it down to the disk. What fsync says once, it does not say again: an
    /// error is never tried again as if it could become a success.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(fs::fsync(&self.fd)?)
    }

    /// Takes rights away from everybody else, as a program may have been more generous.
    pub(crate) fn make_private(&self) -> io::Result<()> {
        Ok(fs::fchmod(&self.fd, FOLDER)?)
    }

    /// Another handle to it, as a file: to be locked.
    pub(crate) fn as_file(&self) -> io::Result<File> {
        Ok(File::from(fs::openat(&self.fd, ".", OPEN_FOLDER, Mode::empty())?))
    }

    pub(crate) fn remove_file(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        unless_gone(fs::unlinkat(&self.fd, name.as_ref(), AtFlags::empty()))
    }

    /// Removes an entry and all below it. Links are removed, never followed. What somebody else
    /// removes meanwhile is as good.
    pub(crate) fn remove_tree(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let name = name.as_ref();
        let folder = match self.folder(name) {
            Ok(folder) => folder,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(err) if is_of_other_kind(&err) => return self.remove_file(name),
            Err(err) => return Err(err),
        };
        for entry in folder.names()? {
            folder.remove_tree(entry)?;
        }
        unless_gone(fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR))
    }

    /// What the file system has left for users like us.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        let stat = fs::fstatvfs(&self.fd)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// How many bytes an entry and all below it have. Links are not followed.
    pub(crate) fn tree_bytes(&self, name: impl AsRef<OsStr>) -> io::Result<u64> {
        let stat = self.stat_of(&name)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(u64::try_from(stat.st_size).unwrap_or_default());
        }
        let folder = self.folder(&name)?;
        folder.names()?.into_iter().map(|it| folder.tree_bytes(it)).sum()
    }

    pub(crate) fn cannot_read(&self, name: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        let path = self.join(name);
        move |source| Error::ReadFile { path, source }
    }

    pub(crate) fn cannot_write(&self, name: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        let path = self.join(name);
        move |source| Error::WriteFile { path, source }
    }
}

/// Whether the entry is a link or of another kind than was asked for.
pub(crate) fn is_of_other_kind(err: &io::Error) -> bool {
    let errno = Errno::from_io_error(err);
    matches!(errno, Some(Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO))
        || matches!(err.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
}

fn unless_gone(removed: rustix::io::Result<()>) -> io::Result<()> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

/// Makes a file ours alone and brings it down to the disk, and lets the system forget its bytes, so
/// that who reads it next gets what the disk has.
pub(crate) fn settle(file: &File) -> io::Result<()> {
    fs::fchmod(file, FILE)?;
    file.sync_all()?;
    // Only advice: where it is not taken, the bytes come out of memory.
    let _ = fs::fadvise(file, 0, None, fs::Advice::DontNeed);
    Ok(())
}

/// Reads a file to its end.
pub(crate) fn hash(file: &mut File, path: &Path, tick: Tick<'_>) -> Result<Hashed> {
    let mut hashing = Hashing::new(file, tick);
    let mut buffer = vec![0; BUFFER_BYTES];
    while !matches!(hashing.read(&mut buffer), Ok(0) | Err(_)) {}
    hashing.finish(path)
}

/// Hashes what is read through it. The first error ends it, and is told by [`Hashing::finish`].
pub(crate) struct Hashing<'t, R> {
    from: R,
    tick: Tick<'t>,
    hasher: Sha256,
    bytes: u64,
    failed: Option<Failed>,
}

enum Failed {
    Read(io::Error),
    Stopped(Error),
}

impl<'t, R: Read> Hashing<'t, R> {
    pub(crate) fn new(from: R, tick: Tick<'t>) -> Hashing<'t, R> {
        Hashing { from, tick, hasher: Sha256::new(), bytes: 0, failed: None }
    }

    /// What was read, from the file at `path`.
    pub(crate) fn finish(self, path: &Path) -> Result<Hashed> {
        match self.failed {
            None => Ok(Hashed { bytes: self.bytes, sha256: hex(&self.hasher.finalize()) }),
            Some(Failed::Read(source)) => Err(Error::ReadFile { path: path.to_owned(), source }),
            Some(Failed::Stopped(err)) => Err(err),
        }
    }

    fn fail(&mut self, failed: Failed) -> io::Error {
        self.failed = Some(failed);
        io::Error::other("see `finish`")
    }
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = loop {
            match self.from.read(buffer) {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => (),
                Err(err) => return Err(self.fail(Failed::Read(err))),
                Ok(read) => break read,
            }
        };
        self.hasher.update(&buffer[..read]);
        self.bytes += read as u64;
        match (self.tick)(read as u64) {
            Ok(()) => Ok(read),
            Err(err) => Err(self.fail(Failed::Stopped(err))),
        }
    }
}

/// The SHA-256 of bytes in memory, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}
