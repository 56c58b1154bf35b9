//! `status`: every migration and its state; reads only.

use migrate_core::{
    ctx::Ctx,
    error::Result,
    exit::Exit,
    ledger::{Presence, audit},
    lint::{self, Sizes},
    migration::risk::Risk,
    plan::{self, Known},
    record::{MigrationRow, MigrationState, Record},
};

use crate::{run::Place, verdict};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Show more: who applied it, whether it can be rolled back, errors, checksums
    #[arg(long)]
    verbose: bool,

    /// Exit 1 unless everything is applied and unchanged
    #[arg(long)]
    exit_code: bool,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let (files, place, runs) = Place::open_and_read(ctx)?;
    if args.verbose && place.ledger.look(&place.session)? == Presence::Present {
        say_open_run(&place)?;
    }
    let known = plan::known(files, runs);
    let settled = known.iter().all(|it| it.state == MigrationState::Applied);
    let pending = known.iter().filter(|it| is_to_judge(it)).filter_map(|it| it.file);
    let sizes = verdict::sizes(&place.session, pending)?;
    let rows = known.iter().map(|it| row(it, &sizes, args.verbose)).collect();
    ctx.emit_together(rows);
    Ok(if args.exit_code && !settled { Exit::No } else { Exit::Ok })
}

/// An attempt that was killed has left its intent in the audit log, and nothing else.
fn say_open_run(place: &Place) -> Result<()> {
    if let Some(run) = audit::open_run(&place.session, &place.ledger)? {
        log::info!(
            "run {} of `{}` began at {} and has not ended: it works now, or it was killed",
            run.run_id,
            run.actor,
            run.began.format("%Y-%m-%d %H:%M:%SZ")
        );
    }
    Ok(())
}

fn row(known: &Known<'_>, sizes: &Sizes, verbose: bool) -> Record {
    let Known { file, run, state } = *known;
    let in_force =
        run.filter(|_| !matches!(state, MigrationState::Pending | MigrationState::OutOfOrder));
    let version = file.map(|it| &it.version).or(run.map(|it| &it.version));
    let name = file.map(|it| &it.name).or(run.map(|it| &it.name));
    Record::Migration(MigrationRow {
        version: version.expect("a file or a run").clone(),
        name: name.expect("a file or a run").clone(),
        state,
        risk: risk(known, sizes),
        applied_at: in_force.map(|it| it.applied_at),
        execution_ms: in_force.and_then(|it| it.execution_ms),
        file: file.map(|it| it.file.clone()),
        checksum: file.filter(|_| verbose).map(|it| it.checksum.clone()),
        applied_checksum: in_force.filter(|_| verbose).map(|it| it.checksum.clone()),
        applied_by: in_force.filter(|_| verbose).map(|it| it.applied_by.clone()),
        estimate_ms: file
            .filter(|_| verbose)
            .and_then(|it| it.estimate)
            .map(|it| it.as_millis() as u64),
        reversible: file.filter(|_| verbose).map(|it| it.down.is_some()),
        error: in_force.filter(|_| verbose).and_then(|it| it.error.clone()),
    })
}

fn is_to_judge(known: &Known<'_>) -> bool {
    known.state != MigrationState::Applied
}

/// Of an unchanged file as it was judged when it was applied: to read thousands again takes long.
fn risk(known: &Known<'_>, sizes: &Sizes) -> Option<Risk> {
    let judged =
        known.run.filter(|_| known.state == MigrationState::Applied).and_then(|it| it.risk);
    let Some(file) = known.file.filter(|_| judged.is_none()) else { return judged };
    match lint::risk(file, sizes) {
        Ok(risk) => Some(risk),
        // One that is applied may be from before us, and cannot be run here.
        Err(_) if known.state == MigrationState::Applied => None,
        Err(err) => {
            log::warn!("{err}");
            None
        }
    }
}
