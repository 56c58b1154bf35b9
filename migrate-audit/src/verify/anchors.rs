//! Heads of the chain that were kept elsewhere: what they say must still stand there.

use std::{fs, path::Path, str::FromStr};

use migrate_core::{
    anchor::Kept,
    connect::session::Facts,
    error::{Error, Result},
    record::{LogDamage, OtherDamage},
};

use super::damage::damage;
use crate::rows::Row;

/// `--anchor`: a hash, or a number and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Anchor {
    id: Option<i64>,
    hash: [u8; 32],
}

impl FromStr for Anchor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Anchor, &'static str> {
        const WRONG: &str = "an anchor is a hash of 64 hexadecimal digits, or `NUMBER:HASH`";
        let (id, hash) = match text.rsplit_once(':') {
            None | Some(("sha256", _)) => (None, text.strip_prefix("sha256:").unwrap_or(text)),
            Some((id, hash)) => {
                (Some(id.parse::<i64>().ok().filter(|it| *it > 0).ok_or(WRONG)?), hash)
            }
        };
        Ok(Anchor { id, hash: bytes(hash).ok_or(WRONG)? })
    }
}

fn bytes(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// All anchors, and which of them were met on the way.
#[derive(Default)]
pub(crate) struct Anchors {
    /// In the order of their numbers.
    numbered: Vec<(i64, [u8; 32])>,
    next: usize,
    loose: Vec<[u8; 32]>,
    pub(crate) met: u64,
    /// The newest that was met.
    pub(crate) newest: Option<i64>,
    first_id: Option<i64>,
    found: Vec<OtherDamage>,
}

impl Anchors {
    pub(crate) fn new(given: &[Anchor]) -> Anchors {
        let mut anchors = Anchors::default();
        for Anchor { id, hash } in given {
            match id {
                Some(id) => anchors.numbered.push((*id, *hash)),
                None => anchors.loose.push(*hash),
            }
        }
        anchors.sort();
        anchors
    }

    /// Those of this very ledger in the local file; none where it was not made yet.
    pub(crate) fn add_file(&mut self, path: &Path, facts: &Facts, schema: &str) -> Result<()> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(Error::ReadFile { path: path.to_owned(), source }),
        };
        for (number, line) in (1..).zip(text.lines()) {
            let wrong = || {
                Error::usage(
                    format!("{}, line {number}: this is no anchor", path.display()),
                    "a line is a JSON object with `system_identifier`, `database`, `ledger_schema`, \
                     `id` and `hash`; a last line that was cut off by a crash may be removed",
                )
            };
            let kept: Kept = serde_json::from_str(line).map_err(|_| wrong())?;
            if kept.is_of(facts, schema) {
                self.numbered.push((kept.id, bytes(&kept.hash).ok_or_else(wrong)?));
            }
        }
        self.sort();
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.numbered.is_empty() && self.loose.is_empty()
    }

    fn sort(&mut self) {
        self.numbered.sort_unstable();
        self.numbered.dedup();
        self.loose.sort_unstable();
        self.loose.dedup();
    }

    pub(crate) fn take(&mut self, row: &Row<'_>) {
        self.first_id.get_or_insert(row.id);
        while let Some((id, hash)) = self.numbered.get(self.next).filter(|it| it.0 <= row.id) {
            if *id == row.id && row.hash == hash {
                self.met += 1;
                self.newest = Some(row.id);
            } else if self.first_id.is_some_and(|first| *id >= first) {
                let message = format!(
                    "the anchor says that row {id} has the hash {}: from there back, the chain was \
                     hashed anew, or this is another copy of the log that went on by itself",
                    migrate_core::plan::hex(hash)
                );
                self.found.push(damage(LogDamage::Recomputed, *id, None, message));
            }
            self.next += 1;
        }
        if !self.loose.is_empty()
            && let Ok(hash) = row.hash.try_into()
            && let Ok(index) = self.loose.binary_search(&hash)
        {
            self.loose.remove(index);
            self.met += 1;
            self.newest = Some(self.newest.unwrap_or(0).max(row.id));
        }
    }

    /// What the anchors say beyond the head, `head`.
    pub(crate) fn end(&mut self, head: i64) -> Vec<OtherDamage> {
        let mut found = std::mem::take(&mut self.found);
        // More of them say the same.
        found.truncate(1);
        if let Some((id, _)) = self.numbered[self.next..].last() {
            let message = format!(
                "the end was cut off: an anchor knows row {id}, and the last row is {head}"
            );
            found.push(damage(LogDamage::Truncated, head + 1, None, message));
        }
        for hash in &self.loose {
            let message = format!(
                "no row has the hash {} of the anchor: the end was cut off, the chain was hashed \
                 anew, or the anchor is of another log",
                migrate_core::plan::hex(hash)
            );
            found.push(damage(LogDamage::Truncated, None, None, message));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_a_hash_with_or_without_its_number() {
        let hash = "0a".repeat(32);
        let anchor = |text: &str| text.parse::<Anchor>();
        assert_eq!(anchor(&hash).unwrap(), Anchor { id: None, hash: [10; 32] });
        assert_eq!(anchor(&format!("12:{hash}")).unwrap(), Anchor { id: Some(12), hash: [10; 32] });
        for wrong in
            ["", "12", "12:", "x:0a", &hash[1..], &format!("0:{hash}"), &format!("é{hash}")]
        {
            assert!(anchor(wrong).is_err(), "{wrong}");
        }
    }
}
