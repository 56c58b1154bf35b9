//! Why there is no answer to a question. Never a pass.

use migrate_core::{error::PgError, record::CheckReason};
use tokio_postgres::error::SqlState;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trouble {
    pub(crate) reason: CheckReason,
    pub(crate) message: String,
    pub(crate) sqlstate: Option<String>,
}

impl Trouble {
    pub(crate) fn not_finished() -> Trouble {
        Trouble { reason: CheckReason::NotFinished, message: String::new(), sqlstate: None }
    }

    pub(crate) fn of(err: &PgError) -> Trouble {
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
        Trouble { reason, message: said, sqlstate: Some(code.code().to_owned()) }
    }

    /// Whether a lock of somebody else, and not its own work, took the time.
    pub(crate) fn is_locked_out(&self) -> bool {
        self.sqlstate.as_deref() == Some(SqlState::LOCK_NOT_AVAILABLE.code())
    }
}
