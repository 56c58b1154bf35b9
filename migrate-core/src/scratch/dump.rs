//! Carries a schema over: pg_dump reads the target, psql fills the copy.

use std::process::Command;

use super::check_interrupted;
use crate::{
    connect::settings::Settings,
    error::{Error, Result},
    process,
    server::programs::Programs,
};

/// Subscriptions would be those of the target, to the same publishers. Providers of security
/// labels are not loaded in the copy; tablespaces are made there, and not needed for empty tables.
const DUMP: [&str; 6] = [
    "--schema-only",
    "--no-subscriptions",
    "--no-security-labels",
    "--no-tablespaces",
    "--encoding=UTF8",
    // Behind an ACCESS EXCLUSIVE lock: others would queue up behind us.
    "--lock-wait-timeout=5000",
];

/// Written by pg_dump 17 and newer, unknown to servers before that, and the default.
const TRANSACTION_TIMEOUT: &str = "\nSET transaction_timeout = 0;\n";

/// Whether owners and privileges are carried over, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    Copied,
    /// Only a superuser can give objects to others.
    LeftOut,
}

/// Reads the schema behind `source`, but for the tables of the patterns `left_out`, and makes it
/// in the copy as `filler`.
pub(super) fn copy(
    source: &Settings,
    filler: &Settings,
    client: &Programs,
    rights: Rights,
    left_out: &[String],
) -> Result<()> {
    let mut dump = process::command(client.path("pg_dump"));
    connect_by(&mut dump, source).args(DUMP);
    if rights == Rights::LeftOut {
        dump.args(["--no-owner", "--no-privileges"]);
    }
    dump.args(left_out.iter().map(|it| format!("--exclude-table={it}")));
    let dumped = process::run(&mut dump).map_err(|err| refused("read", err))?;
    check_interrupted()?;
    let sql = String::from_utf8_lossy(&dumped.stdout).replacen(TRANSACTION_TIMEOUT, "\n", 1);
    let mut filler = filler.clone();
    filler.add_option("-c synchronous_commit=off");
    let mut fill = process::command(client.path("psql"));
    connect_by(&mut fill, &filler);
    // Not one transaction: it would fill the lock table that the target has, too.
    fill.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]);
    process::run_with_input(&mut fill, sql.as_bytes()).map_err(|err| refused("made again", err))?;
    Ok(())
}

/// As libpq's environment variables; nothing secret stands in the arguments or in a file.
fn connect_by<'a>(command: &'a mut Command, settings: &Settings) -> &'a mut Command {
    for (name, value) in settings.environment() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(password) = settings.password() {
        command.env("PGPASSWORD", password);
    }
    command
}

fn refused(what: &str, err: Error) -> Error {
    if let Err(interrupted) = check_interrupted() {
        return interrupted;
    }
    match err {
        Error::Program { stderr, .. } => Error::refused(
            "no_copy",
            format!("the target's schema cannot be {what}: {}", stderr.trim()),
            "mend what it says, or use `--dry-run=here`; the target is as before",
        ),
        other => other,
    }
}
