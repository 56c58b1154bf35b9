//! `baseline`: records migrations as applied without running them, for a database that was there before.

use std::{iter, time::Duration};

use migrate_core::{
    cli,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    ledger::{audit, history, history::Status, inventories, script},
    lint::{self, Sizes},
    migration::{Migration, dir, version::Version},
    record::{Direction, Line, MigrationBaselined, Record},
};

use crate::run::{Place, Run};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The last migration that the database already holds
    version: Version,

    /// How long to wait for the migration lock
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = cli::duration)]
    wait: Duration,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let files = dir::read_dir(&ctx.config.migrations)?;
    if !files.iter().any(|it| it.version == args.version) {
        return Err(Error::usage(
            format!("there is no migration {}", args.version),
            "name the last file that the database already holds",
        ));
    }
    let place = Place::open(ctx)?;
    let run = Run::begin(place, Direction::Up, args.wait, None, ctx)?;
    let result = baseline(args, &files, &run, ctx);
    run.release(ctx)?;
    result
}

fn baseline(args: &Args, files: &[Migration], run: &Run, ctx: &mut Ctx) -> Result<Exit> {
    let (session, ledger) = (&run.session, &run.ledger);
    let runs = history::all(session, ledger)?;
    if let Some(half) = runs.iter().find(|it| it.version <= args.version && is_half_done(it)) {
        return Err(Error::refused(
            "done_in_part",
            format!("migration {} `{}` is done in part", half.version, half.name),
            "decide what it is with `migrate-apply resolve`, then run this again",
        ));
    }
    // One that failed and was rolled back is what often shows that a baseline is needed.
    let applied = |it: &Migration| {
        runs.iter().any(|run| run.version == it.version && run.status == Status::Applied)
    };
    let chosen: Vec<&Migration> =
        files.iter().filter(|it| it.version <= args.version && !applied(it)).collect();
    let lines = session.transaction(|session| {
        run.lease.fence(session, ledger)?;
        let lines = lines(&chosen, run, ctx)?;
        for (migration, line) in chosen.iter().zip(&lines) {
            let id = history::insert(
                session,
                ledger,
                &history::NewRun {
                    version: &migration.version,
                    name: &migration.name,
                    direction: Direction::Up,
                    checksum: &migration.checksum,
                    status: Status::Applied,
                    execution_ms: Some(0),
                    estimate_ms: None,
                    risk: lint::risk(migration, &Sizes::default()).ok(),
                    run_id: &run.run_id,
                    error: None,
                },
            )?;
            if let (Some(down), Some(checksum)) = (&migration.down, &migration.down_checksum) {
                script::insert(session, ledger, id, down, checksum)?;
            }
            let version = migration.version.to_string();
            audit::append(session, ledger, line, Some(&version), Some(&run.run_id))?;
        }
        Ok(lines)
    })?;
    chosen.iter().for_each(|it| warn(it));
    if lines.is_empty() {
        log::info!("everything up to {} is recorded already", args.version);
    }
    lines.into_iter().for_each(|line| ctx.emit_line(line));
    Ok(Exit::Ok)
}

/// What is said of each; the last one with the schema that all of them stand for.
fn lines(chosen: &[&Migration], run: &Run, ctx: &Ctx) -> Result<Vec<Line>> {
    let schema = match chosen {
        [] => None,
        _ => inventories::record(&run.session, &run.ledger, &run.run_id)?,
    };
    let line = |(index, it): (usize, &&Migration)| {
        let last = index + 1 == chosen.len();
        ctx.line(Record::MigrationBaselined(MigrationBaselined {
            version: it.version.clone(),
            name: it.name.clone(),
            checksum: it.checksum.clone(),
            down_checksum: it.down_checksum.clone(),
            down_transaction: it.down.as_ref().map(|it| it.transaction),
            schema_sha256: schema.as_ref().filter(|_| last).map(|it| it.sha256.clone()),
        }))
    };
    Ok(chosen.iter().enumerate().map(line).collect())
}

fn is_half_done(run: &history::Run) -> bool {
    run.status == Status::Running || run.in_part || run.rolled_back_in_part
}

/// Files from before us may hold what we cannot run; they have been run already.
fn warn(migration: &Migration) {
    for script in iter::once(&migration.up).chain(&migration.down) {
        if let Err(err) = script.check() {
            log::warn!("{err}: recorded all the same, but it could not be run here");
        }
    }
}
