//! The history against the log, in both directions: every run has its event, every event its run.

use std::collections::HashMap;

use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    ledger::Ledger,
    record::{LogDamage, OtherDamage},
};
use serde::Deserialize;

use super::damage::damage;
use crate::rows::Row;

const RUNS: &str = include_str!("../../sql/history_runs.sql");
/// More of the same tell nothing more.
const MOST: usize = 8;
/// The row of a run and its event are written by one transaction.
const APART_MICROS: i64 = 60_000_000;

/// What the log says of a run so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Failed,
    /// Applied, in its own direction.
    Done,
    RolledBack,
    /// A restore brought back what was before one of these.
    Either,
}

/// A row of the history.
struct Run {
    id: i64,
    version: String,
    direction: String,
    run_id: String,
    name: String,
    checksum: String,
    status: String,
    execution_ms: Option<i64>,
    estimate_ms: Option<i64>,
    applied_by: String,
    /// Microseconds since 1970.
    finished_at: Option<i64>,
    /// Of the way back: its checksum as the table has it, and that of its text as it is.
    down_checksum: Option<String>,
    down_sql_checksum: Option<String>,
    down_transaction: Option<bool>,
    told: Told,
}

#[derive(Default)]
pub(crate) struct History {
    runs: Vec<Run>,
    by_run: HashMap<(String, String, String), usize>,
    by_version: HashMap<String, Vec<usize>>,
    /// Versions that a person decided about.
    resolved: HashMap<String, ()>,
    /// Events without a run, and columns that differ.
    found: Vec<OtherDamage>,
}

/// What matters of an event of a migration.
#[derive(Deserialize)]
struct Event {
    version: String,
    name: String,
    direction: Option<String>,
    checksum: Option<String>,
    down_checksum: Option<String>,
    down_transaction: Option<bool>,
    execution_ms: Option<i64>,
    estimate_ms: Option<i64>,
    #[serde(rename = "as")]
    resolved_as: Option<String>,
    transaction: Option<bool>,
}

impl History {
    pub(crate) fn read(session: &Session, ledger: &Ledger) -> Result<History> {
        let rows = session
            .query_once(&ledger.sql(RUNS), &[])
            .map_err(Error::database("read the history"))?;
        let mut history = History::default();
        for row in &rows {
            history.add(Run {
                id: row.get(0),
                version: row.get(1),
                direction: row.get(2),
                run_id: row.get(3),
                name: row.get(4),
                checksum: row.get(5),
                status: row.get(6),
                execution_ms: row.get(7),
                estimate_ms: row.get(8),
                applied_by: row.get(9),
                finished_at: row.get(10),
                down_checksum: row.get(11),
                down_transaction: row.get(12),
                down_sql_checksum: row.get(13),
                told: Told::Nothing,
            });
        }
        Ok(history)
    }

    fn add(&mut self, run: Run) {
        let index = self.runs.len();
        let key = (run.version.clone(), run.direction.clone(), run.run_id.clone());
        if run.direction == "up" {
            self.by_version.entry(run.version.clone()).or_default().push(index);
        }
        self.by_run.insert(key, index);
        self.runs.push(run);
    }

    pub(crate) fn rows(&self) -> u64 {
        self.runs.len() as u64
    }

    /// Takes a row of the log; most are about something else.
    pub(crate) fn take(&mut self, row: &Row<'_>) {
        if row.action == b"backup.restored" || row.action == b"backup.swapped_back" {
            return self.restored();
        }
        let Some(verb) = row.action.strip_prefix(b"migration.") else { return };
        let Ok(event) = serde_json::from_slice::<Event>(row.details) else { return };
        let run_id = row.run_id.map(String::from_utf8_lossy).unwrap_or_default();
        match verb {
            b"applied" | b"baselined" => self.done(row, &event, "up", &run_id),
            b"rolled_back" => {
                self.undone(&event.version);
                self.done(row, &event, "down", &run_id);
            }
            b"failed" => {
                let direction = event.direction.as_deref().unwrap_or("up");
                let run = self.find(&event.version, direction, &run_id);
                if let Some(run) = run.filter(|it| it.told == Told::Nothing) {
                    run.told = Told::Failed;
                }
            }
            b"resolved" => {
                if event.resolved_as.as_deref() == Some("pending") {
                    self.undone(&event.version);
                }
                self.resolved.insert(event.version, ());
            }
            _ => (),
        }
    }

    fn find(&mut self, version: &str, direction: &str, run_id: &str) -> Option<&mut Run> {
        let key = (version.to_owned(), direction.to_owned(), run_id.to_owned());
        self.by_run.get(&key).copied().map(|it| &mut self.runs[it])
    }

    fn done(&mut self, row: &Row<'_>, event: &Event, direction: &str, run_id: &str) {
        let id = row.id;
        let decided = self.resolved.contains_key(&event.version);
        let found = match self.find(&event.version, direction, run_id) {
            None => Some(format!(
                "row {id} of the log says that migration {} `{}` ran {direction} in run {run_id}, \
                 and the history has no such row",
                event.version, event.name
            )),
            Some(run) => {
                run.told = Told::Done;
                run.differs(event, row, decided).map(|column| {
                    format!(
                        "column `{column}` of row {} of the history (migration {}), or of its way \
                         back, is not what row {id} of the log says",
                        run.id, run.version
                    )
                })
            }
        };
        if let Some(message) = found.filter(|_| self.found.len() < MOST) {
            self.found.push(damage(LogDamage::History, id, None, message));
        }
    }

    fn undone(&mut self, version: &str) {
        for &index in self.by_version.get(version).into_iter().flatten() {
            let run = &mut self.runs[index];
            // Not those that the log has not come to yet.
            if matches!(run.told, Told::Done | Told::Failed | Told::Either) {
                run.told = Told::RolledBack;
            }
        }
        self.resolved.entry(version.to_owned()).or_default();
    }

    /// The history is that of a backup from now on; the log goes on.
    fn restored(&mut self) {
        self.found.clear();
        for run in self.runs.iter_mut().filter(|it| it.told != Told::Nothing) {
            run.told = Told::Either;
        }
    }

    /// What doesn't agree. Runs that ended before `archived_until`, in microseconds, may have their
    /// event in an archive that was not given; returns how many such there are.
    pub(crate) fn end(mut self, archived_until: Option<i64>) -> (Vec<OtherDamage>, u64) {
        let mut unproven = 0;
        for run in &self.runs {
            if self.found.len() >= MOST || run.agrees(self.resolved.contains_key(&run.version)) {
                continue;
            }
            let old = run.finished_at.is_some_and(|at| archived_until.is_some_and(|it| at <= it));
            if run.told == Told::Nothing && old {
                unproven += 1;
                continue;
            }
            let said = match run.told {
                Told::Nothing => "the log has no such event",
                Told::Failed => "the log says that it failed",
                Told::Done | Told::Either => "the log says that it was done and not undone",
                Told::RolledBack => "the log says that it was rolled back",
            };
            let message = format!(
                "row {} of the history says that migration {} `{}` ({}, run {}) is `{}`, but {said}",
                run.id, run.version, run.name, run.direction, run.run_id, run.status
            );
            self.found.push(damage(LogDamage::History, None, None, message));
        }
        (self.found, unproven)
    }
}

impl Run {
    /// The column that says something else than the event that was written with it.
    fn differs(&self, event: &Event, row: &Row<'_>, decided: bool) -> Option<&'static str> {
        let same = |one: &Option<i64>, other: &Option<i64>| one.is_none() || one == other;
        let kept = |column: &Option<String>| {
            event.down_checksum.is_none() || event.down_checksum == *column
        };
        let in_time = |at: i64| (at - row.timestamp).abs() <= APART_MICROS;
        [
            ("name", event.name == self.name),
            ("checksum", event.checksum.as_ref().is_none_or(|it| *it == self.checksum)),
            ("execution_ms", same(&event.execution_ms, &self.execution_ms)),
            ("estimate_ms", same(&event.estimate_ms, &self.estimate_ms)),
            // A run outside a transaction may have been begun by another role.
            (
                "applied_by",
                event.transaction != Some(true) || row.actor == self.applied_by.as_bytes(),
            ),
            ("down_checksum", kept(&self.down_checksum)),
            ("down_sql", kept(&self.down_sql_checksum)),
            (
                "transactional",
                event.down_transaction.is_none() || event.down_transaction == self.down_transaction,
            ),
            ("finished_at", decided || self.finished_at.is_none_or(in_time)),
        ]
        .into_iter()
        .find_map(|(column, same)| (!same).then_some(column))
    }

    fn agrees(&self, decided: bool) -> bool {
        match (self.status.as_str(), self.told) {
            // It is under way, or was killed: its event comes at its end.
            ("running", _) => true,
            ("applied", Told::Done | Told::Either) => true,
            ("rolled_back", Told::RolledBack | Told::Either) => true,
            ("failed", Told::Failed | Told::Either) => true,
            // `resolve` writes no event of the run itself.
            ("applied" | "rolled_back", Told::Nothing | Told::Failed) => decided,
            _ => false,
        }
    }
}
