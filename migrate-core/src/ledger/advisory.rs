//! The advisory lock that goes with a lease: it ends with its session, and says who lives.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Ledger, lease::LockName};
use crate::{
    connect::session::Session,
    error::{Error, Result},
    interrupt,
    record::{Holder, timestamp},
};

const HOLDER: &str = include_str!("../../sql/advisory_holder.sql");

/// Ours among the advisory locks of a database: "migr".
const CLASS: i32 = 0x6d69_6772;

/// Why the lock cannot be had now.
pub(super) struct Busy(pub(super) String);

impl Busy {
    pub(super) fn session(holder: &Holder, how: &str) -> Busy {
        Busy(format!("{} ({how})", describe(holder)))
    }
}

/// Whether a session holds the advisory lock that goes with the lock `name`.
pub(super) fn holder_of(
    session: &Session,
    ledger: &Ledger,
    name: &LockName,
) -> Result<Option<Holder>> {
    let key = name.advisory_key(ledger);
    let row = session
        .query_opt(HOLDER, &[&CLASS, &key])
        .map_err(Error::database("look who holds the lock"))?;
    Ok(row.as_ref().map(holder))
}

pub(super) fn poll<T>(
    name: &LockName,
    wait: Duration,
    mut attempt: impl FnMut() -> Result<Result<T, Busy>>,
) -> Result<T> {
    let start = Instant::now();
    let mut said = false;
    loop {
        let Busy(holder) = match attempt()? {
            Ok(got) => return Ok(got),
            Err(busy) => busy,
        };
        if !said {
            log::info!("Attempting to acquire migration lock `{name}`: held by {holder}");
            said = true;
        }
        if start.elapsed() >= wait {
            return Err(Error::LockHeld {
                lock: name.to_string(),
                holder,
                waited: humantime::format_duration(wait).to_string(),
            });
        }
        let pause = Duration::from_millis(fastrand::u64(20..=100));
        thread::sleep(pause.min(wait.saturating_sub(start.elapsed())));
        if let Some(signal) = interrupt::received() {
            return Err(Error::Interrupted {
                signal,
                state: "it waited for the lock; nothing was done".to_owned(),
            });
        }
    }
}

pub(super) fn try_advisory(session: &Session, key: i32) -> Result<bool> {
    let row = session
        .query_one("select pg_try_advisory_lock($1, $2)", &[&CLASS, &key])
        .map_err(Error::database("take the advisory lock"))?;
    Ok(row.get(0))
}

/// As [`try_advisory`], until the transaction under way ends.
pub(super) fn try_advisory_here(session: &Session, key: i32) -> Result<bool> {
    let row = session
        .query_one("select pg_try_advisory_xact_lock($1, $2)", &[&CLASS, &key])
        .map_err(Error::database("take the advisory lock"))?;
    Ok(row.get(0))
}

pub(super) fn unlock_advisory(session: &Session, key: i32) -> Result<()> {
    session
        .query_one("select pg_advisory_unlock($1, $2)", &[&CLASS, &key])
        .map(drop)
        .map_err(Error::database("leave the advisory lock"))
}

pub(super) fn advisory_holder(session: &Session, key: i32) -> Result<Busy> {
    let row = session
        .query_opt(HOLDER, &[&CLASS, &key])
        .map_err(Error::database("look who holds the lock"))?;
    Ok(Busy::session(&row.as_ref().map(holder).unwrap_or_default(), "its session is alive"))
}

pub(super) fn holder(row: &tokio_postgres::Row) -> Holder {
    Holder {
        pid: row.get("pid"),
        user: row.get("user"),
        application: row.get("application"),
        backend_start: row.get("backend_start"),
        state: row.get("state"),
        query: row.get("query"),
        age_ms: row.get("age_ms"),
    }
}

/// A holder in words.
pub(crate) fn describe(holder: &Holder) -> String {
    let mut said = match holder.pid {
        0 => "a session that cannot be seen".to_owned(),
        pid => format!("process {pid}"),
    };
    if let Some(start) = &holder.backend_start {
        said += &format!(" since {}", timestamp(start));
    }
    if let Some(user) = &holder.user {
        said += &format!(" of `{user}`");
    }
    if let Some(application) = holder.application.as_ref().filter(|it| !it.is_empty()) {
        said += &format!(", {application}");
    }
    if let Some(state) = &holder.state {
        said += &format!(", {state}");
    }
    if let Some(age) = holder.age_ms {
        let age = Duration::from_secs(age.unsigned_abs() / 1000);
        said += &format!(" for {}", humantime::format_duration(age));
    }
    said
}
