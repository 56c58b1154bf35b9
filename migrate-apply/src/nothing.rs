//! Nothing to do: says so, and tidies up after a run that was killed when all was done.

use std::{
    thread,
    time::{Duration, Instant},
};

use migrate_core::{
    ctx::Ctx,
    error::Result,
    exit::Exit,
    ledger::{audit, lease, lease::LockName, locks},
    record::{ApplyFinished, Direction, LockState, Record, RunStatus},
};

use crate::run::{Place, Run};

/// The session of a killed run ends within a second or so.
const PATIENCE: Duration = Duration::from_secs(3);

/// Ends a command for which there is nothing to do; the ledger may be absent.
pub(crate) fn to_do(direction: Direction, ctx: &mut Ctx) -> Exit {
    ctx.emit(Record::ApplyFinished(ApplyFinished {
        run_id: None,
        direction,
        status: RunStatus::NothingToDo,
        done: 0,
        pending: 0,
        ms: 0,
        schema_sha256: None,
        audit_head: None,
    }));
    Exit::Ok
}

/// The same, where there is a ledger: takes over the lease of a dead run, and ends that for it.
pub(crate) fn left_to_do(
    place: Place,
    direction: Direction,
    wait: Duration,
    ctx: &mut Ctx,
) -> Result<Exit> {
    if !died_at_its_end(&place)? {
        return Ok(to_do(direction, ctx));
    }
    let mut run = Run::begin(place, direction, wait, None, ctx)?;
    run.changed = true;
    run.finish(RunStatus::NothingToDo, 0, 0, ctx)?;
    Ok(Exit::Ok)
}

/// Whether the last run began, did not end, and is gone with its lease left behind.
fn died_at_its_end(place: &Place) -> Result<bool> {
    let (session, ledger) = (&place.session, &place.ledger);
    let writes = !session.facts().in_recovery && !session.facts().read_only;
    if !writes || lease::handed_token()?.is_some() {
        return Ok(false);
    }
    let deadline = Instant::now() + PATIENCE;
    while audit::open_run(session, ledger)?.is_some() {
        let seen = locks::all(session, ledger, Some(&LockName::default()))?;
        match seen.first().map(|it| it.row.state) {
            None => return Ok(false),
            Some(LockState::Free) => return Ok(true),
            // It lives, or its session has not noticed yet.
            Some(LockState::Held | LockState::Orphaned) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(20));
            }
            Some(LockState::Held | LockState::Orphaned) => return Ok(false),
        }
    }
    Ok(false)
}
