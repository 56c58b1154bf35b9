//! Who made a backup: one that was imported may hold anything, and what uses it must be told to trust it.

use migrate_core::{
    error::{Error, Result},
    record::{AuditMatch, BackupId},
};

use crate::{load, store::Store, toc::Toc};

/// What becomes of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// pg_restore reads it.
    Read,
    /// A server runs the SQL in it.
    Run,
}

/// Whether whoever calls has said that the maker is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    Declared,
    Unknown,
}

/// Refuses an archive of unknown origin where it could do harm. What this store has made itself, or
/// what an audit log bears witness to, is known.
pub(crate) fn check(
    store: &Store,
    id: &BackupId,
    audit: AuditMatch,
    toc: &Toc,
    what: Use,
    trust: Trust,
) -> Result<()> {
    let known = audit == AuditMatch::Matches || !store.state(id)?.imported;
    if known || trust == Trust::Declared {
        return Ok(());
    }
    let programs = load::programs_to_read(toc)?;
    let why = if what == Use::Run {
        "whoever made it can run any SQL with your rights".to_owned()
    } else if load::is_safe_with_strangers(&programs) {
        return Ok(());
    } else {
        format!(
            "{} {} runs code out of crafted archives",
            programs.path("pg_restore").display(),
            programs.version
        )
    };
    Err(Error::refused(
        "unknown_origin",
        format!("the backup {id} was imported, and no audit log here knows it: {why}"),
        "if you know who made it, say so with `--trust-origin`",
    ))
}
