//! What was done to a row that doesn't fit: decided from the row, its neighbours, and where else
//! in the log the hashes lead.

use std::collections::HashSet;

use migrate_core::{
    error::Result,
    record::{LogDamage, OtherDamage},
};

use super::{
    chain::{Edited, Kept, Suspect},
    row::{Copies, hash},
};

/// Looks something up in the whole log.
pub(crate) trait Lookup {
    /// The row that continues a hash.
    fn successor(&self, prev_hash: &[u8]) -> Result<Option<Kept>>;
    /// The number of another row with the same text.
    fn twin(&self, id: i64, canonical: &[u8]) -> Result<Option<i64>>;
}

/// Where the numbers and the text say the same wherever the row stands.
struct Verdict {
    found: OtherDamage,
    /// Rows that are suspect only for this reason.
    explains: Vec<i64>,
    /// All rows from here on are suspect for this reason.
    explains_the_rest: bool,
}

/// What happened, the first place first.
pub(crate) fn judge(
    suspects: &[Suspect],
    edited: &[Edited],
    lookup: &dyn Lookup,
) -> Result<Vec<OtherDamage>> {
    let mut found = Vec::new();
    let mut explained = HashSet::new();
    for suspect in suspects {
        if explained.contains(&suspect.row.id) {
            continue;
        }
        let verdict = verdict(suspect, suspects, lookup)?;
        explained.extend(verdict.explains);
        found.push(verdict.found);
        if verdict.explains_the_rest {
            break;
        }
    }
    found.extend(edited.iter().map(|it| {
        let message = format!("column `{}` of row {} is not what was hashed", it.column, it.id);
        damage(LogDamage::Edited, it.id, Some(it.column), message)
    }));
    found.sort_by_key(|it| it.id);
    Ok(found)
}

fn verdict(it: &Suspect, all: &[Suspect], lookup: &dyn Lookup) -> Result<Verdict> {
    let (row, id) = (&it.row, it.row.id);
    if id < it.expected_id {
        let message = match id {
            ..1 => format!("row {id} stands before the first row"),
            _ => format!("row {id} is there more than once"),
        };
        let kind = if id < 1 { LogDamage::Inserted } else { LogDamage::Duplicated };
        return Ok(only(damage(kind, id, None, message), vec![id + 1]));
    }
    let successor = lookup.successor(&it.expected_prev)?.filter(|found| found.id != id);
    // The row that belongs here, wherever it stands now.
    let moved = successor.filter(|found| found.is(it.expected_id, &it.expected_prev));
    if id > it.expected_id {
        return Ok(gap(it, moved));
    }
    if let Some(moved) = moved {
        return Ok(displaced(it, &moved));
    }
    // Its own number and predecessor, as it states them.
    if row.is(id, &row.prev_hash) {
        return Ok(rehashed(it));
    }
    if row.is(id + 1, &row.prev_hash) {
        let message = format!("row {id} is missing, and the rows after it have new numbers");
        return Ok(Verdict {
            found: damage(LogDamage::Deleted, id, None, message),
            explains: Vec::new(),
            explains_the_rest: true,
        });
    }
    if row.is(id, &it.expected_prev) {
        return Ok(edited(it, Some("prev_hash")));
    }
    if row.prev_hash == it.expected_prev {
        content(it, all, lookup)
    } else if let Some(twin) = lookup.twin(id, &row.canonical)? {
        Ok(copy(it, twin))
    } else if it.next_prev.as_deref() == Some(&row.hash) {
        Ok(edited(it, None))
    } else {
        Ok(inserted(it))
    }
}

/// Numbers are missing before the row.
fn gap(it: &Suspect, moved: Option<Kept>) -> Verdict {
    let (row, id, from) = (&it.row, it.row.id, it.expected_id);
    if row.is(from, &it.expected_prev) {
        let message = format!("row {from} has the number {id} now");
        return only(damage(LogDamage::Edited, from, Some("id"), message), vec![id]);
    }
    if let Some(moved) = moved {
        let message = format!("row {from} has the number {} now", moved.id);
        return only(damage(LogDamage::Edited, from, Some("id"), message), vec![moved.id, id]);
    }
    let message = match id - from {
        1 => format!("row {from} is missing"),
        more => format!("rows {from} to {} are missing, {more} in all", id - 1),
    };
    only(damage(LogDamage::Deleted, from, None, message), Vec::new())
}

/// Another row belongs where this one stands.
fn displaced(it: &Suspect, moved: &Kept) -> Verdict {
    let id = it.row.id;
    if it.row.is(moved.id, &it.row.prev_hash) {
        let message = format!("rows {id} and {} have changed places", moved.id);
        let explains = vec![id, id + 1, moved.id, moved.id + 1];
        return only(damage(LogDamage::Swapped, id, None, message), explains);
    }
    let renumbered = moved.id == id + 1;
    let rest = if renumbered { ", and the rows after it have new numbers" } else { "" };
    Verdict {
        found: damage(
            LogDamage::Inserted,
            id,
            None,
            format!("row {id} is not of this chain{rest}"),
        ),
        explains: vec![id + 1, moved.id, moved.id + 1],
        explains_the_rest: renumbered,
    }
}

/// The row is sound in itself, and the one before has another hash than the one it continues.
fn rehashed(it: &Suspect) -> Verdict {
    let id = it.row.id;
    let before_is_new = it.next_prev.as_deref().is_none_or(|next| next == it.row.hash);
    let changed = if before_is_new && id > 1 { id - 1 } else { id };
    if id == 1 {
        let message = "row 1 continues something: it is not the first row of a chain".to_owned();
        return only(damage(LogDamage::Genesis, 1, None, message), Vec::new());
    }
    let message = format!(
        "row {changed} was changed and hashed anew: its neighbours know it by another hash"
    );
    only(damage(LogDamage::Edited, changed, None, message), vec![changed + 1])
}

/// It continues the row before, and its hash is not that of its content.
fn content(it: &Suspect, all: &[Suspect], lookup: &dyn Lookup) -> Result<Verdict> {
    let (row, id) = (&it.row, it.row.id);
    let next = it.next_prev.as_deref();
    if next.is_some_and(|next| next == hash(id, &row.prev_hash, &row.canonical)) {
        return Ok(edited(it, Some("hash")));
    }
    let swapped = all.iter().map(|it| &it.row).find(|other| {
        other.id != id
            && row.hash == hash(id, &row.prev_hash, &other.canonical)
            && other.hash == hash(other.id, &other.prev_hash, &row.canonical)
    });
    if let Some(other) = swapped {
        let message = format!("rows {id} and {} have changed their content", other.id);
        return Ok(only(damage(LogDamage::Swapped, id, None, message), vec![other.id]));
    }
    if let Some(twin) = lookup.twin(id, &row.canonical)? {
        return Ok(copy(it, twin));
    }
    // What a later row continues was hashed by us, whatever the text says now.
    let known_by_next = next == Some(&row.hash);
    Ok(match it.copies {
        _ if known_by_next => edited(it, Some("canonical")),
        Copies::Differ(_) | Copies::Unknown if next.is_none() => edited(it, Some("canonical")),
        _ if next.is_none() => inserted(it),
        _ => edited(it, None),
    })
}

fn edited(it: &Suspect, column: Option<&'static str>) -> Verdict {
    let id = it.row.id;
    let message = match column {
        Some("canonical") => {
            format!("the hashed text of row {id} (column `canonical`) was edited")
        }
        Some(column) => format!("column `{column}` of row {id} was edited"),
        None => format!("row {id} was edited: neither its text nor its hash fits its neighbours"),
    };
    // The row after it continues the hash that it had.
    only(damage(LogDamage::Edited, id, column, message), vec![id + 1])
}

fn copy(it: &Suspect, twin: i64) -> Verdict {
    let id = it.row.id;
    let message = format!("row {id} is a copy of row {twin}");
    only(damage(LogDamage::Duplicated, id, None, message), vec![id + 1])
}

fn inserted(it: &Suspect) -> Verdict {
    let id = it.row.id;
    let message = format!("row {id} is not of this chain: its hash fits nothing");
    only(damage(LogDamage::Inserted, id, None, message), vec![id + 1])
}

fn only(found: OtherDamage, explains: Vec<i64>) -> Verdict {
    Verdict { found, explains, explains_the_rest: false }
}

pub(crate) fn damage(
    damage: LogDamage,
    id: impl Into<Option<i64>>,
    column: Option<&str>,
    message: String,
) -> OtherDamage {
    OtherDamage { id: id.into(), damage, column: column.map(str::to_owned), message }
}
