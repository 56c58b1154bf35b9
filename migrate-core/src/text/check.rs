//! How checks look to a person: a mark, a name, a sentence, and below it what to do.

use super::{counted, escape, took};
use crate::record::{
    Check, CheckDefinition, CheckReason, CheckStatus, CheckSummary, QueryFinished, QueryRow, Record,
};

/// More of a value than this doesn't help to find the row.
const VALUE_CHARACTERS: usize = 80;

/// What of checks is said in lines; rows of listings are none.
pub(super) fn line(record: &Record) -> Option<String> {
    match record {
        Record::Check(it) => Some(check(it)),
        Record::CheckSummary(it) => Some(summary(it)),
        Record::CheckDefinition(it) => Some(definition(it)),
        Record::QueryFinished(it) => Some(query_finished(it)),
        Record::BaselineSaved(it) => {
            let tables = counted(it.tables, "table");
            let statements = match it.statements {
                Some(count) => counted(count, "statement"),
                None => "no statements".to_owned(),
            };
            Some(format!("✓ Baseline of {tables} and {statements} saved in {}", escape(&it.file)))
        }
        _ => None,
    }
}

fn check(it: &Check) -> String {
    let mark = match it.status {
        CheckStatus::Pass => "✓",
        CheckStatus::Warn => "!",
        CheckStatus::Fail => "✗",
        CheckStatus::Skip => "·",
    };
    let mut text = format!("{mark} {}", escape(&it.name));
    if let Some(object) = &it.object {
        text += &format!(" {}", escape(object));
    }
    text += &format!(": {}", escape(&it.message));
    if it.ms >= 1_000 {
        text += &format!(" ({})", took(it.ms));
    }
    for row in &it.rows {
        let cells: Vec<String> =
            row.iter().map(|(name, value)| format!("{}={}", escape(name), short(value))).collect();
        text += &format!("\n    {}", cells.join(" "));
    }
    if it.status > CheckStatus::Skip || it.reason == Some(CheckReason::Unknown) {
        if let Some(hint) = &it.hint {
            text += &format!("\n  hint: {}", escape(hint));
        }
        if let Some(fix) = &it.fix {
            text += &format!("\n  fix: {}", escape(fix));
        }
    }
    text
}

fn summary(it: &CheckSummary) -> String {
    let mark = if it.fail > 0 {
        "✗"
    } else if it.warn > 0 {
        "!"
    } else {
        "✓"
    };
    let mut text = format!("{mark} {}: {} passed", counted(it.checks.into(), "check"), it.pass);
    for (count, what) in [(it.warn, "warned"), (it.fail, "failed"), (it.skip, "skipped")] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    for (count, what) in [(it.not_finished, "not finished"), (it.unknown, "unknown")] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text + &format!(" in {}", took(it.ms))
}

fn definition(it: &CheckDefinition) -> String {
    let mut text = format!("{} ({})\n  {}", it.name, it.groups.join(", "), it.title);
    text += &format!("\n  {}\n  hint: {}", it.meaning, it.hint);
    if let Some(fix) = &it.fix {
        text += &format!("\n  fix: {fix}");
    }
    if !it.needs.is_empty() {
        text += &format!("\n  needs: {}", it.needs.join(", "));
    }
    text
}

/// The names of a query's columns.
pub(super) fn columns(it: &QueryRow) -> Vec<String> {
    it.values.keys().map(|it| escape(it)).collect()
}

/// A row of a query.
pub(super) fn cells(it: &QueryRow) -> Vec<String> {
    it.values.values().map(cell).collect()
}

fn cell(value: &serde_json::Value) -> String {
    if value.is_null() { String::new() } else { short(value) }
}

fn query_finished(it: &QueryFinished) -> String {
    let mut text = format!("· {}:{}: {}", escape(&it.file), it.line, counted(it.rows, "row"));
    if it.told < it.rows {
        text += &format!(", of which {} are shown", it.told);
    }
    text + "\n"
}

fn short(value: &serde_json::Value) -> String {
    let text = match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let cut: String = text.chars().take(VALUE_CHARACTERS).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", escape(&cut))
}
