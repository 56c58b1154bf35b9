//! `up`: applies what is pending.

use std::path::PathBuf;

use migrate_core::{
    connect::session::Session,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    input::Dash,
    ledger::{Ledger, history},
    migration::{Migration, version::Version},
    plan::{self, Bound, Choice, Pending},
    record::{ApplyStarted, Direction, RunStatus},
};

use crate::{
    dry_run,
    gate::{self, Gates, Subject},
    input, journalled,
    limits::{Limits, Waits},
    nothing,
    run::{Place, Run},
    step::Step,
    transaction::{Next, Writer},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Stop after this version
    #[arg(long, value_name = "VERSION", conflicts_with = "steps")]
    target: Option<Version>,

    /// Apply at most this many
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

    /// Make all pending migrations one transaction: all or nothing
    #[arg(long)]
    single_transaction: bool,

    /// Apply this plan and nothing else; `-` reads it from stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "steps"])]
    plan: Option<PathBuf>,

    /// Demand a `backup.verified` record of this database on stdin
    #[arg(long, value_name = "-")]
    require_backup: Option<Dash>,

    /// Apply migrations that are older than the newest applied one
    #[arg(long)]
    allow_out_of_order: bool,

    /// Go on although gates fail; the reason is written to the audit log
    #[arg(long = "override", value_name = "REASON", value_parser = reason)]
    override_reason: Option<String>,

    #[command(flatten)]
    waits: Waits,
}

impl Args {
    fn overrides(&self) -> Vec<String> {
        self.allow_out_of_order.then(|| "allow-out-of-order".to_owned()).into_iter().collect()
    }
}

/// Those who ask later want to read more than a blank.
fn reason(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() { Err("say why") } else { Ok(text.to_owned()) }
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let plan = args.plan.as_deref().map(input::read_plan).transpose()?;
    let backup = args.require_backup.map(|_| input::read_backup()).transpose()?;
    let (files, place, mut runs) = Place::open_and_read(ctx)?;
    if args.dry_run == Some(dry_run::Mode::Here) {
        runs = dry_run::keep_away(&place, args.waits.wait)?.leak();
    }
    let mut choice = Choice {
        target: args.target.clone(),
        steps: args.steps,
        allow_out_of_order: args.allow_out_of_order,
    };
    if let Some(plan) = &plan {
        choice.target = plan.last.clone();
        choice.steps = Some(plan.plan.steps as usize);
    }
    let pending = plan::pending(files, runs, &choice)?;
    let steps = pending.iter().map(Step::up).collect::<Result<Vec<_>>>()?;
    if let Some(plan) = &plan {
        check_plan(plan, &pending, runs, &place.session, &place.ledger)?;
    }
    if let Some(backup) = &backup {
        input::check_backup(backup, place.session.facts())?;
    }
    if steps.is_empty() {
        if runs.is_empty() || args.dry_run.is_some() {
            return Ok(nothing::to_do(Direction::Up, ctx));
        }
        return nothing::left_to_do(place, Direction::Up, args.waits.wait, ctx);
    }
    check_together(args, &steps)?;
    let mut gates = None;
    // On a copy nothing can come to harm: a dry run is how to find out what to ask for.
    if args.dry_run != Some(dry_run::Mode::Copy) {
        let subject = || Subject::new(files, &pending, runs, &place.session, &place.ledger);
        let reason = args.override_reason.as_deref();
        gates = gate::before_the_lock(&place, subject, backup, reason, ctx)?;
    }
    if let Some(mode) = args.dry_run {
        let request = dry_run::Request {
            mode,
            direction: Direction::Up,
            together: args.single_transaction,
            limits: args.waits.limits(ctx),
            plan_hash: plan.map(|it| it.plan.plan_hash),
            overrides: args.overrides(),
        };
        return dry_run::run(&request, &steps, &place, ctx);
    }
    apply(args, files, &choice, plan.as_ref(), gates.as_ref(), steps, place, ctx)
}

#[expect(clippy::too_many_arguments, reason = "all that is known before the lock")]
fn apply(
    args: &Args,
    files: &[Migration],
    choice: &Choice,
    plan: Option<&input::Planned>,
    gates: Option<&Gates>,
    steps: Vec<Step>,
    place: Place,
    ctx: &mut Ctx,
) -> Result<Exit> {
    let limits = args.waits.limits(ctx);
    let mut run = Run::begin(place, Direction::Up, args.waits.wait, Some(limits), ctx)?;
    // Another run may have done it while this one waited for the lock.
    let steps = match still_to_do(files, steps, choice, plan, &run) {
        Ok(steps) => steps,
        Err(err) => {
            run.finish(RunStatus::Failed, 0, 0, ctx)?;
            return Err(err);
        }
    };
    if steps.is_empty() {
        run.finish(RunStatus::NothingToDo, 0, 0, ctx)?;
        return Ok(Exit::Ok);
    }
    let mut plan_hash = plan.map(|it| it.plan.plan_hash.clone());
    let mut overrides = args.overrides();
    if let Some(gates) = gates {
        let (session, ledger) = (&run.session, &run.ledger);
        match gates.under_the_lock(files, choice, session, ledger, ctx) {
            Ok((hash, overridden)) => {
                plan_hash = Some(hash);
                overrides.extend(overridden);
            }
            Err(err) => {
                run.finish(RunStatus::Failed, 0, 0, ctx)?;
                return Err(err);
            }
        }
    }
    run.intend(
        ApplyStarted {
            run_id: run.run_id.clone(),
            direction: Direction::Up,
            versions: steps.iter().map(|it| it.version.clone()).collect(),
            database: run.session.facts().database.clone(),
            system_identifier: run.session.facts().system_identifier.clone(),
            environment: ctx.config.env.clone(),
            token: Some(run.lease.token),
            plan_hash,
            overrides,
            dry_run: None,
        },
        ctx,
    )?;
    let mut done = 0;
    let result = run_steps(&mut run, &steps, args.single_transaction, limits, &mut done, ctx);
    end(run, result, done, steps.len(), ctx)
}

/// Runs the steps in order, and counts those that are done.
pub(crate) fn run_steps(
    run: &mut Run,
    steps: &[Step],
    single_transaction: bool,
    limits: Limits,
    done: &mut usize,
    ctx: &mut Ctx,
) -> Result<()> {
    let mut writer = Writer::new(limits);
    if single_transaction {
        writer.apply(run, steps, Next::Other, ctx)?;
        *done = steps.len();
        steps.iter().for_each(warn);
    } else {
        for (index, step) in steps.iter().enumerate() {
            if step.script.transaction {
                let next = match steps.get(index + 1) {
                    Some(next) if next.script.transaction => Next::Transaction,
                    _ => Next::Other,
                };
                writer.apply(run, std::slice::from_ref(step), next, ctx)?;
            } else {
                writer.lent();
                journalled::apply(run, step, limits, ctx)?;
            }
            *done += 1;
            warn(step);
        }
    }
    writer.verify_last(run)
}

fn warn(step: &Step) {
    if let Some(warning) = step.warning() {
        log::warn!("{warning}: it is recorded, and nothing was changed");
    }
}

/// Ends a run whatever came of it, and hands its error on.
pub(crate) fn end(
    run: Run,
    result: Result<()>,
    done: usize,
    steps: usize,
    ctx: &mut Ctx,
) -> Result<Exit> {
    let status = match &result {
        Ok(()) => RunStatus::Done,
        Err(Error::Interrupted { .. }) => RunStatus::Interrupted,
        Err(_) => RunStatus::Failed,
    };
    let lost = run.unreachable.get()
        || matches!(result, Err(Error::LeaseLost { .. } | Error::CommitUnknown { .. }));
    if !lost {
        let finished = run.finish(status, done as u32, (steps - done) as u32, ctx);
        if let (Err(err), Err(_)) = (&finished, &result) {
            log::error!("the end of the run could not be recorded: {err}");
        } else {
            finished?;
        }
    }
    result.map(|()| Exit::Ok)
}

/// What is pending under the lock; `steps` that were made before it and still hold are kept.
fn still_to_do(
    files: &[Migration],
    steps: Vec<Step>,
    choice: &Choice,
    plan: Option<&input::Planned>,
    run: &Run,
) -> Result<Vec<Step>> {
    let runs = history::look(&run.session, &run.ledger)?;
    let pending = plan::pending(files, &runs, choice)?;
    if let Some(plan) = plan {
        check_plan(plan, &pending, &runs, &run.session, &run.ledger)?;
    }
    let mut made = steps.into_iter().peekable();
    pending
        .iter()
        .map(|it| {
            while made.next_if(|step| step.version < it.migration.version).is_some() {}
            match made.next_if(|step| step.is_of(it)) {
                Some(step) => Ok(step),
                None => Step::up(it),
            }
        })
        .collect()
}

/// A plan holds for these files, this database and this head, or not at all.
fn check_plan(
    planned: &input::Planned,
    pending: &[Pending<'_>],
    runs: &[history::Run],
    session: &Session,
    ledger: &Ledger,
) -> Result<()> {
    let migrations: Vec<&Migration> = pending.iter().map(|it| it.migration).collect();
    let now = plan_hash(&migrations, plan::newest(runs), session, ledger);
    if now == planned.plan.plan_hash {
        return Ok(());
    }
    Err(Error::refused(
        "plan_moved",
        format!("the plan is {}, but what stands now is {now}", planned.plan.plan_hash),
        "files, database or migration head have changed since: make and review a new plan",
    ))
}

/// The hash of a plan to apply `migrations` here after `head`.
pub(crate) fn plan_hash(
    migrations: &[&Migration],
    head: Option<&Version>,
    session: &Session,
    ledger: &Ledger,
) -> String {
    let facts = session.facts();
    let bound = Bound {
        system_identifier: &facts.system_identifier,
        database: &facts.database,
        ledger_schema: ledger.schema(),
        head,
    };
    plan::hash(bound, migrations)
}

/// What cannot be part of one transaction is named before anything is done.
fn check_together(args: &Args, steps: &[Step]) -> Result<()> {
    if !args.single_transaction {
        return Ok(());
    }
    match steps.iter().find(|it| !it.script.transaction) {
        None => Ok(()),
        Some(step) => Err(Error::usage(
            format!(
                "migration {} `{}` runs outside a transaction and cannot be part of one",
                step.version, step.name
            ),
            "apply it without `--single-transaction`, or stop in front of it with `--target`",
        )),
    }
}
