//! `_migration_locks`: the lease that lets one run at a time change a database, and its fencing token.
//!
//! A lease is a row with a token, and an advisory lock on the session that does the work. The
//! advisory lock ends with its session; the row tells who it was and outlives a failover; and
//! the token, checked inside each transaction, stops an owner who lost the lease unnoticed.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tokio_postgres::error::SqlState;

use super::{Ledger, quote_literal};
use crate::{
    connect::session::Session,
    error::{Error, Result},
};

const DELETE: &str = include_str!("../../sql/lease_delete.sql");
pub(super) const REATTACH: &str = include_str!("../../sql/lease_reattach.sql");
pub(super) const BY_TOKEN: &str = include_str!("../../sql/lease_by_token.sql");
const TOUCH: &str = include_str!("../../sql/lease_touch.sql");
const EXTEND: &str = include_str!("../../sql/lease_extend.sql");
const FENCE: &str = include_str!("../../sql/fence.sql");
pub(super) const RENEW: &str = include_str!("../../sql/lease_renew.sql");

/// The variable by which `migrate-lock run` hands its lease on.
pub const TOKEN_VARIABLE: &str = "MIGRATE_LOCK_TOKEN";

/// The name of a lock: 1 to 63 characters of `a-z0-9_.-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockName(String);

impl LockName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name out of the database; whatever it is, it is only compared and shown.
    pub(super) fn stored(name: &str) -> LockName {
        LockName(name.to_owned())
    }

    /// The second half of the advisory lock's key.
    pub(super) fn advisory_key(&self, ledger: &Ledger) -> i32 {
        let digest = Sha256::digest(format!("{}\0{}", ledger.schema(), self.0));
        i32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }
}

impl Default for LockName {
    fn default() -> LockName {
        LockName("migrate".to_owned())
    }
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LockName {
    type Err = String;

    fn from_str(text: &str) -> Result<LockName, String> {
        let good = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_.-".contains(&it);
        if (1..=63).contains(&text.len()) && text.bytes().all(good) {
            Ok(LockName(text.to_owned()))
        } else {
            Err("a lock's name is 1 to 63 characters of a-z, 0-9, `_`, `.` and `-`".to_owned())
        }
    }
}

/// What a lease lives with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It ends with the session that does the work.
    Work,
    /// It ends with a session that leaves the advisory lock to those who inherit the token.
    Handed,
    /// It lives until it expires, is released or broken.
    Detached,
}

/// How to take a lease.
#[derive(Debug, Clone)]
pub struct Terms {
    pub name: LockName,
    pub ttl: Duration,
    /// How long to wait for it.
    pub wait: Duration,
    pub reason: Option<String>,
    pub life: Life,
}

/// A lease that is held.
#[derive(Debug, Clone)]
pub struct Lease {
    pub name: LockName,
    pub token: i64,
    pub ttl: Duration,
    pub expires_at: DateTime<Utc>,
    /// Whether it came by `MIGRATE_LOCK_TOKEN`: then its owner renews and releases it.
    pub inherited: bool,
    pub(super) life: Life,
    /// When the statement that gave it its time was sent.
    pub(super) renewed: Instant,
    pub(super) key: i32,
}

impl Lease {
    /// Holds the lease for the transaction under way; fails where it is gone.
    pub fn fence(&self, session: &Session, ledger: &Ledger) -> Result<()> {
        session
            .query_one(&ledger.sql(FENCE), &[&self.name.as_str(), &self.token])
            .map(drop)
            .map_err(|err| self.fenced_or(err))
    }

    /// The fence as a statement that can share a message with others.
    pub fn fence_sql(&self, ledger: &Ledger) -> String {
        ledger
            .sql(FENCE)
            .replace("$1", &quote_literal(self.name.as_str()))
            .replace("$2", &self.token.to_string())
    }

    /// Tells a lost lease from any other error of the fence.
    pub fn fenced_or(&self, err: crate::error::PgError) -> Error {
        if err.code() == Some(&SqlState::DIVISION_BY_ZERO) {
            self.lost("somebody else took or removed it")
        } else {
            Error::Database { doing: "check the lease", source: err }
        }
    }

    pub fn lost(&self, why: &str) -> Error {
        Error::LeaseLost { lock: self.name.to_string(), token: self.token, why: why.to_owned() }
    }

    /// Ends the lease in the transaction under way.
    pub fn delete(&self, session: &Session, ledger: &Ledger) -> Result<()> {
        if self.inherited {
            return Ok(());
        }
        release(session, ledger, &self.name, self.token).map(drop)
    }
}

/// The token that `migrate-lock run` handed on to us.
pub fn handed_token() -> Result<Option<i64>> {
    match std::env::var(TOKEN_VARIABLE) {
        Err(_) => Ok(None),
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => text.parse().map(Some).map_err(|_| {
            Error::usage(
                format!("{TOKEN_VARIABLE} is not a number"),
                "it is set by `migrate-lock run`; unset it to take a lease of our own",
            )
        }),
    }
}

/// How long a lease that lives with a session outlives its last renewal; tests of a debug build
/// may set it with `MIGRATE_LEASE_TTL`.
pub fn session_ttl() -> Duration {
    match std::env::var("MIGRATE_LEASE_TTL") {
        Ok(ttl) if cfg!(debug_assertions) => {
            humantime::parse_duration(&ttl).expect("MIGRATE_LEASE_TTL is a duration")
        }
        _ => Duration::from_secs(60),
    }
}

/// The token that was handed on names no lease that still holds.
pub fn not_in_force(token: i64) -> Error {
    Error::refused(
        "token_not_in_force",
        format!("{TOKEN_VARIABLE} names the lease {token}, which is not in force"),
        "it expired, was released, broken or taken over: see `migrate-lock status`; unset the \
         variable to take a lease of our own",
    )
}

/// A lease that has just been ended.
#[derive(Debug, Clone)]
pub struct Released {
    pub owner: String,
    pub host: String,
    pub pid: i32,
    pub held_ms: u64,
}

/// Ends the lease `token`; refused where it is not in force any more.
pub fn release(
    session: &Session,
    ledger: &Ledger,
    name: &LockName,
    token: i64,
) -> Result<Released> {
    let row = session
        .query_opt(&ledger.sql(DELETE), &[&name.as_str(), &token])
        .map_err(Error::database("release the lease"))?
        .ok_or_else(|| {
            Error::refused(
                "not_the_owner",
                format!("the lock `{name}` is not held under token {token}"),
                "it was released, broken or taken over: see `migrate-lock status`",
            )
        })?;
    Ok(Released {
        owner: row.get("owner"),
        host: row.get("host"),
        pid: row.get("pid"),
        held_ms: row.get::<_, i64>("held_ms").unsigned_abs(),
    })
}

/// Renews the lease `token` in the transaction under way, for `ttl` or for as long as it had;
/// refused where it is not in force any more.
pub fn renew(
    session: &Session,
    ledger: &Ledger,
    token: i64,
    ttl: Option<Duration>,
) -> Result<(LockName, DateTime<Utc>)> {
    let failed = || Error::database("renew the lease");
    session.query_opt(&ledger.sql(TOUCH), &[&token]).map_err(failed())?;
    let row = session
        .query_opt(&ledger.sql(EXTEND), &[&token, &ttl.map(millis)])
        .map_err(failed())?
        .ok_or_else(|| {
            Error::refused(
                "not_the_owner",
                format!("no lock is held under token {token}"),
                "it expired, was released, broken or taken over: see `migrate-lock status`",
            )
        })?;
    Ok((LockName(row.get("lock_name")), row.get("expires_at")))
}

/// The name of the lease with `token`, and whether its time is over.
pub fn find(session: &Session, ledger: &Ledger, token: i64) -> Result<Option<(LockName, bool)>> {
    let row = session
        .query_opt(&ledger.sql(BY_TOKEN), &[&token])
        .map_err(Error::database("read the lease"))?;
    Ok(row.map(|row| (LockName(row.get("lock_name")), row.get("expired"))))
}

/// A standby or a read-only database cannot be changed, and says so before anything is tried.
pub fn refuse_unwritable(session: &Session) -> Result<()> {
    if session.facts().in_recovery {
        return Err(Error::refused(
            "standby",
            "this server is a standby: it cannot be changed",
            "connect to the primary",
        ));
    }
    if session.facts().read_only {
        return Err(Error::refused(
            "read_only",
            "`default_transaction_read_only` is on for this role or database",
            "connect as a role that may write, or ask who set it",
        ));
    }
    Ok(())
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_name_is_short_and_plain() {
        for good in ["migrate", "a", "shop.v2_x-1", &"a".repeat(63)] {
            assert!(good.parse::<LockName>().is_ok(), "{good}");
        }
        for bad in ["", "A", "a b", "'; drop table t", "a\n", "а", &"a".repeat(64), "a\0"] {
            assert!(bad.parse::<LockName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn two_ledgers_and_two_names_have_locks_of_their_own() {
        let key = |schema: &str, name: &str| {
            name.parse::<LockName>().unwrap().advisory_key(&Ledger::new(schema).unwrap())
        };
        assert_ne!(key("public", "migrate"), key("shop", "migrate"));
        assert_ne!(key("public", "migrate"), key("public", "other"));
        assert_eq!(key("public", "migrate"), key("public", "migrate"));
    }
}
