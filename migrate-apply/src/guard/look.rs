//! One look at the server: whom the session that works waits for, and who waits for it.

use std::time::Duration;

use migrate_core::{
    connect::session::Session,
    error::PgError,
    record::{Holder, Victim},
    sql::secret,
};
use tokio_postgres::{Row, Statement};

const WATCH: &str = include_str!("../../sql/watch.sql");
const PHASE: &str = include_str!("../../sql/phase.sql");
const PHASE_OF_COPY: &str = include_str!("../../sql/phase_copy.sql");
/// No look may hang: whoever ends the work waits for a cancel under way.
const PATIENCE: Duration = Duration::from_secs(3);
/// Enough to recognise a query by.
const QUERY_CHARACTERS: usize = 200;

/// What the session that works waits for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waiting {
    /// None where it is no table, but a row or a transaction.
    pub(crate) table: Option<String>,
    /// Process 0 is a prepared transaction, which has none.
    pub(crate) holders: Vec<Holder>,
    /// How many sessions queue behind us.
    pub(crate) queue: u32,
}

/// How far a long command has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) done: u64,
    /// 0 where the server doesn't know.
    pub(crate) total: u64,
    pub(crate) unit: &'static str,
}

/// What stands in each other's way at one moment.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) waiting: Option<Waiting>,
    pub(super) victims: Vec<Victim>,
}

/// A session to look from, and its question, prepared.
pub(super) struct Eye {
    session: Session,
    watch: Statement,
    cancel: Statement,
    phase: Statement,
}

impl Eye {
    pub(super) fn new(session: Session) -> Result<Eye, PgError> {
        session.run("set statement_timeout = '2s'")?;
        let client = session.client();
        let phase = match session.facts().server_version_num {
            140_000.. => format!("{PHASE}\nunion all\n{PHASE_OF_COPY}"),
            _ => PHASE.to_owned(),
        };
        let (watch, cancel, phase) = session.wait(futures_util::future::try_join3(
            client.prepare(WATCH),
            client.prepare("select pg_cancel_backend($1)"),
            client.prepare(&phase),
        ))?;
        Ok(Eye { session, watch, cancel, phase })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// Looks at backend `pid`, which works under a lease in the ledger's `schema`; nothing where
    /// no answer comes.
    pub(super) fn look(&self, pid: i32, schema: &str) -> Option<Result<Look, PgError>> {
        let rows = self.session.query_within(PATIENCE, &self.watch, &[&pid, &schema])?;
        Some(rows.map(|it| read(&it)))
    }

    /// How far backend `pid` has come, if the server tells.
    pub(super) fn phase(&self, pid: i32) -> Option<Result<Option<Phase>, PgError>> {
        let rows = self.session.query_within(PATIENCE, &self.phase, &[&pid])?;
        let count = |row: &Row, name| row.get::<_, Option<i64>>(name).unwrap_or(0).unsigned_abs();
        Some(rows.map(|rows| {
            rows.first().map(|row| Phase {
                name: row.get("phase"),
                done: count(row, "done"),
                total: count(row, "total"),
                unit: match row.get("unit") {
                    "rows" => "rows",
                    "bytes" => "bytes",
                    _ => "blocks",
                },
            })
        }))
    }

    /// Returns when the signal was sent.
    pub(super) fn cancel(&self, pid: i32) -> Option<Result<(), PgError>> {
        let sent = self.session.query_within(PATIENCE, &self.cancel, &[&pid])?;
        Some(sent.map(drop))
    }
}

fn read(rows: &[Row]) -> Look {
    let (holders, victims): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.get::<_, &str>("part") == "holder");
    let waiting = holders.first().map(|first| Waiting {
        table: first.get("relation"),
        holders: holders.iter().map(|row| holder(row)).collect(),
        queue: victims.len() as u32,
    });
    Look { waiting, victims: victims.iter().map(|row| victim(row)).collect() }
}

fn victim(row: &Row) -> Victim {
    Victim {
        pid: row.get("pid"),
        user: row.get("user"),
        application: named(row, "application"),
        query: query(row),
        waited_ms: row.get::<_, Option<i64>>("waited_ms").unwrap_or(0).unsigned_abs(),
    }
}

/// A session as a row of watch.sql or holding_up.sql says it.
pub(crate) fn holder(row: &Row) -> Holder {
    Holder {
        pid: row.get("pid"),
        backend_start: row.get("backend_start"),
        user: row.get("user"),
        application: named(row, "application"),
        state: row.get("state"),
        query: query(row),
        age_ms: row.get("age_ms"),
    }
}

fn named(row: &Row, column: &str) -> Option<String> {
    row.get::<_, Option<String>>(column).filter(|it| !it.is_empty())
}

/// The start of what it does or did last, without what may be a password.
fn query(row: &Row) -> Option<String> {
    let query = named(row, "query")?;
    Some(secret::shown(&query, QUERY_CHARACTERS))
}

/// Nobody has been blocked by us for longer than we have worked.
pub(super) fn at_most(victims: &mut [Victim], worked: Duration) {
    for victim in victims {
        victim.waited_ms = victim.waited_ms.min(worked.as_millis() as u64);
    }
}
