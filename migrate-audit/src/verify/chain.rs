//! Walks along the chain, row by row, and keeps what doesn't fit for a closer look.

use super::{
    fingerprint::Fingerprint,
    row::{Copies, NOTHING, copies, hash},
};
use crate::rows::Row;

/// Where nothing fits any more, more places tell nothing more.
const MOST: usize = 24;

/// What of a row is needed to find out what happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) id: i64,
    pub(crate) prev_hash: Vec<u8>,
    pub(crate) hash: Vec<u8>,
    pub(crate) canonical: Vec<u8>,
}

impl Kept {
    pub(crate) fn of(row: &Row<'_>) -> Kept {
        Kept {
            id: row.id,
            prev_hash: row.prev_hash.to_vec(),
            hash: row.hash.to_vec(),
            canonical: row.canonical.to_vec(),
        }
    }

    /// Whether its hash would be right as row `id` after `prev_hash`.
    pub(crate) fn is(&self, id: i64, prev_hash: &[u8]) -> bool {
        self.hash == hash(id, prev_hash, &self.canonical)
    }
}

/// A row that doesn't fit where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Suspect {
    pub(crate) expected_id: i64,
    /// Of the row before.
    pub(crate) expected_prev: Vec<u8>,
    pub(crate) row: Kept,
    pub(crate) copies: Copies,
    /// What the row after it continues.
    pub(crate) next_prev: Option<Vec<u8>>,
}

/// A sound row of which a column is no copy of what was hashed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edited {
    pub(crate) id: i64,
    pub(crate) column: &'static str,
}

/// Time that went back further than writers may overtake each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackInTime {
    pub(crate) id: i64,
    pub(crate) micros: i64,
}

/// A writer takes the time before it waits for its turn, for at most five seconds.
const TOLERATED_MICROS: i64 = 10_000_000;

pub(crate) struct Chain {
    fingerprint: Fingerprint,
    pub(crate) rows: u64,
    /// The last row so far.
    pub(crate) id: i64,
    pub(crate) hash: Vec<u8>,
    latest: i64,
    pub(crate) suspects: Vec<Suspect>,
    pub(crate) edited: Vec<Edited>,
    /// How many times time went back, and the first one.
    pub(crate) back_in_time: Option<(u64, BackInTime)>,
    /// The first sound row in a form of another version.
    pub(crate) unknown: Option<i64>,
    /// The first row, where it doesn't begin the chain.
    pub(crate) begins_at: Option<Kept>,
    open: bool,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain {
            fingerprint: Fingerprint::default(),
            rows: 0,
            id: 0,
            hash: NOTHING.to_vec(),
            latest: i64::MIN,
            suspects: Vec::new(),
            edited: Vec::new(),
            back_in_time: None,
            unknown: None,
            begins_at: None,
            open: false,
        }
    }
}

impl Chain {
    pub(crate) fn take(&mut self, row: &Row<'_>) {
        if std::mem::take(&mut self.open)
            && let Some(last) = self.suspects.last_mut()
        {
            last.next_prev = Some(row.prev_hash.to_vec());
        }
        // The first rows may be in an archive; whether they are is found out at the end.
        let begins_later = self.rows == 0 && self.id == 0 && row.id > 1;
        if begins_later {
            self.begins_at = Some(Kept::of(row));
            self.id = row.id - 1;
            self.hash = row.prev_hash.to_vec();
        }
        self.rows += 1;
        let fits = row.id == self.id + 1
            && row.prev_hash == self.hash
            && row.hash == hash(row.id, row.prev_hash, row.canonical);
        let copies = copies(row, &self.fingerprint);
        match copies {
            _ if !fits => self.suspect(row, copies),
            Copies::Agree => (),
            Copies::Differ(column) if self.edited.len() < MOST => {
                self.edited.push(Edited { id: row.id, column });
            }
            Copies::Differ(_) => (),
            Copies::Unknown => {
                self.unknown.get_or_insert(row.id);
            }
        }
        if row.timestamp < self.latest.saturating_sub(TOLERATED_MICROS) {
            let first = BackInTime { id: row.id, micros: self.latest - row.timestamp };
            self.back_in_time.get_or_insert((0, first)).0 += 1;
        }
        self.latest = self.latest.max(row.timestamp);
        self.id = row.id;
        self.hash.clear();
        self.hash.extend_from_slice(row.hash);
    }

    /// The first row that is not as it was written, or of which that cannot be told.
    pub(crate) fn first_bad(&self) -> Option<i64> {
        let suspect = self.suspects.first().map(|it| it.row.id);
        let edited = self.edited.first().map(|it| it.id);
        [suspect, edited, self.unknown].into_iter().flatten().min()
    }

    fn suspect(&mut self, row: &Row<'_>, copies: Copies) {
        if self.suspects.len() < MOST {
            self.open = true;
            self.suspects.push(Suspect {
                expected_id: self.id + 1,
                expected_prev: self.hash.clone(),
                row: Kept::of(row),
                copies,
                next_prev: None,
            });
        }
    }
}
