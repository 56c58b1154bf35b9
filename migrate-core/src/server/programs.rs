//! Finds the PostgreSQL programs that are installed on this machine, of any major version.

use std::{
    cmp::Reverse,
    env, fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    process,
};

/// Names the only folders to look into, separated by colons.
const OVERRIDE: &str = "MIGRATE_PG_BIN";

/// Where packages put them; `*` stands for one folder name.
const USUAL_FOLDERS: [&str; 8] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/opt/homebrew/bin",
    "/usr/local/opt/postgresql*/bin",
    "/usr/local/bin",
];

/// Debian's `/usr/bin/pg_dump` is this script, which picks a version by rules of its own.
const DEBIAN_WRAPPER: &str = "pg_wrapper";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Required {
    /// What runs a server: `postgres`, `initdb`, `pg_ctl`.
    Server,
    /// What works with one: `pg_dump`, `pg_restore`, `psql`.
    Client,
}

/// Programs of one version, all in one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    pub bin_dir: PathBuf,
    pub major: u32,
    /// As the programs say it: `15.18`, `18beta1`.
    pub version: String,
}

impl Programs {
    pub fn path(&self, program: &str) -> PathBuf {
        self.bin_dir.join(program)
    }
}

/// The newest ones, or the newest of that major version.
pub fn find(required: Required, major: Option<u32>) -> Result<Programs> {
    let folders = folders();
    let installed = installed_in(&folders, required);
    installed
        .iter()
        .find(|it| major.is_none_or(|major| it.major == major))
        .cloned()
        .ok_or_else(|| not_found(required, major, &installed, &folders))
}

/// All that are installed, newest first.
pub fn installed(required: Required) -> Vec<Programs> {
    installed_in(&folders(), required)
}

impl Required {
    fn names(self) -> [&'static str; 3] {
        match self {
            Required::Server => ["postgres", "initdb", "pg_ctl"],
            Required::Client => ["pg_dump", "pg_restore", "psql"],
        }
    }

    fn package(self) -> &'static str {
        match self {
            Required::Server => "postgresql",
            Required::Client => "postgresql-client",
        }
    }
}

fn folders() -> Vec<PathBuf> {
    if let Some(only) = env::var_os(OVERRIDE).filter(|it| !it.is_empty()) {
        return env::split_paths(&only).collect();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = USUAL_FOLDERS.iter().flat_map(|it| expand(it));
    let mut folders = Vec::new();
    for folder in env::split_paths(&path).filter(|it| it.is_absolute()).chain(usual) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// The folders that fit a pattern with at most one `*`.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or_default();
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    entries
        .flatten()
        .filter(|it| it.file_name().to_string_lossy().starts_with(prefix))
        .map(|it| it.path().join(after.trim_start_matches('/')))
        .filter(|it| it.is_dir())
        .collect()
}

fn installed_in(folders: &[PathBuf], required: Required) -> Vec<Programs> {
    let mut real_paths = Vec::new();
    let mut found = Vec::new();
    for folder in folders {
        let Some(real_path) = real_program(folder, required) else { continue };
        if real_paths.contains(&real_path) {
            continue;
        }
        real_paths.push(real_path);
        found.extend(ask_version(folder, required));
    }
    // A stable sort: of two equal versions the first on PATH is taken.
    found.sort_by_key(|it| Reverse((it.major, minor(&it.version))));
    found
}

/// Where the first of the programs really is, if the folder has them all.
fn real_program(folder: &Path, required: Required) -> Option<PathBuf> {
    let paths = required.names().map(|name| folder.join(name));
    if !paths.iter().all(|it| it.is_file()) {
        return None;
    }
    fs::canonicalize(&paths[0]).ok().filter(|it| !it.ends_with(DEBIAN_WRAPPER))
}

fn ask_version(folder: &Path, required: Required) -> Option<Programs> {
    let program = folder.join(required.names()[0]);
    let output = process::run(process::command(program).arg("--version"))
        .inspect_err(|err| log::debug!("{err}"))
        .ok()?;
    let (major, version) = parse_version(&String::from_utf8_lossy(&output.stdout))?;
    Some(Programs { bin_dir: folder.to_owned(), major, version })
}

/// From `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_version(line: &str) -> Option<(u32, String)> {
    let (_, rest) = line.split_once("(PostgreSQL) ")?;
    let version = rest.split_whitespace().next()?;
    let digits = version.split(|it: char| !it.is_ascii_digit()).next()?;
    Some((digits.parse().ok()?, version.to_owned()))
}

/// A beta has none and sorts before the release.
fn minor(version: &str) -> Option<u32> {
    version.split_once('.')?.1.parse().ok()
}

fn not_found(
    required: Required,
    major: Option<u32>,
    installed: &[Programs],
    folders: &[PathBuf],
) -> Error {
    let names = required.names().join(", ");
    let wanted = major.map_or(String::new(), |it| format!(" {it}"));
    let others: Vec<&str> = installed.iter().map(|it| it.version.as_str()).collect();
    let instead = match others.join(", ") {
        none if none.is_empty() => String::new(),
        others => format!(" (there is {others})"),
    };
    let list: Vec<_> = folders.iter().map(|it| it.display().to_string()).collect();
    let package = match major {
        Some(major) => format!("{}-{major}", required.package()),
        None => required.package().to_owned(),
    };
    Error::NoPrograms {
        message: format!(
            "found no PostgreSQL{wanted} programs {names}{instead}, looked in {}",
            list.join(", ")
        ),
        hint: Some(format!(
            "install them (apt-get install {package}), or set {OVERRIDE} to the folder they are in"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A folder with programs that only know their version.
    fn fake(parent: &Path, name: &str, version: &str) -> PathBuf {
        let folder = parent.join(name);
        fs::create_dir(&folder).unwrap();
        for program in Required::Client.names() {
            let path = folder.join(program);
            fs::write(&path, format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n"))
                .unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    #[test]
    fn the_newest_comes_first_and_copies_by_symlink_once() {
        let dir = tempfile::tempdir().unwrap();
        let folders = [
            fake(dir.path(), "a", "9.6.24"),
            fake(dir.path(), "b", "15.4 (Debian 15.4-1)"),
            fake(dir.path(), "c", "18beta1"),
            fake(dir.path(), "d", "15.18"),
            dir.path().join("e"),
        ];
        symlink(&folders[3], &folders[4]).unwrap();
        let versions: Vec<_> =
            installed_in(&folders, Required::Client).into_iter().map(|it| it.version).collect();
        assert_eq!(versions, ["18beta1", "15.18", "15.4", "9.6.24"]);
        assert_eq!(installed_in(&folders, Required::Server), []);
    }

    #[test]
    fn debians_wrapper_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let folder = fake(dir.path(), "bin", "15.4");
        let wrapper = dir.path().join(DEBIAN_WRAPPER);
        fs::rename(folder.join("pg_dump"), &wrapper).unwrap();
        symlink(&wrapper, folder.join("pg_dump")).unwrap();
        assert_eq!(installed_in(&[folder], Required::Client), []);
    }

    #[test]
    fn the_real_programs_of_this_machine_are_found() {
        for required in [Required::Server, Required::Client] {
            let newest = find(required, None).unwrap();
            assert_eq!(find(required, Some(newest.major)).unwrap(), newest);
        }
    }

    #[test]
    fn a_missing_version_is_an_error_that_names_the_package() {
        let there = Programs { bin_dir: "/b".into(), major: 15, version: "15.18".into() };
        let err = not_found(Required::Server, Some(17), &[there], &["/b".into(), "/c".into()]);
        assert_eq!(
            err.to_string(),
            "found no PostgreSQL 17 programs postgres, initdb, pg_ctl (there is 15.18), \
             looked in /b, /c"
        );
        assert!(err.hint().unwrap().contains("apt-get install postgresql-17"), "{err:?}");
    }
}
