//! Which database a tool works on: one that libpq's conventions name, or a private one.

use std::path::PathBuf;

use super::settings::Settings;
use crate::{error::Result, server::embedded::Embedded};

const EMBEDDED: &str = "embedded:";

/// A database by name; nothing is started or connected yet.
#[derive(Debug, Clone)]
pub enum Target {
    Libpq(Box<Settings>),
    Embedded(PathBuf),
}

/// A database that can be connected to; a private server runs as long as this lives.
pub struct Database {
    settings: Settings,
    _embedded: Option<Embedded>,
}

impl Target {
    /// `variables` looks up environment variables.
    pub fn resolve(
        dsn: Option<&str>,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Target> {
        match dsn.and_then(|it| it.strip_prefix(EMBEDDED)) {
            Some(dir) => Ok(Target::Embedded(dir.into())),
            None => Ok(Target::Libpq(Box::new(Settings::resolve(dsn, variables)?))),
        }
    }

    /// Whether both mean the same host, port and database.
    pub fn same_place(&self, other: &Target) -> bool {
        match (self, other) {
            (Target::Libpq(one), Target::Libpq(two)) => one.same_place(two),
            (Target::Embedded(one), Target::Embedded(two)) => one == two,
            _ => false,
        }
    }

    /// For messages; never with a password.
    pub fn describe(&self) -> String {
        match self {
            Target::Libpq(settings) => settings.describe(),
            Target::Embedded(dir) => format!("{EMBEDDED}{}", dir.display()),
        }
    }

    /// Makes sure that there is a server to connect to.
    pub fn database(&self) -> Result<Database> {
        match self {
            Target::Libpq(settings) => Ok(Database::of((**settings).clone())),
            Target::Embedded(dir) => {
                let embedded = Embedded::start(dir)?;
                // The private server has settings of its own: PG* variables mean another one.
                let settings = Settings::resolve(Some(&embedded.dsn()), &|_| None)?;
                Ok(Database { settings, _embedded: Some(embedded) })
            }
        }
    }
}

impl Database {
    /// A database of a server that runs by itself.
    pub(crate) fn of(settings: Settings) -> Database {
        Database { settings, _embedded: None }
    }

    /// A database of a private server, which runs as long as this lives.
    pub(crate) fn of_private(server: Embedded, settings: Settings) -> Database {
        Database { settings, _embedded: Some(server) }
    }

    /// Another database of the same server, for as long as that runs.
    pub fn beside(&self, name: &str) -> Database {
        let mut settings = self.settings.clone();
        settings.set_dbname(name.to_owned());
        Database::of(settings)
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// For messages; never with a password.
    pub fn describe(&self) -> String {
        self.settings.describe()
    }
}
