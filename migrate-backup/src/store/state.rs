//! `ID.state.jsonl`: what became known of a backup after it was made. The backup itself never changes.
//!
//! One event a line, appended: so two runs at the same time lose nothing of each other, and who
//! pinned what and when can be read later.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
};

use chrono::{DateTime, Utc};
use migrate_core::{
    error::{Error, Result},
    record::{BackupId, Level},
};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::folder::Folder;

/// Events come from people and from verifications: there are never many.
const LARGEST_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    at: DateTime<Utc>,
    /// Who, as `user@host`.
    by: String,
    #[serde(flatten)]
    event: Event,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// It came from elsewhere: who made it is not known here.
    Imported,
    Proven {
        level: Level,
    },
    Damaged {
        level: Level,
    },
    Pinned {
        reason: Option<String>,
    },
    Unpinned,
    Labelled {
        label: Option<String>,
    },
}

/// All events taken together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    /// The highest level that was proven, and when it was last.
    pub(crate) proven: Option<(Level, DateTime<Utc>)>,
    /// The level at which damage was found; no proof of that level came later.
    pub(crate) damaged: Option<(Level, DateTime<Utc>)>,
    pub(crate) pinned: Option<Pin>,
    pub(crate) label: Option<String>,
    pub(crate) imported: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pin {
    pub(crate) reason: Option<String>,
}

impl State {
    fn add(&mut self, line: Line) {
        match line.event {
            Event::Imported => self.imported = true,
            Event::Proven { level } => {
                if self.damaged.is_some_and(|(damaged, _)| level >= damaged) {
                    self.damaged = None;
                }
                if self.proven.is_none_or(|(proven, _)| level >= proven) {
                    self.proven = Some((level, line.at));
                }
            }
            Event::Damaged { level } => {
                self.damaged = Some((level, line.at));
                self.proven = None;
            }
            Event::Pinned { reason } => self.pinned = Some(Pin { reason }),
            Event::Unpinned => self.pinned = None,
            Event::Labelled { label } => self.label = label,
        }
    }
}

pub(crate) fn file_name(id: &BackupId) -> String {
    format!("{id}.state.jsonl")
}

/// The state of a backup about which nothing was said yet is empty.
pub(super) fn read(store: &Folder, id: &BackupId) -> io::Result<State> {
    match store.read(file_name(id), LARGEST_BYTES) {
        Ok(bytes) => Ok(parse(&bytes)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(State::default()),
        Err(err) => Err(err),
    }
}

/// A line that was cut off by a crash, or is of a newer program, says nothing.
fn parse(bytes: &[u8]) -> State {
    let mut state = State::default();
    for line in bytes.split(|&it| it == b'\n') {
        if let Ok(line) = serde_json::from_slice(line) {
            state.add(line);
        }
    }
    state
}

/// Adds an event, down to the disk.
pub(super) fn append(
    store: &Folder,
    id: &BackupId,
    at: DateTime<Utc>,
    by: &str,
    event: Event,
) -> Result<()> {
    let name = file_name(id);
    let line = Line { at, by: by.to_owned(), event };
    let mut line = serde_json::to_string(&line).expect("events have string keys only");
    line.push('\n');
    let mut written = || -> io::Result<()> {
        let new = !store.exists(&name)?;
        let mut file = store.open_with(&name, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE)?;
        if was_cut_off(&file)? {
            line.insert(0, '\n');
        }
        // One write, so that it is appended as a whole.
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        if new { store.sync() } else { Ok(()) }
    };
    written().map_err(|source| Error::WriteFile { path: store.join(&name), source })
}

/// Whether a crash left the last line without its end.
fn was_cut_off(file: &File) -> io::Result<bool> {
    let mut last = [b'\n'];
    if let Some(end) = file.metadata()?.len().checked_sub(1) {
        file.read_exact_at(&mut last, end)?;
    }
    Ok(last != [b'\n'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(events: &[Event]) -> State {
        let mut state = State::default();
        for (minute, event) in events.iter().enumerate() {
            let at = DateTime::from_timestamp(minute as i64 * 60, 0).unwrap();
            state.add(Line { at, by: "a@b".into(), event: event.clone() });
        }
        state
    }

    fn proven(level: Level) -> Event {
        Event::Proven { level }
    }

    fn level(state: &State) -> Option<Level> {
        state.proven.map(|(level, _)| level)
    }

    #[test]
    fn the_highest_level_proven_stays_and_its_last_time_counts() {
        let state = state(&[proven(Level::Restore), proven(Level::Checksum)]);
        assert_eq!(level(&state), Some(Level::Restore));
        assert_eq!(state.proven.unwrap().1.timestamp(), 0);
    }

    #[test]
    fn damage_takes_every_proof_away_and_is_answered_by_a_proof_of_its_level_only() {
        let damaged = Event::Damaged { level: Level::Read };
        let once = state(&[proven(Level::Restore), damaged.clone()]);
        assert!(level(&once).is_none() && once.damaged.is_some());
        let shallow = state(&[damaged.clone(), proven(Level::Checksum)]);
        assert!(shallow.damaged.is_some());
        let deep = state(&[damaged, proven(Level::Restore)]);
        assert!(deep.damaged.is_none());
    }

    #[test]
    fn a_line_cut_off_by_a_crash_harms_neither_its_neighbours_nor_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let id: BackupId = "20261124T181522Z-3fa94c".parse().unwrap();
        let at = DateTime::from_timestamp(0, 0).unwrap();
        append(&folder, &id, at, "a@b", Event::Pinned { reason: None }).unwrap();
        let path = dir.path().join(file_name(&id));
        let cut = std::fs::read_to_string(&path).unwrap() + "{\"at\":\"2026-";
        std::fs::write(&path, cut).unwrap();
        append(&folder, &id, at, "a@b", Event::Labelled { label: Some("x".into()) }).unwrap();
        let state = read(&folder, &id).unwrap();
        assert!(state.pinned.is_some());
        assert_eq!(state.label.as_deref(), Some("x"));
    }
}
