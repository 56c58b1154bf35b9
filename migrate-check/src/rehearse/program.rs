//! Runs the other tools as programs and reads their records: none of them knows another.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::{Command, ExitStatus},
};

use migrate_core::{
    connect::settings::Settings,
    ctx::Ctx,
    error::{Error, Result},
    process,
    record::{ErrorRecord, Line, Record},
};

/// What a tool came to.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) records: Vec<Line>,
    stderr: String,
}

/// Where the tools of a rehearsal work, each by the same settings.
pub(super) struct Tools {
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, Option<String>)>,
}

impl Tools {
    /// On the database that this tool was asked about.
    pub(super) fn on_target(ctx: &Ctx) -> Tools {
        let mut arguments = shared(ctx);
        if let Some(env) = &ctx.config.env {
            arguments.extend(["--env".into(), env.into()]);
        }
        // A URL may hold a password, and so never stands in arguments.
        let url = ctx.config.database_url().map(str::to_owned);
        let environment = url.map(|it| ("DATABASE_URL", Some(it))).into_iter().collect();
        Tools { arguments, environment }
    }

    /// On a copy, which no environment of migrate.toml describes.
    pub(super) fn on_copy(copy: &Settings, ctx: &Ctx) -> Tools {
        let mut environment = copy.environment();
        environment.push(("PGPASSWORD", copy.password().map(str::to_owned)));
        environment
            .extend(["DATABASE_URL", "MIGRATE_ENV", "MIGRATE_LOCK_TOKEN"].map(|name| (name, None)));
        Tools { arguments: shared(ctx), environment }
    }

    /// Runs `migrate-NAME` with these words to its end.
    pub(super) fn run(&self, name: &str, words: &[&str]) -> Result<Ended> {
        let mut command = process::command(find(name));
        // A signal comes once, from us, and not from the terminal, too.
        process::in_own_group(&mut command);
        command.args(words).args(["--output", "json"]).args(&self.arguments);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        ended(&mut command, name)
    }
}

impl Ended {
    pub(super) fn is_ok(&self) -> bool {
        self.status.success()
    }

    pub(super) fn error(&self) -> Option<&ErrorRecord> {
        self.records.iter().find_map(|it| match &it.record {
            Record::Error(error) => Some(error),
            _ => None,
        })
    }

    /// Why it failed, in its own words.
    pub(super) fn why(&self) -> String {
        match self.error() {
            Some(error) => error.message.clone(),
            None => format!("{}: {}", self.status, process::last_lines(&self.stderr, 3)),
        }
    }
}

fn shared(ctx: &Ctx) -> Vec<OsString> {
    vec![
        "--migrations".into(),
        ctx.config.migrations.clone().into(),
        "--ledger-schema".into(),
        ctx.config.ledger_schema.clone().into(),
    ]
}

/// The one that was installed together with this tool, or else the first on the PATH.
fn find(name: &str) -> PathBuf {
    let own = std::env::current_exe().ok();
    let beside = own.and_then(|it| Some(it.parent()?.join(name))).filter(|it| it.is_file());
    beside.unwrap_or_else(|| PathBuf::from(name))
}

fn ended(command: &mut Command, name: &str) -> Result<Ended> {
    let (status, output) = process::run_to_end(command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let records = text
        .lines()
        .map(|line| {
            serde_json::from_str(line).map_err(|err| Error::Program {
                program: name.to_owned(),
                status: status.to_string(),
                stderr: format!("it said what is no record of this version: {err}"),
            })
        })
        .collect::<Result<Vec<Line>>>()?;
    Ok(Ended { status, records, stderr: output.stderr })
}
