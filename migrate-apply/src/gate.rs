//! The gates of `up`: which ones hold for this ledger, and whether they let the plan through.

use std::{io::Read, path::PathBuf};

use migrate_core::{
    config::Require,
    connect::session::Session,
    ctx::Ctx,
    error::{Error, Result},
    gate::{self, Evidence, Planned},
    ledger::{Ledger, Presence, audit, history},
    lint,
    migration::{Migration, risk::Risk},
    plan::{self, Choice, Pending},
    process,
    record::{Gate, GateStatus, Record},
};
use serde_json::Value;

use crate::{run::Place, up, verdict};

/// What must be fulfilled, and what came with the command.
pub(crate) struct Gates {
    require: Require,
    backup: Option<Value>,
    reason: Option<String>,
    /// It was looked at before the lock, which it would find taken.
    preflight: Option<Gate>,
    /// Overridden before there was a plan to judge.
    environment: Option<String>,
}

/// The plan that is judged.
pub(crate) struct Subject {
    hash: String,
    /// The plan that stopped part way and of which this is the rest: what was said about it holds.
    rest_of: Option<String>,
    authors: Vec<String>,
    riskiest: Option<(String, Risk)>,
}

impl Subject {
    pub(crate) fn new(
        files: &[Migration],
        pending: &[Pending<'_>],
        runs: &[history::Run],
        session: &Session,
        ledger: &Ledger,
    ) -> Result<Subject> {
        let migrations: Vec<&Migration> = pending.iter().map(|it| it.migration).collect();
        // As `plan` says it: on the tables that there are.
        let sizes = verdict::sizes(session, migrations.iter().copied()).unwrap_or_default();
        let risks = migrations.iter().map(|it| (it, lint::risk(it, &sizes).unwrap_or(Risk::High)));
        let riskiest = risks.max_by_key(|(_, risk)| *risk);
        Ok(Subject {
            hash: up::plan_hash(&migrations, plan::newest(runs), session, ledger),
            rest_of: rest_of(files, &migrations, runs, session, ledger)?,
            authors: migrations.iter().filter_map(|it| it.author.clone()).collect(),
            riskiest: riskiest.map(|(it, risk)| (format!("{} `{}`", it.version, it.name), risk)),
        })
    }
}

/// The plan that was begun last, if these are what it has left, unchanged: one that stopped part way
/// is finished under the evidence that it was begun with.
fn rest_of(
    files: &[Migration],
    pending: &[&Migration],
    runs: &[history::Run],
    session: &Session,
    ledger: &Ledger,
) -> Result<Option<String>> {
    let Some(first) = pending.first() else { return Ok(None) };
    // Nothing was ever applied: nothing can have stopped part way. The ledger may not be there.
    let Some(begun) =
        (!runs.is_empty()).then(|| audit::last_plan(session, ledger)).transpose()?.flatten()
    else {
        return Ok(None);
    };
    let whole: Vec<&Migration> =
        files.iter().filter(|it| begun.versions.contains(&it.version)).collect();
    let left = whole.iter().skip_while(|it| it.version != first.version);
    if !left.map(|it| &it.version).eq(pending.iter().map(|it| &it.version)) {
        return Ok(None);
    }
    let others: Vec<history::Run> =
        runs.iter().filter(|it| !begun.versions.contains(&it.version)).cloned().collect();
    let then = up::plan_hash(&whole, plan::newest(&others), session, ledger);
    Ok((then == begun.plan_hash).then_some(then))
}

/// Looks at the gates before anything is locked or written: whoever is refused has changed nothing.
/// Nothing where none is required.
pub(crate) fn before_the_lock(
    place: &Place,
    subject: impl FnOnce() -> Result<Subject>,
    backup: Option<Value>,
    reason: Option<&str>,
    ctx: &mut Ctx,
) -> Result<Option<Gates>> {
    let (require, environment) = required(place, reason, ctx)?;
    if require == Require::default() && environment.is_none() {
        return Ok(None);
    }
    let subject = subject()?;
    let preflight = (require.preflight == Some(true)).then(|| preflight(&subject.hash, ctx));
    let reason = reason.map(str::to_owned);
    let gates = Gates { require, backup, reason, preflight, environment };
    let present = place.ledger.look(&place.session)? == Presence::Present;
    let judged = gates.judge(&place.session, present.then_some(&place.ledger), &subject, ctx)?;
    let failed = judged.iter().any(|it| it.status == GateStatus::Fail);
    if failed {
        ctx.emit_together(judged.iter().cloned().map(Record::Gate).collect());
        return Err(refused(&judged));
    }
    Ok(Some(gates))
}

impl Gates {
    /// Looks at them again, with the lock in hand, and says what each of them is. Returns the plan's
    /// hash and what a person set aside.
    pub(crate) fn under_the_lock(
        &self,
        files: &[Migration],
        choice: &Choice,
        session: &Session,
        ledger: &Ledger,
        ctx: &mut Ctx,
    ) -> Result<(String, Vec<String>)> {
        let runs = history::look(session, ledger)?;
        let pending = plan::pending(files, &runs, choice)?;
        let subject = Subject::new(files, &pending, &runs, session, ledger)?;
        let judged = self.judge(session, Some(ledger), &subject, ctx)?;
        ctx.emit_together(judged.iter().cloned().map(Record::Gate).collect());
        if judged.iter().any(|it| it.status == GateStatus::Fail) {
            return Err(refused(&judged));
        }
        let overridden = judged.iter().filter(|it| it.status == GateStatus::Overridden);
        let names: Vec<&str> = overridden
            .map(|it| it.name.as_str())
            .chain(self.environment.as_ref().map(|_| "environment"))
            .collect();
        let overrides = match (&self.reason, names.is_empty()) {
            (Some(reason), false) => vec![format!("override {}: {reason}", names.join(", "))],
            _ => Vec::new(),
        };
        if overrides.is_empty() && self.reason.is_some() {
            log::info!("every gate lets the plan through: `--override` was not needed");
        }
        Ok((subject.rest_of.unwrap_or(subject.hash), overrides))
    }

    fn judge(
        &self,
        session: &Session,
        ledger: Option<&Ledger>,
        subject: &Subject,
        ctx: &Ctx,
    ) -> Result<Vec<Gate>> {
        let mut evidence = match ledger {
            None => Evidence::default(),
            Some(ledger) => {
                let signers = ctx.config.allowed_signers.as_deref();
                let hashes: Vec<&str> = [&subject.hash]
                    .into_iter()
                    .chain(&subject.rest_of)
                    .map(String::as_str)
                    .collect();
                Evidence::read(session, ledger, &self.require, &hashes, signers)?
            }
        };
        if let Some(record) = &self.backup {
            evidence.add_backup(record);
        }
        let riskiest = subject.riskiest.as_ref().map(|(name, risk)| (name.as_str(), *risk));
        let planned = Planned { hash: &subject.hash, authors: &subject.authors, riskiest };
        let mut judged = gate::judge(&self.require, planned, &evidence, session.server_now());
        judged.extend(self.preflight.clone());
        if self.reason.is_some() {
            for it in judged.iter_mut().filter(|it| it.status == GateStatus::Fail) {
                it.status = GateStatus::Overridden;
            }
        }
        Ok(judged)
    }
}

/// The gates of the environment that is named, or else of the one that the ledger remembers. A
/// ledger that remembers another one than is named is refused: its gates would be walked around.
fn required(place: &Place, reason: Option<&str>, ctx: &Ctx) -> Result<(Require, Option<String>)> {
    let own = || ctx.config.require.clone();
    if place.ledger.look(&place.session)? == Presence::Absent {
        return Ok((own(), None));
    }
    let origin = audit::origin(&place.session, &place.ledger)?;
    let facts = place.session.facts();
    match (&ctx.config.env, origin) {
        (Some(_), None) => Ok((own(), None)),
        (None, None) => Err(Error::refused(
            "audit_log_damaged",
            "the audit log has lost its first row, which says whose gates hold for this ledger",
            "see what happened with `migrate-audit verify`; `--env NAME` says which environment it is",
        )),
        (None, Some(origin)) => match origin.environment {
            None => Ok((own(), None)),
            Some(environment) => match ctx.config.require_of(&environment) {
                Some(require) => Ok((require.clone(), None)),
                None => Err(Error::refused(
                    "environment_unknown",
                    format!(
                        "this ledger was made under the environment `{environment}`, which is not known here"
                    ),
                    format!(
                        "run with `--env {environment}` and the migrate.toml that describes it"
                    ),
                )),
            },
        },
        (Some(named), Some(origin)) => {
            // A copy that was restored elsewhere remembers whose it was, and is somebody else's now.
            let same_database = origin.database.as_deref() == Some(&facts.database)
                && origin.system_identifier.as_deref() == Some(&facts.system_identifier);
            match origin.environment.filter(|it| it != named && same_database) {
                None => Ok((own(), None)),
                Some(other) if reason.is_some() => Ok((own(), Some(other))),
                Some(other) => Err(Error::refused(
                    "environment_mismatch",
                    format!(
                        "this ledger was made under the environment `{other}`, and this is `--env {named}`"
                    ),
                    format!(
                        "run with `--env {other}`; if it has another name now, say so once with `--override REASON`"
                    ),
                )),
            }
        }
    }
}

/// `migrate-check preflight` on the same database: the checklist is its business.
fn preflight(hash: &str, ctx: &Ctx) -> Gate {
    let beside = std::env::current_exe().ok().map(|it| it.with_file_name("migrate-check"));
    let program =
        beside.filter(|it| it.is_file()).unwrap_or_else(|| PathBuf::from("migrate-check"));
    let mut command = process::command(program);
    command.args(["preflight", "--output", "json"]);
    command.args(["--ledger-schema", &ctx.config.ledger_schema]);
    command.arg("--migrations").arg(&ctx.config.migrations);
    if let Some(env) = &ctx.config.env {
        command.args(["--env", env]);
    }
    // Not among its arguments, which others see.
    command.envs(ctx.config.database_url().map(|it| ("DATABASE_URL", it)));
    let verdict = run_preflight(&mut command);
    gate::gate("preflight", hash, verdict, Some("migrate-check preflight".to_owned()))
}

fn run_preflight(command: &mut std::process::Command) -> Result<String, String> {
    let mut running = process::spawn(command).map_err(|err| {
        format!("`migrate-check`, which looks at it, cannot be started: {}", cause(&err))
    })?;
    let mut said = String::new();
    if let Some(mut stdout) = running.stdout() {
        stdout.read_to_string(&mut said).map_err(|err| err.to_string())?;
    }
    let failed: Vec<String> = said
        .lines()
        .filter_map(|it| serde_json::from_str::<Value>(it).ok())
        .filter(|it| it["type"] == "check" && it["status"] == "fail")
        .map(|it| {
            let text = |field: &str| it[field].as_str().unwrap_or_default().to_owned();
            format!("{}: {}", text("name"), text("message"))
        })
        .collect();
    match (running.finish(), failed.is_empty()) {
        (Ok(_), true) => Ok("no check of the checklist fails".to_owned()),
        (Err(err), true) => Err(err.to_string()),
        (_, false) => Err(failed.join("; ")),
    }
}

fn cause(err: &Error) -> String {
    std::error::Error::source(err).map_or_else(|| err.to_string(), ToString::to_string)
}

/// Says exactly what lacks, and which commands bring it.
fn refused(judged: &[Gate]) -> Error {
    let failed: Vec<&Gate> = judged.iter().filter(|it| it.status == GateStatus::Fail).collect();
    let messages: Vec<String> = match failed.as_slice() {
        [only] if only.name == "max_risk" => vec![only.message.clone()],
        all => all.iter().map(|it| format!("{}: {}", it.name, it.message)).collect(),
    };
    let commands: Vec<String> = failed
        .iter()
        .map(|it| match &it.command {
            Some(command) => format!("`{command}`"),
            None => "make it safer, or raise `max_risk` for this environment".to_owned(),
        })
        .collect();
    Error::refused(
        "gate",
        messages.join("; "),
        format!(
            "{}; or `--override REASON`, which is written to the audit log",
            commands.join(", ")
        ),
    )
}
