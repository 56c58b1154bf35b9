//! `plan`: what `up` would do, bound to this database in this state by a hash.

use migrate_core::{
    ctx::Ctx,
    error::Result,
    exit::Exit,
    ledger::history,
    lint::{self, Sizes},
    migration::{Migration, dir, version::Version},
    plan::{self, Bound, Choice, Pending},
    record::{Direction, Plan, PlanStep, Record},
};

use crate::{run::Place, step::Step, verdict};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Plan up to this version
    #[arg(long, value_name = "VERSION")]
    target: Option<Version>,

    /// Plan migrations that are older than the newest applied one
    #[arg(long)]
    allow_out_of_order: bool,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let files = dir::read_dir(&ctx.config.migrations)?;
    let place = Place::open(ctx)?;
    let runs = history::look(&place.session, &place.ledger)?;
    let choice = Choice {
        target: args.target.clone(),
        steps: None,
        allow_out_of_order: args.allow_out_of_order,
    };
    let pending = plan::pending(&files, &runs, &choice)?;
    let migrations: Vec<&Migration> = pending.iter().map(|it| it.migration).collect();
    let sizes = verdict::sizes(&place.session, migrations.iter().copied())?;
    let steps = pending.iter().map(|it| step(it, &sizes)).collect::<Result<Vec<_>>>()?;
    let facts = place.session.facts();
    let head = plan::newest(&runs);
    let bound = Bound {
        system_identifier: &facts.system_identifier,
        database: &facts.database,
        ledger_schema: place.ledger.schema(),
        head,
    };
    let plan = Plan {
        plan_hash: plan::hash(bound, &migrations),
        database: facts.database.clone(),
        system_identifier: facts.system_identifier.clone(),
        head: head.cloned(),
        steps: steps.len() as u32,
        risk: steps.iter().map(|it| it.risk).max(),
        estimate_ms: steps.iter().map(|it| it.estimate_ms).sum(),
    };
    for step in steps {
        ctx.emit(Record::PlanStep(step));
    }
    ctx.emit(Record::Plan(plan));
    Ok(Exit::Ok)
}

fn step(pending: &Pending<'_>, sizes: &Sizes) -> Result<PlanStep> {
    let step = Step::up(pending)?;
    let verdict = lint::verdict(pending.migration, sizes)?;
    let mut findings = crate::validate::findings_of(pending.migration)?;
    let matters = verdict.findings.iter().filter(|it| !it.is_taste());
    findings.extend(matters.map(|it| it.finding(pending.migration)));
    Ok(PlanStep {
        version: step.version.clone(),
        name: step.name.clone(),
        direction: Direction::Up,
        checksum: step.checksum.clone(),
        down_checksum: step.way_back.as_ref().map(|(_, checksum)| checksum.clone()),
        risk: verdict.risk,
        findings,
        statements: step.summary.statements,
        transaction: step.script.transaction,
        estimate_ms: verdict.estimate.map(|it| it.as_millis() as u64),
        author: pending.migration.author.clone(),
    })
}
