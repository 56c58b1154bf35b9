//! `validate`: the files by themselves, and the history against them.

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    ledger::history,
    lint::{self, Sizes, Verdict},
    migration::{Migration, dir, risk::Risk, version::Version},
    plan::{self, Known},
    record::{Finding, MigrationState, PendingRow, Record, Severity, Validation},
};

use crate::{run::Place, verdict};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Look at the files only, without a database
    #[arg(long)]
    offline: bool,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let files = match dir::read_dir(&ctx.config.migrations) {
        Ok(files) => files,
        Err(err @ (Error::MigrationFile { .. } | Error::Sql { .. })) => {
            ctx.emit(Record::Finding(of_error(&err)));
            ctx.emit(Record::Validation(Validation {
                valid: false,
                errors: 1,
                warnings: 0,
                pending: Vec::new(),
            }));
            return Ok(Exit::No);
        }
        Err(err) => return Err(err),
    };
    let place = if args.offline { None } else { Some(Place::open(ctx)?) };
    let runs = match &place {
        Some(place) => history::look(&place.session, &place.ledger)?,
        None => Vec::new(),
    };
    let known = plan::known(&files, &runs);
    let sizes = match &place {
        Some(place) => verdict::sizes(&place.session, known.iter().filter_map(to_run))?,
        None => Sizes::default(),
    };
    let mut findings: Vec<Finding> = known.iter().filter_map(against_history).collect();
    for file in &files {
        findings.extend(findings_of(file)?);
        findings.extend(unmet(file, &files));
    }
    let mut pending = Vec::new();
    for file in known.iter().filter_map(to_run) {
        // A file that cannot be parsed is a finding already.
        let verdict = lint::verdict(file, &sizes).ok();
        let risk = verdict.as_ref().map_or(Risk::High, |it| it.risk);
        pending.push(PendingRow { version: file.version.clone(), file: file.file.clone(), risk });
        findings.extend(verdict.iter().flat_map(|it| dangers(it, file)));
    }
    // What is applied is past planning for.
    let planned = ["irreversible", "requirement_missing"];
    findings.retain(|it| !planned.contains(&it.code.as_str()) || is_pending(&known, it));
    let count = |severity| findings.iter().filter(|it| it.severity == severity).count() as u32;
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    for finding in findings {
        ctx.emit(Record::Finding(finding));
    }
    ctx.emit(Record::Validation(Validation { valid: errors == 0, errors, warnings, pending }));
    Ok(if errors == 0 { Exit::Ok } else { Exit::No })
}

fn is_pending(known: &[Known<'_>], finding: &Finding) -> bool {
    known.iter().any(|it| {
        it.state == MigrationState::Pending
            && it.file.is_some_and(|file| Some(&file.version) == finding.version.as_ref())
    })
}

/// What `up` would run.
fn to_run<'a>(known: &Known<'a>) -> Option<&'a Migration> {
    known.file.filter(|_| {
        matches!(
            known.state,
            MigrationState::Pending | MigrationState::Failed | MigrationState::OutOfOrder
        ) && !is_rolled_back_in_part(known)
    })
}

/// What would fail or hurt others; matters of taste are for `migrate-check lint`.
fn dangers(verdict: &Verdict, file: &Migration) -> Vec<Finding> {
    let found = verdict.findings.iter().filter(|it| it.severity > Severity::Info);
    found.map(|it| it.finding(file)).collect()
}

/// Requirements that no `up` can meet: it goes by the order of versions.
fn unmet<'a>(file: &'a Migration, files: &'a [Migration]) -> impl Iterator<Item = Finding> {
    let met = |it: &Version| *it < file.version && files.iter().any(|other| other.version == *it);
    file.requires.iter().filter(move |it| !met(it)).map(|it| Finding {
        severity: Severity::Error,
        code: "requirement_missing".to_owned(),
        version: Some(file.version.clone()),
        message: format!("{} requires {it}, and no file before it has that version", file.file),
        hint: Some("add that one, or correct the `-- requires:` line".to_owned()),
        file: Some(file.file.clone()),
        line: None,
        column: None,
        risk: None,
        estimate_ms: None,
    })
}

fn is_rolled_back_in_part(known: &Known<'_>) -> bool {
    known.run.is_some_and(|it| it.rolled_back_in_part)
}

/// What is wrong with a file by itself.
pub(crate) fn findings_of(file: &Migration) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let scripts = std::iter::once(&file.up).chain(file.down.as_ref());
    for script in scripts {
        match script.check() {
            Ok(summary) if summary.statements == 0 => findings.push(Finding {
                severity: Severity::Warning,
                code: "empty".to_owned(),
                version: Some(file.version.clone()),
                message: format!("{} holds no statement", script.file),
                hint: None,
                file: Some(script.file.clone()),
                line: None,
                column: None,
                risk: None,
                estimate_ms: None,
            }),
            Ok(_) => (),
            Err(err) => {
                findings.push(Finding { version: Some(file.version.clone()), ..of_error(&err) })
            }
        }
    }
    if file.down.is_none() {
        findings.push(Finding {
            severity: Severity::Info,
            code: "irreversible".to_owned(),
            version: Some(file.version.clone()),
            message: format!("{} has no way down", file.file),
            hint: Some("add `-- migrate:down`, or plan to restore a backup".to_owned()),
            file: Some(file.file.clone()),
            line: None,
            column: None,
            risk: None,
            estimate_ms: None,
        });
    }
    Ok(findings)
}

fn of_error(err: &Error) -> Finding {
    let at = match err {
        Error::Sql { at, .. } => Some(at),
        _ => None,
    };
    Finding {
        severity: Severity::Error,
        code: err.kind().to_owned(),
        version: None,
        message: err.to_string(),
        hint: err.hint(),
        file: at.map(|it| it.file.clone()),
        line: at.map(|it| it.line),
        column: at.map(|it| it.column),
        risk: None,
        estimate_ms: None,
    }
}

fn against_history(known: &Known<'_>) -> Option<Finding> {
    let version = known.file.map(|it| &it.version).or(known.run.map(|it| &it.version))?;
    let name = known.file.map(|it| &it.name).or(known.run.map(|it| &it.name))?;
    let (message, hint) = match known.state {
        MigrationState::Pending | MigrationState::Applied => return None,
        MigrationState::Changed => (
            "was changed or renamed after it was applied",
            "restore the file, and put the change in a new migration",
        ),
        MigrationState::Missing => ("is applied, but its file is gone", "bring the file back"),
        MigrationState::OutOfOrder => (
            "is older than the newest applied one",
            "give it a newer version, or apply it with `--allow-out-of-order`",
        ),
        MigrationState::Failed if is_rolled_back_in_part(known) => (
            "is rolled back in part",
            "finish it with `migrate-apply down`, or decide with `migrate-apply resolve`",
        ),
        MigrationState::Failed => (
            "did not end well when it last ran",
            "mend the cause and run `migrate-apply up`, or decide with `migrate-apply resolve`",
        ),
    };
    // `up` tries a failed one again, but does not go on over one that is rolled back in part.
    let failed = known.state == MigrationState::Failed && !is_rolled_back_in_part(known);
    Some(Finding {
        severity: if failed { Severity::Warning } else { Severity::Error },
        code: known.state.as_str().to_owned(),
        version: Some(version.clone()),
        message: format!("migration {version} `{name}` {message}"),
        hint: Some(hint.to_owned()),
        file: known.file.map(|it| it.file.clone()),
        line: None,
        column: None,
        risk: None,
        estimate_ms: None,
    })
}
