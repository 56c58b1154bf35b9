//! What has become worse between two readings; no input or output.

use std::collections::BTreeMap;

use migrate_core::{record::CheckStatus, text};

use super::reading::{Index, Reading, Statement, Statements, Table};

/// Fewer calls say nothing about a mean.
const ENOUGH_CALLS: i64 = 5;
/// A difference of less than this is noise, in milliseconds.
const NOTICEABLE_MS: f64 = 1.0;
/// So many times as often is another behaviour.
const MORE_OFTEN: f64 = 3.0;
/// A scan of fewer rows is no worse than an index.
const MANY_ROWS: i64 = 1_000;
/// Growth of less than this is no growth.
const GROWTH_BYTES: i64 = 8 * 1024 * 1024;

/// The findings of one check, and how many things were compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    pub(super) check: &'static str,
    pub(super) compared: usize,
    pub(super) findings: Vec<Finding>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) object: String,
    pub(super) status: CheckStatus,
    pub(super) message: String,
}

/// Every check of the group, in the order in which they are listed; statements only where both
/// readings have them.
pub(super) fn judge(before: &Reading, now: &Reading, factor: f64) -> Vec<Judged> {
    vec![
        mean_time(before, now, factor),
        calls(before, now),
        sequential_scans(before, now),
        unused_new_indexes(before, now),
        growth("table_growth", factor, &sizes(&before.tables), &sizes(&now.tables)),
        growth("index_growth", factor, &index_sizes(&before.indexes), &index_sizes(&now.indexes)),
    ]
}

/// What was counted since; all of it where the counters were reset meanwhile.
fn since(before: i64, now: i64) -> i64 {
    if now >= before { now - before } else { now }
}

fn list(reading: &Reading) -> &[Statement] {
    match &reading.statements {
        Statements::Counted { list, .. } => list,
        Statements::Absent | Statements::Unknown => &[],
    }
}

/// Statements on both sides, with their calls since and the time that these took.
fn pairs<'a>(
    before: &'a Reading,
    now: &'a Reading,
) -> Vec<(&'a Statement, &'a Statement, i64, f64)> {
    let old: BTreeMap<&str, &Statement> =
        list(before).iter().map(|it| (it.id.as_str(), it)).collect();
    let pair = |it: &'a Statement| {
        let was = *old.get(it.id.as_str())?;
        let reset = it.calls < was.calls;
        let total = if reset { it.total_ms } else { it.total_ms - was.total_ms };
        Some((was, it, since(was.calls, it.calls), total.max(0.0)))
    };
    list(now).iter().filter_map(pair).collect()
}

fn mean_time(before: &Reading, now: &Reading, factor: f64) -> Judged {
    let mut judged = Judged { check: "mean_time", compared: 0, findings: Vec::new() };
    for (was, is, calls, total) in pairs(before, now) {
        if was.calls < ENOUGH_CALLS || calls < ENOUGH_CALLS {
            continue;
        }
        judged.compared += 1;
        let (then, mean) = (was.total_ms / was.calls as f64, total / calls as f64);
        if mean > then * factor && mean - then > NOTICEABLE_MS {
            judged.findings.push(Finding {
                object: format!("statement {}", is.id),
                status: CheckStatus::Fail,
                message: format!(
                    "{mean:.1} ms on average in {calls} calls, was {then:.1} ms: {}",
                    is.query
                ),
            });
        }
    }
    judged
}

fn calls(before: &Reading, now: &Reading) -> Judged {
    let mut judged = Judged { check: "calls", compared: 0, findings: Vec::new() };
    let counted = match &before.statements {
        Statements::Counted { since: Some(since), .. } => seconds(before.at - *since),
        _ => return judged,
    };
    let elapsed = seconds(now.at - before.at);
    for (was, is, calls, _) in pairs(before, now) {
        if was.calls < ENOUGH_CALLS {
            continue;
        }
        judged.compared += 1;
        let (then, rate) = (was.calls as f64 / counted, calls as f64 / elapsed);
        if rate > then * MORE_OFTEN && calls > ENOUGH_CALLS * 20 {
            judged.findings.push(Finding {
                object: format!("statement {}", is.id),
                status: CheckStatus::Warn,
                message: format!("{rate:.1} calls a second, were {then:.1}: {}", is.query),
            });
        }
    }
    judged
}

fn seconds(time: chrono::TimeDelta) -> f64 {
    (time.num_milliseconds().max(1) as f64) / 1000.0
}

fn sequential_scans(before: &Reading, now: &Reading) -> Judged {
    let mut judged = Judged { check: "sequential_scans", compared: 0, findings: Vec::new() };
    let old: BTreeMap<&str, &Table> =
        before.tables.iter().map(|it| (it.name.as_str(), it)).collect();
    for is in &now.tables {
        let Some(was) = old.get(is.name.as_str()) else { continue };
        judged.compared += 1;
        let scans = since(was.seq_scans, is.seq_scans);
        let rows = since(was.seq_rows, is.seq_rows);
        let by_index = since(was.index_scans, is.index_scans);
        if scans < ENOUGH_CALLS || rows / scans < MANY_ROWS {
            continue;
        }
        let (then, share) = (share(was.seq_scans, was.index_scans), share(scans, by_index));
        if share < then + 0.1 {
            continue;
        }
        let changed = was.shape != is.shape;
        judged.findings.push(Finding {
            object: is.name.clone(),
            status: if changed { CheckStatus::Fail } else { CheckStatus::Warn },
            message: format!(
                "{scans} scans of {} rows each, {:.0} % of its reads, was {:.0} %{}",
                rows / scans,
                share * 100.0,
                then * 100.0,
                if changed { "; its columns or indexes were changed" } else { "" }
            ),
        });
    }
    judged
}

/// Sequential reads among all; a table that nobody read is none that was read so.
fn share(sequential: i64, by_index: i64) -> f64 {
    let all = sequential + by_index;
    if all == 0 { 0.0 } else { sequential as f64 / all as f64 }
}

fn unused_new_indexes(before: &Reading, now: &Reading) -> Judged {
    let new = |it: &&Index| !before.indexes.iter().any(|was| was.name == it.name);
    let new: Vec<&Index> = now.indexes.iter().filter(new).filter(|it| !it.is_unique).collect();
    let unused = |it: &&Index| Finding {
        object: it.name.clone(),
        status: CheckStatus::Warn,
        message: format!("no query has used it; {} on {}", text::bytes(it.bytes), it.table),
    };
    let findings: Vec<Finding> = new.iter().filter(|it| it.scans == 0).map(unused).collect();
    let compared = new.len();
    Judged { check: "unused_new_indexes", compared, findings }
}

fn sizes(tables: &[Table]) -> BTreeMap<&str, i64> {
    tables.iter().map(|it| (it.name.as_str(), it.bytes)).collect()
}

fn index_sizes(indexes: &[Index]) -> BTreeMap<&str, i64> {
    indexes.iter().map(|it| (it.name.as_str(), it.bytes)).collect()
}

fn growth(
    check: &'static str,
    factor: f64,
    before: &BTreeMap<&str, i64>,
    now: &BTreeMap<&str, i64>,
) -> Judged {
    let both = now.iter().filter_map(|(name, is)| Some((*name, *before.get(name)?, *is)));
    let mut judged = Judged { check, compared: 0, findings: Vec::new() };
    for (name, was, is) in both {
        judged.compared += 1;
        if is as f64 > was as f64 * factor && is - was > GROWTH_BYTES {
            judged.findings.push(Finding {
                object: name.to_owned(),
                status: CheckStatus::Warn,
                message: format!("{}, was {}", text::bytes(is), text::bytes(was)),
            });
        }
    }
    judged
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
