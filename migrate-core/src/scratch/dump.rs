//! Carries a schema over: pg_dump reads the target, and what it says is made in the copy.

use tokio_postgres::error::SqlState;

use super::check_interrupted;
use crate::{
    connect::{session::Session, settings::Settings},
    error::{Error, PgError, Result},
    process,
    server::{client, programs::Programs},
    sql::{
        kind::Kind,
        split::{self, Statement},
    },
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

/// Whether owners and privileges are carried over, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    Copied,
    /// Only a superuser can give objects to others.
    LeftOut,
}

/// The schema behind `source` as SQL, but for the tables of the patterns `left_out`.
pub(super) fn read(
    source: &Settings,
    programs: &Programs,
    rights: Rights,
    left_out: &[String],
) -> Result<String> {
    let mut dump = process::command(programs.path("pg_dump"));
    let _handed = client::connect_by(&mut dump, source)?;
    dump.args(DUMP);
    if rights == Rights::LeftOut {
        dump.args(["--no-owner", "--no-privileges"]);
    }
    dump.args(left_out.iter().map(|it| format!("--exclude-table={it}")));
    let dumped = process::run(&mut dump).map_err(|err| match err {
        Error::Program { stderr, .. } => refused("read", stderr.trim()),
        other => other,
    });
    check_interrupted()?;
    Ok(String::from_utf8_lossy(&dumped?.stdout).into_owned())
}

/// Makes what a dump says. Not by psql, which would obey commands hidden in names; and not in one
/// transaction, which would fill the lock table that a copy beside the target shares with it.
pub(super) fn fill(session: &Session, dump: &str) -> Result<()> {
    for statement in split::split("dump", dump, 1) {
        let statement = statement?;
        check_interrupted()?;
        match session.run(statement.text(dump)) {
            Ok(()) => (),
            // A newer pg_dump sets what an older server does not know, to its default.
            Err(err) if is_unknown_setting(&statement, &err) => (),
            Err(err) => {
                let said = err.as_db_error().map_or_else(|| err.to_string(), ToString::to_string);
                return Err(refused("made again", &format!("{}: {said}", statement.tag())));
            }
        }
    }
    Ok(())
}

fn is_unknown_setting(statement: &Statement, err: &PgError) -> bool {
    matches!(statement.kind, Kind::Set { .. }) && err.code() == Some(&SqlState::UNDEFINED_OBJECT)
}

fn refused(what: &str, why: &str) -> Error {
    Error::refused(
        "no_copy",
        format!("the target's schema cannot be {what}: {why}"),
        "mend what it says, or use `--dry-run=here`; the target is as before",
    )
}
