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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Direction, TableLock};

    fn words(all: &[&str]) -> Vec<String> {
        all.iter().map(|it| (*it).to_owned()).collect()
    }

    fn finished() -> DryRunFinished {
        DryRunFinished {
            run_id: "r".to_owned(),
            place: DryRunPlace::Here,
            direction: Direction::Up,
            status: RunStatus::Done,
            migrations: 1,
            statements: 2,
            rows: 0,
            ms: 1500,
            tables: vec![
                TableImpact {
                    table: "public.orders".to_owned(),
                    mode: "AccessExclusiveLock".to_owned(),
                    blocks: words(&["reads", "writes", "vacuum"]),
                    held_ms: 1400,
                    rewritten: true,
                    scanned: true,
                    bytes: 1 << 30,
                    rows_estimate: 10_000_000,
                },
                TableImpact {
                    table: "public.seen".to_owned(),
                    mode: "AccessShareLock".to_owned(),
                    blocks: words(&["schema changes"]),
                    held_ms: 1,
                    rewritten: false,
                    scanned: false,
                    bytes: 0,
                    rows_estimate: 0,
                },
            ],
            not_undone: words(&["values taken from sequences"]),
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_summary_lists_what_the_application_would_feel() {
        assert_eq!(
            super::finished(&finished()),
            "\
✓ Dry run done here, rolled back: 1 migration, 2 statements, 1.5 s; the target is as before
   TABLE          BLOCKS            FOR    SIZE    ROWS       LOCK
   public.orders  reads and writes  1.4 s  1.0 GB  ~10000000  AccessExclusive  rewritten
  not undone: values taken from sequences"
        );
        let nothing = DryRunFinished { tables: Vec::new(), ..finished() };
        assert!(super::finished(&nothing).contains("\n  blocks no reads and no writes\n"));
    }

    #[test]
    fn a_statement_names_the_strongest_lock_of_a_table() {
        let lock = |mode: &str, blocks: &[&str]| TableLock {
            table: "t".to_owned(),
            mode: mode.to_owned(),
            blocks: words(blocks),
        };
        let locks = vec![
            lock("AccessExclusiveLock", &["reads", "writes"]),
            lock("ShareLock", &["writes"]),
            lock("AccessShareLock", &["schema changes"]),
        ];
        let scanned = vec![TableSize { table: "t".to_owned(), bytes: 8192, rows_estimate: 1 }];
        assert_eq!(
            impact(&Impact { locks, scanned, ..Impact::default() }),
            "\n      locks t (AccessExclusive): blocks reads and writes\
             \n      scans t (8.0 kB, about 1 row)"
        );
    }
}
