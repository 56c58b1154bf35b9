//! `pg_dump` in directory format, from a snapshot.

use std::path::Path;

use migrate_core::{
    connect::settings::Settings,
    error::{Error, Result},
    process,
    server::programs::{self, Programs, Required},
};

use crate::{
    names::pattern,
    program::{self, Remarks, Watch},
};

/// Beside pg_dump's own files, which pg_restore does not mind: the schema as data.
pub(crate) const INVENTORY: &str = "inventory.jsonl";

/// How long it may wait for a table that somebody else has locked: others would queue up behind.
const LOCK_WAIT_MS: u32 = 5_000;

/// How a dump is compressed: by what was measured, see docs/architecture.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// zstd is both smaller and faster, where this pg_dump has it.
    pub(crate) fn of(programs: &Programs) -> Compression {
        if programs.major >= 16 && has_zstd(programs) {
            Compression::Zstd
        } else {
            Compression::Gzip
        }
    }

    /// For `--compress`, and for the manifest.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "1",
            Compression::Zstd => "zstd:1",
        }
    }

    pub(crate) fn shown(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip:1",
            Compression::Zstd => "zstd:1",
        }
    }
}

/// Whether it was built with zstd, which it says before it connects.
fn has_zstd(programs: &Programs) -> bool {
    let mut probe = process::command(programs.path("pg_dump"));
    probe.args(["--compress=zstd", "--no-password", "--dbname=", "--host=/nonexistent"]);
    probe.env("LC_ALL", "C");
    match process::run(&mut probe) {
        Err(Error::Program { stderr, .. }) => !stderr.contains("does not support compression"),
        _ => false,
    }
}

/// The programs of the server's own version: an older pg_dump refuses, and what a newer one writes may
/// hold what this server's pg_restore does not know. The next newer one where its own is not there.
pub(crate) fn programs_for(major: u32) -> Result<Programs> {
    let nearest = programs::installed(Required::Client)
        .into_iter()
        .filter(|it| it.major >= major)
        .min_by_key(|it| it.major);
    match nearest {
        Some(found) => {
            if found.major != major {
                log::warn!(
                    "there is no pg_dump {major} for this server: {} of version {} writes what \
                     only a pg_restore of that version reads",
                    found.path("pg_dump").display(),
                    found.version
                );
            }
            log::info!("using {} {}", found.path("pg_dump").display(), found.version);
            Ok(found)
        }
        None => programs::find(Required::Client, Some(major)),
    }
}

/// What to dump, and how.
pub(crate) struct Dump<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) snapshot: &'a str,
    pub(crate) jobs: u32,
    pub(crate) compression: Compression,
    /// A folder that is not there yet.
    pub(crate) into: &'a Path,
    /// Tables whose rows are left out.
    pub(crate) without_rows: &'a [(String, String)],
}

impl Dump<'_> {
    pub(crate) fn run(&self, settings: &Settings, watch: Watch<'_>) -> Result<Remarks> {
        let mut command = process::command(self.programs.path("pg_dump"));
        command
            .args(["--format=directory", "--no-password", "--verbose", "--no-sync"])
            .arg(format!("--jobs={}", self.jobs))
            .arg(format!("--snapshot={}", self.snapshot))
            .arg(format!("--lock-wait-timeout={LOCK_WAIT_MS}"))
            .arg(format!("--compress={}", self.compression.name()))
            .arg("--file")
            .arg(self.into);
        for (schema, name) in self.without_rows {
            command.arg(format!("--exclude-table-data={}", pattern(schema, name)));
        }
        program::run(&mut command, settings, watch)
    }
}
