//! How metrics and sessions look to a person.

use super::{escape, took};
use crate::record::{Activity, Metric, Record};

type Row = (Vec<&'static str>, Vec<String>);

/// As much of a query as fits beside the other columns.
const QUERY_CHARACTERS: usize = 80;

pub(super) fn is_row(record: &Record) -> bool {
    matches!(record, Record::Metric(_) | Record::Activity(_) | Record::QueryRow(_))
}

pub(super) fn metric(it: &Metric) -> Row {
    let labels: Vec<String> =
        it.labels.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    let value = it.value.map_or("unknown".to_owned(), number);
    (vec!["METRIC", "VALUE", "LABELS"], vec![it.name.clone(), value, labels.join(" ")])
}

pub(super) fn activity(it: &Activity) -> Row {
    let head = vec!["PID", "USER", "APPLICATION", "STATE", "AGE", "WAITS FOR", "QUERY"];
    let age = |ms: Option<i64>| ms.map(|it| took(it.unsigned_abs())).unwrap_or_default();
    let waits = match (&it.lock, it.waited_ms, &it.wait) {
        (Some(lock), waited, _) => {
            let blockers: Vec<String> = it.blocked_by.iter().map(ToString::to_string).collect();
            format!("{}, held by {} {}", escape(lock), blockers.join(", "), age(waited))
        }
        (None, _, Some(wait)) => wait.clone(),
        (None, _, None) => String::new(),
    };
    let query = it.query.as_deref().unwrap_or_default();
    let cut: String = query.chars().take(QUERY_CHARACTERS).collect();
    let indent = if it.depth == 0 {
        String::new()
    } else {
        format!("{}└ ", "  ".repeat(it.depth as usize - 1))
    };
    let cells = vec![
        format!("{indent}{}", it.pid),
        escape(it.user.as_deref().unwrap_or_default()),
        escape(it.application.as_deref().unwrap_or_default()),
        it.state.clone(),
        age(it.transaction_age_ms.or(it.age_ms)),
        waits.trim_end().to_owned(),
        escape(&cut),
    ];
    (head, cells)
}

/// Whole numbers as such; others with three digits that mean something.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}
