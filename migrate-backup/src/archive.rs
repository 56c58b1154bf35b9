//! The form in which a backup travels: one `.tar.gz`, with the manifest in front.
//!
//! `tar xzf` unpacks it to the folder that the store has. Two exports of a backup are equal byte by
//! byte. Whoever reads one believes nothing in it before it was compared with the manifest, which
//! comes first and bounds everything that follows.

use std::{
    cell::Cell,
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    rc::Rc,
};

use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use migrate_core::{
    error::{Error, Result},
    record::BackupId,
};
use tar::{Archive, EntryType, Header};

use crate::{
    checksum,
    manifest::{self, Manifest},
    store::{
        backup::{self, Backup, DUMP, MANIFEST, MANIFEST_HASH},
        folder::{self, Tick},
    },
};

const BUFFER_BYTES: usize = 256 * 1024;
/// tar fills its last record with zeros, as far as a tape once wanted it.
const LONGEST_END: u64 = 1024 * 1024;

/// Writes a backup. Each file is compared with the manifest on the way; what is damaged ends the
/// archive before its end, so that nobody can take it for whole.
pub(crate) fn write(backup: &Backup, out: impl Write, tick: Tick<'_>) -> Result<()> {
    let open = Rc::new(Cell::new(true));
    let gate = Gate { out, open: Rc::clone(&open) };
    // The members are compressed already: to try again would cost time, and a few percent of size.
    let mut tar = tar::Builder::new(GzEncoder::new(gate, Compression::none()));
    let written = write_all(&mut tar, backup, tick);
    // Whatever ends the work early, the archive must not get an end that makes it look whole.
    open.set(written.is_ok());
    written?;
    let gzip = tar.into_inner().map_err(cannot_write)?;
    gzip.finish().and_then(|mut it| it.flush()).map_err(cannot_write)
}

/// A writer that can be closed: what others would write when they are dropped is lost.
struct Gate<W> {
    out: W,
    open: Rc<Cell<bool>>,
}

impl<W: Write> Write for Gate<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.get() { self.out.write(bytes) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn write_all(tar: &mut tar::Builder<impl Write>, backup: &Backup, tick: Tick<'_>) -> Result<()> {
    let hash = backup::hash_line(&backup.manifest_sha256);
    append(tar, backup, MANIFEST, &backup.manifest_bytes[..])?;
    append(tar, backup, MANIFEST_HASH, hash.as_bytes())?;
    let dump = backup.folder().folder(DUMP).map_err(backup.folder().cannot_read(DUMP))?;
    for file in &backup.manifest.files {
        let name = file.path.strip_prefix("dump/").unwrap_or(&file.path);
        let opened = dump.open_file(name).map_err(dump.cannot_read(name))?;
        if opened.metadata().map_err(dump.cannot_read(name))?.len() != file.bytes {
            return Err(damaged(backup.id(), &file.path));
        }
        let mut hashing = folder::Hashing::new(opened, tick);
        let mut header = header(backup, file.bytes);
        let path = format!("{}/{}", backup.id(), file.path);
        let written = tar.append_data(&mut header, path, (&mut hashing).take(file.bytes));
        let hashed = hashing.finish(&dump.join(name))?;
        written.map_err(cannot_write)?;
        if hashed.bytes != file.bytes || hashed.sha256 != file.sha256 {
            return Err(damaged(backup.id(), &file.path));
        }
    }
    Ok(())
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    backup: &Backup,
    name: &str,
    bytes: &[u8],
) -> Result<()> {
    let mut header = header(backup, bytes.len() as u64);
    let path = format!("{}/{name}", backup.id());
    tar.append_data(&mut header, path, bytes).map_err(cannot_write)
}

/// Nothing of the machine that it was made on.
fn header(backup: &Backup, bytes: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o600);
    header.set_mtime(backup.manifest.summary.created_at.timestamp().try_into().unwrap_or(0));
    header.set_size(bytes);
    header
}

fn cannot_write(source: io::Error) -> Error {
    Error::WriteFile { path: "stdout".into(), source }
}

fn damaged(id: &BackupId, path: &str) -> Error {
    Error::refused(
        "damaged_backup",
        format!("the backup {id} is damaged: `{path}` is not what was written"),
        format!("what was written to stdout is of no use; see `migrate-backup verify {id}`"),
    )
}

/// The front of an archive: enough to know what must follow.
pub(crate) struct Front {
    pub(crate) manifest: Manifest,
    pub(crate) manifest_bytes: Vec<u8>,
    pub(crate) manifest_sha256: String,
}

/// Reads an archive: first its front, which `begin` may refuse; then each file, which `take` stores.
/// Returns nothing if `begin` said that no more is wanted.
pub(crate) fn read<T>(
    input: impl Read,
    begin: impl FnOnce(Front) -> Result<Option<T>>,
    mut take: impl FnMut(&mut T, &str, &mut dyn Read) -> Result<()>,
) -> Result<Option<T>> {
    let mut archive = Archive::new(GzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, input)));
    let mut work = None;
    {
        // Raw: names that a header of their own brings are refused like any other kind of entry,
        // rather than read into memory however long they are.
        let mut entries = archive.entries().map_err(unreadable)?.raw(true);
        let front = read_front(&mut entries)?;
        let id = front.manifest.summary.backup_id.clone();
        let mut awaited: BTreeMap<String, u64> =
            front.manifest.files.iter().map(|it| (it.path.clone(), it.bytes)).collect();
        let Some(work) = work.insert(begin(front)?) else { return Ok(None) };
        for entry in entries {
            let mut entry = entry.map_err(unreadable)?;
            let Some(path) = path_of(&entry, Some(&id))? else { continue };
            let Some(bytes) = awaited.remove(&path) else {
                return Err(hostile(format!("`{path}` is twice in it, or not in its manifest")));
            };
            if entry.header().size().map_err(unreadable)? != bytes {
                return Err(hostile(format!("`{path}` has another size than in the manifest")));
            }
            take(work, &path, &mut entry)?;
        }
        if let Some((path, _)) = awaited.pop_first() {
            return Err(hostile(format!("`{path}` is in its manifest, and not in it")));
        }
    }
    read_end(archive.into_inner())?;
    Ok(work.flatten())
}

/// The manifest and its hash, which must agree with each other and with themselves.
fn read_front<R: Read>(entries: &mut tar::Entries<'_, R>) -> Result<Front> {
    let manifest_bytes = read_small(entries, MANIFEST, manifest::LARGEST_BYTES)?;
    let hash = read_small(entries, MANIFEST_HASH, backup::LONGEST_HASH_FILE)?;
    let (id, manifest_bytes) = manifest_bytes;
    let manifest_sha256 = folder::sha256(&manifest_bytes);
    if hash != (id.clone(), backup::hash_line(&manifest_sha256).into_bytes()) {
        return Err(hostile("its manifest is not the one that its hash says".to_owned()));
    }
    let manifest = Manifest::parse(&manifest_bytes).map_err(|err| hostile(err.to_string()))?;
    if manifest.summary.backup_id != id {
        return Err(hostile(format!("its manifest is that of {}", manifest.summary.backup_id)));
    }
    match checksum::manifest_against_itself(&manifest).first() {
        Some(damage) => Err(hostile(format!("its manifest is none of ours: {}", damage.message))),
        None => Ok(Front { manifest, manifest_bytes, manifest_sha256 }),
    }
}

/// A file whose name is known and whose size is bounded.
fn read_small<R: Read>(
    entries: &mut tar::Entries<'_, R>,
    name: &str,
    limit: u64,
) -> Result<(BackupId, Vec<u8>)> {
    for entry in entries {
        let mut entry = entry.map_err(unreadable)?;
        let Some(path) = path_of(&entry, None)? else { continue };
        let id = path.strip_suffix(name).and_then(|it| it.strip_suffix('/'));
        let id = id.and_then(|it| it.parse().ok()).ok_or_else(|| {
            Error::usage(
                format!("the archive does not begin with `ID/{MANIFEST}` and `ID/{MANIFEST_HASH}`"),
                "make it with `migrate-backup export`",
            )
        })?;
        if entry.header().size().map_err(unreadable)? > limit {
            return Err(hostile(format!("its `{name}` is larger than {limit} bytes")));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(unreadable)?;
        return Ok((id, bytes));
    }
    Err(unreadable(io::ErrorKind::UnexpectedEof.into()))
}

/// The path of a file, without the id if that is known. Nothing for a folder, which tar makes an
/// entry where it packs one; all else is refused.
fn path_of<R: Read>(entry: &tar::Entry<'_, R>, id: Option<&BackupId>) -> Result<Option<String>> {
    let kind = entry.header().entry_type();
    let bytes = entry.path_bytes();
    let path = String::from_utf8_lossy(&bytes).into_owned();
    if kind == EntryType::Directory {
        return Ok(None);
    }
    if kind != EntryType::Regular {
        return Err(hostile(format!(
            "`{}` is no file, but a link, a device, a pipe or an extension",
            path.escape_debug()
        )));
    }
    let Some(id) = id else { return Ok(Some(path)) };
    match path.strip_prefix(id.as_str()).and_then(|it| it.strip_prefix('/')) {
        Some(inside) => Ok(Some(inside.to_owned())),
        None => Err(hostile(format!("`{}` leads out of its folder", path.escape_debug()))),
    }
}

/// Nothing may follow, and the checksum of gzip is at its very end.
fn read_end(mut gzip: GzDecoder<impl BufRead>) -> Result<()> {
    let mut end = (&mut gzip).take(LONGEST_END + 1);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    loop {
        match end.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) if buffer[..read].iter().any(|it| *it != 0) => {
                return Err(hostile("something follows its end".to_owned()));
            }
            Ok(read) => bytes += read as u64,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => (),
            Err(err) => return Err(unreadable(err)),
        }
    }
    if bytes > LONGEST_END {
        return Err(hostile("its end has no end".to_owned()));
    }
    match gzip.into_inner().read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(hostile("something follows its end".to_owned())),
        Err(err) => Err(unreadable(err)),
    }
}

/// Made to harm, or by a mistake: in either case no archive that `export` would make.
pub(crate) fn hostile(what: String) -> Error {
    Error::refused(
        "hostile_archive",
        format!("the archive is refused: {what}"),
        "nothing was imported; make it anew with `migrate-backup export`",
    )
}

/// The input ends too early, is no archive, or cannot be read at all.
pub(crate) fn unreadable(source: io::Error) -> Error {
    let of_input = [
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::InvalidInput,
        io::ErrorKind::InvalidData,
        io::ErrorKind::Other,
    ];
    if of_input.contains(&source.kind()) {
        return Error::usage(
            format!("stdin is no whole archive of a backup: {source}"),
            "nothing was imported; feed it from `migrate-backup export`",
        );
    }
    Error::ReadFile { path: "stdin".into(), source }
}
