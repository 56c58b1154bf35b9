//! Whether the lock of migrations is free.

use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    ledger::{Ledger, lease, locks},
    record::{CheckStatus, LockState},
    text,
};
use tokio_postgres::error::SqlState;

use super::Answer;

pub(super) fn answers(session: &Session, ledger: &Ledger) -> Result<Vec<Answer>> {
    let locks = match locks::all(session, ledger, None) {
        Err(Error::Database { source, .. })
            if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) =>
        {
            return Ok(vec![Answer::unknown("this role may not read the locks")]);
        }
        locks => locks?,
    };
    // Under `migrate-lock run` the lock is held for us.
    let ours = lease::handed_token()?;
    let held: Vec<Answer> = locks
        .into_iter()
        .map(|it| it.row)
        .filter(|it| it.state != LockState::Free && (it.token.is_none() || it.token != ours))
        .map(|it| {
            let owner = it.owner.as_deref().unwrap_or("a session without a lease");
            let mut message = format!("held by {owner}");
            if let Some(host) = &it.host {
                message += &format!("@{host}");
            }
            if let Some(reason) = &it.reason {
                message += &format!(": {reason}");
            }
            if let Some(at) = it.acquired_at {
                let age = (session.server_now() - at).num_milliseconds().unsigned_abs();
                message += &format!(", since {}", text::took(age));
            }
            Answer::of(CheckStatus::Fail, it.lock_name, message)
        })
        .collect();
    Ok(if held.is_empty() {
        vec![Answer::new(CheckStatus::Pass, "the lock is free")]
    } else {
        held
    })
}
