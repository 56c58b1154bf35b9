//! What counts as worse, by numbers.

use chrono::{DateTime, TimeDelta};

use super::*;

fn reading(minutes: i64) -> Reading {
    Reading {
        v: 1,
        at: DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes),
        database: "shop".to_owned(),
        system_identifier: "7".to_owned(),
        counted_since: None,
        tables: Vec::new(),
        indexes: Vec::new(),
        statements: Statements::Counted { since: Some(DateTime::UNIX_EPOCH), list: Vec::new() },
    }
}

fn with_statement(minutes: i64, calls: i64, total_ms: f64) -> Reading {
    let (id, query) = ("1".to_owned(), "select 1".to_owned());
    let list = vec![Statement { id, query, calls, total_ms }];
    let statements = Statements::Counted { since: Some(DateTime::UNIX_EPOCH), list };
    Reading { statements, ..reading(minutes) }
}

fn with_table(seq: (i64, i64), index_scans: i64, bytes: i64, shape: &str) -> Reading {
    let table = Table {
        name: "public.t".to_owned(),
        bytes,
        index_bytes: 0,
        rows: 0,
        seq_scans: seq.0,
        seq_rows: seq.1,
        index_scans,
        shape: shape.to_owned(),
    };
    Reading { tables: vec![table], ..reading(0) }
}

fn found(before: &Reading, now: &Reading, check: &str) -> Vec<(CheckStatus, String)> {
    let judged = judge(before, now, 1.5).into_iter().find(|it| it.check == check).unwrap();
    judged.findings.into_iter().map(|it| (it.status, it.message)).collect()
}

#[test]
fn a_mean_is_of_the_calls_since() {
    let before = with_statement(10, 100, 200.0);
    for (calls, total, slower) in [
        (200, 400.0, false),
        // 100 calls of 4 ms, on top of 100 of 2 ms.
        (200, 600.0, true),
        (102, 900.0, false),
        // The counters were reset: all of it is since.
        (50, 250.0, true),
        (50, 100.0, false),
    ] {
        let now = with_statement(20, calls, total);
        assert_eq!(!found(&before, &now, "mean_time").is_empty(), slower, "{calls} {total}");
    }
    let tiny = with_statement(10, 100, 10.0);
    assert_eq!(found(&tiny, &with_statement(20, 200, 90.0), "mean_time"), []);
}

#[test]
fn calls_are_compared_by_the_time_they_took_to_come() {
    let before = with_statement(10, 600, 1.0);
    assert_eq!(found(&before, &with_statement(20, 1_200, 1.0), "calls"), []);
    let said = found(&before, &with_statement(11, 1_200, 1.0), "calls");
    let words = "10.0 calls a second, were 1.0: select 1".to_owned();
    assert_eq!(said, [(CheckStatus::Warn, words)]);
}

#[test]
fn scans_of_a_table_that_was_changed_fail_and_of_others_warn() {
    let before = with_table((10, 100_000), 990, 0, "a");
    let status = |now: &Reading| found(&before, now, "sequential_scans").first().map(|it| it.0);
    assert_eq!(status(&with_table((20, 200_000), 1_980, 0, "a")), None);
    assert_eq!(status(&with_table((110, 1_100_000), 1_000, 0, "a")), Some(CheckStatus::Warn));
    assert_eq!(status(&with_table((110, 1_100_000), 1_000, 0, "b")), Some(CheckStatus::Fail));
    // Small scans do no harm.
    assert_eq!(status(&with_table((110, 110_000), 1_000, 0, "b")), None);
}

#[test]
fn only_much_growth_is_growth() {
    let mb = 1024 * 1024;
    let before = with_table((0, 0), 0, 10 * mb, "a");
    let grown = |bytes| found(&before, &with_table((0, 0), 0, bytes, "a"), "table_growth");
    assert_eq!(grown(14 * mb), []);
    assert_eq!(grown(20 * mb), [(CheckStatus::Warn, "20.0 MB, was 10.0 MB".to_owned())]);
    let small = with_table((0, 0), 0, mb, "a");
    assert_eq!(found(&small, &with_table((0, 0), 0, 4 * mb, "a"), "table_growth"), []);
}

#[test]
fn an_index_is_new_and_unused_only_if_it_is_both() {
    let index = |name: &str, scans, is_unique| Index {
        name: name.to_owned(),
        table: "public.t".to_owned(),
        bytes: 8192,
        scans,
        is_unique,
    };
    let before = Reading { indexes: vec![index("old", 0, false)], ..reading(0) };
    let indexes =
        ["old", "used", "unused"].map(|it| index(it, i64::from(it == "used"), false)).to_vec();
    let now = Reading { indexes, ..reading(1) };
    let said = found(&before, &now, "unused_new_indexes");
    let words = "no query has used it; 8.0 kB on public.t".to_owned();
    assert_eq!(said, [(CheckStatus::Warn, words)]);
    let now = Reading { indexes: vec![index("key", 0, true)], ..reading(1) };
    assert_eq!(found(&before, &now, "unused_new_indexes"), []);
}
