//! A row of the log outside of the database: as an `audit` record with all that is hashed, or as CSV.

use chrono::{DateTime, Utc};
use migrate_core::{
    error::{Error, Result},
    plan::hex,
    record::{VERSION, timestamp},
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::rows::Row;

/// The record as [`AuditRow`](migrate_core::record::AuditRow) has it; `details` stays the text that
/// it is, so that nothing is lost on the way.
#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    at: String,
    tool: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    id: i64,
    timestamp: DateTime<Utc>,
    actor: &'a str,
    action: &'a str,
    subject: Option<&'a str>,
    run_id: Option<&'a str>,
    details: &'a RawValue,
    canonical: &'a str,
    prev_hash: String,
    hash: String,
}

/// Appends the record of `row`, written `at`, to `out`.
pub(crate) fn json(row: &Row<'_>, at: DateTime<Utc>, tool: &str, out: &mut Vec<u8>) -> Result<()> {
    let id = row.id;
    let line = Line {
        v: VERSION,
        at: timestamp(&at),
        tool,
        kind: "audit",
        id,
        timestamp: time(row)?,
        actor: text(row.actor, id)?,
        action: text(row.action, id)?,
        subject: row.subject.map(|it| text(it, id)).transpose()?,
        run_id: row.run_id.map(|it| text(it, id)).transpose()?,
        details: serde_json::from_slice(row.details).map_err(|_| unreadable(id))?,
        canonical: text(row.canonical, id)?,
        prev_hash: hex(row.prev_hash),
        hash: hex(row.hash),
    };
    serde_json::to_writer(&mut *out, &line).map_err(|_| unreadable(id))?;
    out.push(b'\n');
    Ok(())
}

const HEAD: [&str; 10] = [
    "id",
    "timestamp",
    "actor",
    "action",
    "subject",
    "run_id",
    "details",
    "canonical",
    "prev_hash",
    "hash",
];

pub(crate) fn head(out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = csv::Writer::from_writer(out).write_record(HEAD);
}

pub(crate) fn csv(row: &Row<'_>, out: &mut Vec<u8>) -> Result<()> {
    let id = row.id;
    let optional = |it: Option<&[u8]>| it.unwrap_or_default().to_vec();
    let fields: [Vec<u8>; 10] = [
        id.to_string().into_bytes(),
        time(row)?.to_rfc3339_opts(chrono::SecondsFormat::Micros, true).into_bytes(),
        row.actor.to_vec(),
        row.action.to_vec(),
        optional(row.subject),
        optional(row.run_id),
        row.details.to_vec(),
        row.canonical.to_vec(),
        hex(row.prev_hash).into_bytes(),
        hex(row.hash).into_bytes(),
    ];
    let _ = csv::Writer::from_writer(out).write_record(&fields);
    Ok(())
}

fn time(row: &Row<'_>) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(row.timestamp).ok_or_else(|| unreadable(row.id))
}

fn text(bytes: &[u8], id: i64) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| unreadable(id))
}

fn unreadable(id: i64) -> Error {
    Error::refused(
        "unreadable",
        format!("row {id} of the audit log holds what is no text, no JSON or no time"),
        "see what is wrong with it: `migrate-audit verify`",
    )
}
