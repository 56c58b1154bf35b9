//! Hands a connection on to PostgreSQL's own programs: as variables, and what is secret in memory.

use std::{
    fs::{File, Permissions},
    io::Write,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    process::Command,
};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::{
    connect::settings::Settings,
    error::{Error, Result},
};

/// Files that exist in memory only; they must live until the program was started.
#[derive(Debug)]
#[must_use = "the program reads them"]
pub struct Handed {
    _files: Vec<File>,
}

/// Lets `command` connect as `settings` say. Nothing secret is in its arguments, its environment
/// or on a disk: the password file is one without a name, which is gone with its last user.
pub fn connect_by(command: &mut Command, settings: &Settings) -> Result<Handed> {
    for (name, value) in settings.environment() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    // Ours, with what may be a password in it.
    command.env_remove("DATABASE_URL");
    let mut files = Vec::new();
    if let Some(text) = settings.passfile_text() {
        command.env("PGPASSFILE", in_memory(&mut files, &text)?);
    }
    // What libpq has no variable for.
    if let Some(text) = settings.service_text() {
        command.env("PGSERVICEFILE", in_memory(&mut files, &format!("[migrate]\n{text}"))?);
        command.env("PGSERVICE", "migrate");
    }
    Ok(Handed { _files: files })
}

/// The path by which a child finds a file with this text; libpq wants it to be readable by its
/// owner only.
fn in_memory(files: &mut Vec<File>, text: &str) -> Result<String> {
    let path = |file: &File| format!("/proc/self/fd/{}", file.as_raw_fd());
    // Without CLOEXEC: it is meant for the child.
    let mut file = File::from(
        memfd_create("migrate", MemfdFlags::empty())
            .map_err(|err| Error::WriteFile { path: "memfd".into(), source: err.into() })?,
    );
    file.set_permissions(Permissions::from_mode(0o600))
        .and_then(|()| file.write_all(text.as_bytes()))
        .map_err(|source| Error::WriteFile { path: "memfd".into(), source })?;
    let name = path(&file);
    files.push(file);
    Ok(name)
}
