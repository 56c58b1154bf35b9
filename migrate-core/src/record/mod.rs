//! The JSON lines on stdout: what one tool writes, the next one reads and the audit log keeps.
//!
//! These types are the schema. A field may be added; a renamed or removed one, or a record
//! with another meaning, raises [`VERSION`].

mod apply;
mod audit;
mod backup;
mod backup_id;
mod check;
mod dry_run;
mod listing;
mod lock;
mod metric;
mod rehearsal;
pub mod schema;

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

pub use apply::*;
pub use audit::*;
pub use backup::*;
pub use backup_id::*;
pub use check::*;
pub use dry_run::*;
pub use listing::*;
pub use lock::*;
pub use metric::*;
pub use rehearsal::*;

/// The version of the record format.
pub const VERSION: u8 = 1;

/// One line: `{"v":1,"at":"…","tool":"migrate-apply","type":"migration.applied",…}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    pub v: u8,
    /// When it happened or was looked at; UTC with milliseconds.
    #[serde(serialize_with = "milliseconds")]
    pub at: DateTime<Utc>,
    pub tool: String,
    #[serde(flatten)]
    pub record: Record,
}

/// A listing row has a noun as its type; something that happened has `noun.verb` in the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum Record {
    #[serde(rename = "apply.started")]
    ApplyStarted(ApplyStarted),
    #[serde(rename = "apply.finished")]
    ApplyFinished(ApplyFinished),
    #[serde(rename = "migration.started")]
    MigrationStarted(MigrationStarted),
    #[serde(rename = "statement.done")]
    StatementDone(StatementDone),
    #[serde(rename = "migration.progress")]
    MigrationProgress(MigrationProgress),
    #[serde(rename = "migration.yielded")]
    MigrationYielded(MigrationYielded),
    #[serde(rename = "migration.applied")]
    MigrationApplied(MigrationApplied),
    #[serde(rename = "migration.rolled_back")]
    MigrationRolledBack(MigrationApplied),
    #[serde(rename = "migration.failed")]
    MigrationFailed(MigrationFailed),
    #[serde(rename = "migration.resolved")]
    MigrationResolved(MigrationResolved),
    #[serde(rename = "migration.baselined")]
    MigrationBaselined(MigrationBaselined),
    #[serde(rename = "migration.created")]
    MigrationCreated(MigrationCreated),
    #[serde(rename = "dry_run.finished")]
    DryRunFinished(DryRunFinished),
    #[serde(rename = "migration")]
    Migration(MigrationRow),
    #[serde(rename = "finding")]
    Finding(Finding),
    #[serde(rename = "validation")]
    Validation(Validation),
    #[serde(rename = "plan.step")]
    PlanStep(PlanStep),
    #[serde(rename = "plan")]
    Plan(Plan),
    #[serde(rename = "lock")]
    Lock(LockRow),
    #[serde(rename = "lock.acquired")]
    LockAcquired(LockAcquired),
    #[serde(rename = "lock.waited")]
    LockWaited(LockWaited),
    #[serde(rename = "lock.renewed")]
    LockRenewed(LockRenewed),
    #[serde(rename = "lock.released")]
    LockReleased(LockReleased),
    #[serde(rename = "lock.broken")]
    LockBroken(LockBroken),
    #[serde(rename = "lock.lost")]
    LockLost(LockLost),
    #[serde(rename = "check")]
    Check(Check),
    #[serde(rename = "check.summary")]
    CheckSummary(CheckSummary),
    #[serde(rename = "check.definition")]
    CheckDefinition(CheckDefinition),
    #[serde(rename = "query.row")]
    QueryRow(QueryRow),
    #[serde(rename = "query.finished")]
    QueryFinished(QueryFinished),
    #[serde(rename = "metric")]
    Metric(Metric),
    #[serde(rename = "activity")]
    Activity(Activity),
    #[serde(rename = "baseline.saved")]
    BaselineSaved(BaselineSaved),
    #[serde(rename = "rehearsal")]
    Rehearsal(Rehearsal),
    #[serde(rename = "ledger.created")]
    LedgerCreated(LedgerCreated),
    #[serde(rename = "command.finished")]
    CommandFinished(CommandFinished),
    #[serde(rename = "backup")]
    Backup(BackupRow),
    #[serde(rename = "backup.progress")]
    BackupProgress(BackupProgress),
    #[serde(rename = "backup.created")]
    BackupCreated(BackupCreated),
    #[serde(rename = "backup.verified")]
    BackupVerified(BackupVerified),
    #[serde(rename = "backup.damaged")]
    BackupDamaged(BackupDamaged),
    #[serde(rename = "restore.started")]
    RestoreStarted(RestoreStarted),
    #[serde(rename = "backup.restored")]
    BackupRestored(BackupRestored),
    #[serde(rename = "backup.swapped_back")]
    BackupSwappedBack(BackupSwappedBack),
    #[serde(rename = "backup.dropped")]
    BackupDropped(BackupDropped),
    #[serde(rename = "retention")]
    Retention(RetentionRow),
    #[serde(rename = "backup.pruned")]
    BackupPruned(BackupPruned),
    #[serde(rename = "backup.imported")]
    BackupImported(BackupImported),
    #[serde(rename = "backup.pinned")]
    BackupPinned(BackupPinned),
    #[serde(rename = "backup.unpinned")]
    BackupUnpinned(BackupUnpinned),
    #[serde(rename = "backup.labelled")]
    BackupLabelled(BackupLabelled),
    #[serde(rename = "audit")]
    Audit(AuditRow),
    #[serde(rename = "audit.noted")]
    AuditNoted(AuditNoted),
    #[serde(rename = "audit.verified")]
    AuditVerified(AuditVerified),
    #[serde(rename = "audit.damaged")]
    AuditDamaged(AuditDamaged),
    #[serde(rename = "audit.archived")]
    AuditArchived(AuditArchived),
    #[serde(rename = "history")]
    History(HistoryRow),
    #[serde(rename = "plan.approved")]
    PlanApproved(PlanApproved),
    #[serde(rename = "gate")]
    Gate(Gate),
    #[serde(rename = "error")]
    Error(ErrorRecord),
}

impl Record {
    /// The `type` of the record, which is also the `action` of its audit row.
    pub fn kind(&self) -> &'static str {
        match self {
            Record::ApplyStarted(_) => "apply.started",
            Record::ApplyFinished(_) => "apply.finished",
            Record::MigrationStarted(_) => "migration.started",
            Record::StatementDone(_) => "statement.done",
            Record::MigrationProgress(_) => "migration.progress",
            Record::MigrationYielded(_) => "migration.yielded",
            Record::MigrationApplied(_) => "migration.applied",
            Record::MigrationRolledBack(_) => "migration.rolled_back",
            Record::MigrationFailed(_) => "migration.failed",
            Record::MigrationResolved(_) => "migration.resolved",
            Record::MigrationBaselined(_) => "migration.baselined",
            Record::MigrationCreated(_) => "migration.created",
            Record::DryRunFinished(_) => "dry_run.finished",
            Record::Migration(_) => "migration",
            Record::Finding(_) => "finding",
            Record::Validation(_) => "validation",
            Record::PlanStep(_) => "plan.step",
            Record::Plan(_) => "plan",
            Record::Lock(_) => "lock",
            Record::LockAcquired(_) => "lock.acquired",
            Record::LockWaited(_) => "lock.waited",
            Record::LockRenewed(_) => "lock.renewed",
            Record::LockReleased(_) => "lock.released",
            Record::LockBroken(_) => "lock.broken",
            Record::LockLost(_) => "lock.lost",
            Record::Check(_) => "check",
            Record::CheckSummary(_) => "check.summary",
            Record::CheckDefinition(_) => "check.definition",
            Record::QueryRow(_) => "query.row",
            Record::QueryFinished(_) => "query.finished",
            Record::Metric(_) => "metric",
            Record::Activity(_) => "activity",
            Record::BaselineSaved(_) => "baseline.saved",
            Record::Rehearsal(_) => "rehearsal",
            Record::LedgerCreated(_) => "ledger.created",
            Record::CommandFinished(_) => "command.finished",
            Record::Backup(_) => "backup",
            Record::BackupProgress(_) => "backup.progress",
            Record::BackupCreated(_) => "backup.created",
            Record::BackupVerified(_) => "backup.verified",
            Record::BackupDamaged(_) => "backup.damaged",
            Record::RestoreStarted(_) => "restore.started",
            Record::BackupRestored(_) => "backup.restored",
            Record::BackupSwappedBack(_) => "backup.swapped_back",
            Record::BackupDropped(_) => "backup.dropped",
            Record::Retention(_) => "retention",
            Record::BackupPruned(_) => "backup.pruned",
            Record::BackupImported(_) => "backup.imported",
            Record::BackupPinned(_) => "backup.pinned",
            Record::BackupUnpinned(_) => "backup.unpinned",
            Record::BackupLabelled(_) => "backup.labelled",
            Record::Audit(_) => "audit",
            Record::AuditNoted(_) => "audit.noted",
            Record::AuditVerified(_) => "audit.verified",
            Record::AuditDamaged(_) => "audit.damaged",
            Record::AuditArchived(_) => "audit.archived",
            Record::History(_) => "history",
            Record::PlanApproved(_) => "plan.approved",
            Record::Gate(_) => "gate",
            Record::Error(_) => "error",
        }
    }
}

/// How a command that failed ends its stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorRecord {
    /// A stable word for the situation, such as `busy` or `statement_failed`.
    pub kind: String,
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    pub exit_code: u8,
    /// Where in a file, for SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<String>,
}

impl fmt::Display for ErrorRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)
    }
}

fn milliseconds<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&timestamp(at))
}

/// RFC 3339, UTC, milliseconds: the one way a time is written.
pub fn timestamp(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
