//! One state of the database, seen by several sessions.

use std::time::Instant;

use migrate_core::{
    connect::session::Session,
    ctx::Ctx,
    error::{Error, PgError, Result},
    ledger::quote_literal,
};

use super::Limits;
use crate::place::{Place, Settings};

/// Lives as long as the session that exported it, if several share it.
pub(crate) struct Snapshot {
    _holder: Option<Session>,
    pub(crate) workers: Vec<Session>,
    begin: String,
}

impl Snapshot {
    /// A new one for each question, of one session: for those that take no time.
    pub(crate) fn none(session: Session, settings: &Settings) -> Snapshot {
        let begin = format!("begin isolation level repeatable read, read only; {}", settings.sql());
        Snapshot { _holder: None, workers: vec![session], begin }
    }

    /// Opens all sessions that will be needed before the first query.
    pub(crate) fn shared(
        place: &Place,
        settings: &Settings,
        limits: &Limits,
        ctx: &Ctx,
    ) -> Result<Snapshot> {
        let holder = place.session(ctx)?;
        let doing = "take a snapshot";
        holder
            .run("begin isolation level repeatable read, read only")
            .map_err(Error::database(doing))?;
        let row = holder
            .query_once("select pg_export_snapshot()", &[])
            .map_err(Error::database(doing))?;
        let name: String = row.first().expect("it is one row").get(0);
        let begin = format!(
            "begin isolation level repeatable read, read only; set transaction snapshot {}; {}",
            quote_literal(&name),
            settings.sql()
        );
        let workers = (0..limits.jobs).map(|_| place.session(ctx)).collect::<Result<Vec<_>>>()?;
        Ok(Snapshot { _holder: Some(holder), workers, begin })
    }

    /// Runs `work` in a transaction of its own that cannot write and is undone at its end.
    pub(super) fn read<T>(
        &self,
        session: &Session,
        deadline: Instant,
        work: impl FnOnce(&Session) -> Result<T, PgError>,
    ) -> Result<T, PgError> {
        // 0 would mean no limit.
        let left = deadline.saturating_duration_since(Instant::now()).as_millis().max(1);
        let limit = i32::try_from(left).unwrap_or(i32::MAX);
        session.run(&format!("{} set local statement_timeout = {limit}", self.begin))?;
        let done = work(session);
        if !session.is_closed() {
            session.run("rollback")?;
        }
        done
    }
}
