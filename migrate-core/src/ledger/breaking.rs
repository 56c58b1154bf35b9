//! How a lease is removed by somebody else than its owner.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio_postgres::error::SqlState;

use super::{
    Ledger,
    advisory::{Busy, advisory_holder, try_advisory_here},
    audit,
    claim::{BACKEND, READ, row_holder, still_held},
    lease::{LockName, release},
    locks::Backend,
};
use crate::{
    connect::session::Session,
    ctx::Ctx,
    error::{Error, Result},
    record::{Line, LockBroken, LockRow, Record},
};

const TERMINATE: &str = include_str!("../../sql/lease_terminate.sql");
/// How long a session may take to end: it rolls back, which takes no work.
const END: Duration = Duration::from_secs(10);

/// Why a lease is broken, and what was done before.
#[derive(Debug, Clone, Default)]
pub struct Grounds {
    pub reason: Option<String>,
    /// Server processes that were ended.
    pub terminated: Vec<i32>,
}

/// What became of a lease whose time may be over.
#[derive(Debug)]
pub enum Verdict {
    Broken(Box<Line>),
    /// Somebody works under it still, in words.
    Alive(String),
    /// It was renewed or removed meanwhile.
    NotExpired,
}

/// Removes the lease in `row` if its time is over and nobody works under it.
pub fn break_expired(
    session: &Session,
    ledger: &Ledger,
    row: &LockRow,
    grounds: Grounds,
    ctx: &Ctx,
) -> Result<Verdict> {
    let name = LockName::stored(&row.lock_name);
    let key = name.advisory_key(ledger);
    let verdict = session.transaction(|session| {
        if !try_advisory_here(session, key)? {
            return Ok(Verdict::Alive(advisory_holder(session, key)?.0));
        }
        let old = session
            .query_opt(&ledger.sql(READ), &[&name.as_str()])
            .map_err(Error::database("read the lease"))?;
        let Some(old) = old.filter(|it| it.get("expired") && row.token == it.get("token")) else {
            return Ok(Verdict::NotExpired);
        };
        if let Some(Busy(alive)) = still_held(session, &old)? {
            return Ok(Verdict::Alive(alive));
        }
        let expired = Broken { expired: true, forced: false };
        let line = remove(session, ledger, &name, old.get("token"), grounds, expired, ctx)?;
        Ok(Verdict::Broken(Box::new(line)))
    });
    verdict.or_else(|err| Ok(Verdict::Alive(row_busy(session, ledger, err)?)))
}

/// Removes the lease in `row` whoever works under it: the fence stops them at their next change.
pub fn break_by_force(
    session: &Session,
    ledger: &Ledger,
    row: &LockRow,
    token: i64,
    grounds: Grounds,
    ctx: &Ctx,
) -> Result<Line> {
    let name = LockName::stored(&row.lock_name);
    let how = Broken { expired: row.expired, forced: true };
    session.transaction(|session| remove(session, ledger, &name, token, grounds, how, ctx)).or_else(
        |err| {
            let holder = row_busy(session, ledger, err)?;
            let lock = name.to_string();
            Err(Error::LockHeld { lock, holder, waited: "5s".to_owned() })
        },
    )
}

struct Broken {
    expired: bool,
    forced: bool,
}

fn remove(
    session: &Session,
    ledger: &Ledger,
    name: &LockName,
    token: i64,
    grounds: Grounds,
    how: Broken,
    ctx: &Ctx,
) -> Result<Line> {
    let released = release(session, ledger, name, token)?;
    let line = ctx.line(Record::LockBroken(LockBroken {
        lock_name: name.to_string(),
        token,
        owner: released.owner,
        host: released.host,
        expired: how.expired,
        forced: how.forced,
        reason: grounds.reason,
        terminated: grounds.terminated,
    }));
    audit::append(session, ledger, &line, Some(name.as_str()), None)?;
    Ok(line)
}

/// Who keeps us from the row, if that is what `err` says.
fn row_busy(session: &Session, ledger: &Ledger, err: Error) -> Result<String> {
    match err {
        Error::Database { source, .. } if source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            Ok(row_holder(session, ledger)?.0)
        }
        err => Err(err),
    }
}

/// Ends a session of ours, and waits until it is gone; false where it is not to be found, or not
/// one of ours.
pub fn end_session(session: &Session, backend: &Backend) -> Result<bool> {
    let found = session
        .query_opt(TERMINATE, &[&backend.pid, &backend.start, &backend.application])
        .map_err(Error::database("end the session"))?;
    if found.is_none() {
        return Ok(false);
    }
    let deadline = Instant::now() + END;
    loop {
        let alive = session
            .query_opt(BACKEND, &[&backend.pid, &backend.start])
            .map_err(Error::database("look for the session"))?;
        match alive {
            None => return Ok(true),
            Some(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
            Some(_) => return Ok(false),
        }
    }
}
