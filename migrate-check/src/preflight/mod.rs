//! `preflight`: the checklist before a migration, each line answered by looking; reads only.

mod apply;
mod backup;
mod disk;
mod evidence;
mod lock;
mod plan;

use std::{thread, time::Duration};

use migrate_core::{
    cli,
    config::Require,
    connect::session::Session,
    ctx::Ctx,
    error::Result,
    exit::Exit,
    ledger::{Ledger, Presence, audit},
    record::{Check, CheckReason, CheckStatus},
};

use crate::{
    catalogue,
    definition::Definition,
    place::{Place, Settings},
    report::Report,
    runner::{self, Limits, snapshot::Snapshot},
    schema,
    selection::Selection,
};
use evidence::Evidence;

pub(crate) const HELP: &str = "\
What cannot be known from here is skipped as `unknown`, and never passed.
It runs migrate-apply, from beside this program or PATH, to see what is pending.

Examples:
  migrate-check preflight
  migrate-check preflight --env production
  migrate-check preflight --skip approvals,rehearsal
  migrate-check preflight | jq -r 'select(.status != \"pass\") | .name'

Exit codes: 0 no check fails · 1 one fails";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    selection: Selection,

    /// How long the queries may take in all; what is not finished by then fails
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = cli::duration)]
    timeout: Duration,
}

/// An answer that no SQL gives.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    status: CheckStatus,
    message: String,
    object: Option<String>,
    reason: Option<CheckReason>,
}

impl Answer {
    fn new(status: CheckStatus, message: impl Into<String>) -> Answer {
        Answer { status, message: message.into(), object: None, reason: None }
    }

    fn of(status: CheckStatus, object: impl Into<String>, message: impl Into<String>) -> Answer {
        Answer { object: Some(object.into()), ..Answer::new(status, message) }
    }

    fn unknown(why: impl std::fmt::Display) -> Answer {
        let message = format!("unknown: {why}");
        Answer { reason: Some(CheckReason::Unknown), ..Answer::new(CheckStatus::Skip, message) }
    }

    fn not_applicable(message: impl Into<String>) -> Answer {
        let reason = Some(CheckReason::NotApplicable);
        Answer { reason, ..Answer::new(CheckStatus::Skip, message) }
    }
}

/// What the answers are made of.
struct Seen {
    require: Require,
    evidence: Option<Evidence>,
    applied: apply::Said,
    session: Session,
    ledger: Ledger,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let all = catalogue::of_group("preflight");
    let names: Vec<&str> = all.iter().map(|it| it.name).collect();
    args.selection.refuse_unknown(&names)?;
    let picked = all.into_iter().filter(|it| args.selection.has(it.name));
    let (by_sql, by_us): (Vec<_>, Vec<_>) = picked.partition(|it| !it.sql.is_empty());
    let place = Place::find("preflight", ctx)?;
    let wants_plan =
        by_us.iter().any(|it| ["pending", "rehearsal", "approvals"].contains(&it.name));
    let command = apply::Command::of(ctx);
    thread::scope(|scope| {
        // Beside the queries: a program takes longer to start than most of them to answer.
        let applied = wants_plan.then(|| scope.spawn(move || command.run()));
        let (asked, session) = (place.session(ctx)?, place.session(ctx)?);
        let limits = Limits::new(args.timeout, 1, 0);
        let mut report = Report::new("preflight", ctx);
        report.about(&session.facts().database);
        if !by_sql.is_empty() {
            let snapshot = Snapshot::none(asked, &Settings::default());
            runner::run(&by_sql, &snapshot, &limits, &mut report)?;
        }
        let applied = match applied {
            Some(thread) => thread.join().expect("it does not panic"),
            None => apply::Said::default(),
        };
        let seen = see(applied, session, report.ctx())?;
        for definition in by_us {
            for it in checks(definition, &seen, args.timeout)? {
                report.say(it);
            }
        }
        Ok(report.finish())
    })
}

fn checks(definition: &Definition, seen: &Seen, timeout: Duration) -> Result<Vec<Check>> {
    if definition.name != "drift" {
        return Ok(answers(definition.name, seen)?
            .into_iter()
            .map(|it| check(definition, it))
            .collect());
    }
    let found = schema::drift(&seen.session, &seen.ledger, timeout)?;
    let renamed =
        |it: Check| Check { name: definition.name.to_owned(), group: "preflight".to_owned(), ..it };
    Ok(found.into_iter().map(renamed).collect())
}

fn see(applied: apply::Said, session: Session, ctx: &Ctx) -> Result<Seen> {
    let ledger = Ledger::new(&ctx.config.ledger_schema)?;
    let present = ledger.look(&session)? == Presence::Present;
    let hash = applied.plan.as_ref().map(|it| it.plan_hash.as_str()).unwrap_or_default();
    let evidence =
        if present { evidence::read(&session, &ledger, hash)? } else { Some(Evidence::default()) };
    // A ledger remembers its environment, for those who forget to name it.
    let remembered = match (&ctx.config.env, present) {
        (None, true) => {
            audit::origin(&session, &ledger).ok().flatten().and_then(|it| it.environment)
        }
        _ => None,
    };
    let require = remembered
        .and_then(|it| ctx.config.require_of(&it).cloned())
        .unwrap_or_else(|| ctx.config.require.clone());
    Ok(Seen { require, evidence, applied, session, ledger })
}

fn answers(name: &str, seen: &Seen) -> Result<Vec<Answer>> {
    Ok(match name {
        "backup" => vec![backup::answer(seen)],
        "disk_space" => disk::answers(&seen.session)?,
        "lock" => lock::answers(&seen.session, &seen.ledger)?,
        "pending" => vec![apply::pending(&seen.applied)],
        "rehearsal" => vec![plan::rehearsal(seen)],
        "approvals" => vec![plan::approvals(seen)],
        _ => Vec::new(),
    })
}

fn check(definition: &Definition, answer: Answer) -> Check {
    let well = answer.status == CheckStatus::Pass;
    Check {
        object: answer.object,
        reason: answer.reason,
        hint: (!well).then(|| definition.hint.clone()),
        ..definition.check("preflight", answer.status, answer.message)
    }
}
