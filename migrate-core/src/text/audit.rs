//! How the audit log, what its chain proves, and the gates look to a person.

use super::{counted, escape, time, took};
use crate::record::{
    AuditDamaged, AuditRow, AuditVerified, Gate, GateStatus, HistoryRow, Identity, Line, LogDamage,
    PlanApproved,
};

/// One row of the log: when, number, who, and what in the words of the record itself.
pub(super) fn row(it: &AuditRow) -> String {
    let said = serde_json::from_value::<Line>(it.details.clone())
        .ok()
        .and_then(|line| super::line(&line.record));
    let mut text = format!(
        "{} {:>6} {:<10} {:<17}",
        time(&it.timestamp),
        it.id,
        escape(&it.actor),
        escape(&it.action)
    );
    match said {
        // What it is about stands in the sentence; only the first line of it.
        Some(said) => text += &format!("  {}", said.trim().lines().next().unwrap_or_default()),
        None => {
            text += &it.subject.as_ref().map(|it| format!(" {}", escape(it))).unwrap_or_default()
        }
    }
    text
}

pub(super) fn history(row: &HistoryRow) -> (Vec<&'static str>, Vec<String>) {
    let head = vec!["ID", "VERSION", "NAME", "DIRECTION", "STATUS", "AT", "TOOK", "BY", "RUN"];
    let cells = vec![
        row.id.to_string(),
        row.version.to_string(),
        escape(&row.name),
        row.direction.as_str().to_owned(),
        row.status.clone(),
        time(&row.applied_at),
        row.execution_ms.map(|it| took(it.unsigned_abs())).unwrap_or_default(),
        escape(&row.applied_by),
        escape(&row.run_id),
    ];
    (head, cells)
}

pub(super) fn verified(it: &AuditVerified) -> String {
    let per_second = it.rows * 1000 / it.ms.max(1);
    let mut text = format!(
        "✓ {} verified in {} ({per_second}/s); the history agrees ({})\n  head: {}:{}",
        counted(it.rows, "row"),
        took(it.ms),
        counted(it.history_rows, "row"),
        it.head_id,
        it.head_hash
    );
    text += &match it.anchored_id {
        Some(id) if id == it.head_id => "\n  anchored up to its head".to_owned(),
        Some(id) => format!(
            "\n  anchored up to row {id}: whether rows behind the head were cut off cannot be proven"
        ),
        None => {
            "\n  no anchor: whether the end was cut off or all was hashed anew cannot be proven"
                .to_owned()
        }
    };
    if let Some(last) = it.archived {
        text +=
            &format!("\n  rows up to {last} are in an archive: check them with `--archive FILE`");
    }
    text
}

pub(super) fn damaged(it: &AuditDamaged) -> String {
    let mut text = format!("✗ {}: {}", word(it.damage), escape(&it.message));
    for other in &it.others {
        text += &format!("\n✗ {}: {}", word(other.damage), escape(&other.message));
    }
    text
}

fn word(damage: LogDamage) -> &'static str {
    match damage {
        LogDamage::Edited => "edited",
        LogDamage::Deleted => "deleted",
        LogDamage::Swapped => "swapped",
        LogDamage::Inserted => "inserted",
        LogDamage::Duplicated => "duplicated",
        LogDamage::Truncated => "truncated",
        LogDamage::Recomputed => "recomputed",
        LogDamage::Genesis => "beginning",
        LogDamage::Unprotected => "unprotected",
        LogDamage::History => "history",
    }
}

pub(super) fn approved(it: &PlanApproved) -> String {
    let how = match it.identity {
        Identity::Stated => format!("as stated by role `{}`", escape(&it.role)),
        Identity::Database => "by database role".to_owned(),
        Identity::Signature => "by signature".to_owned(),
    };
    format!("✓ Plan {} approved by {} ({how})", it.plan_hash, escape(&it.approver))
}

pub(super) fn gate(it: &Gate) -> String {
    let mark = match it.status {
        GateStatus::Pass => "✓",
        GateStatus::Fail => "✗",
        GateStatus::Overridden => "!",
    };
    let mut text = format!("{mark} gate {}: {}", it.name, escape(&it.message));
    if it.status == GateStatus::Overridden {
        text += " (overridden)";
    }
    if let Some(command) = it.command.as_ref().filter(|_| it.status == GateStatus::Fail) {
        text += &format!("\n  with: {}", escape(command));
    }
    text
}
