//! A dry run on the target itself: for real, in one transaction that is rolled back.

use migrate_core::{
    connect::session::Session,
    ctx::Ctx,
    error::{Error, Result},
    interrupt,
    record::DryRunFinished,
};

use super::{
    Request, failure, measured, observe,
    observe::Observer,
    work::{End, Ground, Work, interrupted},
};
use crate::{
    guard::{Guard, Policy},
    run::Place,
    send::Stop,
    step::Step,
    transaction::tries::{Tried, Tries, is_passing},
    view,
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
    let watching = Session::open(&place.database, &application)?;
    let (database, schema) = (&place.database, place.ledger.schema());
    let guard = Guard::start(watching, database, &application, schema, request.limits)?;
    let mut tries = Tries::new(request.limits);
    loop {
        let mut work = Work {
            session,
            guard: Some(&guard),
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
        guard.begin(session.facts().backend_pid, Policy::GiveWay);
        let result = work.transaction(steps, End::RollBack, &mut at, ctx);
        let seen = guard.end();
        let clean =
            session.run(&format!("rollback; {}", view::ledger(session.facts(), &application)));
        let Err(stop) = result else {
            measured(work, finished);
            return clean.map_err(Error::database("reset the session"));
        };
        let step = &steps[at];
        let stopped = || interrupted().is_some();
        if let Err(stop) =
            tries.again(Tried { session, step, run: None, stopped: &stopped }, stop, seen, ctx)
        {
            measured(work, finished);
            return Err(match stop {
                Stop::GaveWay(_) if !stopped() => Tries::busy(request.limits, step, stop),
                Stop::Refused(error) if is_passing(&error) && !stopped() => {
                    Tries::busy(request.limits, step, Stop::Refused(error))
                }
                stop => failure(stop, step),
            });
        }
    }
}
