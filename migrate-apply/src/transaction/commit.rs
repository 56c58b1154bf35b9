//! COMMIT, and what became of it where its answer was lost.

use std::{
    thread,
    time::{Duration, Instant},
};

use migrate_core::{
    connect::session::Session,
    error::{Error, PgError, Result},
    ledger::Ledger,
    record::Commit,
};

use crate::{
    run::Run,
    send::{self, Stop},
    step::Step,
};

/// How long a COMMIT may stay `in progress` after its connection broke.
const COMMIT_PATIENCE: Duration = Duration::from_secs(30);

/// Looks for the row of the ledger that the transaction wrote.
pub(crate) type Recorded<'a> = &'a dyn Fn(&Session, &Ledger) -> Result<bool>;

/// Sends COMMIT of transaction `xid`, and where its answer is lost finds out what became of it.
pub(crate) fn commit(
    run: &mut Run,
    step: &Step,
    xid: i64,
    recorded: Recorded<'_>,
) -> Result<Option<Commit>, Stop> {
    let answer = run.session.run("commit");
    settle(run, step, xid, answer, recorded)
}

/// What became of a COMMIT that was sent.
pub(super) fn settle(
    run: &mut Run,
    step: &Step,
    xid: i64,
    answer: Result<(), PgError>,
    recorded: Recorded<'_>,
) -> Result<Option<Commit>, Stop> {
    let Err(error) = answer else { return Ok(None) };
    if !send::is_lost(&run.session, &error) {
        let mut refused = crate::failure::of_server(&error);
        refused.message = format!("at COMMIT: {}", refused.message);
        return Err(Stop::Refused(Box::new(refused)));
    }
    log::warn!("the connection was lost at COMMIT; asking the server what became of it");
    match outcome(run, xid, recorded) {
        Ok(true) => Ok(Some(Commit::Recovered)),
        Ok(false) => Err(Stop::Lost(error)),
        Err(err) => {
            log::error!("{err}");
            Err(Stop::Other(Error::CommitUnknown {
                version: step.version.clone(),
                name: step.name.clone(),
                xid,
                system: run.session.facts().system_identifier.clone(),
            }))
        }
    }
}

/// Whether the transaction took place.
///
/// Its own row in the ledger is the proof. Its id alone is none: a server that crashed may have
/// lost a COMMIT that was not yet on disk, and given the id to another transaction.
fn outcome(run: &mut Run, xid: i64, recorded: Recorded<'_>) -> Result<bool> {
    let deadline = Instant::now() + COMMIT_PATIENCE;
    loop {
        let session = run.connect_again()?;
        match took_place(run, &session, xid, recorded, deadline) {
            // A server on its way down may still let a session in, and end it.
            Err(err) if send::lost(&session, &err) && Instant::now() < deadline => (),
            Err(err) => return Err(err),
            Ok(committed) => {
                // What is known stays known: whoever needs the session finds out that it is gone.
                if let Err(err) = run.adopt(session) {
                    log::warn!("after the COMMIT: {err}");
                }
                return Ok(committed);
            }
        }
    }
}

fn took_place(
    run: &Run,
    session: &Session,
    xid: i64,
    recorded: Recorded<'_>,
    deadline: Instant,
) -> Result<bool> {
    let doing = "ask what became of the COMMIT";
    let status = loop {
        let status = status_of(session, xid).map_err(Error::database(doing))?;
        if status.as_deref() != Some("in progress") || Instant::now() >= deadline {
            break status;
        }
        thread::sleep(Duration::from_millis(100));
    };
    match (recorded(session, &run.ledger)?, status.as_deref()) {
        (true, _) => Ok(true),
        (false, Some("aborted") | None) => Ok(false),
        (false, Some(status)) => Err(Error::refused(
            "commit_unclear",
            format!("transaction {xid} is {status}, and the ledger has no row of it"),
            "look at the server and at `migrate-apply status`",
        )),
    }
}

pub(super) fn status_of(session: &Session, xid: i64) -> Result<Option<String>, PgError> {
    Ok(session.query_one("select txid_status($1)", &[&xid])?.get(0))
}

pub(super) fn unverified(xid: i64, status: &str) -> Error {
    Error::refused(
        "commit_not_kept",
        format!("the server said COMMIT, but transaction {xid} is {status}"),
        "stop, and look at the server: `migrate-apply status` shows what the history has",
    )
}
