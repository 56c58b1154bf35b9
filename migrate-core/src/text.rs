//! How records look to a person: tables for listings, a line for what happened.

mod audit;
mod backup;
mod check;
mod csv;
mod dry_run;
mod metric;
pub(crate) mod prometheus;
mod rehearsal;

use chrono::{DateTime, Utc};
use comfy_table::{Table, presets::NOTHING};

pub use backup::progress as backup_progress;
pub(crate) use csv::csv;

use crate::record::{
    ApplyFinished, Direction, DryRunPlace, Finding, Holder, Line, LockRow, MigrationApplied,
    MigrationRow, Record, ResolvedAs, RunStatus, Severity, StatementDone, Validation, Victim,
};

/// Whether the record is a row of a listing, which a table holds better than lines.
pub(crate) fn is_row(record: &Record) -> bool {
    matches!(
        record,
        Record::Migration(_)
            | Record::Lock(_)
            | Record::Backup(_)
            | Record::Retention(_)
            | Record::History(_)
    ) || metric::is_row(record)
}

/// A listing; all rows are of one type.
pub(crate) fn table(rows: &[Line]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (index, line) in rows.iter().enumerate() {
        let (head, cells) = match &line.record {
            Record::Migration(row) => migration(row),
            Record::Lock(row) => lock(row),
            Record::Backup(row) => backup::row(row),
            Record::Retention(row) => backup::retention(row),
            Record::History(row) => audit::history(row),
            Record::Metric(row) => metric::metric(row),
            Record::Activity(row) => metric::activity(row),
            Record::QueryRow(row) => {
                table.set_header(check::columns(row));
                table.add_row(check::cells(row));
                continue;
            }
            _ => continue,
        };
        if index == 0 {
            table.set_header(head);
        }
        table.add_row(cells);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text += line.trim_end();
        text.push('\n');
    }
    // Too long for a column.
    for line in rows {
        text += &match &line.record {
            Record::Migration(MigrationRow { version, error: Some(error), .. }) => {
                format!("! {version}: {}\n", escape(error))
            }
            Record::Backup(row) => backup::below(row).unwrap_or_default(),
            _ => continue,
        };
    }
    text
}

fn migration(row: &MigrationRow) -> (Vec<&'static str>, Vec<String>) {
    let mut head = vec!["VERSION", "NAME", "STATE", "RISK", "APPLIED AT", "TOOK"];
    let mut cells = vec![
        row.version.to_string(),
        escape(&row.name),
        row.state.as_str().to_owned(),
        row.risk.map(|it| it.to_string()).unwrap_or_default(),
        row.applied_at.as_ref().map(time).unwrap_or_default(),
        row.execution_ms.map(|it| took(it.unsigned_abs())).unwrap_or_default(),
    ];
    if row.checksum.is_some() || row.applied_checksum.is_some() {
        head.extend(["BY", "DOWN"]);
        cells.push(escape(row.applied_by.as_deref().unwrap_or_default()));
        cells.push(row.reversible.map_or("", |it| if it { "yes" } else { "no" }).to_owned());
    }
    (head, cells)
}

fn lock(row: &LockRow) -> (Vec<&'static str>, Vec<String>) {
    let head = vec!["LOCK", "TOKEN", "STATE", "OWNER", "PROCESS", "SINCE", "EXPIRES", "REASON"];
    let state = serde_json::to_value(row.state).ok();
    let cells = vec![
        row.lock_name.clone(),
        row.token.map(|it| it.to_string()).unwrap_or_default(),
        state.and_then(|it| it.as_str().map(str::to_owned)).unwrap_or_default(),
        escape(row.owner.as_deref().unwrap_or_default()),
        match (row.pid, &row.host) {
            (Some(pid), Some(host)) => format!("{pid}@{}", escape(host)),
            _ => row.advisory_pid.map(|it| format!("server process {it}")).unwrap_or_default(),
        },
        row.acquired_at.as_ref().map(time).unwrap_or_default(),
        row.expires_at.as_ref().map(time).unwrap_or_default(),
        match row.token {
            Some(_) => escape(row.reason.as_deref().unwrap_or_default()),
            None => "works without a lease: its row was removed".to_owned(),
        },
    ];
    (head, cells)
}

/// What happened, in a line; nothing where it would only be noise.
pub(crate) fn line(record: &Record) -> Option<String> {
    Some(match record {
        Record::ApplyStarted(it) => {
            let what = match it.direction {
                Direction::Up => "to apply",
                Direction::Down => "to roll back",
            };
            let place = match it.dry_run {
                None => "on",
                Some(DryRunPlace::Copy) => "on a copy of",
                Some(DryRunPlace::Here) => "and then undo, on",
            };
            format!(
                "{} {what} {place} `{}` (run {})",
                migrations(it.versions.len()),
                it.database,
                it.run_id
            )
        }
        Record::ApplyFinished(it) => finished(it),
        Record::MigrationStarted(it) => {
            let arrow = if it.direction == Direction::Up { "▶" } else { "◀" };
            let mut text = format!("{arrow} {} {}", it.version, escape(&it.name));
            if let Some(estimate) = it.estimate_ms {
                text += &format!(" (estimate {})", took(estimate));
            }
            if let Some(statement) = it.resumed_at {
                text += &format!(" (resumed at statement {statement})");
            }
            text
        }
        Record::StatementDone(it) => statement(it),
        Record::MigrationProgress(it) => format!("  … {}", escape(&it.message)),
        Record::MigrationApplied(it) => applied("applied", it),
        Record::MigrationRolledBack(it) => applied("rolled back", it),
        Record::MigrationFailed(it) => {
            let mut text = format!("✗ {} {} failed", it.version, escape(&it.name));
            for leftover in &it.leftovers {
                text += &format!(
                    "\n  left over: {} ({}); repair: {}",
                    escape(&leftover.object),
                    leftover.problem,
                    escape(&leftover.repair)
                );
            }
            text
        }
        Record::MigrationResolved(it) => {
            let state = match it.resolved_as {
                ResolvedAs::Applied => "applied",
                ResolvedAs::Pending => "pending",
            };
            format!("✓ {} {} is {state} from now on", it.version, escape(&it.name))
        }
        Record::MigrationBaselined(it) => {
            format!("✓ {} {} recorded as applied", it.version, escape(&it.name))
        }
        Record::MigrationCreated(it) => format!("Created {}", escape(&it.file)),
        Record::DryRunFinished(it) => dry_run::finished(it),
        Record::Finding(it) => finding(it),
        Record::Validation(it) => validation(it),
        Record::PlanStep(it) => {
            let estimate = it.estimate_ms.map(|it| format!(", estimate {}", took(it)));
            let mut text = format!(
                "- {} {} (risk: {}, {}{})",
                it.version,
                escape(&it.name),
                it.risk,
                counted(it.statements, "statement"),
                estimate.unwrap_or_default()
            );
            for it in it.findings.iter().filter(|it| it.severity != Severity::Info) {
                text += &format!("\n{}", finding(it));
            }
            text
        }
        Record::Plan(it) => format!(
            "Plan {} of {} on `{}`",
            it.plan_hash,
            migrations(it.steps as usize),
            it.database
        ),
        Record::LockAcquired(it) => {
            let waited = if it.waited_ms >= 100 {
                format!(", waited {}", took(it.waited_ms))
            } else {
                String::new()
            };
            format!("✓ Lock `{}` acquired (token {}{waited})", it.lock_name, it.token)
        }
        Record::LockWaited(it) => {
            let holders: Vec<String> = it.holders.iter().map(holder).collect();
            let mut text =
                format!("  waited {} for {}", took(it.waited_ms), escape(&it.waiting_for));
            if !holders.is_empty() {
                text += &format!(": {}", holders.join("; "));
            }
            if it.queue > 0 {
                text += &format!("; {} behind us", counted(it.queue.into(), "session"));
            }
            text
        }
        Record::MigrationYielded(it) => {
            let victims: Vec<String> = it.victims.iter().map(victim).collect();
            let mut text = format!("↺ {} {} gave way", it.version, escape(&it.name));
            text += &format!(" to {}", victims.join("; "));
            if let Some(pause) = it.retry_in_ms {
                text += &format!("; again in {}", took(pause));
            }
            text
        }
        Record::LockRenewed(it) => {
            format!("✓ Lock `{}` renewed until {}", it.lock_name, time(&it.expires_at))
        }
        Record::LockReleased(it) => {
            format!("✓ Lock `{}` released (token {})", it.lock_name, it.token)
        }
        Record::LockBroken(it) => format!(
            "✓ Lock `{}` of {}@{} broken (token {})",
            it.lock_name,
            escape(&it.owner),
            escape(&it.host),
            it.token
        ),
        Record::LockLost(it) => format!("✗ Lock `{}` lost: {}", it.lock_name, escape(&it.message)),
        Record::Audit(it) => audit::row(it),
        Record::AuditNoted(it) => format!("✓ Noted: {}", escape(&it.text)),
        Record::AuditVerified(it) => audit::verified(it),
        Record::AuditDamaged(it) => audit::damaged(it),
        Record::AuditArchived(it) => {
            format!("✓ {} moved to {}", counted(it.rows, "row"), escape(&it.file))
        }
        Record::PlanApproved(it) => audit::approved(it),
        Record::Gate(it) => audit::gate(it),
        Record::Rehearsal(it) => rehearsal::rehearsal(it),
        Record::LedgerCreated(_) | Record::CommandFinished(_) | Record::Error(_) => return None,
        Record::Migration(_) | Record::Lock(_) | Record::History(_) => return None,
        Record::Backup(_)
        | Record::BackupProgress(_)
        | Record::BackupCreated(_)
        | Record::BackupVerified(_)
        | Record::BackupDamaged(_)
        | Record::RestoreStarted(_)
        | Record::BackupRestored(_)
        | Record::BackupSwappedBack(_)
        | Record::BackupDropped(_)
        | Record::Retention(_)
        | Record::BackupPruned(_)
        | Record::BackupImported(_)
        | Record::BackupPinned(_)
        | Record::BackupUnpinned(_)
        | Record::BackupLabelled(_) => return backup::line(record),
        Record::Check(_)
        | Record::CheckSummary(_)
        | Record::CheckDefinition(_)
        | Record::QueryRow(_)
        | Record::QueryFinished(_)
        | Record::Metric(_)
        | Record::Activity(_)
        | Record::BaselineSaved(_) => return check::line(record),
    })
}

/// A session that is in the way, and what it does or did last.
pub fn holder(it: &Holder) -> String {
    let mut text = crate::ledger::advisory::describe(it);
    if let Some(query) = &it.query {
        text += &format!(" ({query})");
    }
    escape(&text)
}

/// A session that waits for us.
pub fn victim(it: &Victim) -> String {
    let mut text = format!("process {}", it.pid);
    if let Some(user) = &it.user {
        text += &format!(" of `{user}`");
    }
    if let Some(application) = &it.application {
        text += &format!(", {application}");
    }
    text += &format!(", blocked for {}", took(it.waited_ms));
    if let Some(query) = &it.query {
        text += &format!(" ({query})");
    }
    escape(&text)
}

fn finished(it: &ApplyFinished) -> String {
    let verb = match it.direction {
        Direction::Up => "applied",
        Direction::Down => "rolled back",
    };
    let left = match it.pending {
        0 => String::new(),
        left => format!("; {} pending", left),
    };
    match it.status {
        RunStatus::NothingToDo => "✓ Nothing to do".to_owned(),
        RunStatus::Done => {
            format!("✓ {} {verb} in {}{left}", migrations(it.done as usize), took(it.ms))
        }
        RunStatus::Failed | RunStatus::Interrupted => {
            format!("✗ Stopped: {} {verb} in {}{left}", migrations(it.done as usize), took(it.ms))
        }
    }
}

fn migrations(count: usize) -> String {
    counted(count as u64, "migration")
}

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn statement(it: &StatementDone) -> String {
    let mut text = format!("  ✓ {} {} (line {}", it.statement, it.command, it.line);
    if it.rows > 0 {
        text += &format!(", {}", counted(it.rows, "row"));
    }
    if let Some(ms) = it.ms {
        text += &format!(", {}", took(ms as u64));
    }
    text.push(')');
    text += &it.impact.as_ref().map(dry_run::impact).unwrap_or_default();
    text
}

fn applied(verb: &str, it: &MigrationApplied) -> String {
    let mut text =
        format!("✓ {} {} {verb} in {}", it.version, escape(&it.name), took(it.execution_ms));
    if let Some(estimate) = it.estimate_ms {
        text += &format!(" (estimate {})", took(estimate));
    }
    if it.commit.is_some() {
        text += " (the connection broke at COMMIT; the server says that it took place)";
    }
    text
}

fn finding(finding: &Finding) -> String {
    let mark = match finding.severity {
        Severity::Error => "✗",
        Severity::Warning => "!",
        Severity::Info => "·",
    };
    let mut text = format!("{mark} {}", escape(&finding.message));
    if let Some(hint) = &finding.hint {
        text += &format!("\n  hint: {}", escape(hint));
    }
    text
}

fn validation(it: &Validation) -> String {
    let mut text = match (it.valid, it.warnings) {
        (true, 0) => "✓ All migrations are valid".to_owned(),
        (true, warnings) => {
            format!("✓ All migrations are valid ({})", counted(warnings.into(), "warning"))
        }
        (false, _) => format!("✗ {} found", counted(it.errors.into(), "problem")),
    };
    text += &format!("\nPending migrations: {}", it.pending.len());
    for row in &it.pending {
        text += &format!("\n- {} (risk: {})", escape(&row.file), row.risk);
    }
    text
}

/// A time as a person reads it, to the second.
fn time(at: &DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// How long something took.
pub fn took(ms: u64) -> String {
    match ms {
        0 => "<1 ms".to_owned(),
        1..1_000 => format!("{ms} ms"),
        1_000..60_000 if ms % 1_000 < 100 => format!("{} s", ms / 1_000),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms / 100 % 10),
        60_000..3_600_000 if ms % 60_000 < 1_000 => format!("{} min", ms / 60_000),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
        _ if ms % 3_600_000 < 60_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// A size as a person reads it.
pub fn bytes(bytes: i64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{size:.1} {}", units[unit]) }
}

/// Names come from files and databases: what would steer a terminal is shown as an escape.
fn escape(text: &str) -> String {
    let bidi = |it: char| matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .flat_map(|it| {
            if it.is_control() || bidi(it) {
                it.escape_default().collect::<Vec<_>>()
            } else {
                vec![it]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
