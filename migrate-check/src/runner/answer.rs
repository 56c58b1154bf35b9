//! What came back of a question: nothing wrong, something wrong, or no answer at all.

use migrate_core::{
    error::PgError,
    record::{CheckReason, CheckStatus},
};
use serde_json::{Map, Value};
use tokio_postgres::{Row, error::SqlState, types::FromSql};

use super::task::Task;

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

/// Why there is no answer. Never a pass.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trouble {
    pub(super) reason: CheckReason,
    pub(super) message: String,
    pub(super) sqlstate: Option<String>,
}

impl Trouble {
    pub(super) fn not_finished() -> Trouble {
        Trouble { reason: CheckReason::NotFinished, message: String::new(), sqlstate: None }
    }

    pub(super) fn of(err: &PgError) -> Trouble {
        let Some(code) = err.code() else {
            return Trouble {
                reason: CheckReason::Error,
                message: err.to_string(),
                sqlstate: None,
            };
        };
        let reason = match code {
            &SqlState::QUERY_CANCELED | &SqlState::LOCK_NOT_AVAILABLE => CheckReason::NotFinished,
            &SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED => CheckReason::Damage,
            _ => CheckReason::Error,
        };
        let said = err.as_db_error().map(|it| it.message().to_owned()).unwrap_or_default();
        let message = match code {
            &SqlState::LOCK_NOT_AVAILABLE => "somebody else holds a lock on the table".to_owned(),
            _ => said,
        };
        Trouble { reason, message, sqlstate: Some(code.code().to_owned()) }
    }
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
