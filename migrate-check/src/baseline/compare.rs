//! `baseline compare`: what has become worse since the file was written.

use std::{fs, path::PathBuf, time::Duration};

use migrate_core::{
    cli,
    connect::session::Facts,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    record::{Check, CheckReason, CheckStatus},
};

use super::{
    judge::{self, Judged},
    reading::{Reading, Statements, VERSION},
};
use crate::{
    catalogue, definition::Definition, place::Place, report::Report, selection::Selection,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// What `baseline save` wrote
    #[arg(default_value = "baseline.json")]
    file: PathBuf,

    #[command(flatten)]
    selection: Selection,

    /// So many times as slow or as large is worse
    #[arg(long, value_name = "N", default_value_t = 1.5, value_parser = factor)]
    factor: f64,

    /// How long a query may take
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = cli::duration)]
    timeout: Duration,
}

pub(super) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let all = catalogue::of_group("baseline");
    let names: Vec<&str> = all.iter().map(|it| it.name).collect();
    args.selection.refuse_unknown(&names)?;
    let before = read(args)?;
    let session = Place::find("baseline", ctx)?.session(ctx)?;
    refuse_other(&before, session.facts())?;
    let now = Reading::take(&session, args.timeout)?;
    let mut report = Report::new("baseline", ctx);
    report.about(&now.database);
    let judged = judge::judge(&before, &now, args.factor);
    for definition in all.into_iter().filter(|it| args.selection.has(it.name)) {
        let judged = judged.iter().find(|it| it.check == definition.name);
        let judged = judged.expect("every check of the group is judged");
        for check in checks(definition, judged, &before, &now) {
            report.say(check);
        }
    }
    Ok(report.finish())
}

fn checks(definition: &Definition, judged: &Judged, before: &Reading, now: &Reading) -> Vec<Check> {
    let check = |status, message| definition.check("baseline", status, message);
    let of_statements = ["mean_time", "calls"].contains(&judged.check);
    if let Some((reason, message)) = lacks(before, now).filter(|_| of_statements) {
        let reason = Some(reason);
        return vec![Check { reason, ..check(CheckStatus::Skip, message.to_owned()) }];
    }
    if judged.compared == 0 {
        let message = "there is nothing to compare yet".to_owned();
        let reason = Some(CheckReason::NotApplicable);
        return vec![Check { reason, hint: None, ..check(CheckStatus::Skip, message) }];
    }
    if judged.findings.is_empty() {
        let message = definition.pass.replace("{targets}", &judged.compared.to_string());
        return vec![Check { count: Some(0), hint: None, ..check(CheckStatus::Pass, message) }];
    }
    let found = judged.findings.iter().map(|it| Check {
        object: Some(it.object.clone()),
        count: Some(1),
        ..check(it.status, it.message.clone())
    });
    found.collect()
}

/// Why statements cannot be compared.
fn lacks(before: &Reading, now: &Reading) -> Option<(CheckReason, &'static str)> {
    match (&before.statements, &now.statements) {
        (Statements::Counted { .. }, Statements::Counted { .. }) => None,
        (Statements::Unknown, _) | (_, Statements::Unknown) => {
            Some((CheckReason::Unknown, "unknown: this role may not see what others ask"))
        }
        _ => Some((CheckReason::NotApplicable, "the server does not count by pg_stat_statements")),
    }
}

fn read(args: &Args) -> Result<Reading> {
    let text = fs::read(&args.file)
        .map_err(|source| Error::ReadFile { path: args.file.clone(), source })?;
    let reading: Reading = serde_json::from_slice(&text).map_err(|err| {
        Error::usage(
            format!("{} is no baseline: {err}", args.file.display()),
            "`migrate-check baseline save` writes one",
        )
    })?;
    if reading.v != VERSION {
        return Err(Error::usage(
            format!(
                "{} has format {}, which this version doesn't know",
                args.file.display(),
                reading.v
            ),
            "use the version that wrote it",
        ));
    }
    Ok(reading)
}

fn refuse_other(before: &Reading, facts: &Facts) -> Result<()> {
    let same = before.database == facts.database
        && [&before.system_identifier, &facts.system_identifier].iter().any(|it| it.is_empty());
    if same
        || (before.database == facts.database
            && before.system_identifier == facts.system_identifier)
    {
        return Ok(());
    }
    Err(Error::usage(
        format!(
            "the baseline is of database `{}` of system {}, and this is `{}` of {}",
            before.database, before.system_identifier, facts.database, facts.system_identifier
        ),
        "compare a database with itself",
    ))
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor > 1.0 && factor.is_finite() => Ok(factor),
        _ => Err("a factor is more than 1".to_owned()),
    }
}
