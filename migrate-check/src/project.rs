//! The project's own checks: files of queries in a folder beside the migrations.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use migrate_core::{
    config::Config,
    error::{Error, Result},
};

use crate::{
    check_file::CheckFile,
    file_run::{FileRun, Unjudged},
    place::Place,
    report::Report,
    runner::Limits,
    selection::Selection,
};

/// All of them, by name, looked through; a folder that nobody asked for need not be there.
pub(crate) fn read(wanted: Option<&Path>, config: &Config) -> Result<Vec<CheckFile>> {
    let folder = match wanted {
        Some(folder) => folder.to_owned(),
        None => config.migrations.parent().unwrap_or(Path::new("")).join("checks"),
    };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(err) if err.kind() == ErrorKind::NotFound && wanted.is_none() => return Ok(Vec::new()),
        Err(source) => return Err(Error::ReadFile { path: folder, source }),
    };
    let mut paths = entries
        .map(|it| it.map(|it| it.path()))
        .collect::<Result<Vec<PathBuf>, _>>()
        .map_err(|source| Error::ReadFile { path: folder, source })?;
    paths.retain(|it| it.extension().is_some_and(|it| it == "sql"));
    paths.sort();
    paths.iter().map(|it| CheckFile::read(it)).collect()
}

/// The checks of a file are picked by the file's name.
pub(crate) fn run(
    files: &[&CheckFile],
    place: &Place,
    limits: &Limits,
    report: &mut Report<'_>,
) -> Result<()> {
    let session = place.session(report.ctx())?;
    report.about(&session.facts().database);
    let run = FileRun {
        group: "project",
        session: &session,
        limits,
        selection: &Selection::default(),
        unjudged: Unjudged::Warn,
    };
    files.iter().try_for_each(|file| run.run(file, report))
}
