//! `down`: rolls back what was applied, with the SQL that was kept when it was applied.

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    ledger::{Presence, history, script},
    migration::{dir, version::Version},
    plan::{self, Choice},
    record::{ApplyStarted, Direction},
};

use crate::{
    dry_run,
    limits::Waits,
    nothing,
    run::{Place, Run},
    step::Step,
    up,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Roll back to this version, which stays applied; 0 is before the first
    #[arg(long, value_name = "VERSION", conflicts_with = "steps")]
    target: Option<Version>,

    /// Roll back this many
    #[arg(long, value_name = "N")]
    steps: Option<usize>,

    /// Change nothing: try it on a `copy` without rows (the default), or `here`, rolled back
    #[arg(
        long,
        value_name = "WHERE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "copy",
        hide_possible_values = true
    )]
    dry_run: Option<dry_run::Mode>,

    /// Go on in spite of a changed file or a failed state; the audit log says so
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    waits: Waits,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let place = Place::open(ctx)?;
    if place.ledger.look(&place.session)? == Presence::Absent {
        return Ok(nothing::to_do(Direction::Down, ctx));
    }
    if let Some(mode) = args.dry_run {
        return try_dry(args, mode, &place, ctx);
    }
    if steps(args, &place, ctx)?.0.is_empty() {
        return nothing::left_to_do(place, Direction::Down, args.waits.wait, ctx);
    }
    let (database, ledger) = (place.database.clone(), place.ledger.clone());
    let limits = args.waits.limits(ctx);
    let mut run = Run::begin(place, Direction::Down, args.waits.wait, Some(limits), ctx)?;
    let (steps, overrides) = read_steps(args, &run.session, &ledger, ctx)?;
    drop(database);
    if steps.is_empty() {
        run.finish(migrate_core::record::RunStatus::NothingToDo, 0, 0, ctx)?;
        return Ok(Exit::Ok);
    }
    run.intend(
        ApplyStarted {
            run_id: run.run_id.clone(),
            direction: Direction::Down,
            versions: steps.iter().map(|it| it.version.clone()).collect(),
            database: run.session.facts().database.clone(),
            system_identifier: run.session.facts().system_identifier.clone(),
            environment: ctx.config.env.clone(),
            token: Some(run.lease.token),
            plan_hash: None,
            overrides,
            dry_run: None,
        },
        ctx,
    )?;
    let mut done = 0;
    let result = up::run_steps(&mut run, &steps, false, limits, &mut done, ctx);
    up::end(run, result, done, steps.len(), ctx)
}

fn try_dry(args: &Args, mode: dry_run::Mode, place: &Place, ctx: &mut Ctx) -> Result<Exit> {
    if mode == dry_run::Mode::Here {
        dry_run::keep_away(place, args.waits.wait)?;
    }
    let (steps, overrides) = steps(args, place, ctx)?;
    if steps.is_empty() {
        return Ok(nothing::to_do(Direction::Down, ctx));
    }
    let request = dry_run::Request {
        mode,
        direction: Direction::Down,
        together: false,
        limits: args.waits.limits(ctx),
        plan_hash: None,
        overrides,
    };
    dry_run::run(&request, &steps, place, ctx)
}

fn steps(args: &Args, place: &Place, ctx: &Ctx) -> Result<(Vec<Step>, Vec<String>)> {
    read_steps(args, &place.session, &place.ledger, ctx)
}

/// What is to be undone, and which checks `--force` set aside.
fn read_steps(
    args: &Args,
    session: &migrate_core::connect::session::Session,
    ledger: &migrate_core::ledger::Ledger,
    ctx: &Ctx,
) -> Result<(Vec<Step>, Vec<String>)> {
    let runs = history::all(session, ledger)?;
    let half = history::unfinished_down(session, ledger)?;
    let choice =
        Choice { target: args.target.clone(), steps: args.steps, allow_out_of_order: false };
    let mut overrides = Vec::new();
    let mut steps = Vec::new();
    if let Some(unclear) =
        runs.iter().find(|it| it.status == history::Status::Running || it.in_part)
    {
        refuse_unless_forced(
            args,
            &mut overrides,
            format!("migration {} `{}` was interrupted part way", unclear.version, unclear.name),
            "finish it with `migrate-apply up`, or decide with `migrate-apply resolve`",
        )?;
    }
    let files = dir::read_dir(&ctx.config.migrations).unwrap_or_default();
    for run in plan::undo(&runs, &choice)? {
        if let Some(file) = files.iter().find(|it| it.version == run.version)
            && file.checksum != run.checksum
        {
            refuse_unless_forced(
                args,
                &mut overrides,
                format!(
                    "migration {} `{}` was changed after it was applied",
                    run.version, run.name
                ),
                "restore the file; or `--force` to roll back with the SQL that was kept",
            )?;
        }
        let stored = script::read(session, ledger, run.id)?.ok_or_else(|| {
            Error::refused(
                "irreversible",
                format!("migration {} `{}` has no way down", run.version, run.name),
                "write a new migration that undoes it, or restore a backup",
            )
        })?;
        if !stored.is_as_audited() {
            return Err(Error::refused(
                "down_sql_tampered",
                format!(
                    "the down SQL of migration {} `{}` is not what was kept when it was applied",
                    run.version, run.name
                ),
                "somebody changed `_migration_scripts`: check it with `migrate-audit verify`",
            ));
        }
        if stored.audited == script::Audited::Missing {
            refuse_unless_forced(
                args,
                &mut overrides,
                format!(
                    "the audit log has lost what it said of the down SQL of migration {} `{}`",
                    run.version, run.name
                ),
                "see what happened to the log: `migrate-audit verify`",
            )?;
        }
        let unfinished = half.iter().find(|it| it.version == run.version).map(|it| it.id);
        let unfinished = unfinished.filter(|_| !stored.script.transaction);
        steps.push(Step::down(run, stored.script, unfinished)?);
    }
    Ok((steps, overrides))
}

fn refuse_unless_forced(
    args: &Args,
    overrides: &mut Vec<String>,
    message: String,
    hint: &str,
) -> Result<()> {
    if !args.force {
        return Err(Error::refused("needs_force", message, hint));
    }
    overrides.push(format!("force: {message}"));
    Ok(())
}
