//! What `migrate-apply`, run as a program, says of the pending migrations and of the plan.

use std::{io::Read, path::PathBuf};

use migrate_core::{
    ctx::Ctx,
    process,
    record::{CheckStatus, Finding, Line, Plan, Record, Severity, Validation},
};

use super::Answer;

/// Everything that decides on which database and files it looks.
#[derive(Debug, Clone)]
pub(super) struct Command {
    program: PathBuf,
    arguments: Vec<std::ffi::OsString>,
    database_url: Option<String>,
}

/// What came back. `refused` is why the rest is missing.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) validation: Option<Validation>,
    pub(super) findings: Vec<Finding>,
    pub(super) plan: Option<Plan>,
    pub(super) refused: Option<String>,
    /// It could not be started or understood.
    pub(super) missing: Option<String>,
}

impl Command {
    pub(super) fn of(ctx: &Ctx) -> Command {
        let beside = std::env::current_exe().ok().map(|it| it.with_file_name("migrate-apply"));
        let program = beside.filter(|it| it.is_file()).unwrap_or_else(|| "migrate-apply".into());
        let mut arguments: Vec<std::ffi::OsString> =
            ["--output", "json", "--quiet", "--ledger-schema"].map(Into::into).to_vec();
        arguments.push(ctx.config.ledger_schema.clone().into());
        arguments.push("--migrations".into());
        arguments.push(ctx.config.migrations.clone().into());
        if let Some(env) = &ctx.config.env {
            arguments.extend(["--env".into(), env.into()]);
        }
        let database_url = ctx.config.database_url().map(str::to_owned);
        Command { program, arguments, database_url }
    }

    pub(super) fn run(&self) -> Said {
        let mut said = Said::default();
        std::thread::scope(|scope| {
            let plan = scope.spawn(|| self.lines("plan"));
            said.take(self.lines("validate"));
            said.take(plan.join().expect("it does not panic"));
        });
        said
    }

    fn lines(&self, command: &str) -> Result<Vec<Line>, String> {
        let mut program = process::command(&self.program);
        program.arg(command).args(&self.arguments);
        // Not among its arguments, which others see.
        program.envs(self.database_url.as_ref().map(|it| ("DATABASE_URL", it)));
        let mut running = process::spawn(&mut program).map_err(|err| err.to_string())?;
        let mut text = String::new();
        if let Some(mut stdout) = running.stdout() {
            stdout.read_to_string(&mut text).map_err(|err| err.to_string())?;
        }
        // Its exit code says no more than its records.
        let ended = running.finish();
        let lines: Vec<Line> =
            text.lines().filter_map(|it| serde_json::from_str(it).ok()).collect();
        match ended {
            Err(err) if lines.is_empty() => Err(err.to_string()),
            _ => Ok(lines),
        }
    }
}

impl Said {
    fn take(&mut self, lines: Result<Vec<Line>, String>) {
        match lines {
            Err(why) => self.missing = Some(why),
            Ok(lines) => {
                for line in lines {
                    match line.record {
                        Record::Validation(it) => self.validation = Some(it),
                        Record::Finding(it) => self.findings.push(it),
                        Record::Plan(it) => self.plan = Some(it),
                        Record::Error(it) => self.refused = Some(it.message),
                        _ => (),
                    }
                }
            }
        }
    }
}

pub(super) fn pending(said: &Said) -> Answer {
    let Some(validation) = &said.validation else {
        return match (&said.refused, &said.missing) {
            (Some(refused), _) => Answer::new(CheckStatus::Fail, refused),
            (None, missing) => Answer::unknown(missing.as_deref().unwrap_or("no answer came")),
        };
    };
    let first = |severity| {
        said.findings
            .iter()
            .filter(|it| it.severity == severity)
            .map(|it| it.message.clone())
            .collect::<Vec<_>>()
            .join("; ")
    };
    let pending = match validation.pending.len() {
        0 => "no migration is pending".to_owned(),
        1 => "1 migration is pending and valid".to_owned(),
        many => format!("{many} migrations are pending and valid"),
    };
    if !validation.valid {
        Answer::new(CheckStatus::Fail, first(Severity::Error))
    } else if validation.warnings > 0 {
        Answer::new(CheckStatus::Warn, format!("{pending}, but: {}", first(Severity::Warning)))
    } else {
        Answer::new(CheckStatus::Pass, pending)
    }
}
