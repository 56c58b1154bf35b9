//! What the audit log holds for the gates of a plan.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tokio_postgres::Row;

use super::signature;
use crate::{
    config::Require,
    connect::session::{Facts, Session},
    error::{Error, Result},
    ledger::Ledger,
    record::{Identity, PlanApproved},
};

const PLAN: &str = include_str!("../../sql/evidence_plan.sql");
const BACKUPS: &str = include_str!("../../sql/evidence_backups.sql");

#[derive(Debug, Clone, Default)]
pub struct Evidence {
    pub backups: Vec<Backup>,
    pub approvals: Vec<PlanApproved>,
    /// The newest first.
    pub rehearsals: Vec<Rehearsal>,
}

/// A backup of this very database.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    pub id: String,
    /// To which it is proven, if it is.
    pub level: Option<String>,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsal {
    pub at: DateTime<Utc>,
    pub actor: String,
    pub passed: bool,
}

impl Evidence {
    /// Reads what the gates of `require` ask for, of a plan under all the hashes that it has had. Signatures are checked again, by
    /// `allowed_signers`: a row could have been forged.
    pub fn read(
        session: &Session,
        ledger: &Ledger,
        require: &Require,
        plan_hashes: &[&str],
        allowed_signers: Option<&Path>,
    ) -> Result<Evidence> {
        let mut evidence = Evidence::default();
        let failed = || Error::database("look for evidence in the audit log");
        if let Some(wanted) = &require.backup {
            // A backup's row comes after the backup.
            let age = wanted.max_age.and_then(|it| TimeDelta::from_std(it).ok());
            let since = age.and_then(|it| session.server_now().checked_sub_signed(it));
            let since = since.unwrap_or(DateTime::UNIX_EPOCH);
            let rows = session.query(&ledger.sql(BACKUPS), &[&since]).map_err(failed())?;
            evidence.backups = backups(&rows, session.facts());
        }
        if require.approvals.is_some_and(|it| it > 0) || require.rehearsal == Some(true) {
            let rows = session.query(&ledger.sql(PLAN), &[&plan_hashes]).map_err(failed())?;
            for row in &rows {
                evidence.take(row, allowed_signers)?;
            }
        }
        Ok(evidence)
    }

    fn take(&mut self, row: &Row, allowed_signers: Option<&Path>) -> Result<()> {
        let details: Value = row.get("details");
        match row.get::<_, &str>("action") {
            "plan.approved" => {
                let Ok(mut approval) = serde_json::from_value::<PlanApproved>(details) else {
                    return Ok(());
                };
                // By whom a row says it was brought is what its column says.
                row.get::<_, &str>("actor").clone_into(&mut approval.role);
                if approval.identity == Identity::Signature {
                    let proven = match (allowed_signers, &approval.signature) {
                        (Some(signers), Some(signature)) => {
                            let signer = Some(approval.approver.as_str());
                            signature::verify(&approval.plan_hash, signature, signers, signer)
                                .is_ok()
                        }
                        _ => false,
                    };
                    if !proven {
                        approval.identity = Identity::Stated;
                    }
                }
                if approval.identity == Identity::Database && approval.approver != approval.role {
                    approval.identity = Identity::Stated;
                }
                self.approvals.push(approval);
            }
            _ => self.rehearsals.push(Rehearsal {
                at: row.get("timestamp"),
                actor: row.get("actor"),
                passed: details["status"] == "pass" || details["passed"] == true,
            }),
        }
        Ok(())
    }

    /// A `backup.verified` record that came by a pipe counts as one in the log.
    pub fn add_backup(&mut self, record: &Value) {
        self.backups.extend(backup(record, None));
    }
}

/// The newest row of a backup comes first; one that was found damaged counts no more.
fn backups(rows: &[Row], facts: &Facts) -> Vec<Backup> {
    let mut found: Vec<Backup> = Vec::new();
    let mut damaged: Vec<String> = Vec::new();
    for row in rows {
        let details: Value = row.get("details");
        let same = |field: &str, this: &str| details[field].as_str().is_none_or(|it| it == this);
        if !same("database", &facts.database)
            || !same("system_identifier", &facts.system_identifier)
        {
            continue;
        }
        let Some(it) = backup(&details, Some(row.get("timestamp"))) else { continue };
        if row.get::<_, &str>("action") == "backup.damaged" {
            damaged.push(it.id);
        } else if !damaged.contains(&it.id) {
            found.push(it);
        }
    }
    found
}

fn backup(details: &Value, at: Option<DateTime<Utc>>) -> Option<Backup> {
    let created_at = details["created_at"].as_str().and_then(|it| it.parse().ok());
    Some(Backup {
        id: details["backup_id"].as_str()?.to_owned(),
        level: details["level"].as_str().map(str::to_owned),
        created_at: created_at.or(at)?,
    })
}
