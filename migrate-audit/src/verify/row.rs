//! The hash of a row, and whether its columns are copies of what was hashed.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::fingerprint::Fingerprint;
use crate::rows::Row;

/// What the first row continues.
pub(crate) const NOTHING: [u8; 32] = [0; 32];

/// What is hashed, taken apart.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Canonical<'a> {
    timestamp: DateTime<Utc>,
    #[serde(borrow)]
    actor: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    subject: Option<Cow<'a, str>>,
    run_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    details: &'a RawValue,
}

/// How the columns of a row and what was hashed compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copies {
    Agree,
    /// This one says something else.
    Differ(&'static str),
    /// What was hashed is in no form that this version writes.
    Unknown,
}

/// The hash of a row: the number, what it continues and its text, each of a known length.
pub(crate) fn hash(id: i64, prev_hash: &[u8], canonical: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(b"migrate-audit/v1");
    digest.update(id.to_be_bytes());
    digest.update(prev_hash);
    digest.update((canonical.len() as i64).to_be_bytes());
    digest.update(canonical);
    digest.finalize().into()
}

/// Compares the columns of a row with its text.
pub(crate) fn copies(row: &Row<'_>, fingerprint: &Fingerprint) -> Copies {
    let Ok(said) = serde_json::from_slice::<Canonical<'_>>(row.canonical) else {
        return Copies::Unknown;
    };
    let details = said.details.get();
    if !of_this_version(details) {
        return Copies::Unknown;
    }
    let differs = if said.timestamp.timestamp_micros() != row.timestamp {
        "timestamp"
    } else if said.actor.as_bytes() != row.actor {
        "actor"
    } else if said.action.as_bytes() != row.action {
        "action"
    } else if said.subject.as_ref().map(|it| it.as_bytes()) != row.subject {
        "subject"
    } else if said.run_id.as_ref().map(|it| it.as_bytes()) != row.run_id {
        "run_id"
    } else if !fingerprint.same(details.as_bytes(), row.details) {
        "details"
    } else {
        return Copies::Agree;
    };
    Copies::Differ(differs)
}

/// A record says in which form it is written; the first one did so already.
fn of_this_version(details: &str) -> bool {
    #[derive(Deserialize)]
    struct Versioned {
        v: Option<u64>,
    }
    let version = u64::from(migrate_core::record::VERSION);
    details.starts_with("{\"v\":1,")
        || serde_json::from_str::<Versioned>(details)
            .is_ok_and(|it| it.v.is_none_or(|it| it == version))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"timestamp":"2026-03-10T09:00:00.000001Z","actor":"ann","action":"audit.noted","subject":null,"run_id":"r","details":{"v":1,"type":"audit.noted","ms":100.0,"list":[1,{"a":"é\n"}]}}"#;

    fn row(details: &'static str) -> Row<'static> {
        Row {
            id: 7,
            timestamp: 1_773_133_200_000_001,
            actor: b"ann",
            action: b"audit.noted",
            subject: None,
            run_id: Some(b"r"),
            details: details.as_bytes(),
            canonical: TEXT.as_bytes(),
            prev_hash: &NOTHING,
            hash: &NOTHING,
        }
    }

    #[test]
    fn the_server_writes_json_in_another_order_and_that_is_no_difference() {
        let compare = |details| copies(&row(details), &Fingerprint::default());
        let same = r#"{"v": 1, "ms": 1e2, "list": [1, {"a": "\u00e9\n"}], "type": "audit.noted"}"#;
        assert_eq!(compare(same), Copies::Agree);
        for other in [
            r#"{"v": 1, "ms": 100.5, "list": [1, {"a": "é\n"}], "type": "audit.noted"}"#,
            r#"{"v": 1, "ms": 100, "list": [{"a": "é\n"}, 1], "type": "audit.noted"}"#,
            r#"{"v": 1, "ms": 100, "list": [1, {"a": "é\n"}], "type": "audit.noted", "x": null}"#,
            r#"{"v": 1, "ms": "100", "list": [1, {"a": "é\n"}], "type": "audit.noted"}"#,
            "not json",
        ] {
            assert_eq!(compare(other), Copies::Differ("details"), "{other}");
        }
    }

    #[test]
    fn a_form_that_this_version_does_not_know_is_told_apart_from_damage() {
        let compare = |text: &'static str| {
            copies(&Row { canonical: text.as_bytes(), ..row("{}") }, &Fingerprint::default())
        };
        for text in [
            r#"{"timestamp":"2026-03-10T09:00:00Z","actor":"a","action":"b","subject":null,"run_id":null,"details":{"v":2,"x":1}}"#,
            r#"{"timestamp":"2026-03-10T09:00:00Z","actor":"a","action":"b","subject":null,"run_id":null,"key":"k","details":{}}"#,
            "plain text",
        ] {
            assert_eq!(compare(text), Copies::Unknown, "{text}");
        }
    }

    #[test]
    fn a_hash_depends_on_each_part_and_where_it_ends() {
        let one = hash(1, &NOTHING, b"ab");
        assert_ne!(one, hash(2, &NOTHING, b"ab"));
        assert_ne!(one, hash(1, &[1; 32], b"ab"));
        assert_ne!(one, hash(1, &NOTHING, b"abc"));
    }
}
