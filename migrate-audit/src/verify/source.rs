//! Where else rows come from: the files of an archive; and single rows that are looked for.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    interrupt,
    ledger::Ledger,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{chain::Kept, damage::Lookup};
use crate::rows::Row;

const SUCCESSOR: &str = include_str!("../../sql/log_successor.sql");
const TWIN: &str = include_str!("../../sql/log_twin.sql");
const LONGEST_LINE_BYTES: u64 = 1024 * 1024 * 1024;

fn stop_if_interrupted() -> Result<()> {
    match interrupt::received() {
        None => Ok(()),
        Some(signal) => {
            Err(Error::Interrupted { signal, state: "it only read; nothing is changed".to_owned() })
        }
    }
}

/// The table under the transaction's snapshot, for what must be looked for.
pub(crate) struct Table<'a> {
    pub(crate) session: &'a Session,
    pub(crate) ledger: &'a Ledger,
}

impl Lookup for Table<'_> {
    fn successor(&self, prev_hash: &[u8]) -> Result<Option<Kept>> {
        let row = self
            .session
            .query_opt(&self.ledger.sql(SUCCESSOR), &[&prev_hash])
            .map_err(Error::database("look for a row by its hash"))?;
        Ok(row.map(|row| Kept {
            id: row.get("id"),
            prev_hash: row.get("prev_hash"),
            hash: row.get("hash"),
            canonical: row.get("canonical"),
        }))
    }

    fn twin(&self, id: i64, canonical: &[u8]) -> Result<Option<i64>> {
        let row = self
            .session
            .query_one(&self.ledger.sql(TWIN), &[&id, &canonical])
            .map_err(Error::database("look for a copy of a row"))?;
        Ok(row.get("id"))
    }
}

/// A line of an archive or an export: an `audit` record with all that is hashed.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: String,
    id: i64,
    timestamp: DateTime<Utc>,
    actor: String,
    action: String,
    subject: Option<String>,
    run_id: Option<String>,
    #[serde(borrow)]
    details: &'a RawValue,
    canonical: String,
    prev_hash: String,
    hash: String,
}

/// All rows of a file.
pub(crate) fn file(path: &Path, take: &mut dyn FnMut(&Row<'_>) -> Result<()>) -> Result<()> {
    let failed = |source| Error::ReadFile { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut text = Vec::new();
    for number in 1u64.. {
        text.clear();
        let read = reader.by_ref().take(LONGEST_LINE_BYTES).read_until(b'\n', &mut text);
        if read.map_err(failed)? == 0 {
            break;
        }
        if number.is_multiple_of(4096) {
            stop_if_interrupted()?;
        }
        let line: Line<'_> = serde_json::from_slice(&text)
            .ok()
            .filter(|it: &Line<'_>| it.kind == "audit")
            .ok_or_else(|| no_row(path, number))?;
        let hash = |hex: &str| unhex(hex).ok_or_else(|| no_row(path, number));
        take(&Row {
            id: line.id,
            timestamp: line.timestamp.timestamp_micros(),
            actor: line.actor.as_bytes(),
            action: line.action.as_bytes(),
            subject: line.subject.as_deref().map(str::as_bytes),
            run_id: line.run_id.as_deref().map(str::as_bytes),
            details: line.details.get().as_bytes(),
            canonical: line.canonical.as_bytes(),
            prev_hash: &hash(&line.prev_hash)?,
            hash: &hash(&line.hash)?,
        })?;
    }
    Ok(())
}

fn no_row(path: &Path, number: u64) -> Error {
    Error::usage(
        format!("{}, line {number}: this is no row of an archive", path.display()),
        "`migrate-audit archive` and `migrate-audit export` write them, one a line; was the file cut?",
    )
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let digits = |it: &[u8]| u8::from_str_radix(std::str::from_utf8(it).ok()?, 16).ok();
    text.as_bytes().chunks(2).map(digits).collect()
}

/// The files in the order of their rows.
pub(crate) fn in_order(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut starts = Vec::new();
    for path in paths {
        let mut first = None;
        let failed = |source| Error::ReadFile { path: path.clone(), source };
        let mut reader = BufReader::new(File::open(path).map_err(failed)?);
        let mut text = Vec::new();
        reader.by_ref().take(LONGEST_LINE_BYTES).read_until(b'\n', &mut text).map_err(failed)?;
        if !text.is_empty() {
            let line: Line<'_> = serde_json::from_slice(&text).map_err(|_| no_row(path, 1))?;
            first = Some(line.id);
        }
        starts.push((first, path.clone()));
    }
    starts.sort();
    Ok(starts.into_iter().map(|(_, path)| path).collect())
}
