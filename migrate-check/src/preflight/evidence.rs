//! What the audit log of this database knows of its backups and of the plan.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    ledger::Ledger,
};
use serde_json::Value;
use tokio_postgres::{Row, error::SqlState};

const EVIDENCE: &str = include_str!("../../sql/evidence.sql");

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Evidence {
    /// Those of this very database that were not found damaged since; the newest first.
    pub(super) backups: Vec<Backup>,
    /// Each once.
    pub(super) approvers: BTreeSet<String>,
    /// The newest one of the plan.
    pub(super) rehearsal: Option<Rehearsal>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Backup {
    pub(super) id: String,
    pub(super) created_at: DateTime<Utc>,
    /// None where it was made and not verified.
    pub(super) level: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rehearsal {
    pub(super) at: DateTime<Utc>,
    pub(super) actor: String,
    pub(super) passed: bool,
}

/// Nothing where this role may not read the log.
pub(super) fn read(
    session: &Session,
    ledger: &Ledger,
    plan_hash: &str,
) -> Result<Option<Evidence>> {
    let rows = match session.query(&ledger.sql(EVIDENCE), &[&plan_hash]) {
        Err(err) if err.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => return Ok(None),
        rows => rows.map_err(Error::database("look for evidence in the audit log"))?,
    };
    let mut evidence = Evidence::default();
    let mut damaged = BTreeSet::new();
    for row in &rows {
        evidence.take(row, session, &mut damaged);
    }
    Ok(Some(evidence))
}

impl Evidence {
    fn take(&mut self, row: &Row, session: &Session, damaged: &mut BTreeSet<String>) {
        let details: Value = row.get("details");
        let at: DateTime<Utc> = row.get("timestamp");
        match row.get::<_, &str>("action") {
            "plan.approved" => {
                self.approvers.extend(details["approver"].as_str().map(str::to_owned));
            }
            "rehearsal" => {
                let passed = details["status"] == "pass" || details["passed"] == true;
                let actor = row.get("actor");
                self.rehearsal.get_or_insert(Rehearsal { at, actor, passed });
            }
            "backup.damaged" => damaged.extend(details["backup_id"].as_str().map(str::to_owned)),
            _ => {
                let (database, system) =
                    (&session.facts().database, &session.facts().system_identifier);
                let ours = details["database"] == **database
                    && (system.is_empty() || details["system_identifier"] == **system);
                let Some(id) = details["backup_id"].as_str() else { return };
                let created = details["created_at"].as_str().and_then(|it| it.parse().ok());
                if ours && !damaged.contains(id) {
                    self.backups.push(Backup {
                        id: id.to_owned(),
                        created_at: created.unwrap_or(at),
                        level: details["level"].as_str().map(str::to_owned),
                    });
                }
            }
        }
    }
}
