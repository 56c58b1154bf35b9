//! A restored copy against the manifest: rows, content, sequences, large objects, and the schema.

use std::collections::{BTreeMap, BTreeSet};

use migrate_core::{
    connect::session::Session,
    error::Result,
    inventory::{self, Difference, Inventory},
    ledger::Ledger,
    record::{Damage, DamageKind},
};

use crate::{
    manifest::{Manifest, Sequence, Table},
    names::shown,
    source::{
        count::{Counted, Depth, Job},
        holds,
    },
};

/// More findings of a kind help nobody.
const LISTED: usize = 50;

/// What to count in the copy, in the manifest's order.
pub(crate) fn jobs(manifest: &Manifest) -> Vec<Job> {
    carried(manifest)
        .map(|it| Job {
            schema: it.schema.clone(),
            name: it.name.clone(),
            depth: if it.fingerprint.is_some() { Depth::Content } else { Depth::Rows },
        })
        .collect()
}

fn carried(manifest: &Manifest) -> impl Iterator<Item = &Table> {
    manifest.tables.iter().filter(|it| it.carried)
}

/// Tables by name, before anything is counted: one that lacks cannot be.
pub(crate) fn tables(
    session: &Session,
    ledger: &Ledger,
    manifest: &Manifest,
) -> Result<Vec<Damage>> {
    let found: BTreeSet<(String, String)> =
        holds::tables(session, ledger)?.into_iter().map(|it| (it.schema, it.name)).collect();
    let expected: BTreeSet<(String, String)> =
        manifest.tables.iter().map(|it| (it.schema.clone(), it.name.clone())).collect();
    let say = |(schema, name): &(String, String), message: &str| Damage {
        object: shown(schema, name),
        kind: DamageKind::Content,
        message: message.to_owned(),
    };
    let missing = expected.difference(&found).map(|it| say(it, "it is not in the copy"));
    let extra = found.difference(&expected).map(|it| say(it, "it is in the copy only"));
    Ok(missing.chain(extra).take(LISTED).collect())
}

/// What was counted, in the order of [`jobs`].
pub(crate) fn counts(manifest: &Manifest, counted: &[Counted]) -> Vec<Damage> {
    let mut damages = Vec::new();
    for (table, found) in carried(manifest).zip(counted) {
        let message = if found.rows != table.rows {
            format!("it has {} rows, and had {}", found.rows, table.rows)
        } else if table.fingerprint.is_some() && found.fingerprint != table.fingerprint {
            "its rows are as many as they were, but of another content".to_owned()
        } else {
            continue;
        };
        let object = shown(&table.schema, &table.name);
        damages.push(Damage { object, kind: DamageKind::Content, message });
    }
    damages.truncate(LISTED);
    damages
}

/// A sequence is read by pg_dump after the snapshot: it may be ahead, never behind.
pub(crate) fn sequences(manifest: &Manifest, found: &[Sequence]) -> Vec<Damage> {
    let by_name: BTreeMap<(&str, &str), &Sequence> =
        found.iter().map(|it| ((it.schema.as_str(), it.name.as_str()), it)).collect();
    let mut damages = Vec::new();
    for expected in &manifest.sequences {
        let message = match by_name.get(&(expected.schema.as_str(), expected.name.as_str())) {
            None => "it is not in the copy".to_owned(),
            Some(found) if expected.rises && position(found) < position(expected) => {
                format!("it stands at {}, and stood at {}", found.value, expected.value)
            }
            Some(_) => continue,
        };
        let object = shown(&expected.schema, &expected.name);
        damages.push(Damage { object, kind: DamageKind::Content, message });
    }
    damages.truncate(LISTED);
    damages
}

/// The next value is after the last one only once that was given out.
fn position(sequence: &Sequence) -> (i64, bool) {
    (sequence.value, sequence.is_called)
}

pub(crate) fn large_objects(manifest: &Manifest, found: u64) -> Option<Damage> {
    (found != manifest.large_objects).then(|| Damage {
        object: "large objects".to_owned(),
        kind: DamageKind::Content,
        message: format!("there are {found}, and were {}", manifest.large_objects),
    })
}

/// The schema, object by object, apart from what the place of the copy makes different.
pub(crate) fn schema(
    expected: &Inventory,
    found: &Inventory,
    tolerated: &dyn Fn(&Difference) -> bool,
) -> Vec<Damage> {
    let differences = inventory::diff(expected, found);
    differences
        .iter()
        .filter(|it| !tolerated(it))
        .take(LISTED)
        .map(|it| Damage {
            object: format!("{} {}", it.kind, it.name),
            kind: DamageKind::Content,
            message: it.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(value: i64, is_called: bool, rises: bool) -> Sequence {
        Sequence { schema: "s".into(), name: "q".into(), value, is_called, rises }
    }

    #[test]
    fn a_sequence_may_be_ahead_but_not_behind() {
        let behind = |expected: Sequence, found: Sequence| position(&found) < position(&expected);
        assert!(behind(sequence(5, true, true), sequence(4, true, true)));
        assert!(behind(sequence(5, true, true), sequence(5, false, true)));
        assert!(!behind(sequence(5, true, true), sequence(5, true, true)));
        assert!(!behind(sequence(5, false, true), sequence(9, false, true)));
    }
}
