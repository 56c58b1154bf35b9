//! Hands the lock and the audit log on to a database that takes the place of another one.
//!
//! Lease and advisory lock belong to one database, and no session may be in either database while
//! their names change. So meanwhile both leases live with a session elsewhere, the keeper: nobody
//! takes them as long as it is there, and everybody may as soon as it is gone.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::{
    Ledger, audit,
    lease::{Lease, Life, millis, release},
};
use crate::{
    connect::session::Session,
    error::{Error, Result},
};

const POINT: &str = include_str!("../../sql/handover_point.sql");
const PLANT: &str = include_str!("../../sql/handover_plant.sql");
const CLEAR: &str = include_str!("../../sql/handover_clear.sql");
const LAST_TOKEN: &str = include_str!("../../sql/handover_last_token.sql");
const RAISE: &str = include_str!("../../sql/handover_raise.sql");
const AFTER: &str = include_str!("../../sql/audit_after.sql");
const CARRY: &str = include_str!("../../sql/audit_carry.sql");

/// How many rows of the audit log are carried at a time.
const CARRIED_TOGETHER: i64 = 500;

/// The session that leases live with while their databases change names.
#[derive(Debug, Clone, Copy)]
pub struct Keeper {
    pub pid: i32,
    pub start: DateTime<Utc>,
}

impl Keeper {
    pub fn of(session: &Session) -> Result<Keeper> {
        let row = session
            .query_one(
                "select pid, backend_start as start from pg_stat_activity where pid = pg_backend_pid()",
                &[],
            )
            .map_err(Error::database("see when our own session began"))?;
        Ok(Keeper { pid: row.get("pid"), start: row.get("start") })
    }
}

/// The highest token that was ever given out in a database.
pub fn last_token(session: &Session, ledger: &Ledger) -> Result<i64> {
    let row = session
        .query_one(&ledger.sql(LAST_TOKEN), &[])
        .map_err(Error::database("read the last token"))?;
    Ok(row.get("token"))
}

/// Lets a lease live with the keeper.
pub fn point(
    session: &Session,
    ledger: &Ledger,
    lease: &Lease,
    keeper: Keeper,
    ttl: Duration,
) -> Result<()> {
    let pointed = session
        .execute(
            &ledger.sql(POINT),
            &[&lease.name.as_str(), &lease.token, &keeper.pid, &keeper.start, &millis(ttl)],
        )
        .map_err(Error::database("hand the lease on"))?;
    if pointed == 1 { Ok(()) } else { Err(lease.lost("somebody removed it")) }
}

/// Takes the lease in `session`'s database, too, with a token above all that were ever given out in
/// either; one that was inherited keeps its token, by which its owner goes on to renew it.
pub fn plant(
    session: &Session,
    ledger: &Ledger,
    lease: &Lease,
    keeper: Keeper,
    ttl: Duration,
    above: i64,
) -> Result<Lease> {
    let doing = || Error::database("take the lease in the new database");
    let facts = session.facts();
    session.transaction(|session| {
        session.execute(&ledger.sql(CLEAR), &[]).map_err(doing())?;
        let raised =
            session.query_one(&ledger.sql(RAISE), &[&above]).map_err(doing())?.get("token");
        let token: i64 = if lease.inherited { lease.token } else { raised };
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let sent = Instant::now();
        let row = session
            .query_one(
                &ledger.sql(PLANT),
                &[
                    &lease.name.as_str(),
                    &token,
                    &facts.role,
                    &host,
                    &(std::process::id() as i32),
                    &keeper.pid,
                    &keeper.start,
                    &"migrate-backup, a database takes the place of another",
                    &millis(ttl),
                    &facts.system_identifier,
                    &facts.timeline,
                ],
            )
            .map_err(doing())?;
        Ok(Lease {
            name: lease.name.clone(),
            token,
            ttl,
            expires_at: row.get("expires_at"),
            inherited: lease.inherited,
            life: Life::Work,
            renewed: sent,
            key: lease.key,
        })
    })
}

/// Removes the leases of a database that comes out of the past.
pub fn clear(session: &Session, ledger: &Ledger) -> Result<()> {
    session
        .execute(&ledger.sql(CLEAR), &[])
        .map(drop)
        .map_err(Error::database("clear the leases of the new database"))
}

/// Removes the lease from the database that was replaced; one that is gone is as good.
pub fn remove(session: &Session, ledger: &Ledger, lease: &Lease) -> Result<()> {
    match release(session, ledger, &lease.name, lease.token) {
        Ok(_) | Err(Error::Refused { kind: "not_the_owner", .. }) => Ok(()),
        Err(err) => Err(err),
    }
}

/// How the audit logs of two databases belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chains {
    /// The second goes on from where the first ends, this row: what comes after can be carried.
    Continues { from: i64 },
    /// They have different rows of the same number.
    Forked { at: i64 },
    /// The second lacks rows that the first has.
    Shorter,
}

/// Whether the log of `to` is the beginning of that of `from`.
pub fn compare_chains(from: &Session, to: &Session, ledger: &Ledger) -> Result<Chains> {
    let Some(end) = audit::head(to, ledger)? else { return Ok(Chains::Continues { from: 0 }) };
    let same = from
        .query_opt(&ledger.sql(AFTER), &[&(end.id - 1), &1_i64])
        .map_err(Error::database("read the audit log"))?
        .filter(|row| row.get::<_, i64>("id") == end.id);
    Ok(match same {
        None => Chains::Shorter,
        Some(row) if hex(row.get("hash")) == end.hash => Chains::Continues { from: end.id },
        Some(_) => Chains::Forked { at: end.id },
    })
}

/// Carries the rows of the log after row `after` over, and returns the last one's number.
pub fn carry_audit(from: &Session, to: &Session, ledger: &Ledger, after: i64) -> Result<i64> {
    let mut last = after;
    loop {
        let rows = from
            .query(&ledger.sql(AFTER), &[&last, &CARRIED_TOGETHER])
            .map_err(Error::database("read the audit log"))?;
        let Some(end) = rows.last() else { return Ok(last) };
        to.transaction(|to| {
            to.run(&ledger.sql(audit::LOCK)).map_err(Error::database("lock the audit log"))?;
            rows.iter().try_for_each(|row| carry_row(to, ledger, row))
        })?;
        last = end.get("id");
    }
}

fn carry_row(to: &Session, ledger: &Ledger, row: &Row) -> Result<()> {
    let carried = to
        .execute(
            &ledger.sql(CARRY),
            &[
                &row.get::<_, i64>("id"),
                &row.get::<_, DateTime<Utc>>("timestamp"),
                &row.get::<_, &str>("actor"),
                &row.get::<_, &str>("action"),
                &row.get::<_, Option<&str>>("subject"),
                &row.get::<_, Option<&str>>("run_id"),
                &row.get::<_, &str>("details"),
                &row.get::<_, &str>("canonical"),
                &row.get::<_, &[u8]>("prev_hash"),
                &row.get::<_, &[u8]>("hash"),
            ],
        )
        .map_err(Error::database("carry the audit log over"))?;
    if carried == 1 {
        return Ok(());
    }
    Err(Error::refused(
        "foreign_ledger",
        format!("row {} of the audit log does not follow the one before", row.get::<_, i64>("id")),
        "check the log with `migrate-audit verify`",
    ))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}
