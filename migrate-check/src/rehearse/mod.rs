//! `rehearse`: the pending migrations on a throwaway copy: up, checks, down, the schema as before, up.

mod history;
mod program;
mod queries;
mod stage;

use std::{path::PathBuf, time::Instant};

use migrate_core::{
    connect::session::Session,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    interrupt,
    ledger::{Ledger, Presence, audit},
    record::{
        Check, CheckReason, CheckStatus, LedgerCreated, Plan, PlanStep, Record, Rehearsal,
        RehearsalPlace, RehearsedQueries, RehearsedStatement,
    },
    scratch::Scratch,
};

use crate::{place::Place, report::Report};
use program::{Ended, Tools};
use queries::{Prepared, Query};

pub(crate) const HELP: &str = "\
Examples:
  migrate-check rehearse
  migrate-check rehearse --queries app-queries.sql
  migrate-check rehearse | jq 'select(.type == \"rehearsal\") | .statements'

Reads the target, makes a copy of its schema in a private server, and runs
migrate-apply there: up, checks, down, up. What the application runs is taken
from pg_stat_statements, and only prepared, before and after. The result is
written to the target's audit log as evidence for this plan.

Exit codes: 0 all holds, or nothing is pending · 1 a check fails";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// On a copy without rows, which is what there is without this flag, too
    #[arg(long)]
    schema_only: bool,

    /// The application's statements, instead of what pg_stat_statements saw
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let began = Instant::now();
    let queries = args.queries.as_deref().map(queries::of_file).transpose()?;
    let place = Place::find("rehearse", ctx)?;
    let target = place.session(ctx)?;
    let ledger = Ledger::new(&ctx.config.ledger_schema)?;
    let tools = Tools::on_target(ctx);
    let (plan, steps) = plan(&tools)?;
    let mut report = Report::new("rehearse", ctx);
    report.about(&target.facts().database);
    if steps.is_empty() {
        report.say(Check {
            status: CheckStatus::Skip,
            reason: Some(CheckReason::NotApplicable),
            ..check("plan", "nothing is pending")
        });
        return Ok(report.finish());
    }
    let queries = match queries {
        Some(queries) => Some(queries),
        None => queries::of_server(&target)?,
    };
    let mut stage = stage::Stage::new(&mut report);
    let statements = dry_run(&tools, &mut stage)?;
    let scratch = Scratch::schema_of(place.database(), &target)?;
    let on_copy = Tools::on_copy(scratch.database().settings(), stage.ctx());
    let copy = Session::open(scratch.database(), "migrate-check/rehearse")?;
    let genesis = stage.ctx().line(Record::LedgerCreated(LedgerCreated {
        schema: ledger.schema().to_owned(),
        database: copy.facts().database.clone(),
        system_identifier: copy.facts().system_identifier.clone(),
        environment: None,
        created_at: copy.server_now(),
    }));
    history::carry_over(&target, &copy, &ledger, &genesis)?;
    let played = play(&on_copy, &copy, queries, steps.len(), &mut stage)?;
    let failed = stage.failed();
    let rehearsal = Rehearsal {
        plan_hash: plan.plan_hash,
        database: plan.database,
        system_identifier: plan.system_identifier,
        versions: steps.iter().map(|it| it.version.clone()).collect(),
        place: RehearsalPlace::SchemaOnly,
        passed: failed.is_empty(),
        reversible: played.reversible,
        failed,
        objects_changed: played.objects_changed,
        statements: timed(statements, &played.up),
        queries: played.queries,
        notes: scratch.notes().to_vec(),
        ms: began.elapsed().as_millis() as u64,
    };
    record(rehearsal, &place, &ledger, &tools, &mut report)?;
    Ok(report.finish())
}

/// What `up` would do on the target, and the hash that the evidence is bound to.
fn plan(tools: &Tools) -> Result<(Plan, Vec<PlanStep>)> {
    let ended = tools.run("migrate-apply", &["plan"])?;
    let mut steps = Vec::new();
    let mut plan = None;
    for line in &ended.records {
        match &line.record {
            Record::PlanStep(step) => steps.push(step.clone()),
            Record::Plan(it) => plan = Some(it.clone()),
            _ => (),
        }
    }
    match plan.filter(|_| ended.is_ok()) {
        Some(plan) => Ok((plan, steps)),
        None => Err(Error::refused(
            "no_plan",
            format!("there is nothing that could be rehearsed: {}", ended.why()),
            "`migrate-apply plan` says it in full",
        )),
    }
}

/// Which locks each statement takes, told by `up --dry-run` with the sizes of the target.
fn dry_run(tools: &Tools, stage: &mut stage::Stage<'_, '_>) -> Result<Vec<RehearsedStatement>> {
    let began = Instant::now();
    let ended = tools.run("migrate-apply", &["up", "--dry-run"])?;
    check_interrupted()?;
    stage.ended("dry_run", &ended, "the statements run, and their locks are known", began);
    let statements = ended.records.iter().filter_map(|line| match &line.record {
        Record::StatementDone(it) => {
            let impact = it.impact.clone().unwrap_or_default();
            Some(RehearsedStatement {
                version: it.version.clone(),
                statement: it.statement,
                line: it.line,
                command: it.command.clone(),
                ms: None,
                locks: impact.locks,
                rewritten: impact.rewritten,
                scanned: impact.scanned,
            })
        }
        _ => None,
    });
    Ok(statements.collect())
}

/// What the copy told.
struct Played {
    up: Ended,
    reversible: bool,
    objects_changed: u32,
    queries: Option<RehearsedQueries>,
}

fn play(
    tools: &Tools,
    copy: &Session,
    queries: Option<Vec<Query>>,
    steps: usize,
    stage: &mut stage::Stage<'_, '_>,
) -> Result<Played> {
    let before = stage.inventory(copy)?;
    let prepared = queries.map(|it| Prepared::before(it, copy)).transpose()?;
    let began = Instant::now();
    let up = tools.run("migrate-apply", &["up"])?;
    check_interrupted()?;
    stage.ended("up", &up, "all that is pending was applied", began);
    let after = stage.inventory(copy)?;
    let objects_changed = migrate_core::inventory::diff(&before, &after).len() as u32;
    let mut played = Played { up, reversible: false, objects_changed, queries: None };
    if !played.up.is_ok() {
        return Ok(played);
    }
    match prepared {
        Some(prepared) => {
            let (broken, counts) = prepared.after(copy)?;
            stage.queries(&broken, counts);
            played.queries = Some(counts);
        }
        None => stage.no_queries(),
    }
    let began = Instant::now();
    let integrity = tools.run("migrate-check", &["integrity"])?;
    check_interrupted()?;
    stage.ended("integrity", &integrity, "the copy keeps its own rules", began);
    let began = Instant::now();
    let down = tools.run("migrate-apply", &["down", "--steps", &steps.to_string()])?;
    check_interrupted()?;
    if stage.down(&down, began) {
        let back = stage.same("schema_after_down", &before, &stage.inventory(copy)?, "before up");
        let began = Instant::now();
        let again = tools.run("migrate-apply", &["up"])?;
        check_interrupted()?;
        stage.ended("up_again", &again, "what was rolled back was applied again", began);
        if again.is_ok() {
            stage.same("schema_after_up", &after, &stage.inventory(copy)?, "after the first up");
        }
        played.reversible = back;
    }
    Ok(played)
}

/// With the times that the statements took on the copy; those that took none are left out.
fn timed(statements: Vec<RehearsedStatement>, up: &Ended) -> Vec<RehearsedStatement> {
    /// More would make a record that nobody reads.
    const MOST: usize = 1_000;
    let time = |of: &RehearsedStatement| {
        up.records.iter().find_map(|line| match &line.record {
            Record::StatementDone(it)
                if it.version == of.version && it.statement == of.statement =>
            {
                it.ms
            }
            _ => None,
        })
    };
    statements
        .into_iter()
        .map(|it| RehearsedStatement { ms: time(&it), ..it })
        .filter(|it| !it.locks.is_empty() || it.ms.is_some_and(|ms| ms >= 1.0))
        .take(MOST)
        .collect()
}

/// Writes the evidence where `up` looks for it, and says it.
fn record(
    rehearsal: Rehearsal,
    place: &Place,
    ledger: &Ledger,
    tools: &Tools,
    report: &mut Report<'_>,
) -> Result<()> {
    let subject = rehearsal.plan_hash.clone();
    let line = report.ctx().line(Record::Rehearsal(rehearsal));
    let written = place.writing_session().and_then(|session| {
        if ledger.look_to_write(&session)? == Presence::Absent {
            // A lease makes the ledger, and is given back at once.
            let made = tools.run("migrate-lock", &["acquire", "--wait", "5s", "--ttl", "1m"])?;
            let token = made.records.iter().find_map(|it| match &it.record {
                Record::LockAcquired(lock) => Some(lock.token.to_string()),
                _ => None,
            });
            if let Some(token) = token {
                tools.run("migrate-lock", &["release", "--token", &token])?;
            }
        }
        audit::record(&session, ledger, &line, Some(&subject), None)
    });
    if let Err(err) = written {
        let why = std::error::Error::source(&err).map_or_else(String::new, |it| format!(": {it}"));
        log::warn!("the rehearsal is not in the audit log, and no gate will count it: {err}{why}");
    }
    report.ctx().emit_line(line);
    Ok(())
}

fn check_interrupted() -> Result<()> {
    match interrupt::received() {
        Some(signal) => Err(Error::Interrupted {
            signal,
            state: "the copy was removed; the target is as before".to_owned(),
        }),
        None => Ok(()),
    }
}

fn check(name: &str, message: impl Into<String>) -> Check {
    Check::new("rehearse", name, CheckStatus::Pass, message)
}
