//! A dry run on the target itself: for real, in one transaction that is rolled back.

use std::{
    thread,
    time::{Duration, Instant},
};

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    interrupt,
    record::{DryRunFinished, LockWaited, Record},
};

use super::{
    Request, failure, measured, observe,
    observe::Observer,
    work::{End, Ground, Work, interrupted},
};
use crate::{
    run::{self, Place},
    send::Stop,
    step::Step,
    transaction::{MAX_PAUSE_MS, is_passing},
};

/// What a rollback does not take back.
const NOT_UNDONE: [&str; 3] = [
    "values taken from sequences",
    "dead rows and space, until the next vacuum",
    "the write-ahead log of all that was done, on the replicas too",
];

const ONE_TRANSACTION: &str = "all migrations were one transaction here: a lock that two of them \
                               take is told of the first, and held until the end";

pub(super) fn run(
    request: &Request,
    steps: &[Step],
    place: &Place,
    finished: &mut DryRunFinished,
    ctx: &mut Ctx,
) -> Result<()> {
    let session = &place.session;
    interrupt::leaves(Some("the server rolls the transaction back; nothing stays".into()));
    interrupt::cancels(Some(session.cancel()));
    finished.not_undone = NOT_UNDONE.map(str::to_owned).to_vec();
    if steps.len() > 1 && !request.together {
        finished.notes.push(ONE_TRANSACTION.to_owned());
    }
    let application = format!("migrate-apply/{}", place.run_id);
    let sizes = observe::sizes(session)?;
    let start = Instant::now();
    loop {
        let mut work = Work {
            session,
            watcher: None,
            place: Ground::Target,
            together: request.together,
            observer: Observer::new(sizes.clone()),
            application: application.clone(),
            lock_timeout: request.limits.lock_timeout,
            migrations: 0,
            statements: 0,
            rows: 0,
        };
        let mut at = 0;
        let result = work.transaction(steps, End::RollBack, &mut at, ctx);
        let clean =
            session.run(&format!("rollback; {}", run::ledger_view(session.facts(), &application)));
        let step = &steps[at];
        let in_budget = start.elapsed() < request.limits.retry_budget && interrupted().is_none();
        match result {
            Err(Stop::Refused(error)) if is_passing(&error) && in_budget => {
                log::warn!("migration {}: {}; rolled back, trying again", step.version, error);
                ctx.emit(Record::LockWaited(LockWaited {
                    waiting_for: error.at.as_ref().map(ToString::to_string).unwrap_or_default(),
                    waited_ms: start.elapsed().as_millis() as u64,
                    holders: Vec::new(),
                    queue: 0,
                }));
                thread::sleep(Duration::from_millis(fastrand::u64(50..=MAX_PAUSE_MS)));
            }
            Err(Stop::Refused(error)) if is_passing(&error) && interrupted().is_none() => {
                measured(work, finished);
                let budget = humantime::format_duration(request.limits.retry_budget).to_string();
                let (version, name) = (step.version.clone(), step.name.clone());
                return Err(Error::LocksBusy { version, name, error, budget });
            }
            Err(stop) => {
                measured(work, finished);
                return Err(failure(stop, step));
            }
            Ok(()) => {
                measured(work, finished);
                return clean.map_err(Error::database("reset the session"));
            }
        }
    }
}
