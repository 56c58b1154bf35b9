//! How a lease is taken: the advisory lock first, then the row, and both looked at again.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_postgres::{Row, error::SqlState};

use super::{
    Ledger, Presence,
    advisory::{Busy, advisory_holder, holder, poll, try_advisory, unlock_advisory},
    audit,
    lease::{
        BY_TOKEN, Lease, Life, LockName, REATTACH, RENEW, Terms, find, millis, not_in_force,
        refuse_unwritable, release,
    },
    locks,
};
use crate::{
    connect::session::Session,
    ctx::Ctx,
    error::{Error, Result},
    record::{Line, LockAcquired, LockBroken, Record, timestamp},
};

pub(super) const READ: &str = include_str!("../../sql/lease_read.sql");
const INSERT: &str = include_str!("../../sql/lease_insert.sql");
pub(super) const BACKEND: &str = include_str!("../../sql/lease_backend.sql");
const ROW_HOLDERS: &str = include_str!("../../sql/lease_row_holders.sql");

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

    /// Keeps others away without writing anything: the advisory lock only, until the session ends.
    pub fn keep_away(
        session: &Session,
        ledger: &Ledger,
        name: &LockName,
        wait: Duration,
    ) -> Result<()> {
        refuse_unwritable(session)?;
        let key = name.advisory_key(ledger);
        poll(name, wait, || {
            if !try_advisory(session, key)? {
                return Ok(Err(advisory_holder(session, key)?));
            }
            let held = match locks::row(session, ledger, name)? {
                Some(row) => still_held(session, &row)?,
                None => None,
            };
            match held {
                None => Ok(Ok(())),
                Some(busy) => {
                    unlock_advisory(session, key)?;
                    Ok(Err(busy))
                }
            }
        })
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

/// Makes the ledger where it lacks, for a tool that writes to it without a lease.
pub fn ensure_ledger(session: &Session, ledger: &Ledger, wait: Duration, ctx: &Ctx) -> Result<()> {
    refuse_unwritable(session)?;
    // Whoever has the advisory lock may be making it at this moment.
    let name = LockName::default();
    let key = name.advisory_key(ledger);
    poll(&name, wait, || {
        if ledger.look_to_write(session)? == Presence::Present {
            return Ok(Ok(()));
        }
        if !try_advisory(session, key)? {
            return Ok(Err(advisory_holder(session, key)?));
        }
        let made = make_ledger(session, ledger, ctx);
        unlock_advisory(session, key)?;
        made.map(Ok)
    })
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
            return Ok(Err(row_holder(session, ledger)?));
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
pub(super) fn still_held(session: &Session, old: &Row) -> Result<Option<Busy>> {
    let expired: bool = old.get("expired");
    let (owner, pid, host): (&str, i32, &str) = (old.get("owner"), old.get("pid"), old.get("host"));
    let until = timestamp(&old.get("expires_at"));
    let by_owner = |how| Busy(format!("`{owner}`, process {pid} on {host}, until {until} ({how})"));
    let Some(backend_pid) = old.get::<_, Option<i32>>("backend_pid") else {
        return Ok((!expired).then_some(by_owner("taken with `migrate-lock acquire`")));
    };
    let start: Option<DateTime<Utc>> = old.get("backend_start");
    let alive = session
        .query_opt(BACKEND, &[&backend_pid, &start])
        .map_err(Error::database("look for the owner's session"))?;
    if let Some(alive) = alive {
        return Ok(Some(Busy::session(&holder(&alive), "its session is alive")));
    }
    // After a failover the old session cannot be seen from here: only time proves it gone.
    let proven_gone = expired || same_server(session, old);
    Ok((!proven_gone).then_some(by_owner("taken on another server or timeline")))
}

/// Whether the sessions of this server are those among which the lease in `row` was taken.
pub(super) fn same_server(session: &Session, row: &Row) -> bool {
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

/// Who has a row of the lock table, after the server said that somebody has.
pub(super) fn row_holder(session: &Session, ledger: &Ledger) -> Result<Busy> {
    let row = session
        .query_opt(&ledger.sql(ROW_HOLDERS), &[])
        .map_err(Error::database("look who holds the lock"))?;
    let holder = row.as_ref().map(holder).unwrap_or_default();
    Ok(Busy::session(&holder, "its transaction has the lease's row"))
}
