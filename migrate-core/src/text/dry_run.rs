//! How a dry run looks to a person: what it would block, for how long, and how big that is.

use comfy_table::{Table, presets::NOTHING};

use super::{bytes, counted, escape, migrations, took};
use crate::record::{DryRunFinished, DryRunPlace, Impact, RunStatus, TableImpact, TableSize};

/// Below the line of a statement; of the locks only those that stop the application.
pub(super) fn impact(it: &Impact) -> String {
    let mut text = String::new();
    if it.outside_transaction {
        text += "\n      runs outside a transaction";
    }
    if let Some(why) = &it.skipped {
        text += &format!("\n      not run: {}", escape(why));
    }
    // The strongest of a table comes first.
    let mut told = Vec::new();
    for lock in it.locks.iter().filter(|it| stops_work(&it.blocks)) {
        if told.contains(&&lock.table) {
            continue;
        }
        told.push(&lock.table);
        text += &format!(
            "\n      locks {} ({}): blocks {}",
            escape(&lock.table),
            short(&lock.mode),
            work_stopped(&lock.blocks)
        );
    }
    for (word, tables) in [("rewrites", &it.rewritten), ("scans", &it.scanned)] {
        for table in tables {
            text += &format!("\n      {word} {} ({})", escape(&table.table), size(table));
        }
    }
    text
}

pub(super) fn finished(it: &DryRunFinished) -> String {
    let what = format!(
        "{}, {}, {}",
        migrations(it.migrations as usize),
        counted(it.statements, "statement"),
        took(it.ms)
    );
    let place = match it.place {
        DryRunPlace::Copy => "on a copy",
        DryRunPlace::Here => "here, rolled back",
    };
    let mut text = match it.status {
        RunStatus::Done | RunStatus::NothingToDo => {
            format!("✓ Dry run done {place}: {what}; the target is as before")
        }
        RunStatus::Failed | RunStatus::Interrupted => {
            format!("✗ Dry run stopped {place}: {what}; the target is as before")
        }
    };
    if it.status == RunStatus::Done || !it.tables.is_empty() {
        text += &tables(&it.tables);
    }
    for left in &it.not_undone {
        text += &format!("\n  not undone: {left}");
    }
    for note in &it.notes {
        text += &format!("\n  note: {}", escape(note));
    }
    text
}

/// The tables that the application would feel.
fn tables(rows: &[TableImpact]) -> String {
    let felt: Vec<&TableImpact> =
        rows.iter().filter(|it| stops_work(&it.blocks) || it.rewritten || it.scanned).collect();
    if felt.is_empty() {
        return "\n  blocks no reads and no writes".to_owned();
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["", "TABLE", "BLOCKS", "FOR", "SIZE", "ROWS", "LOCK", ""]);
    for row in felt {
        let did = match (row.rewritten, row.scanned) {
            (true, _) => "rewritten",
            (false, true) => "scanned",
            (false, false) => "",
        };
        table.add_row([
            " ".to_owned(),
            escape(&row.table),
            work_stopped(&row.blocks),
            took(row.held_ms),
            bytes(row.bytes),
            format!("~{}", row.rows_estimate),
            short(&row.mode).to_owned(),
            did.to_owned(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text += &format!("\n{}", line.trim_end());
    }
    text
}

fn stops_work(blocks: &[String]) -> bool {
    blocks.iter().any(|it| it == "reads" || it == "writes")
}

/// What the application feels; who needs the rest reads the record.
fn work_stopped(blocks: &[String]) -> String {
    let felt: Vec<&str> =
        blocks.iter().map(String::as_str).filter(|it| ["reads", "writes"].contains(it)).collect();
    match felt.as_slice() {
        [] => "neither".to_owned(),
        felt => felt.join(" and "),
    }
}

fn short(mode: &str) -> &str {
    mode.strip_suffix("Lock").unwrap_or(mode)
}

fn size(table: &TableSize) -> String {
    format!("{}, about {}", bytes(table.bytes), counted(table.rows_estimate.unsigned_abs(), "row"))
}
