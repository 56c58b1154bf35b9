//! How far a dump or a load has come: tables and bytes done against the total, and the time left.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use migrate_core::{
    connect::session::Session,
    ctx::Ctx,
    live,
    record::{BackupId, BackupPhase, BackupProgress, Record},
    text,
};

const COPYING: &str = include_str!("../sql/copying.sql");

/// Nothing is said of what is done by then.
const QUIET_FOR: Duration = Duration::from_secs(2);
/// As often as that at first; long work is told less often.
const OFTEN: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(60);

/// A table whose rows are copied.
#[derive(Debug, Clone)]
struct Share {
    bytes: u64,
    /// Where it is known.
    rows: Option<u64>,
}

/// The tables of a dump or a load, each with its share of the work.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    shares: HashMap<String, Share>,
    total: u64,
    begun: HashMap<String, Instant>,
    /// Rows of those under way, as the server counts them.
    running: HashMap<String, u64>,
    seen: HashSet<String>,
}

/// Done and all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    bytes: u64,
    tables: u64,
}

impl Tables {
    /// `name` is `schema.table` as the programs print it.
    pub(crate) fn add(&mut self, name: String, bytes: u64, rows: Option<u64>) {
        // An empty table is some work, too.
        let bytes = bytes.max(8192);
        self.total += bytes;
        self.shares.insert(name, Share { bytes, rows });
    }

    /// How many rows a table has, known only now.
    pub(crate) fn counted(&mut self, name: &str, rows: u64) {
        if let Some(share) = self.shares.get_mut(name) {
            share.rows = Some(rows);
        }
    }

    /// A program said that it begins with a table.
    pub(crate) fn hear(&mut self, note: &str) {
        let begun = [
            "dumping contents of table ",
            "processing data for table ",
            "restoring data for table ",
        ]
        .iter()
        .find_map(|it| note.strip_prefix(it));
        if let Some(name) = begun.map(|it| it.trim_matches('"')) {
            self.begun.entry(name.to_owned()).or_insert_with(Instant::now);
        }
    }

    /// Asks the server which tables are being copied now; older servers can't tell.
    fn look(&mut self, session: &Session, application: &str) {
        if session.facts().server_version_num < 140_000 {
            return;
        }
        let Ok(rows) = session.query(COPYING, &[&application]) else { return };
        self.running = rows
            .iter()
            .map(|it| (it.get("name"), it.get::<_, i64>("rows").unsigned_abs()))
            .collect();
        self.seen.extend(self.running.keys().cloned());
    }

    fn state(&self, now: Instant) -> State {
        let mut state = State { bytes: 0, tables: 0 };
        for (name, began) in &self.begun {
            let Some(share) = self.shares.get(name) else { continue };
            if let Some(&copied) = self.running.get(name) {
                let part = share
                    .rows
                    .filter(|&it| it > 0)
                    .map_or(0.0, |all| (copied as f64 / all as f64).min(1.0));
                state.bytes += (share.bytes as f64 * part) as u64;
            } else if self.seen.contains(name) || now.duration_since(*began) > OFTEN * 2 {
                state.bytes += share.bytes;
                state.tables += 1;
            }
        }
        state
    }
}

/// Says from time to time how far it has come. The live line goes when this is dropped.
pub(crate) struct Progress {
    backup_id: BackupId,
    phase: BackupPhase,
    start: Instant,
    said: Instant,
    shown: bool,
}

impl Progress {
    pub(crate) fn new(backup_id: &BackupId, phase: BackupPhase) -> Progress {
        let now = Instant::now();
        Progress { backup_id: backup_id.clone(), phase, start: now, said: now, shown: false }
    }

    fn is_due(&self) -> bool {
        let elapsed = self.start.elapsed();
        let pause = if elapsed < LONG { OFTEN } else { LATER };
        elapsed >= QUIET_FOR && self.said.elapsed() >= pause
    }

    /// Of tables; `session` is on their database, and `application` the name that the program has.
    pub(crate) fn of_tables(
        &mut self,
        tables: &mut Tables,
        session: Option<&Session>,
        application: &str,
        ctx: &mut Ctx,
    ) {
        if !self.is_due() {
            return;
        }
        if let Some(session) = session {
            tables.look(session, application);
        }
        let state = tables.state(Instant::now());
        let count = tables.shares.len() as u64;
        self.say(state.bytes, Some(tables.total), Some((state.tables, count)), ctx);
    }

    /// Of bytes that are read, or of tables that are counted.
    pub(crate) fn of_bytes(&mut self, done: u64, total: Option<u64>, ctx: &mut Ctx) {
        if self.is_due() {
            self.say(done, total, None, ctx);
        }
    }

    fn say(&mut self, done: u64, total: Option<u64>, tables: Option<(u64, u64)>, ctx: &mut Ctx) {
        self.said = Instant::now();
        let elapsed = self.start.elapsed();
        let part = total.filter(|&it| it > 0).map(|all| (done as f64 / all as f64).min(1.0));
        // The first hundredth tells little about the others.
        let eta_ms = part
            .filter(|&it| it > 0.01)
            .map(|part| (elapsed.as_millis() as f64 * (1.0 - part) / part) as u64);
        let record = BackupProgress {
            backup_id: self.backup_id.clone(),
            phase: self.phase,
            bytes_done: done,
            bytes_total: total,
            tables_done: tables.map(|it| it.0),
            tables_total: tables.map(|it| it.1),
            ms: elapsed.as_millis() as u64,
            eta_ms,
        };
        let message = text::backup_progress(&record);
        if live::is_possible() {
            live::show(&format!("  {} {message}", live::bar(part)));
            self.shown = true;
        } else {
            log::info!("PROGRESS {} {message}", self.backup_id);
        }
        if !ctx.for_people() {
            ctx.emit(Record::BackupProgress(record));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            live::show("");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_counts_in_part_and_what_was_copied_whole() {
        let mut tables = Tables::default();
        tables.add("public.big".into(), 1_000_000, Some(100));
        tables.add("public.small".into(), 0, Some(1));
        let now = Instant::now();
        assert_eq!(tables.state(now), State { bytes: 0, tables: 0 });
        tables.hear("dumping contents of table \"public.big\"");
        tables.running.insert("public.big".into(), 25);
        assert_eq!(tables.state(now), State { bytes: 250_000, tables: 0 });
        tables.seen.insert("public.big".into());
        tables.running.clear();
        tables.hear("dumping contents of table \"public.small\"");
        assert_eq!(tables.state(now), State { bytes: 1_000_000, tables: 1 });
        assert_eq!(tables.state(now + OFTEN * 3), State { bytes: 1_008_192, tables: 2 });
    }
}
