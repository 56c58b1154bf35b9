//! Records on stdin: a plan, or the proof of a backup.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    str::FromStr,
};

use migrate_core::{
    connect::session::Facts,
    error::{Error, Result},
    migration::version::Version,
    record::Plan,
};
use serde_json::Value;

/// No record of ours is longer.
const LONGEST_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// The `-` that says: from stdin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dash;

impl FromStr for Dash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Dash, &'static str> {
        if text == "-" { Ok(Dash) } else { Err("only `-`, for stdin, is possible") }
    }
}

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
        read(io::stdin().lock(), "stdin", &mut take)?;
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
    read(io::stdin().lock(), "stdin", &mut |record| {
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

fn missing(record: &str, source: &str) -> Error {
    Error::refused(
        "input_missing",
        format!("the input holds no `{record}` record"),
        format!("feed it from `{source}`; a stage before may have failed"),
    )
}

/// Hands over the records of `input` one by one, so that memory doesn't grow with it; an `error`
/// record among them means that a stage before failed.
fn read(mut input: impl BufRead, name: &str, take: &mut dyn FnMut(Value)) -> Result<()> {
    for number in 1.. {
        let mut line = Vec::new();
        let read = input
            .by_ref()
            .take(LONGEST_LINE_BYTES)
            .read_until(b'\n', &mut line)
            .map_err(|source| Error::ReadFile { path: name.into(), source })?;
        if read == 0 {
            break;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let record: Value = serde_json::from_slice(&line)
            .ok()
            .filter(|it: &Value| it["type"].is_string())
            .ok_or_else(|| {
                Error::usage(
                    format!("{name}, line {number}: this is no record"),
                    "a record is a JSON object with a `type`, one a line",
                )
            })?;
        if record["type"] == "error" {
            return Err(Error::refused(
                "upstream_failed",
                format!(
                    "the stage before failed: {}",
                    record["message"].as_str().unwrap_or("without a message")
                ),
                "mend that first; nothing was done here",
            ));
        }
        take(record);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(input: &[u8]) -> Result<()> {
        read(input, "stdin", &mut drop)
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        for bad in
            ["{\"type\":\"a\"}\nnonsense\n", "{\"type\":\"a\"}\n{}\n", "{\"type\":\"a\"}\n[1]"]
        {
            let message = read_all(bad.as_bytes()).unwrap_err().to_string();
            assert!(message.starts_with("stdin, line 2"), "{message}");
        }
        let deep = "[".repeat(100_000);
        assert!(read_all(deep.as_bytes()).is_err());
    }

    #[test]
    fn an_error_from_upstream_is_refused() {
        let err = read_all(br#"{"type":"error","message":"x"}"#).unwrap_err();
        assert!(matches!(err, Error::Refused { kind: "upstream_failed", .. }));
    }
}
