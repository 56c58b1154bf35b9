//! How backups look to a person.

use chrono::TimeDelta;

use super::{bytes, counted, escape, time, took};
use crate::record::{
    AuditMatch, BackupCreated, BackupDamaged, BackupImported, BackupPhase, BackupProgress,
    BackupPruned, BackupRestored, BackupRow, BackupVerified, Level, Record, RetentionRow,
};

pub(super) fn row(row: &BackupRow) -> (Vec<&'static str>, Vec<String>) {
    let head = vec![
        "BACKUP", "STATE", "AGE", "DATABASE", "SERVER", "SIZE", "ROWS", "HEAD", "PROVEN", "PIN",
        "LABEL",
    ];
    let name = row.backup_id.as_ref().map_or(row.name.as_str(), |it| it.as_str());
    let optional = |text: &Option<String>| escape(text.as_deref().unwrap_or_default());
    let cells = vec![
        escape(name),
        row.state.as_str().to_owned(),
        row.age_ms.map(age).unwrap_or_default(),
        optional(&row.database),
        optional(&row.server_version),
        row.bytes.map(size).unwrap_or_default(),
        row.rows.map(|it| it.to_string()).unwrap_or_default(),
        row.migration_head.as_ref().map(ToString::to_string).unwrap_or_default(),
        row.proven.map(|it| it.as_str().to_owned()).unwrap_or_default(),
        if row.pinned { "pinned".to_owned() } else { String::new() },
        optional(&row.label),
    ];
    (head, cells)
}

/// What does not fit into a column.
pub(super) fn below(row: &BackupRow) -> Option<String> {
    let problem = row.problem.as_ref()?;
    Some(format!("! {}: {}\n", escape(&row.name), escape(problem)))
}

pub(super) fn retention(row: &RetentionRow) -> (Vec<&'static str>, Vec<String>) {
    let head = vec!["ACTION", "BACKUP", "CREATED AT", "DATABASE", "SIZE", "REASONS"];
    let cells = vec![
        row.action.as_str().to_owned(),
        escape(&row.name),
        row.created_at.as_ref().map(time).unwrap_or_default(),
        escape(row.database.as_deref().unwrap_or_default()),
        row.bytes.map(size).unwrap_or_default(),
        escape(&row.reasons.join(", ")),
    ];
    (head, cells)
}

/// The records of `migrate-backup` that are no rows.
pub(super) fn line(record: &Record) -> Option<String> {
    Some(match record {
        Record::BackupProgress(it) => progress(it),
        Record::BackupCreated(it) => created(it),
        Record::BackupVerified(it) => verified(it),
        Record::BackupDamaged(it) => damaged(it),
        Record::BackupRestored(it) => restored(it),
        Record::BackupSwappedBack(it) => format!(
            "✓ `{}` is the database from before the restore again; the restored one is `{}`",
            escape(&it.database),
            escape(&it.restored_database)
        ),
        Record::BackupDropped(it) => {
            format!("✓ `{}` dropped, {} freed", escape(&it.old_database), size(it.bytes))
        }
        Record::BackupPruned(it) => pruned(it),
        Record::BackupImported(it) => imported(it),
        Record::BackupPinned(it) => format!("✓ {} is pinned: it is never pruned", it.backup_id),
        Record::BackupUnpinned(it) => format!("✓ {} is no longer pinned", it.backup_id),
        Record::BackupLabelled(it) => match &it.label {
            Some(label) => format!("✓ {} is labelled `{}`", it.backup_id, escape(label)),
            None => format!("✓ {} has no label any more", it.backup_id),
        },
        _ => return None,
    })
}

fn progress(it: &BackupProgress) -> String {
    let phase = match it.phase {
        BackupPhase::Count => "counting rows",
        BackupPhase::Dump => "dumping",
        BackupPhase::Checksum => "hashing",
        BackupPhase::Read => "reading",
        BackupPhase::Load => "loading",
        BackupPhase::Compare => "comparing",
        BackupPhase::Analyze => "analyzing",
    };
    let mut text = format!("  … {phase}: {}", size(it.bytes_done));
    if let Some(total) = it.bytes_total {
        text += &format!(" of {}", size(total));
    }
    if let (Some(done), Some(total)) = (it.tables_done, it.tables_total) {
        text += &format!(", {done} of {}", counted(total, "table"));
    }
    if let Some(eta) = it.eta_ms {
        text += &format!(", {} left", took(eta));
    }
    text
}

/// The first line is what the runbook's `grep "Backup created:" | cut -d: -f2` reads.
fn created(it: &BackupCreated) -> String {
    let mut text = format!(
        "Backup created: {}\n✓ `{}`: {} in {}, {} in {}",
        it.backup_id,
        escape(&it.database),
        counted(it.rows, "row"),
        counted(it.tables, "table"),
        size(it.bytes),
        took(it.ms)
    );
    for warning in &it.warnings {
        text += &format!("\n! {}", escape(warning));
    }
    text
}

fn verified(it: &BackupVerified) -> String {
    let proven = match it.level {
        Level::Checksum => "the files are what was written",
        Level::Read => "the files are what was written, and pg_restore reads them",
        Level::Restore => "it was restored, and the copy is equal",
    };
    let mut text = format!(
        "✓ {} of `{}`: {proven} ({} in {}, {})",
        it.backup_id,
        escape(&it.database),
        size(it.bytes),
        counted(it.files, "file"),
        took(it.ms)
    );
    text += match it.audit {
        AuditMatch::Matches => "\n  its manifest is the one in the audit log",
        AuditMatch::Differs => "\n  the audit log has another manifest",
        AuditMatch::NotFound => "\n! the audit log does not know it: self-consistent only",
        AuditMatch::OtherDatabase => {
            "\n  self-consistent only: this is another database than the one backed up"
        }
        AuditMatch::NotReachable => {
            "\n! self-consistent only: the database with the audit log is not reachable"
        }
        AuditMatch::NotAsked => {
            "\n  self-consistent only: no database was named whose audit log could be asked"
        }
    };
    text
}

fn damaged(it: &BackupDamaged) -> String {
    let mut text =
        format!("✗ {} is damaged: {}", it.backup_id, counted(it.damages.len() as u64, "finding"));
    for damage in &it.damages {
        text += &format!("\n  {}: {}", escape(&damage.object), escape(&damage.message));
    }
    text
}

fn restored(it: &BackupRestored) -> String {
    let mut text = format!(
        "✓ `{}` has the content of {} ({}, {})",
        escape(&it.database),
        it.backup_id,
        counted(it.rows, "row"),
        took(it.ms)
    );
    if let Some(old) = &it.old_database {
        text += &format!("\n  the database from before is kept as `{}`", escape(old));
    }
    for warning in &it.warnings {
        text += &format!("\n! {}", escape(warning));
    }
    text
}

fn pruned(it: &BackupPruned) -> String {
    let verb = if it.dry_run { "would be removed" } else { "removed" };
    let mut text = format!(
        "✓ {} {verb} ({}), {} kept",
        counted(it.removed, "entry").replace("entrys", "entries"),
        size(it.freed_bytes),
        counted(it.kept, "backup")
    );
    if it.left_alone > 0 {
        text += &format!("; {} left alone: see above", it.left_alone);
    }
    text
}

fn imported(it: &BackupImported) -> String {
    if it.already_there {
        return format!("✓ {} was there already, and is the same", it.backup_id);
    }
    format!(
        "✓ {} of `{}` imported ({}, {})",
        it.backup_id,
        escape(&it.database),
        size(it.bytes),
        took(it.ms)
    )
}

fn size(of: u64) -> String {
    bytes(i64::try_from(of).unwrap_or(i64::MAX))
}

/// Coarse: whether it is the one of this hour, day or month is what matters.
fn age(ms: i64) -> String {
    let age = TimeDelta::milliseconds(ms);
    let (days, hours, minutes) = (age.num_days(), age.num_hours(), age.num_minutes());
    match ms {
        ..0 => "in the future".to_owned(),
        _ if days >= 2 => format!("{days} days"),
        _ if hours >= 2 => format!("{hours} h"),
        _ if minutes >= 1 => format!("{minutes} min"),
        _ => "now".to_owned(),
    }
}
