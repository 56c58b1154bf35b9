//! Records on stdin: a plan, or the proof of a backup.

use std::{fs::File, io::BufReader, path::Path};

use migrate_core::{
    connect::session::Facts,
    error::{Error, Result},
    input::{missing, read, read_stdin},
    migration::version::Version,
    record::Plan,
};
use serde_json::Value;

/// A plan as `migrate-apply plan` printed it.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    /// The version of its last step.
    pub(crate) last: Option<Version>,
}

/// Reads a plan to its end, before anything is locked or written.
pub(crate) fn read_plan(path: &Path) -> Result<Planned> {
    let mut last = None;
    let mut plan = None;
    let mut take = |record: Value| match record["type"].as_str() {
        Some("plan.step") => last = record["version"].as_str().and_then(|it| it.parse().ok()),
        Some("plan") => plan = Some(record),
        _ => (),
    };
    if path == Path::new("-") {
        read_stdin(&mut take)?;
    } else {
        let file =
            File::open(path).map_err(|source| Error::ReadFile { path: path.to_owned(), source })?;
        read(BufReader::new(file), &path.display().to_string(), &mut take)?;
    }
    let plan = plan.ok_or_else(|| missing("plan", "migrate-apply plan"))?;
    let plan = serde_json::from_value::<Plan>(plan).map_err(|err| {
        Error::usage(
            format!("the `plan` record cannot be read: {err}"),
            "make it anew with `migrate-apply plan`",
        )
    })?;
    Ok(Planned { plan, last })
}

/// Reads the proof of a backup from stdin to its end.
pub(crate) fn read_backup() -> Result<Value> {
    let mut verified = None;
    read_stdin(&mut |record| {
        if record["type"] == "backup.verified" {
            verified = Some(record);
        }
    })?;
    verified.ok_or_else(|| missing("backup.verified", "migrate-backup verify"))
}

/// The backup must be one of this very database.
pub(crate) fn check_backup(record: &Value, facts: &Facts) -> Result<()> {
    let of = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
    let (system, database) = (of("system_identifier"), of("database"));
    if system == facts.system_identifier && database == facts.database {
        return Ok(());
    }
    Err(Error::refused(
        "backup_of_another_database",
        format!(
            "the backup is of database `{database}` of system {system}, and this is `{}` of {}",
            facts.database, facts.system_identifier
        ),
        "make and verify a backup of this database",
    ))
}
