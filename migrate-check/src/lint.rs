//! `lint`: what is dangerous about migrations, and what to do instead; without a database, too.

use std::{
    fs, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    interrupt,
    lint::{self, Found, Sizes, Verdict},
    migration::{
        Migration,
        dir::{self, join},
        file,
        risk::Risk,
    },
    record::{Check, CheckStatus, Severity},
    text::took,
};

use crate::{input, place::Place, report::Report, selection::Selection};

pub(crate) const HELP: &str = "\
Examples:
  migrate-check lint                             all files of the folder
  migrate-check lint migrations/009_add_total.sql
  git diff --name-only main -- migrations | xargs migrate-check lint
  git show HEAD:migrations/009.sql | migrate-check lint -
  migrate-check lint --skip no-primary-key,prefer-text-field
  migrate-check lint | jq -r 'select(.status == \"fail\") | .message'

Where a database is named (--database-url, DATABASE_URL, --env), dangers are
weighed by the size and the traffic of its tables. Without one, or with
--offline, the worst is assumed.

A finding is taken on by a comment before its statement, with a reason; above
`-- migrate:up` it speaks of the whole file:
  -- migrate:allow drop-column nothing reads it since release 12

Exit codes: 0 nothing of high risk · 1 something that fails or hurts others";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files and folders; `-` is stdin [default: the migrations folder]
    files: Vec<PathBuf>,

    /// Ask no database how big the tables are
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    rules: Selection,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let began = Instant::now();
    let migrations = match &args.files[..] {
        [] => dir::read_dir(&ctx.config.migrations)?,
        files => read(files)?,
    };
    let (sizes, database) = if args.offline || !ctx.config.names_database() {
        (Sizes::default(), None)
    } else {
        sizes(&migrations, ctx)?
    };
    let mut report = Report::new("lint", ctx);
    report.about(&database.unwrap_or_default());
    for migration in &migrations {
        if let Some(signal) = interrupt::received() {
            let state = "it only reads; the files not told were not looked at".to_owned();
            return Err(Error::Interrupted { signal, state });
        }
        let verdict = lint::verdict(migration, &sizes);
        for check in answers(migration, verdict, &args.rules) {
            report.say(Check { ms: began.elapsed().as_millis() as u64, ..check });
        }
    }
    Ok(report.finish())
}

/// Each file by itself; of a folder those that end in `.sql`.
fn read(files: &[PathBuf]) -> Result<Vec<Migration>> {
    let mut migrations = Vec::new();
    for path in files {
        let read_error = |source| Error::ReadFile { path: path.clone(), source };
        if path.is_dir() {
            let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            let mut found: Vec<PathBuf> =
                entries.map_err(read_error)?.iter().map(fs::DirEntry::path).collect();
            found.retain(|it| it.extension().is_some_and(|it| it == "sql"));
            found.sort();
            migrations.extend(read(&found)?);
            continue;
        }
        migrations.extend(join(vec![file::parse_unnamed(
            &path.display().to_string(),
            input::read(path)?,
        )?])?);
    }
    Ok(migrations)
}

/// One that cannot be reached is no reason to say nothing: the worst is assumed then.
fn sizes(migrations: &[Migration], ctx: &Ctx) -> Result<(Sizes, Option<String>)> {
    let session = match Place::find("lint", ctx).and_then(|it| it.session(ctx)) {
        Ok(session) => session,
        Err(err @ Error::Connect { .. }) => {
            log::warn!("{err}: dangers are not weighed by the size of tables");
            return Ok((Sizes::default(), None));
        }
        Err(err) => return Err(err),
    };
    let mut names = Vec::new();
    for migration in migrations {
        names.extend(lint::tables(migration).unwrap_or_default());
    }
    names.sort_by_key(ToString::to_string);
    names.dedup();
    Ok((Sizes::read(&session, &names)?, Some(session.facts().database.clone())))
}

/// A check for each finding, and one for the file.
fn answers(migration: &Migration, verdict: Result<Verdict>, rules: &Selection) -> Vec<Check> {
    let verdict = match (verdict, migration.up.check()) {
        (Ok(verdict), Ok(_)) => verdict,
        (_, Err(err)) | (Err(err), _) => return vec![unreadable(migration, &err)],
    };
    let picked = verdict.findings.iter().filter(|it| rules.has(&it.code));
    let mut checks: Vec<Check> = picked.map(of_finding).collect();
    let dangers = checks.iter().filter(|it| it.status > CheckStatus::Skip).count();
    let mut message = format!("risk {}", verdict.risk);
    if let Some(estimate) = verdict.estimate.filter(|it| *it >= Duration::from_millis(100)) {
        message += &format!(", about {}", took(estimate.as_millis() as u64));
    }
    checks.push(Check {
        object: Some(migration.file.clone()),
        count: Some(dangers as i64),
        file: Some(migration.file.clone()),
        risk: Some(verdict.risk),
        estimate_ms: verdict.estimate.map(|it| it.as_millis() as u64),
        ..check("file", CheckStatus::Pass, message)
    });
    checks
}

fn of_finding(found: &Found) -> Check {
    let status = match (&found.allowed, found.severity) {
        (Some(_), _) => CheckStatus::Skip,
        (None, Severity::Error) => CheckStatus::Fail,
        (None, Severity::Warning) if found.risk == Risk::High => CheckStatus::Fail,
        (None, Severity::Warning | Severity::Info) => CheckStatus::Warn,
    };
    let allowed = found.allowed.as_ref().map(|it| format!(" (allowed: {it})"));
    Check {
        object: found.object.clone(),
        count: Some(1),
        hint: found.instead.clone(),
        file: Some(found.at.file.clone()),
        line: Some(found.at.line),
        risk: Some(found.risk),
        estimate_ms: found.estimate.map(|it| it.as_millis() as u64),
        ..check(
            &found.code,
            status,
            format!("{}: {}{}", found.at, found.message, allowed.unwrap_or_default()),
        )
    }
}

fn unreadable(migration: &Migration, err: &Error) -> Check {
    let line = match err {
        Error::Sql { at, .. } => Some(at.line),
        _ => None,
    };
    Check {
        object: Some(migration.file.clone()),
        hint: err.hint(),
        file: Some(migration.file.clone()),
        line,
        ..check(err.kind(), CheckStatus::Fail, err.to_string())
    }
}

fn check(name: &str, status: CheckStatus, message: String) -> Check {
    Check::new("lint", name, status, message)
}
