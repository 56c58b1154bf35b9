//! A dry run on a throwaway copy without rows: everything can be tried, and nothing reaches the target.

use std::collections::HashSet;

use migrate_core::{
    connect::session::Session, ctx::Ctx, error::Result, interrupt, ledger::progress as journal,
    record::DryRunFinished, scratch::Scratch,
};

use super::{
    Request, failure, measured, observe,
    observe::Observer,
    work::{End, Ground, Work},
};
use crate::{run::Place, send::Stop, step::Step};

const NO_ROWS: &str =
    "no rows in the copy: times are of empty tables; `--dry-run=here` has the rows";

pub(super) fn run(
    request: &Request,
    steps: &[Step],
    place: &Place,
    finished: &mut DryRunFinished,
    ctx: &mut Ctx,
) -> Result<()> {
    interrupt::leaves(Some("the next dry run removes the copy; the target is as before".into()));
    let sizes = observe::sizes(&place.session)?;
    let scratch = Scratch::schema_of(&place.database, &place.session)?;
    let application = format!("migrate-apply/{}", place.run_id);
    let session = Session::open(scratch.database(), &application)?;
    let watcher = Session::open(scratch.database(), &application)?;
    interrupt::cancels(Some(session.cancel()));
    let mut work = Work {
        session: &session,
        guard: None,
        watcher: Some(&watcher),
        place: if scratch.shares_server() { Ground::SharedCopy } else { Ground::PrivateCopy },
        together: request.together,
        observer: Observer::new(sizes),
        application,
        lock_timeout: request.limits.lock_timeout,
        migrations: 0,
        statements: 0,
        rows: 0,
    };
    let mut at = 0;
    let result = run_steps(&mut work, request, steps, place, &mut at, ctx);
    let result = result.map_err(|stop| failure(stop, &steps[at]));
    measured(work, finished);
    finished.notes.push(NO_ROWS.to_owned());
    finished.notes.extend_from_slice(scratch.notes());
    result
}

fn run_steps(
    work: &mut Work<'_>,
    request: &Request,
    steps: &[Step],
    place: &Place,
    at: &mut usize,
    ctx: &mut Ctx,
) -> Result<(), Stop> {
    if request.together {
        return work.transaction(steps, End::Commit, at, ctx);
    }
    for (index, step) in steps.iter().enumerate() {
        *at = index;
        if step.script.transaction {
            work.transaction(std::slice::from_ref(step), End::Commit, at, ctx)?;
        } else {
            work.outside(step, &journalled(step, place)?, ctx)?;
        }
    }
    Ok(())
}

/// The statements that an earlier run has done, so that the target has what they made.
fn journalled(step: &Step, place: &Place) -> Result<HashSet<i32>> {
    let Some(id) = step.unfinished else { return Ok(HashSet::new()) };
    let entries = journal::read(&place.session, &place.ledger, id)?;
    Ok(entries.into_iter().filter(|it| it.done).map(|it| it.statement).collect())
}
