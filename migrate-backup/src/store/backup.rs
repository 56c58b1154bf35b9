//! A complete backup: `ID/manifest.json`, its hash beside it, and `ID/dump/`.

use std::{
    ffi::OsStr,
    io::{self, ErrorKind},
    path::PathBuf,
};

use migrate_core::{
    error::{Error, Result},
    record::{BackupId, BackupState},
};

use super::{
    folder::{self, Folder, is_of_other_kind},
    lock::Reading,
};
use crate::manifest::{self, Manifest, Summary, Unusable};

pub(crate) const DUMP: &str = "dump";
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const MANIFEST_HASH: &str = "manifest.json.sha256";

/// A hash, two blanks, a name.
pub(crate) const LONGEST_HASH_FILE: u64 = 1024;

/// With an id in front of it, it fits into the name of a tar entry, which has 100 bytes.
const LONGEST_NAME: usize = 64;

/// A backup whose manifest is the one that was written. Its files need not be whole: only
/// `verify` knows.
#[derive(Debug)]
pub(crate) struct Backup {
    pub(crate) manifest: Manifest,
    pub(crate) manifest_sha256: String,
    /// The manifest as it stands on disk.
    pub(crate) manifest_bytes: Vec<u8>,
    folder: Folder,
}

impl Backup {
    /// `_reading` keeps it from being removed.
    pub(super) fn open(
        store: &Folder,
        id: &BackupId,
        _reading: &Reading,
    ) -> Result<Backup, Problem> {
        let folder = open_folder(store, id)?;
        let manifest_bytes = read_manifest(&folder)?;
        // The hash first: whatever was changed is damage, also the number of the format.
        let manifest_sha256 = check_hash(&folder, &manifest_bytes)?;
        let manifest = Manifest::parse(&manifest_bytes).map_err(Problem::Unusable)?;
        check_id(&manifest.summary, id)?;
        Ok(Backup { manifest, manifest_sha256, manifest_bytes, folder })
    }

    pub(crate) fn id(&self) -> &BackupId {
        &self.manifest.summary.backup_id
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What `pg_restore` reads.
    pub(crate) fn dump_path(&self) -> PathBuf {
        self.folder.join(DUMP)
    }
}

/// What a listing needs of a backup.
pub(super) fn summary(store: &Folder, id: &BackupId) -> Result<Summary, Problem> {
    let folder = open_folder(store, id)?;
    let bytes = read_manifest(&folder)?;
    // Before the hash: the number of an unknown version says more than that its hash is another.
    let summary = Summary::parse(&bytes).map_err(Problem::Unusable)?;
    check_hash(&folder, &bytes)?;
    check_id(&summary, id)?;
    Ok(summary)
}

/// Why an entry that has the name of a backup is none that can be used.
#[derive(Debug)]
pub(crate) enum Problem {
    NotThere,
    /// A link, a file, or of another owner: never made by us.
    Foreign(&'static str),
    Manifest(String),
    Unusable(Unusable),
    Unreadable(io::Error),
}

impl Problem {
    pub(crate) fn state(&self) -> BackupState {
        match self {
            Problem::NotThere | Problem::Foreign(_) => BackupState::Foreign,
            Problem::Manifest(_) | Problem::Unusable(Unusable::NotAManifest(_)) => {
                BackupState::DamagedManifest
            }
            Problem::Unusable(Unusable::UnknownVersion(_)) => BackupState::UnknownVersion,
            Problem::Unreadable(_) => BackupState::Unreadable,
        }
    }

    /// Whether it was once a backup, and something has changed it.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Problem::Manifest(_) | Problem::Unusable(Unusable::NotAManifest(_)))
    }

    /// As the error of a command that needs the backup.
    pub(super) fn error(self, store: &Folder, id: &BackupId) -> Error {
        let hint = match &self {
            Problem::NotThere => {
                return Error::usage(
                    format!("there is no backup {id} in {}", store.path().display()),
                    "`migrate-backup list` shows what there is; `--backups DIR` names another store",
                );
            }
            Problem::Unreadable(_) => None,
            Problem::Foreign(_) => Some("it was not made by this tool: look at it by hand"),
            Problem::Manifest(_) | Problem::Unusable(Unusable::NotAManifest(_)) => {
                Some("use another backup; `migrate-backup list` shows what there is")
            }
            Problem::Unusable(Unusable::UnknownVersion(_)) => {
                Some("use the version of migrate-backup that made it, or a newer one")
            }
        };
        match self {
            Problem::Unreadable(source) => {
                Error::ReadFile { path: store.join(id.as_str()), source }
            }
            problem => Error::Refused {
                kind: "unusable_backup",
                message: format!("the backup {id} cannot be used: {problem}"),
                hint: hint.map(str::to_owned),
            },
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Problem::NotThere => write!(f, "it is not there"),
            Problem::Foreign(what) => write!(f, "{what}"),
            Problem::Manifest(what) => write!(f, "{what}"),
            Problem::Unusable(what) => write!(f, "{what}"),
            Problem::Unreadable(err) => write!(f, "it cannot be read: {err}"),
        }
    }
}

fn open_folder(store: &Folder, id: &BackupId) -> Result<Folder, Problem> {
    let folder = store.folder(id.as_str()).map_err(|err| match err.kind() {
        ErrorKind::NotFound => Problem::NotThere,
        _ if is_of_other_kind(&err) => Problem::Foreign("it is a link or a file, and not a folder"),
        _ => Problem::Unreadable(err),
    })?;
    let stat = folder.stat().map_err(Problem::Unreadable)?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(Problem::Foreign("it belongs to another user"));
    }
    Ok(folder)
}

fn read_manifest(folder: &Folder) -> Result<Vec<u8>, Problem> {
    folder.read(MANIFEST, manifest::LARGEST_BYTES).map_err(|err| match err.kind() {
        ErrorKind::NotFound => Problem::Manifest(format!("it has no `{MANIFEST}`")),
        _ if is_of_other_kind(&err) => {
            Problem::Manifest(format!("its `{MANIFEST}` is not a file that we wrote: {err}"))
        }
        _ => Problem::Unreadable(err),
    })
}

/// The manifest against the hash beside it. Returns the hash.
fn check_hash(folder: &Folder, manifest: &[u8]) -> Result<String, Problem> {
    let sha256 = folder::sha256(manifest);
    let beside = folder.read(MANIFEST_HASH, LONGEST_HASH_FILE).map_err(|err| match err.kind() {
        ErrorKind::NotFound => Problem::Manifest(format!("it has no `{MANIFEST_HASH}`")),
        _ if is_of_other_kind(&err) => {
            Problem::Manifest(format!("its `{MANIFEST_HASH}` is not a file that we wrote: {err}"))
        }
        _ => Problem::Unreadable(err),
    })?;
    if beside != hash_line(&sha256).as_bytes() {
        return Err(Problem::Manifest(format!(
            "`{MANIFEST}` was changed: its SHA-256 is {sha256}, which is not what `{MANIFEST_HASH}` says"
        )));
    }
    Ok(sha256)
}

fn check_id(summary: &Summary, id: &BackupId) -> Result<(), Problem> {
    if summary.backup_id == *id {
        return Ok(());
    }
    Err(Problem::Manifest(format!("its manifest is that of {}", summary.backup_id)))
}

/// As `sha256sum` writes it, so that `sha256sum -c` checks it without us.
pub(crate) fn hash_line(sha256: &str) -> String {
    format!("{sha256}  {MANIFEST}\n")
}

/// `dump/NAME`, if the name is one that `pg_dump` could have made: nothing else is taken, so that
/// no manifest and no archive can lead out of the folder.
pub(crate) fn dump_path(name: &OsStr) -> Option<String> {
    let name = name.to_str()?;
    let plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'-');
    let fits = !name.is_empty() && name.len() <= LONGEST_NAME && !name.starts_with(['.', '-']);
    (fits && name.bytes().all(plain)).then(|| format!("{DUMP}/{name}"))
}
