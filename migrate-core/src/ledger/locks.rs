//! All locks as they stand, and who lives behind them; reads only, on a standby too.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::{Ledger, Presence, advisory, claim::same_server, lease::LockName};
use crate::{
    connect::session::Session,
    error::{Error, Result},
    record::{Holder, LockRow, LockState},
};

const STATUS: &str = include_str!("../../sql/lease_status.sql");

/// A lock, and the sessions that keep it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub row: LockRow,
    pub sessions: Vec<Backend>,
}

/// A session, told from another that got its pid later.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    pub pid: i32,
    /// Hidden from roles that may not see other sessions.
    pub start: Option<DateTime<Utc>>,
    pub application: Option<String>,
}

/// What is known of the session that a lease lives with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    Alive,
    Gone,
    /// There is none, or it is one of another server.
    Unseen,
}

/// Every lock that somebody holds or held, or only the lock `only`.
pub fn all(session: &Session, ledger: &Ledger, only: Option<&LockName>) -> Result<Vec<Seen>> {
    let rows = rows(session, ledger, only)?;
    let mut seen = rows
        .iter()
        .map(|row| {
            let name = LockName::stored(row.get("lock_name"));
            Ok(lease(session, row, advisory::holder_of(session, ledger, &name)?))
        })
        .collect::<Result<Vec<_>>>()?;
    // Somebody removed the row of a run that goes on: the lock is not free all the same.
    let name = only.cloned().unwrap_or_default();
    if !seen.iter().any(|it| it.row.lock_name == name.as_str())
        && let Some(holder) = advisory::holder_of(session, ledger, &name)?
    {
        seen.push(without_lease(&name, holder));
    }
    Ok(seen)
}

/// The lease of lock `name` as it stands, not locked against others.
pub(super) fn row(session: &Session, ledger: &Ledger, name: &LockName) -> Result<Option<Row>> {
    Ok(rows(session, ledger, Some(name))?.into_iter().next())
}

fn rows(session: &Session, ledger: &Ledger, only: Option<&LockName>) -> Result<Vec<Row>> {
    match ledger.look(session)? {
        Presence::Absent => Ok(Vec::new()),
        Presence::Present => session
            .query(&ledger.sql(STATUS), &[&only.map(LockName::as_str)])
            .map_err(Error::database("read the locks")),
    }
}

fn lease(session: &Session, row: &Row, worker: Option<Holder>) -> Seen {
    let expired: bool = row.get("expired");
    let backend_pid: Option<i32> = row.get("backend_pid");
    let sight = match (backend_pid, row.get("backend_alive"), same_server(session, row)) {
        (Some(_), true, _) => Sight::Alive,
        (Some(_), false, true) => Sight::Gone,
        _ => Sight::Unseen,
    };
    let mut sessions = Vec::new();
    if let (Sight::Alive, Some(pid)) = (sight, backend_pid) {
        let (start, application) = (row.get("backend_start"), row.get("application"));
        sessions.push(Backend { pid, start, application });
    }
    sessions.extend(worker.as_ref().filter(|it| Some(it.pid) != backend_pid).map(backend));
    let row = LockRow {
        lock_name: row.get("lock_name"),
        token: row.get("token"),
        state: state(expired, sight, worker.is_some()),
        owner: row.get("owner"),
        host: row.get("host"),
        pid: row.get("pid"),
        backend_pid,
        backend_start: row.get("backend_start"),
        reason: row.get("reason"),
        acquired_at: row.get("acquired_at"),
        renewed_at: row.get("renewed_at"),
        expires_at: row.get("expires_at"),
        expired,
        advisory_held: worker.is_some(),
        advisory_pid: worker.map(|it| it.pid),
        application: row.get("application"),
        activity: row.get("activity"),
        query_age_ms: row.get("query_age_ms"),
    };
    Seen { row, sessions }
}

fn without_lease(name: &LockName, holder: Holder) -> Seen {
    let sessions = vec![backend(&holder)];
    let row = LockRow {
        lock_name: name.to_string(),
        token: None,
        state: LockState::Held,
        owner: holder.user,
        host: None,
        pid: None,
        backend_pid: None,
        backend_start: holder.backend_start,
        reason: None,
        acquired_at: None,
        renewed_at: None,
        expires_at: None,
        expired: false,
        advisory_held: true,
        advisory_pid: Some(holder.pid),
        application: holder.application,
        activity: holder.state,
        query_age_ms: holder.age_ms,
    };
    Seen { row, sessions }
}

fn backend(holder: &Holder) -> Backend {
    Backend {
        pid: holder.pid,
        start: holder.backend_start,
        application: holder.application.clone(),
    }
}

/// Whether another run could have the lock now: the same judgement by which one takes it.
fn state(expired: bool, sight: Sight, advisory_held: bool) -> LockState {
    match (expired, sight == Sight::Alive || advisory_held) {
        (true, true) => LockState::Orphaned,
        (false, true) => LockState::Held,
        (true, false) => LockState::Free,
        (false, false) if sight == Sight::Gone => LockState::Free,
        (false, false) => LockState::Held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_once_its_time_is_over_or_its_session_is_gone() {
        use LockState::{Free, Held, Orphaned};
        for (expired, sight, advisory_held, expected) in [
            (false, Sight::Alive, true, Held),
            (false, Sight::Alive, false, Held),
            (false, Sight::Unseen, false, Held),
            (false, Sight::Gone, false, Free),
            // Who inherited the token goes on after who handed it on has died.
            (false, Sight::Gone, true, Held),
            (true, Sight::Gone, false, Free),
            (true, Sight::Unseen, false, Free),
            (true, Sight::Alive, false, Orphaned),
            (true, Sight::Unseen, true, Orphaned),
        ] {
            let found = state(expired, sight, advisory_held);
            assert_eq!(found, expected, "{expired} {sight:?} {advisory_held}");
        }
    }
}
