//! `plan`: what `up` would do, bound to this database in this state by a hash.

use migrate_core::{
    ctx::Ctx,
    error::Result,
    exit::Exit,
    ledger::history,
    migration::{Migration, dir, risk::Risk, version::Version},
    plan::{self, Bound, Choice, Pending},
    record::{Direction, Finding, Plan, PlanStep, Record, Severity},
    sql::effects::{Effects, Judge},
};

use crate::{run::Place, step::Step};

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
    let steps = pending.iter().map(step).collect::<Result<Vec<_>>>()?;
    let facts = place.session.facts();
    let head = plan::newest(&runs);
    let migrations: Vec<&Migration> = pending.iter().map(|it| it.migration).collect();
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

fn step(pending: &Pending<'_>) -> Result<PlanStep> {
    let step = Step::up(pending)?;
    let mut findings = crate::validate::findings_of(pending.migration)?;
    findings.extend(concerns(pending.migration)?);
    Ok(PlanStep {
        version: step.version.clone(),
        name: step.name.clone(),
        direction: Direction::Up,
        checksum: step.checksum.clone(),
        down_checksum: step.way_back.as_ref().map(|(_, checksum)| checksum.clone()),
        risk: step.risk,
        findings,
        statements: step.summary.statements,
        transaction: step.script.transaction,
        estimate_ms: step.estimate_ms(),
        author: pending.migration.author.clone(),
    })
}

/// What the author says, or else what the statements can do at worst.
pub(crate) fn risk(migration: &Migration) -> Result<Risk> {
    if let Some(risk) = migration.risk {
        return Ok(risk);
    }
    let mut judge = Judge::default();
    for statement in migration.up.statements() {
        let statement = statement?;
        judge.see(&Effects::of(statement.text(&migration.up.text), &statement.kind));
        if judge.worst() == Risk::High {
            break;
        }
    }
    Ok(judge.worst())
}

/// What its statements do to whoever uses the tables.
fn concerns(migration: &Migration) -> Result<Vec<Finding>> {
    let mut judge = Judge::default();
    let mut findings = Vec::new();
    for statement in migration.up.statements() {
        let statement = statement?;
        let effects = Effects::of(statement.text(&migration.up.text), &statement.kind);
        for concern in judge.see(&effects) {
            let at = statement.location(&migration.up.file);
            findings.push(Finding {
                severity: match concern.risk {
                    Risk::High => Severity::Warning,
                    Risk::Medium | Risk::Low => Severity::Info,
                },
                code: concern.code.to_owned(),
                version: Some(migration.version.clone()),
                message: format!("{}: {} {}", at, statement.tag(), concern.message),
                hint: concern.instead.map(str::to_owned),
                file: Some(at.file),
                line: Some(at.line),
                column: Some(at.column),
            });
        }
    }
    Ok(findings)
}
