//! The configuration: `migrate.toml` under environment variables under flags.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer};

use crate::{
    connect::{session::Facts, target::Target},
    error::{Error, Result},
    gate,
    migration::risk::Risk,
    record::Identity,
};

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    pub database_url: Option<String>,
    pub env: Option<String>,
    pub migrations: Option<PathBuf>,
    pub backups: Option<PathBuf>,
    pub ledger_schema: Option<String>,
}

/// What is in force.
#[derive(Debug)]
pub struct Config {
    /// The environment picked by `--env` or `MIGRATE_ENV`.
    pub env: Option<String>,
    pub migrations: PathBuf,
    /// The store of `migrate-backup`.
    pub backups: PathBuf,
    pub ledger_schema: String,
    /// How long a statement may wait for a table lock before it steps back and retries.
    pub lock_timeout: Duration,
    /// How long others may be blocked by a migration before it is cancelled and tried again.
    pub block_limit: Duration,
    /// How long a transaction is retried in all.
    pub retry_budget: Duration,
    pub pin: Option<Pin>,
    pub require: Require,
    /// The file in which the head of the audit log is kept after each run.
    pub anchors: Option<PathBuf>,
    /// The keys whose signatures approve plans, as `ssh-keygen -Y verify -f` reads them.
    pub allowed_signers: Option<PathBuf>,
    /// The gates of every environment, for a ledger that remembers its own.
    environments: BTreeMap<String, Environment>,
    database_url: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    migrations: Option<PathBuf>,
    backups: Option<PathBuf>,
    ledger_schema: Option<String>,
    anchors: Option<PathBuf>,
    allowed_signers: Option<PathBuf>,
    #[serde(default)]
    env: BTreeMap<String, Environment>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Environment {
    database_url: Option<String>,
    database_url_env: Option<String>,
    migrations: Option<PathBuf>,
    ledger_schema: Option<String>,
    backups: Option<PathBuf>,
    #[serde(default, deserialize_with = "lock_timeout")]
    lock_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "block_limit")]
    block_limit: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    retry_budget: Option<Duration>,
    pin: Option<Pin>,
    anchors: Option<PathBuf>,
    allowed_signers: Option<PathBuf>,
    #[serde(default)]
    require: Require,
}

/// The only database that an environment may mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    pub database: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    pub system_identifier: Option<String>,
}

/// The gates of `up`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Require {
    pub backup: Option<RequireBackup>,
    pub approvals: Option<u32>,
    /// How well an approver's identity must be proven.
    pub approved_by: Option<Identity>,
    pub rehearsal: Option<bool>,
    pub max_risk: Option<Risk>,
    pub preflight: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequireBackup {
    #[serde(default, deserialize_with = "duration")]
    pub max_age: Option<Duration>,
    #[serde(default, deserialize_with = "level")]
    pub verified: Option<String>,
}

impl Config {
    /// `variables` looks up environment variables.
    pub fn load(flags: Flags, variables: &dyn Fn(&str) -> Option<String>) -> Result<Config> {
        let (file, folder) = match find(&working_dir()?)? {
            Some((file, folder)) => (file, Some(folder)),
            None => (File::default(), None),
        };
        Config::merge(flags, variables, file, folder.as_deref())
    }

    fn merge(
        flags: Flags,
        variables: &dyn Fn(&str) -> Option<String>,
        file: File,
        folder: Option<&Path>,
    ) -> Result<Config> {
        let environment = match &flags.env {
            None => Environment::default(),
            Some(name) => file.env.get(name).cloned().ok_or_else(|| unknown_env(name, &file))?,
        };
        // A path in the file is meant from the file.
        let from_file = |path: PathBuf| folder.map_or(path.clone(), |it| it.join(path));
        let database_url = pick_database(&flags, variables, &environment)?;
        Ok(Config {
            migrations: flags
                .migrations
                .or_else(|| variables("MIGRATE_MIGRATIONS").map(PathBuf::from))
                .or_else(|| environment.migrations.or(file.migrations).map(from_file))
                .unwrap_or_else(|| PathBuf::from("migrations")),
            backups: flags
                .backups
                .or_else(|| variables("MIGRATE_BACKUPS").map(PathBuf::from))
                .or_else(|| environment.backups.or(file.backups).map(from_file))
                .unwrap_or_else(|| PathBuf::from("backups")),
            ledger_schema: flags
                .ledger_schema
                .or_else(|| variables("MIGRATE_LEDGER_SCHEMA"))
                .or(environment.ledger_schema)
                .or(file.ledger_schema)
                .unwrap_or_else(|| "public".to_owned()),
            lock_timeout: environment.lock_timeout.unwrap_or(Duration::from_millis(500)),
            block_limit: environment.block_limit.unwrap_or(Duration::from_secs(2)),
            retry_budget: environment.retry_budget.unwrap_or(Duration::from_secs(600)),
            pin: environment.pin,
            require: environment.require,
            anchors: variables("MIGRATE_ANCHORS")
                .map(PathBuf::from)
                .or_else(|| environment.anchors.or(file.anchors).map(from_file)),
            allowed_signers: environment.allowed_signers.or(file.allowed_signers).map(from_file),
            environments: file.env,
            env: flags.env,
            database_url,
        })
    }

    /// The database to work on.
    pub fn target(&self) -> Result<Target> {
        Target::resolve(self.database_url.as_deref(), &process_variables)
    }

    /// Whether somebody said which database, rather than leaving it to libpq's defaults.
    pub fn names_database(&self) -> bool {
        let names = ["PGSERVICE", "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE"];
        let set = |name: &str| process_variables(name).is_some_and(|it| !it.is_empty());
        self.database_url.is_some() || names.into_iter().any(set)
    }

    /// Refuses any other database than the one that the environment is pinned to.
    pub fn check_pin(&self, facts: &Facts) -> Result<()> {
        let Some(pin) = &self.pin else { return Ok(()) };
        let wrong =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_some_and(|it| it != found);
        if wrong(&pin.database, &facts.database)
            || wrong(&pin.system_identifier, &facts.system_identifier)
        {
            return Err(Error::refused(
                "wrong_database",
                format!(
                    "this is database `{}` of system {}, which is not the one that the environment is pinned to",
                    facts.database, facts.system_identifier
                ),
                "check the connection settings; `pin` in migrate.toml names the right one",
            ));
        }
        Ok(())
    }

    /// The URL or keyword string of the database, for a program that is run on the same one.
    pub fn database_url(&self) -> Option<&str> {
        self.database_url.as_deref()
    }

    /// The gates of the environment that a ledger was made under.
    pub fn require_of(&self, environment: &str) -> Option<&Require> {
        self.environments.get(environment).map(|it| &it.require)
    }
}

/// A flag beats `DATABASE_URL`, which beats the file; but `DATABASE_URL` must not silently turn
/// `--env production` into another database.
fn pick_database(
    flags: &Flags,
    variables: &dyn Fn(&str) -> Option<String>,
    environment: &Environment,
) -> Result<Option<String>> {
    let own = match (&environment.database_url, &environment.database_url_env) {
        (Some(url), _) => Some(url.clone()),
        (None, Some(name)) => Some(variables(name).ok_or_else(|| {
            Error::usage(
                format!("the environment variable `{name}` is not set"),
                "`database_url_env` in migrate.toml names it as the source of the database URL",
            )
        })?),
        (None, None) => None,
    };
    if flags.database_url.is_some() {
        return Ok(flags.database_url.clone());
    }
    let Some(variable) = variables("DATABASE_URL") else { return Ok(own) };
    if let Some(own) = own {
        let same = Target::resolve(Some(&own), variables)?
            .same_place(&Target::resolve(Some(&variable), variables)?);
        if !same {
            let name = |dsn: &str| -> Result<String> {
                Ok(Target::resolve(Some(dsn), variables)?.describe())
            };
            return Err(Error::usage(
                format!(
                    "DATABASE_URL is {}, but the environment `{}` is {}",
                    name(&variable)?,
                    flags.env.as_deref().unwrap_or_default(),
                    name(&own)?
                ),
                "unset DATABASE_URL, or say with `--database-url` which one you mean",
            ));
        }
    }
    Ok(Some(variable))
}

fn process_variables(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn working_dir() -> Result<PathBuf> {
    std::env::current_dir().map_err(|source| Error::ReadFile { path: ".".into(), source })
}

/// The nearest `migrate.toml`, from `start` upward.
fn find(start: &Path) -> Result<Option<(File, PathBuf)>> {
    for folder in start.ancestors() {
        let path = folder.join("migrate.toml");
        match check_trusted(&path).and_then(|()| fs::read_to_string(&path)) {
            Ok(text) => return Ok(Some((parse(&path, &text)?, folder.to_owned()))),
            Err(err) if err.kind() == ErrorKind::NotFound => (),
            Err(err) if err.kind() == ErrorKind::InvalidData => {
                return Err(Error::usage(
                    format!("{}: {err}", path.display()),
                    "it must be UTF-8 text in a file that only its owner may write to",
                ));
            }
            Err(source) => return Err(Error::ReadFile { path, source }),
        }
    }
    Ok(None)
}

/// It says which SQL runs where, and is looked for in folders such as /tmp, too.
fn check_trusted(path: &Path) -> io::Result<()> {
    let found = fs::metadata(path)?;
    let wrong = |what| Err(io::Error::new(ErrorKind::InvalidData, what));
    if !found.is_file() {
        return wrong("this is not a regular file");
    }
    if found.mode() & 0o002 != 0 {
        return wrong("every user of this machine can write to it");
    }
    Ok(())
}

fn parse(path: &Path, text: &str) -> Result<File> {
    toml::from_str(text).map_err(|err| {
        let line = err.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        Error::Usage {
            // The message only: the whole error quotes the line, which may hold a password.
            message: format!("{}:{line}: {}", path.display(), err.message()),
            hint: None,
        }
    })
}

fn unknown_env(name: &str, file: &File) -> Error {
    let known: Vec<&str> = file.env.keys().map(String::as_str).collect();
    Error::usage(
        format!("there is no environment `{name}` in migrate.toml"),
        if known.is_empty() {
            "there is no [env.…] at all: is this the right folder?".to_owned()
        } else {
            format!("there are: {}", known.join(", "))
        },
    )
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::cli::duration(&text).map(Some).map_err(serde::de::Error::custom)
}

/// A level that there isn't would never be reached.
fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if gate::LEVELS.contains(&text.as_str()) {
        return Ok(Some(text));
    }
    Err(serde::de::Error::custom(format!(
        "`{text}` is no level of a backup: {}",
        gate::LEVELS.join(", ")
    )))
}

fn lock_timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::cli::lock_timeout(&text).map(Some).map_err(serde::de::Error::custom)
}

fn block_limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::cli::block_limit(&text).map(Some).map_err(serde::de::Error::custom)
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(i64),
    }
    Ok(Some(match Either::deserialize(deserializer)? {
        Either::Text(text) => text,
        Either::Number(number) => number.to_string(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = r#"
        migrations = "db"
        [env.production]
        database_url = "host=prod dbname=shop"
        lock_timeout = "250ms"
        pin = { database = "shop", system_identifier = 7 }
        [env.production.require]
        approvals = 2
        max_risk = "high"
    "#;

    fn config(env: Option<&str>, variable: Option<&str>, flag: Option<&str>) -> Result<Config> {
        let flags = Flags {
            env: env.map(str::to_owned),
            database_url: flag.map(str::to_owned),
            ..Flags::default()
        };
        let variable = variable.map(str::to_owned);
        let file = parse(Path::new("migrate.toml"), TOML)?;
        Config::merge(
            flags,
            &|name| if name == "DATABASE_URL" { variable.clone() } else { None },
            file,
            Some(Path::new("/srv/app")),
        )
    }

    #[test]
    fn an_environment_brings_its_database_limits_and_gates() {
        let config = config(Some("production"), None, None).unwrap();
        assert_eq!(config.database_url(), Some("host=prod dbname=shop"));
        assert_eq!(config.lock_timeout, Duration::from_millis(250));
        assert_eq!(config.require.approvals, Some(2));
        assert_eq!(config.require.max_risk, Some(Risk::High));
        assert_eq!(config.pin.unwrap().system_identifier.as_deref(), Some("7"));
        assert_eq!(config.migrations, Path::new("/srv/app/db"));
    }

    #[test]
    fn a_flag_beats_the_variable_and_the_variable_beats_nothing_else() {
        let picked = |variable, flag| {
            config(None, variable, flag).unwrap().database_url().map(str::to_owned)
        };
        assert_eq!(picked(Some("host=a"), Some("host=b")).as_deref(), Some("host=b"));
        assert_eq!(picked(Some("host=a"), None).as_deref(), Some("host=a"));
        assert_eq!(picked(None, None), None);
    }

    #[test]
    fn a_database_url_of_another_place_than_the_environment_is_refused_with_both_names() {
        let err = config(Some("production"), Some("host=staging dbname=shop"), None).unwrap_err();
        let message = err.to_string();
        assert!(message.contains("staging") && message.contains("prod"), "{message}");
        config(Some("production"), Some("postgres://someone@prod/shop"), None).unwrap();
    }

    #[test]
    fn a_mistake_in_the_file_is_named_with_its_line_and_without_its_value() {
        let err = parse(Path::new("m.toml"), "[env.x]\ndatabase_ulr = 'secret'\n").unwrap_err();
        let message = err.to_string();
        assert!(message.starts_with("m.toml:2: unknown field `database_ulr`"), "{message}");
        assert!(!message.contains("secret"));
    }

    #[test]
    fn an_unknown_environment_is_answered_with_those_that_there_are() {
        let err = config(Some("prod"), None, None).unwrap_err();
        assert_eq!(err.hint().unwrap(), "there are: production");
    }
}
