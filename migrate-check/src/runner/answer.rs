//! What came back of a question: nothing wrong, something wrong, or no answer at all.

use migrate_core::record::{CheckReason, CheckStatus};
use serde_json::{Map, Value};
use tokio_postgres::{Row, types::FromSql};

use super::task::Task;
use crate::trouble::Trouble;

pub(super) struct Answer {
    pub(super) task: Task,
    pub(super) said: Said,
    pub(super) ms: u64,
}

pub(super) enum Said {
    /// A target with nothing wrong.
    Well,
    /// A target with wrong rows.
    Counted {
        count: i64,
        rows: Vec<Map<String, Value>>,
    },
    /// The rows of a query that is a whole check.
    Findings(Vec<Finding>),
    Trouble(Trouble),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) status: CheckStatus,
    pub(super) object: Option<String>,
    pub(super) count: Option<i64>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) fix: Option<String>,
    pub(super) reason: Option<CheckReason>,
}

/// A row of a check's query; all columns but `message` may lack.
pub(super) fn finding(row: &Row) -> Finding {
    Finding {
        status: match column::<&str>(row, "status") {
            Some("pass") => CheckStatus::Pass,
            Some("skip") => CheckStatus::Skip,
            Some("warn") => CheckStatus::Warn,
            _ => CheckStatus::Fail,
        },
        object: column(row, "object"),
        count: column(row, "count"),
        message: column(row, "message").unwrap_or_default(),
        hint: column(row, "hint"),
        fix: column(row, "fix"),
        reason: match column::<&str>(row, "reason") {
            Some("unknown") => Some(CheckReason::Unknown),
            Some("not_applicable") => Some(CheckReason::NotApplicable),
            _ => None,
        },
    }
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str) -> Option<T> {
    row.try_get::<_, Option<T>>(name).ok().flatten()
}
