//! `_migration_locks`: the lease that lets one run at a time change a database, and its fencing token.
//!
//! A lease is a row with a token, and an advisory lock on the session that does the work. The
//! advisory lock ends with its session; the row tells who it was and outlives a failover; and
//! the token, checked inside each transaction, stops an owner who lost the lease unnoticed.

use std::{
    fmt,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tokio_postgres::error::SqlState;

use super::{Ledger, Presence, audit, quote_literal};
use crate::{
    connect::session::Session,
    ctx::Ctx,
    error::{Error, Result},
    interrupt,
    record::{Holder, Line, LockAcquired, LockBroken, Record},
};

const READ: &str = include_str!("../../sql/lease_read.sql");
const INSERT: &str = include_str!("../../sql/lease_insert.sql");
const DELETE: &str = include_str!("../../sql/lease_delete.sql");
pub(crate) const REATTACH: &str = include_str!("../../sql/lease_reattach.sql");
const BACKEND: &str = include_str!("../../sql/lease_backend.sql");
const BY_TOKEN: &str = include_str!("../../sql/lease_by_token.sql");
const FENCE: &str = include_str!("../../sql/fence.sql");
const ROW_HOLDERS: &str = include_str!("../../sql/lease_row_holders.sql");
const RENEW: &str = include_str!("../../sql/lease_renew.sql");
const ADVISORY_HOLDER: &str = include_str!("../../sql/advisory_holder.sql");

/// Ours among the advisory locks of a database: "migr".
const ADVISORY_CLASS: i32 = 0x6d69_6772;
/// The variable by which `migrate-lock run` hands its lease on.
pub const TOKEN_VARIABLE: &str = "MIGRATE_LOCK_TOKEN";

/// The name of a lock: 1 to 63 characters of `a-z0-9_.-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockName(String);

impl LockName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The second half of the advisory lock's key.
    fn advisory_key(&self, ledger: &Ledger) -> i32 {
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
    pub(crate) life: Life,
    /// When the statement that gave it its time was sent.
    pub(crate) renewed: Instant,
    key: i32,
}

/// Why the lock cannot be had now.
struct Busy(Holder, &'static str);

impl Lease {
    /// Takes the lease, waiting for it at most `terms.wait`; polls, since a session that waits
    /// for an advisory lock holds a snapshot and would deadlock CREATE INDEX CONCURRENTLY.
    pub fn take(
        session: &Session,
        ledger: &Ledger,
        terms: &Terms,
        ctx: &mut Ctx,
    ) -> Result<(Lease, Line)> {
        refuse_unwritable(session)?;
        let key = terms.name.advisory_key(ledger);
        let start = Instant::now();
        let taken = poll(&terms.name, terms.wait, || {
            if !try_advisory(session, key)? {
                return Ok(Err(advisory_holder(session, key)?));
            }
            make_ledger(session, ledger, ctx)?;
            let mut claimed = claim(session, ledger, terms, key, start, ctx)?;
            if let Ok((lease, _)) = &mut claimed {
                lease.freshen(session, ledger)?;
            }
            if claimed.is_err() || terms.life != Life::Work {
                unlock_advisory(session, key)?;
            }
            Ok(claimed)
        })?;
        Ok(taken)
    }

    /// Gives a lease its whole time where writing it took long, behind the audit log's lock or a
    /// slow COMMIT: none with less than half of it left is handed out.
    fn freshen(&mut self, session: &Session, ledger: &Ledger) -> Result<()> {
        for _ in 0..3 {
            if self.renewed.elapsed() < self.ttl / 2 {
                return Ok(());
            }
            self.renewed = Instant::now();
            self.expires_at = session
                .query_opt(
                    &ledger.sql(RENEW),
                    &[&self.name.as_str(), &self.token, &millis(self.ttl)],
                )
                .map_err(Error::database("renew the lease"))?
                .ok_or_else(|| self.lost("it was removed while it was written"))?
                .get("expires_at");
        }
        if self.renewed.elapsed() < self.ttl / 2 {
            return Ok(());
        }
        let _ = release(session, ledger, &self.name, self.token);
        Err(Error::LockHeld {
            lock: self.name.to_string(),
            holder: "nobody, but the server took longer to write the lease than half of its time"
                .to_owned(),
            waited: humantime::format_duration(self.ttl).to_string(),
        })
    }

    /// Goes on under the lease `token` that `migrate-lock run` or `acquire` holds: takes the
    /// advisory lock only. Nothing where that lease is on another lock than `name`: it keeps
    /// nobody away who takes `name`.
    pub fn inherit(
        session: &Session,
        ledger: &Ledger,
        name: &LockName,
        token: i64,
        wait: Duration,
    ) -> Result<Option<Lease>> {
        refuse_unwritable(session)?;
        let in_force = |session: &Session| match ledger.look_to_write(session)? {
            Presence::Absent => Ok(None),
            Presence::Present => session
                .query_opt(&ledger.sql(BY_TOKEN), &[&token])
                .map(|row| row.filter(|it| !it.get::<_, bool>("expired")))
                .map_err(Error::database("read the lease")),
        };
        let row = in_force(session)?.ok_or_else(|| not_in_force(token))?;
        if row.get::<_, &str>("lock_name") != name.as_str() {
            return Ok(None);
        }
        let key = name.advisory_key(ledger);
        poll(name, wait, || {
            if try_advisory(session, key)? {
                return Ok(Ok(()));
            }
            in_force(session)?.ok_or_else(|| not_in_force(token))?;
            Ok(Err(advisory_holder(session, key)?))
        })?;
        Ok(Some(Lease {
            name: name.clone(),
            token,
            ttl: Duration::ZERO,
            expires_at: row.get("expires_at"),
            inherited: true,
            life: Life::Handed,
            renewed: Instant::now(),
            key,
        }))
    }

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

    /// Takes the advisory lock again on a new session, after the one before broke.
    pub fn reattach(&self, session: &Session, ledger: &Ledger, wait: Duration) -> Result<()> {
        poll(&self.name, wait, || {
            if try_advisory(session, self.key)? {
                return Ok(Ok(()));
            }
            // Whoever has the advisory lock may have taken the lease over with it.
            match find(session, ledger, self.token)? {
                None => Err(self.lost("it was taken while the connection was down")),
                Some(_) => Ok(Err(advisory_holder(session, self.key)?)),
            }
        })?;
        if self.inherited {
            return Ok(());
        }
        session
            .query_opt(
                &ledger.sql(REATTACH),
                &[&self.name.as_str(), &self.token, &millis(self.ttl)],
            )
            .map_err(Error::database("take the lease up again"))?
            .map(drop)
            .ok_or_else(|| self.lost("it was taken while the connection was down"))
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

fn not_in_force(token: i64) -> Error {
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

/// Whether a session holds the advisory lock that goes with the lock `name`.
pub fn advisory_is_held(session: &Session, ledger: &Ledger, name: &str) -> Result<Option<Holder>> {
    let key = LockName(name.to_owned()).advisory_key(ledger);
    let row = session
        .query_opt(ADVISORY_HOLDER, &[&ADVISORY_CLASS, &key])
        .map_err(Error::database("look who holds the lock"))?;
    Ok(row.as_ref().map(holder))
}

fn poll<T>(
    name: &LockName,
    wait: Duration,
    mut attempt: impl FnMut() -> Result<Result<T, Busy>>,
) -> Result<T> {
    let start = Instant::now();
    let mut said = false;
    loop {
        let Busy(holder, how) = match attempt()? {
            Ok(got) => return Ok(got),
            Err(busy) => busy,
        };
        let holder = format!("{} ({how})", describe(&holder));
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

fn try_advisory(session: &Session, key: i32) -> Result<bool> {
    let row = session
        .query_one("select pg_try_advisory_lock($1, $2)", &[&ADVISORY_CLASS, &key])
        .map_err(Error::database("take the advisory lock"))?;
    Ok(row.get(0))
}

fn unlock_advisory(session: &Session, key: i32) -> Result<()> {
    session
        .query_one("select pg_advisory_unlock($1, $2)", &[&ADVISORY_CLASS, &key])
        .map(drop)
        .map_err(Error::database("leave the advisory lock"))
}

fn advisory_holder(session: &Session, key: i32) -> Result<Busy> {
    let row = session
        .query_opt(ADVISORY_HOLDER, &[&ADVISORY_CLASS, &key])
        .map_err(Error::database("look who holds the lock"))?;
    Ok(Busy(row.as_ref().map_or_else(unseen, holder), "its session is alive"))
}

/// Who has a row of the lock table, after the server said that somebody has.
fn row_holder(session: &Session, ledger: &Ledger) -> Result<Holder> {
    let row = session
        .query_opt(&ledger.sql(ROW_HOLDERS), &[])
        .map_err(Error::database("look who holds the lock"))?;
    Ok(row.as_ref().map_or_else(unseen, holder))
}

/// A session that has ended since, or that another server's or role's eyes would see.
fn unseen() -> Holder {
    Holder { pid: 0, user: None, application: None, state: None, query: None, age_ms: None }
}

fn make_ledger(session: &Session, ledger: &Ledger, ctx: &Ctx) -> Result<()> {
    if ledger.look_to_write(session)? == Presence::Absent {
        ledger
            .create(session, ctx.config.env.as_deref(), |it| ctx.line(Record::LedgerCreated(it)))?;
    }
    Ok(())
}

/// Writes the lease, with the advisory lock in hand.
fn claim(
    session: &Session,
    ledger: &Ledger,
    terms: &Terms,
    key: i32,
    start: Instant,
    ctx: &Ctx,
) -> Result<Result<(Lease, Line), Busy>> {
    session.run("begin").map_err(Error::database("begin a transaction"))?;
    let claimed = claim_in_transaction(session, ledger, terms, key, start, ctx);
    match &claimed {
        Ok(Ok(_)) => session.run("commit").map_err(Error::database("take the lease"))?,
        _ if session.is_closed() => (),
        // Where it is over already the server only remarks that.
        _ => session.run("rollback").map_err(Error::database("roll back"))?,
    }
    claimed
}

fn claim_in_transaction(
    session: &Session,
    ledger: &Ledger,
    terms: &Terms,
    key: i32,
    start: Instant,
    ctx: &Ctx,
) -> Result<Result<(Lease, Line), Busy>> {
    let old = match session.query_opt(&ledger.sql(READ), &[&terms.name.as_str()]) {
        Ok(old) => old,
        Err(err) if err.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            session.run("rollback").map_err(Error::database("roll back"))?;
            return Ok(Err(Busy(
                row_holder(session, ledger)?,
                "its transaction has the lease's row",
            )));
        }
        Err(source) => return Err(Error::Database { doing: "read the lease", source }),
    };
    let mut took_over = None;
    if let Some(old) = old {
        if let Some(busy) = still_held(session, &old)? {
            return Ok(Err(busy));
        }
        let token: i64 = old.get("token");
        release(session, ledger, &terms.name, token)?;
        let broken = Record::LockBroken(LockBroken {
            lock_name: terms.name.to_string(),
            token,
            owner: old.get("owner"),
            host: old.get("host"),
            expired: old.get("expired"),
            forced: false,
            reason: Some("its session is gone, or its time was over".to_owned()),
            terminated: Vec::new(),
        });
        audit::append(session, ledger, &ctx.line(broken), Some(terms.name.as_str()), None)?;
        took_over = Some(token);
    }
    insert(session, ledger, terms, key, start, took_over, ctx).map(Ok)
}

/// Whether the lease in row `old` is in force although its advisory lock is free.
fn still_held(session: &Session, old: &tokio_postgres::Row) -> Result<Option<Busy>> {
    let expired: bool = old.get("expired");
    let by_owner = Holder {
        pid: old.get("pid"),
        user: Some(old.get("owner")),
        application: old.get("reason"),
        state: None,
        query: None,
        age_ms: None,
    };
    let Some(backend_pid) = old.get::<_, Option<i32>>("backend_pid") else {
        return Ok((!expired).then_some(Busy(by_owner, "taken with `migrate-lock acquire`")));
    };
    let start: Option<DateTime<Utc>> = old.get("backend_start");
    let alive = session
        .query_opt(BACKEND, &[&backend_pid, &start])
        .map_err(Error::database("look for the owner's session"))?;
    if let Some(alive) = alive {
        return Ok(Some(Busy(holder(&alive), "its session is alive")));
    }
    // After a failover the old session cannot be seen from here: only time proves it gone.
    let proven_gone = expired || same_server(session, old);
    Ok((!proven_gone).then_some(Busy(by_owner, "taken on another server or timeline")))
}

/// Whether the sessions of this server are those among which the lease in `row` was taken.
pub(super) fn same_server(session: &Session, row: &tokio_postgres::Row) -> bool {
    let facts = session.facts();
    // Empty where a role may not read it; then nothing is proven.
    !facts.system_identifier.is_empty()
        && row.get::<_, &str>("system_identifier") == facts.system_identifier
        && row.get::<_, i32>("timeline") == facts.timeline
}

fn insert(
    session: &Session,
    ledger: &Ledger,
    terms: &Terms,
    key: i32,
    start: Instant,
    took_over: Option<i64>,
    ctx: &Ctx,
) -> Result<(Lease, Line)> {
    let facts = session.facts();
    let with_session = terms.life != Life::Detached;
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let pid = std::process::id() as i32;
    let sent = Instant::now();
    let row = session
        .query_one(
            &ledger.sql(INSERT),
            &[
                &terms.name.as_str(),
                &facts.role,
                &host,
                &pid,
                &with_session,
                &terms.reason,
                &millis(terms.ttl),
                &facts.system_identifier,
                &facts.timeline,
            ],
        )
        .map_err(Error::database("write the lease"))?;
    let lease = Lease {
        name: terms.name.clone(),
        token: row.get("token"),
        ttl: terms.ttl,
        expires_at: row.get("expires_at"),
        inherited: false,
        life: terms.life,
        renewed: sent,
        key,
    };
    let line = ctx.line(Record::LockAcquired(LockAcquired {
        lock_name: terms.name.to_string(),
        token: lease.token,
        owner: facts.role.clone(),
        host,
        pid,
        backend_pid: with_session.then_some(facts.backend_pid),
        reason: terms.reason.clone(),
        expires_at: lease.expires_at,
        waited_ms: start.elapsed().as_millis() as u64,
        took_over,
    }));
    audit::append(session, ledger, &line, Some(terms.name.as_str()), None)?;
    Ok((lease, line))
}

fn holder(row: &tokio_postgres::Row) -> Holder {
    Holder {
        pid: row.get("pid"),
        user: row.get("user"),
        application: row.get("application"),
        state: row.get("state"),
        query: row.get("query"),
        age_ms: row.get("age_ms"),
    }
}

/// A holder in words.
pub fn describe(holder: &Holder) -> String {
    let mut said = match holder.pid {
        0 => "a session that cannot be seen".to_owned(),
        pid => format!("process {pid}"),
    };
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

fn millis(duration: Duration) -> i64 {
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
