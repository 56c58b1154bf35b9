//! COMMIT, and what became of it where its answer was lost.

use std::time::{Duration, Instant};

use migrate_core::{
    connect::session::Session,
    error::{Error, PgError, Result},
    ledger::{history, history::Status},
    record::{Commit, Direction},
};

use super::Writer;
use crate::{
    run::Run,
    send::{self, Stop},
    step::Step,
};

/// How long a COMMIT may stay `in progress` after its connection broke.
const COMMIT_PATIENCE: Duration = Duration::from_secs(30);

impl Writer {
    /// Sends COMMIT, and where its answer is lost finds out what became of it.
    pub(super) fn commit(
        &self,
        run: &mut Run,
        step: &Step,
        xid: i64,
    ) -> Result<Option<Commit>, Stop> {
        let error = match run.session.run("commit") {
            Ok(()) => return Ok(None),
            Err(error) => error,
        };
        if !send::is_lost(&run.session, &error) {
            let mut refused = crate::failure::of_server(&error);
            refused.message = format!("at COMMIT: {}", refused.message);
            return Err(Stop::Refused(Box::new(refused)));
        }
        log::warn!("the connection was lost at COMMIT; asking the server what became of it");
        match outcome(run, step, xid) {
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
}

/// Whether the transaction took place: by its id, and where the server forgot it by the history.
fn outcome(run: &mut Run, step: &Step, xid: i64) -> Result<bool> {
    let session = run.connect_again()?;
    let doing = "ask what became of the COMMIT";
    let deadline = Instant::now() + COMMIT_PATIENCE;
    let committed = loop {
        match status_of(&session, xid).map_err(Error::database(doing))?.as_deref() {
            Some("committed") => break true,
            Some("aborted") => break false,
            Some(_) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(100));
            }
            _ => {
                let found = history::all(&session, &run.ledger)?.into_iter().any(|it| {
                    it.run_id == run.run_id
                        && it.version == step.version
                        && (it.status == Status::Applied) == (step.direction == Direction::Up)
                });
                break found;
            }
        }
    };
    run.adopt(session)?;
    Ok(committed)
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
