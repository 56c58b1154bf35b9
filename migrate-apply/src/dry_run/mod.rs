//! Dry runs of `up` and `down`: what each statement locks, rewrites and takes, without a change.

mod alone;
mod copy;
mod here;
mod observe;
mod outside;
mod work;

use std::time::{Duration, Instant};

use migrate_core::{
    ctx::Ctx,
    error::{Error, Left, Result},
    exit::Exit,
    interrupt,
    ledger::{
        history,
        lease::{self, Lease, LockName},
    },
    record::{ApplyStarted, Direction, DryRunFinished, DryRunPlace, Record, RunStatus},
};

use self::work::Work;
use crate::{limits::Limits, run::Place, send::Stop, step::Step};

/// Where `--dry-run` runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// On a throwaway copy without rows; the target is only read
    Copy,
    /// On the target, in one transaction that is rolled back
    Here,
}

/// What is to be tried.
pub(crate) struct Request {
    pub(crate) mode: Mode,
    pub(crate) direction: Direction,
    /// All in one transaction.
    pub(crate) together: bool,
    pub(crate) limits: Limits,
    pub(crate) plan_hash: Option<String>,
    pub(crate) overrides: Vec<String>,
}

/// For a dry run on the target: keeps other runs away, and reads the history as it stands then.
/// Nothing is written: there is no lease, only the lock that ends with the session.
pub(crate) fn keep_away(place: &Place, wait: Duration) -> Result<Vec<history::Run>> {
    let (session, ledger, name) = (&place.session, &place.ledger, LockName::default());
    let handed = match lease::handed_token()? {
        Some(token) => Lease::inherit(session, ledger, &name, token, wait)?,
        None => None,
    };
    if handed.is_none() {
        Lease::keep_away(session, ledger, &name, wait)?;
    }
    history::look(session, ledger)
}

pub(crate) fn run(request: &Request, steps: &[Step], place: &Place, ctx: &mut Ctx) -> Result<Exit> {
    if request.mode == Mode::Here {
        check_here(steps)?;
    }
    ctx.emit(Record::ApplyStarted(started(request, steps, place, ctx)));
    let start = Instant::now();
    let mut finished = DryRunFinished {
        run_id: place.run_id.clone(),
        place: request.mode.record(),
        direction: request.direction,
        status: RunStatus::Done,
        migrations: 0,
        statements: 0,
        rows: 0,
        ms: 0,
        tables: Vec::new(),
        not_undone: Vec::new(),
        notes: Vec::new(),
    };
    let result = match request.mode {
        Mode::Copy => copy::run(request, steps, place, &mut finished, ctx),
        Mode::Here => here::run(request, steps, place, &mut finished, ctx),
    };
    interrupt::cancels(None);
    interrupt::leaves(None);
    finished.ms = start.elapsed().as_millis() as u64;
    finished.status = match &result {
        Ok(()) => RunStatus::Done,
        Err(Error::Interrupted { .. }) => RunStatus::Interrupted,
        Err(_) => RunStatus::Failed,
    };
    ctx.emit(Record::DryRunFinished(finished));
    result.map(|()| Exit::Ok)
}

impl Mode {
    fn record(self) -> DryRunPlace {
        match self {
            Mode::Copy => DryRunPlace::Copy,
            Mode::Here => DryRunPlace::Here,
        }
    }
}

fn started(request: &Request, steps: &[Step], place: &Place, ctx: &Ctx) -> ApplyStarted {
    let facts = place.session.facts();
    ApplyStarted {
        run_id: place.run_id.clone(),
        direction: request.direction,
        versions: steps.iter().map(|it| it.version.clone()).collect(),
        database: facts.database.clone(),
        system_identifier: facts.system_identifier.clone(),
        environment: ctx.config.env.clone(),
        token: None,
        plan_hash: request.plan_hash.clone(),
        overrides: request.overrides.clone(),
        dry_run: Some(request.mode.record()),
    }
}

/// What is refused in a transaction is named before anything is sent.
fn check_here(steps: &[Step]) -> Result<()> {
    match steps.iter().find(|it| !it.script.transaction) {
        None => Ok(()),
        Some(step) => Err(Error::usage(
            format!(
                "migration {} `{}` runs outside a transaction and cannot be rolled back",
                step.version, step.name
            ),
            "use `--dry-run=copy`, or stop in front of it with `--target`",
        )),
    }
}

/// Takes over what has been measured, whatever the end.
fn measured(mut work: Work<'_>, finished: &mut DryRunFinished) {
    work.observer.end_transaction();
    finished.migrations = work.migrations;
    finished.statements = work.statements;
    finished.rows = work.rows;
    finished.tables = work.observer.tables();
}

/// The error of a dry run, in the words of a real one.
fn failure(stop: Stop, step: &Step) -> Error {
    let (version, name) = (step.version.clone(), step.name.clone());
    match (work::interrupted(), stop) {
        (Some(err), _) | (None, Stop::Other(err)) => err,
        (None, Stop::Lost(source)) => {
            Error::ConnectionLost { version, name, left: Left::Untouched, source }
        }
        // Only a watched run gives way.
        (None, Stop::GaveWay(it)) => {
            let error = Box::new(it.as_error());
            Error::Statement { version, name, error, left: Left::Untouched }
        }
        (None, Stop::Refused(error)) => {
            Error::Statement { version, name, error, left: Left::Untouched }
        }
    }
}
