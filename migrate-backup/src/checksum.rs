//! Level `checksum`: the files of a backup against its manifest. Nothing may lack, be more, or be
//! anything else than the bytes that were written.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io::{self, ErrorKind},
};

use migrate_core::{
    error::{Error, Result},
    record::{Damage, DamageKind},
};
use rustix::fs::{FileType, Stat};

use crate::{
    manifest::{DumpFile, Manifest},
    store::{
        backup::{self, Backup, DUMP, MANIFEST, MANIFEST_HASH},
        folder::{self, Folder, Tick, is_of_other_kind},
    },
};

/// All that is wrong with the files of the backup, by path; nothing if they are what was written.
pub(crate) fn check(backup: &Backup, tick: Tick<'_>) -> Result<Vec<Damage>> {
    let mut damages = manifest_against_itself(&backup.manifest);
    let root = backup.folder();
    let names = root.names().map_err(root.cannot_read(""))?;
    for name in &names {
        if name == MANIFEST || name == MANIFEST_HASH {
            damages.extend(linked_elsewhere(root, name, &name.to_string_lossy()));
        } else if name != DUMP {
            damages.push(extra(name.to_string_lossy().into_owned()));
        }
    }
    match root.folder(DUMP) {
        Ok(dump) => damages.extend(check_dump(&dump, &backup.manifest, tick)?),
        Err(err) => damages.push(cannot_open(DUMP.to_owned(), &err)),
    }
    damages.sort_by(|one, other| one.object.cmp(&other.object));
    Ok(damages)
}

/// What no manifest of ours says, though its hash is right: written by somebody else.
pub(crate) fn manifest_against_itself(manifest: &Manifest) -> Vec<Damage> {
    let mut damages = Vec::new();
    let mut wrong = |message: String| damages.push(damage(MANIFEST, DamageKind::Manifest, message));
    let mut paths: Vec<&str> = Vec::new();
    for file in &manifest.files {
        if name_in_dump(&file.path).is_none() {
            wrong(format!("it names `{}`, which is no file of a dump", file.path.escape_debug()));
        }
        paths.push(&file.path);
    }
    paths.sort_unstable();
    for pair in paths.windows(2).filter(|it| it[0] == it[1]) {
        wrong(format!("it names `{}` twice", pair[0].escape_debug()));
    }
    let sum = manifest.files.iter().try_fold(0_u64, |sum, it| sum.checked_add(it.bytes));
    if sum != Some(manifest.summary.bytes) {
        wrong("its sizes do not add up to its total".to_owned());
    }
    damages
}

/// The name below `dump/` of a path in the manifest.
fn name_in_dump(path: &str) -> Option<&str> {
    let name = path.strip_prefix(DUMP)?.strip_prefix('/')?;
    backup::dump_path(OsStr::new(name)).map(|_| name)
}

fn check_dump(dump: &Folder, manifest: &Manifest, tick: Tick<'_>) -> Result<Vec<Damage>> {
    let names = dump.names().map_err(dump.cannot_read(""))?;
    let mut there: BTreeMap<OsString, bool> = names.into_iter().map(|it| (it, false)).collect();
    let mut damages = Vec::new();
    for file in &manifest.files {
        let Some(name) = name_in_dump(&file.path) else { continue };
        match there.get_mut(OsStr::new(name)) {
            None => damages.push(damage(&file.path, DamageKind::Missing, "it is missing".into())),
            // Named twice: the manifest's own damage.
            Some(true) => (),
            Some(seen) => {
                *seen = true;
                damages.extend(check_file(dump, name, file, tick)?);
            }
        }
    }
    let surplus = there.into_iter().filter(|(_, seen)| !seen);
    damages.extend(surplus.map(|(name, _)| extra(format!("{DUMP}/{}", name.to_string_lossy()))));
    Ok(damages)
}

fn check_file(
    dump: &Folder,
    name: &str,
    file: &DumpFile,
    tick: Tick<'_>,
) -> Result<Option<Damage>> {
    let mut opened = match dump.open_file(name) {
        Ok(opened) => opened,
        Err(err) => return Ok(Some(cannot_open(file.path.clone(), &err))),
    };
    if let Some(linked) = linked_elsewhere(dump, OsStr::new(name), &file.path) {
        return Ok(Some(linked));
    }
    // The size first: it is known at once, and says more than another hash.
    let bytes = opened.metadata().map_err(dump.cannot_read(name))?.len();
    if bytes != file.bytes {
        let message = format!("it has {bytes} bytes, and was written with {}", file.bytes);
        return Ok(Some(damage(&file.path, DamageKind::Size, message)));
    }
    match folder::hash(&mut opened, &dump.join(name), tick) {
        Ok(hashed) if hashed.sha256 == file.sha256 => Ok(None),
        Ok(hashed) => {
            let message =
                format!("its SHA-256 is {}, and was {} when written", hashed.sha256, file.sha256);
            Ok(Some(damage(&file.path, DamageKind::Sha256, message)))
        }
        // A sector that cannot be read is what one looks for here.
        Err(Error::ReadFile { source, .. }) => Ok(Some(cannot_open(file.path.clone(), &source))),
        Err(err) => Err(err),
    }
}

/// Who has another name for the file can change it without touching this folder.
fn linked_elsewhere(folder: &Folder, name: &OsStr, path: &str) -> Option<Damage> {
    let stat: Stat = match folder.stat_of(name) {
        Ok(stat) => stat,
        Err(err) => return Some(cannot_open(path.to_owned(), &err)),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        let message = "it is a link, a pipe, a device or a folder".to_owned();
        return Some(damage(path, DamageKind::NotAFile, message));
    }
    let message = format!("it has {} names: hard links", stat.st_nlink);
    (stat.st_nlink > 1).then(|| damage(path, DamageKind::HardLink, message))
}

fn cannot_open(path: String, err: &io::Error) -> Damage {
    let (kind, message) = match err.kind() {
        ErrorKind::NotFound => (DamageKind::Missing, "it is missing".to_owned()),
        _ if is_of_other_kind(err) => {
            (DamageKind::NotAFile, "it is a link, or of another kind than was written".to_owned())
        }
        _ => (DamageKind::Unreadable, format!("it cannot be read: {err}")),
    };
    Damage { object: path, kind, message }
}

fn extra(path: String) -> Damage {
    damage(&path, DamageKind::Extra, "it is not in the manifest".to_owned())
}

fn damage(object: &str, kind: DamageKind, message: String) -> Damage {
    Damage { object: object.to_owned(), kind, message }
}
