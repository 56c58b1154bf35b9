//! How a rehearsal looks to a person: the statements that take locks or time, then the verdict.

use super::{bytes, counted, escape, migrations, took};
use crate::record::{Rehearsal, RehearsedStatement};

pub(super) fn rehearsal(it: &Rehearsal) -> String {
    let mut text: String = it.statements.iter().map(|it| statement(it) + "\n").collect();
    let mark = if it.passed { "✓" } else { "✗" };
    text += &format!(
        "{mark} Rehearsed plan {} for `{}`: {}, {} changed",
        it.plan_hash,
        escape(&it.database),
        migrations(it.versions.len()),
        counted(it.objects_changed.into(), "object")
    );
    text += if it.reversible { ", can be rolled back" } else { ", cannot be rolled back" };
    if !it.failed.is_empty() {
        text += &format!("; failed: {}", it.failed.join(", "));
    }
    text += &format!(" (in {})", took(it.ms));
    for note in &it.notes {
        text += &format!("\n  note: {}", escape(note));
    }
    text
}

fn statement(it: &RehearsedStatement) -> String {
    let mut text = format!("  {} line {}: {}", it.version, it.line, it.command);
    if let Some(ms) = it.ms {
        text += &format!(" ({} on the copy)", took(ms as u64));
    }
    for lock in &it.locks {
        text += &format!("\n    locks {} in {}", escape(&lock.table), lock.mode);
    }
    for (what, tables) in [("writes anew", &it.rewritten), ("reads all of", &it.scanned)] {
        for table in tables {
            text += &format!("\n    {what} {}: {}", escape(&table.table), bytes(table.bytes));
        }
    }
    text
}
