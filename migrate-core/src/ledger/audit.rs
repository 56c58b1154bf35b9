//! `_migration_audit_log`: what was done, tried and decided, each row chained to the one before.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Ledger;
use crate::{
    connect::session::Session,
    error::{Error, Result},
    migration::version::Version,
    record::{AuditHead, Line},
};

pub const LOCK: &str = include_str!("../../sql/audit_lock.sql");
pub const APPEND: &str = include_str!("../../sql/audit_append.sql");
pub(super) const CREATE: &str = include_str!("../../sql/audit_create.sql");
const HEAD: &str = include_str!("../../sql/audit_head.sql");
const HAS: &str = include_str!("../../sql/audit_has.sql");
const OPEN_RUN: &str = include_str!("../../sql/audit_open_run.sql");
const LAST_PLAN: &str = include_str!("../../sql/audit_last_plan.sql");
const ENVIRONMENT: &str = include_str!("../../sql/audit_environment.sql");

/// A row to append. `canonical` is what is hashed; the other fields are copies of parts of it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub timestamp: DateTime<Utc>,
    pub actor: String,
    pub action: String,
    pub subject: Option<String>,
    pub run_id: Option<String>,
    pub canonical: String,
}

#[derive(Serialize)]
struct Canonical<'a> {
    timestamp: DateTime<Utc>,
    actor: &'a str,
    action: &'a str,
    subject: Option<&'a str>,
    run_id: Option<&'a str>,
    details: &'a Line,
}

impl Entry {
    /// The row that says `line`: the same value that goes to stdout.
    pub fn new(
        session: &Session,
        line: &Line,
        subject: Option<&str>,
        run_id: Option<&str>,
    ) -> Entry {
        let timestamp = session.server_now();
        // The server keeps microseconds: what is hashed must be what is stored.
        let timestamp =
            DateTime::from_timestamp_micros(timestamp.timestamp_micros()).unwrap_or(timestamp);
        let actor = session.facts().role.clone();
        let action = line.record.kind();
        let canonical =
            Canonical { timestamp, actor: &actor, action, subject, run_id, details: line };
        let canonical = serde_json::to_string(&canonical).expect("records have string keys only");
        Entry {
            timestamp,
            actor,
            action: action.to_owned(),
            subject: subject.map(str::to_owned),
            run_id: run_id.map(str::to_owned),
            canonical,
        }
    }
}

/// Appends `line` in the transaction under way.
///
/// The lock is a statement of its own: the newest row is read after it was got, or two writers
/// would chain to the same row.
pub fn append(
    session: &Session,
    ledger: &Ledger,
    line: &Line,
    subject: Option<&str>,
    run_id: Option<&str>,
) -> Result<AuditHead> {
    let doing = "write to the audit log";
    let entry = Entry::new(session, line, subject, run_id);
    session.run(&ledger.sql(LOCK)).map_err(Error::database(doing))?;
    let row = session
        .query_opt(
            &ledger.sql(APPEND),
            &[
                &entry.timestamp,
                &entry.actor,
                &entry.action,
                &entry.subject,
                &entry.run_id,
                &entry.canonical,
            ],
        )
        .map_err(Error::database(doing))?;
    let row = row.ok_or_else(not_taken)?;
    Ok(AuditHead { id: row.get("id"), hash: row.get("hash") })
}

/// A trigger could swallow the row and let the INSERT succeed.
pub fn not_taken() -> Error {
    Error::refused(
        "foreign_ledger",
        "the audit log did not take the row",
        "look for triggers and rules on `_migration_audit_log`",
    )
}

/// Appends `line` in a transaction of its own, so that no later failure takes it back.
pub fn record(
    session: &Session,
    ledger: &Ledger,
    line: &Line,
    subject: Option<&str>,
    run_id: Option<&str>,
) -> Result<AuditHead> {
    session.transaction(|session| append(session, ledger, line, subject, run_id))
}

/// The newest row of the chain.
pub fn head(session: &Session, ledger: &Ledger) -> Result<Option<AuditHead>> {
    let row = session
        .query_opt(&ledger.sql(HEAD), &[])
        .map_err(Error::database("read the head of the audit log"))?;
    Ok(row.map(|row| AuditHead { id: row.get("id"), hash: row.get("hash") }))
}

/// Whether `line` of a run stands in the log behind row `after`: its writer lost the answer.
pub fn has(
    session: &Session,
    ledger: &Ledger,
    after: i64,
    line: &Line,
    run_id: &str,
) -> Result<bool> {
    let details = serde_json::to_string(line).expect("records have string keys only");
    let row = session
        .query_one(&ledger.sql(HAS), &[&after, &run_id, &details])
        .map_err(Error::database("look into the audit log"))?;
    Ok(row.get("has"))
}

/// A run of which the log has the beginning only.
#[derive(Debug, Clone)]
pub struct OpenRun {
    pub run_id: String,
    pub began: DateTime<Utc>,
    pub actor: String,
}

/// The last run, if it has not ended.
pub fn open_run(session: &Session, ledger: &Ledger) -> Result<Option<OpenRun>> {
    let row = session
        .query_opt(&ledger.sql(OPEN_RUN), &[])
        .map_err(Error::database("look for the last run"))?;
    Ok(row.map(|row| OpenRun {
        run_id: row.get("run_id"),
        began: row.get("timestamp"),
        actor: row.get("actor"),
    }))
}

/// A plan that was begun, and all that it was to apply.
#[derive(Debug, Clone)]
pub struct BegunPlan {
    pub plan_hash: String,
    pub versions: Vec<Version>,
}

/// The plan that was begun last, where it had a hash.
pub fn last_plan(session: &Session, ledger: &Ledger) -> Result<Option<BegunPlan>> {
    let row = session
        .query_opt(&ledger.sql(LAST_PLAN), &[])
        .map_err(Error::database("look for the last plan"))?;
    Ok(row.and_then(|row| {
        let versions = serde_json::from_value(row.get("versions")).ok()?;
        Some(BegunPlan { plan_hash: row.get("plan_hash"), versions })
    }))
}

/// What the ledger was made for.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    pub environment: Option<String>,
    /// Of then: a copy that was restored elsewhere is another one.
    pub database: Option<String>,
    pub system_identifier: Option<String>,
}

/// What the ledger was made for; nothing where the log has lost what said so.
pub fn origin(session: &Session, ledger: &Ledger) -> Result<Option<Origin>> {
    let row = session
        .query_opt(&ledger.sql(ENVIRONMENT), &[])
        .map_err(Error::database("read the ledger's environment"))?;
    Ok(row.map(|row| Origin {
        environment: row.get("environment"),
        database: row.get("database"),
        system_identifier: row.get("system_identifier"),
    }))
}

/// The body of the function that refuses to change the log, as it is made.
pub fn refusing_function() -> &'static str {
    CREATE.split("$$").nth(1).expect("the file defines one function")
}
