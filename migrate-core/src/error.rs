//! Everything that can go wrong, in words for the person on call.

use std::{fmt, io, path::PathBuf};

use tokio_postgres::error::SqlState;

use crate::{exit::Exit, migration::version::Version};

pub type Result<T, E = Error> = std::result::Result<T, E>;
/// What the driver says: the server's error, or a broken connection.
pub type PgError = tokio_postgres::Error;

/// A place in a file that a person can open; line and column start at 1, column counts characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub file: String,
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A statement of a migration that the server refused, with all that it said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatementError {
    pub at: Option<Location>,
    /// Which statement, from 1; none for an error at COMMIT.
    pub statement: Option<u64>,
    /// The line itself with a caret under the place.
    pub excerpt: Option<String>,
    pub sqlstate: Option<String>,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// The server's CONTEXT, such as the function that raised it.
    pub context: Option<String>,
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        write!(f, "{}", self.message)?;
        if let Some(sqlstate) = &self.sqlstate {
            write!(f, " (SQLSTATE {sqlstate})")?;
        }
        Ok(())
    }
}

/// What a failed step left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Everything is as before the step.
    Nothing,
    /// Some statements are done and recorded.
    Part,
    /// It was a dry run.
    Untouched,
}

/// One variant per situation a user can tell apart; the cause is kept as `source`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQL text or a directive that cannot be used; nothing was sent to the server.
    #[error("{at}: {message}")]
    Sql { at: Location, message: String, hint: Option<String> },
    /// A migration file or folder that cannot be used: its name, encoding, kind, versions.
    #[error("{file}: {message}")]
    MigrationFile { file: String, message: String, hint: Option<String> },
    #[error("cannot read the migrations folder {}", path.display())]
    MigrationFolder { path: PathBuf, source: io::Error },
    /// Connection settings that are wrong or that cannot be honoured.
    #[error("{message}")]
    Settings { message: String, hint: Option<String> },
    /// Flags, configuration or input that make no sense; nothing was done.
    #[error("{message}")]
    Usage { message: String, hint: Option<String> },
    #[error("cannot connect to {target}")]
    Connect {
        target: String,
        hint: Option<String>,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The private server of `embedded:DIR` cannot be started or reached.
    #[error("{message}")]
    Embedded { message: String, hint: Option<String> },
    /// PostgreSQL's programs are not installed where we look.
    #[error("{message}")]
    NoPrograms { message: String, hint: Option<String> },
    #[error("cannot read {}", path.display())]
    ReadFile { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    WriteFile { path: PathBuf, source: io::Error },
    #[error("cannot run `{program}`")]
    Start { program: String, source: io::Error },
    #[error("`{program}` failed with {status}: {stderr}")]
    Program { program: String, status: String, stderr: String },
    /// A query of ours, not of a migration.
    #[error("cannot {doing}")]
    Database { doing: &'static str, source: PgError },
    /// A rule of safety says no; nothing changed.
    #[error("{message}")]
    Refused { kind: &'static str, message: String, hint: Option<String> },
    #[error(
        "migration {version} `{name}` was changed after it was applied ({applied} then, {file} now)"
    )]
    Changed { version: Version, name: String, applied: String, file: String },
    #[error("the lock `{lock}` is held by {holder}")]
    LockHeld { lock: String, holder: String, waited: String },
    /// A lease past its time, whose session lives and may still change something.
    #[error("the lease on `{lock}` is past its time, but is still held by {holder}")]
    Orphan { lock: String, holder: String },
    #[error("the lease on `{lock}` (token {token}) was lost: {why}")]
    LeaseLost { lock: String, token: i64, why: String },
    #[error("cannot open the store of backups {}", path.display())]
    Store { path: PathBuf, source: io::Error },
    /// Others use the backups that are to be removed, or remove some.
    #[error("the store {} is in use by {holders} (waited {waited})", store.display())]
    StoreBusy { store: PathBuf, holders: String, waited: String },
    #[error("migration {version} `{name}` failed: {error}")]
    Statement { version: Version, name: String, error: Box<StatementError>, left: Left },
    #[error("migration {version} `{name}` did not get its table locks in {budget}: {error}")]
    LocksBusy { version: Version, name: String, error: Box<StatementError>, budget: String },
    #[error(
        "migration {version} `{name}` blocked others for more than {limit} whenever it was tried \
         in {budget}: {victims}"
    )]
    OthersBlocked { version: Version, name: String, limit: String, budget: String, victims: String },
    #[error("the connection was lost while migration {version} `{name}` ran")]
    ConnectionLost { version: Version, name: String, left: Left, source: PgError },
    #[error(
        "the connection was lost at COMMIT of migration {version} `{name}`, and whether it took \
         place could not be found out (transaction {xid} of system {system})"
    )]
    CommitUnknown { version: Version, name: String, xid: i64, system: String },
    #[error("interrupted by signal {signal}: {state}")]
    Interrupted { signal: u8, state: String },
}

impl Error {
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Usage { message: message.into(), hint: Some(hint.into()) }
    }

    pub fn refused(
        kind: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Error {
        Error::Refused { kind, message: message.into(), hint: Some(hint.into()) }
    }

    /// For `map_err`, on a query of ours.
    pub fn database(doing: &'static str) -> impl FnOnce(PgError) -> Error {
        move |source| Error::Database { doing, source }
    }

    /// Exhaustive on purpose: a new error must choose its exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Sql { .. }
            | Error::MigrationFile { .. }
            | Error::Settings { .. }
            | Error::Usage { .. } => Exit::Usage,
            Error::LockHeld { .. }
            | Error::Orphan { .. }
            | Error::StoreBusy { .. }
            | Error::LocksBusy { .. }
            | Error::OthersBlocked { .. } => Exit::Busy,
            Error::Database { source, .. }
                if source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) =>
            {
                Exit::Busy
            }
            // A trigger's or an event trigger's own no; the transaction that met it is rolled back.
            Error::Database { source, .. } if source.code() == Some(&SqlState::RAISE_EXCEPTION) => {
                Exit::Refused
            }
            Error::Connect { .. }
            | Error::Database { .. }
            | Error::Embedded { .. }
            | Error::MigrationFolder { .. }
            | Error::NoPrograms { .. }
            | Error::ReadFile { .. }
            | Error::Store { .. }
            | Error::WriteFile { .. }
            | Error::Start { .. }
            | Error::Program { .. } => Exit::Unavailable,
            Error::Refused { .. } | Error::Changed { .. } => Exit::Refused,
            Error::Statement { left: Left::Nothing | Left::Untouched, .. }
            | Error::ConnectionLost { left: Left::Nothing | Left::Untouched, .. }
            | Error::LeaseLost { .. } => Exit::Failed,
            Error::Statement { left: Left::Part, .. }
            | Error::ConnectionLost { left: Left::Part, .. } => Exit::Partial,
            Error::CommitUnknown { .. } => Exit::Unknown,
            Error::Interrupted { signal, .. } => Exit::Signal(*signal),
        }
    }

    /// A stable word for the situation, for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Sql { .. } => "sql",
            Error::MigrationFile { .. } => "migration_file",
            Error::Settings { .. } => "settings",
            Error::Usage { .. } => "usage",
            Error::Connect { .. } => "connect",
            Error::Embedded { .. } => "embedded",
            Error::MigrationFolder { .. } => "migration_folder",
            Error::NoPrograms { .. } => "no_programs",
            Error::ReadFile { .. } => "read_file",
            Error::WriteFile { .. } => "write_file",
            Error::Start { .. } | Error::Program { .. } => "program",
            Error::Database { .. } => "database",
            Error::Refused { kind, .. } => kind,
            Error::Changed { .. } => "changed",
            Error::LockHeld { .. } => "lock_held",
            Error::Orphan { .. } => "orphan",
            Error::LeaseLost { .. } => "lease_lost",
            Error::Store { .. } => "store",
            Error::StoreBusy { .. } => "store_busy",
            Error::Statement { .. } => "statement_failed",
            Error::LocksBusy { .. } => "locks_busy",
            Error::OthersBlocked { .. } => "others_blocked",
            Error::ConnectionLost { .. } => "connection_lost",
            Error::CommitUnknown { .. } => "commit_unknown",
            Error::Interrupted { .. } => "interrupted",
        }
    }

    /// What to do next, where there is something better than reading the message again.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Sql { hint, .. }
            | Error::MigrationFile { hint, .. }
            | Error::Settings { hint, .. }
            | Error::Usage { hint, .. }
            | Error::Connect { hint, .. }
            | Error::Embedded { hint, .. }
            | Error::NoPrograms { hint, .. }
            | Error::Refused { hint, .. } => hint.clone(),
            Error::MigrationFolder { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some(
                    "`migrate-apply new NAME` makes it with a first file; `--migrations DIR` \
                     names another"
                        .into(),
                )
            }
            Error::Changed { .. } => Some(
                "restore the file as it was applied, and put the change in a new migration".into(),
            ),
            Error::LockHeld { .. } => Some(
                "look with `migrate-lock status`; wait longer with `--wait`, or end the holder"
                    .into(),
            ),
            Error::Orphan { .. } => Some(
                "wait for its end, or end it with `migrate-lock break --expired --kill-orphan`: \
                 what it has not committed is rolled back"
                    .into(),
            ),
            Error::Store { source, .. } if source.kind() == io::ErrorKind::NotFound => Some(
                "`migrate-backup create` makes it with a first backup; `--backups DIR` names another"
                    .into(),
            ),
            Error::StoreBusy { .. } => {
                Some("try again when it has ended, or wait longer with `--wait`".into())
            }
            Error::LocksBusy { .. } => Some(
                "end the session that holds the table, or run again when it is quieter; \
                 `--retry-budget` says how long to try"
                    .into(),
            ),
            Error::OthersBlocked { .. } => Some(
                "make it shorter (smaller steps, CONCURRENTLY, NOT VALID), run it when it is \
                 quieter, or let others wait longer with `--block-limit`"
                    .into(),
            ),
            Error::Statement { left: Left::Part, .. }
            | Error::ConnectionLost { left: Left::Part, .. } => Some(
                "mend the cause and run `migrate-apply up` again: it goes on where this stopped; \
                 or decide with `migrate-apply resolve`"
                    .into(),
            ),
            Error::Database { source, .. }
                if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) =>
            {
                Some(
                    "this role lacks a right: connect as the owner of the ledger, grant it, or \
                     keep the ledger elsewhere with `--ledger-schema`"
                        .into(),
                )
            }
            Error::Database { source, .. } if source.code() == Some(&SqlState::RAISE_EXCEPTION) => {
                Some(
                    "a trigger or event trigger of this database said so: let it pass the \
                     ledger's own tables, `_migration_…`"
                        .into(),
                )
            }
            Error::Statement { error, left: Left::Nothing, .. }
                if error.sqlstate.as_deref().is_some_and(|it| ["2D000", "25001"].contains(&it)) =>
            {
                Some(
                    "it cannot run in a transaction: move it to a migration that begins with \
                     `-- migrate:up transaction:false`"
                        .into(),
                )
            }
            Error::ConnectionLost { left: Left::Nothing, .. } => {
                Some("nothing of it was committed: run again when the server is back".into())
            }
            Error::CommitUnknown { xid, .. } => Some(format!(
                "run `migrate-apply up` again when the server is back: the history tells whether \
                 it took place; by hand: select txid_status({xid})"
            )),
            Error::LeaseLost { .. } => Some(
                "what was not committed is rolled back; see who has the lock with `migrate-lock status`".into(),
            ),
            _ => None,
        }
    }
}
