//! Asks one query of a user's: alone, in a transaction that can only read and is always undone.

use std::time::Instant;

use futures_util::StreamExt;
use migrate_core::{
    connect::session::Session,
    error::{Error, PgError, Result},
};
use serde_json::{Map, Value};
use tokio_postgres::SimpleQueryMessage;

use crate::{
    check_file::{Step, StepKind},
    trouble::Trouble,
    verdict::{Column, Judge, Verdict},
};

/// What psql as this role would see, but for the time limits and how texts are read.
const VIEW: &str = "reset all; set client_encoding = 'UTF8'; set standard_conforming_strings = on; \
    set default_transaction_read_only = on; set statement_timeout = 0; set lock_timeout = '5s'; \
    set idle_in_transaction_session_timeout = 0";

/// The first query takes the snapshot: from then on the server lets nobody make it read-write.
const BEGIN: &str = "begin isolation level repeatable read, read only; \
    set local client_encoding = 'UTF8'; set local standard_conforming_strings = on; \
    select pg_catalog.pg_backend_pid()";

/// Whether something was written; temporary tables and large objects may be, and are undone.
const WROTE: &str = "select pg_catalog.txid_current_if_assigned() is not null";

pub(crate) enum Asked {
    /// A setting is made.
    Set,
    Judged(Vec<Verdict>),
    /// A query without a verdict: so many rows, so many of them told.
    Listed {
        rows: u64,
        told: u64,
    },
    Trouble(Trouble),
}

/// What to keep of what comes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// Rows that are wrong, of each check.
    pub(crate) show: usize,
    /// Rows of a query without a verdict.
    pub(crate) rows: u64,
}

/// A session as psql would have it, for queries of a user's.
pub(crate) fn prepare(session: &Session) -> Result<()> {
    session.run(VIEW).map_err(Error::database("set the session up"))
}

/// `tell` gets the rows of a query without a verdict as they come.
pub(crate) fn ask(
    step: &Step,
    session: &Session,
    deadline: Instant,
    kept: Kept,
    tell: &mut dyn FnMut(Map<String, Value>),
) -> Result<Asked> {
    if Instant::now() >= deadline {
        return Ok(Asked::Trouble(Trouble::not_finished()));
    }
    let asked = match step.kind {
        StepKind::Setting => session.run(&step.text).map(|()| Asked::Set),
        StepKind::Query => read(step, session, deadline, kept, tell),
    };
    match asked {
        Ok(asked) => Ok(asked),
        Err(source) if session.is_closed() => {
            Err(Error::Database { doing: "run the checks", source })
        }
        Err(err) => Ok(Asked::Trouble(Trouble::of(&err))),
    }
}

fn read(
    step: &Step,
    session: &Session,
    deadline: Instant,
    kept: Kept,
    tell: &mut dyn FnMut(Map<String, Value>),
) -> Result<Asked, PgError> {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis().max(1);
    let limit = i32::try_from(left).unwrap_or(i32::MAX);
    session.run(&format!("{BEGIN}; set local statement_timeout = {limit}"))?;
    let asked = session.wait(rows(step, session, kept, tell));
    let wrote = asked.is_ok() && wrote(session)?;
    if !session.is_closed() {
        session.run("rollback")?;
    }
    Ok(if wrote { Asked::Trouble(tried_to_write()) } else { asked? })
}

async fn rows(
    step: &Step,
    session: &Session,
    kept: Kept,
    tell: &mut dyn FnMut(Map<String, Value>),
) -> Result<Asked, PgError> {
    let client = session.client();
    // Tells the types, and refuses what the server takes for more than one statement.
    let prepared = client.prepare(&step.text).await?;
    let columns = prepared
        .columns()
        .iter()
        .map(|it| Column { name: it.name().to_owned(), kind: it.type_().clone() })
        .collect::<Vec<_>>();
    let mut judge = Judge::new(columns, kept.show);
    let (mut seen, mut told) = (0, 0);
    let stream = client.simple_query_raw(&step.text).await?;
    let mut stream = std::pin::pin!(stream);
    while let Some(message) = stream.next().await {
        let SimpleQueryMessage::Row(row) = message? else { continue };
        let cells: Vec<Option<&str>> = (0..row.len()).map(|it| row.get(it)).collect();
        seen += 1;
        if judge.judges() {
            judge.take(&cells);
        } else if told < kept.rows {
            told += 1;
            tell(judge.values(&cells));
        }
    }
    Ok(if judge.judges() { Asked::Judged(judge.end()) } else { Asked::Listed { rows: seen, told } })
}

fn wrote(session: &Session) -> Result<bool, PgError> {
    let rows = session.query_once(WROTE, &[])?;
    Ok(rows.first().is_some_and(|it| it.get(0)))
}

fn tried_to_write() -> Trouble {
    Trouble {
        reason: migrate_core::record::CheckReason::Error,
        message: "it tried to write; that was undone".to_owned(),
        sqlstate: None,
    }
}
