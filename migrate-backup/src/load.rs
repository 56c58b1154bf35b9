//! `pg_restore`: reads a whole archive, or loads it into a database.

use std::path::Path;

use migrate_core::{
    connect::settings::Settings,
    error::{Error, Result},
    process,
    server::programs::{self, Programs, Required},
};

use crate::{
    names::dbname,
    program::{self, Remarks, Watch},
    toc::Toc,
};

/// The first minor releases that refuse what a crafted archive may do to who reads it.
const SAFE_WITH_STRANGERS: [(u32, u32); 4] = [(15, 20), (16, 16), (17, 12), (18, 7)];

/// The programs of a server's own version: what newer ones send, it may not know.
pub(crate) fn programs_for(major: u32) -> Result<Programs> {
    let found = programs::find(Required::Client, Some(major))?;
    log::info!("using {} {}", found.path("pg_restore").display(), found.version);
    Ok(found)
}

/// The programs that read an archive, without a database: at least as new as what wrote it.
pub(crate) fn programs_to_read(toc: &Toc) -> Result<Programs> {
    let major = toc.major().unwrap_or_default();
    let nearest = programs::installed(Required::Client)
        .into_iter()
        .filter(|it| it.major >= major)
        .min_by_key(|it| it.major);
    nearest.map_or_else(|| programs::find(Required::Client, Some(major)), Ok)
}

/// An archive of a newer pg_dump is not read, or is read wrongly.
pub(crate) fn refuse_newer(toc: &Toc, programs: &Programs) -> Result<()> {
    if toc.major().is_none_or(|it| it <= programs.major) {
        return Ok(());
    }
    Err(Error::refused(
        "newer_archive",
        format!(
            "the archive was written by pg_dump {}, and {} is of version {}",
            toc.dumped_by,
            programs.path("pg_restore").display(),
            programs.version
        ),
        "restore it into a server of that version, or a newer one",
    ))
}

/// Whether this pg_restore may read an archive of which nobody knows who made it.
pub(crate) fn is_safe_with_strangers(programs: &Programs) -> bool {
    let minor: u32 = programs
        .version
        .split_once('.')
        .and_then(|(_, it)| it.split(|it: char| !it.is_ascii_digit()).next()?.parse().ok())
        .unwrap_or_default();
    let newest_known = SAFE_WITH_STRANGERS[SAFE_WITH_STRANGERS.len() - 1].0;
    programs.major > newest_known
        || SAFE_WITH_STRANGERS.contains(&(programs.major, minor))
        || SAFE_WITH_STRANGERS.iter().any(|&(major, safe)| programs.major == major && minor > safe)
}

/// Decompresses and reads every byte of the archive, and throws the SQL away.
pub(crate) fn read(programs: &Programs, dump: &Path, watch: Watch<'_>) -> Result<Remarks> {
    let mut command = process::command(programs.path("pg_restore"));
    command.args(["--format=directory", "--verbose", "--file=/dev/null"]).arg(dump);
    // It connects to nothing.
    let nowhere = Settings::resolve(Some("host=/nonexistent user=nobody"), &|_| None)?;
    program::run(&mut command, &nowhere, watch)
}

/// How to load an archive.
pub(crate) struct Load<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) dump: &'a Path,
    pub(crate) jobs: u32,
    /// Where the tablespaces of the original are not to be used.
    pub(crate) without_tablespaces: bool,
}

impl Load<'_> {
    /// Into the empty database of `settings`. An error stops it; so does a warning that
    /// something was left out, at its end.
    pub(crate) fn run(&self, settings: &Settings, watch: Watch<'_>) -> Result<()> {
        let mut command = process::command(self.programs.path("pg_restore"));
        command
            .args(["--format=directory", "--no-password", "--verbose", "--exit-on-error"])
            .arg("--no-subscriptions")
            .arg(format!("--jobs={}", self.jobs))
            .arg(format!("--dbname={}", dbname(settings.dbname())));
        if self.without_tablespaces {
            command.arg("--no-tablespaces");
        }
        command.arg(self.dump);
        let remarks = program::run(&mut command, settings, watch)?;
        match remarks.warnings.first() {
            None => Ok(()),
            Some(warning) => Err(Error::Failed {
                kind: "restore_warned",
                message: format!("`pg_restore` left something out: {warning}"),
                hint: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mended_programs_read_what_strangers_made() {
        let safe = |major, version: &str| {
            let version = version.to_owned();
            is_safe_with_strangers(&Programs { bin_dir: "/b".into(), major, version })
        };
        for (major, version, expected) in [
            (15, "15.18", false),
            (15, "15.20", true),
            (15, "15.21", true),
            (14, "14.99", false),
            (18, "18.6", false),
            (18, "18.7", true),
            (18, "18beta1", false),
            (19, "19.0", true),
        ] {
            assert_eq!(safe(major, version), expected, "{version}");
        }
    }
}
