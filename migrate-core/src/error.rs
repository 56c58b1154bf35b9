//! Everything that can go wrong, in words for the person on call.

use std::{fmt, io, path::PathBuf};

use crate::exit::Exit;

pub type Result<T, E = Error> = std::result::Result<T, E>;

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
}

impl Error {
    /// Exhaustive on purpose: a new error must choose its exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Sql { .. } | Error::MigrationFile { .. } | Error::Settings { .. } => Exit::Usage,
            Error::Connect { .. }
            | Error::Embedded { .. }
            | Error::NoPrograms { .. }
            | Error::ReadFile { .. }
            | Error::WriteFile { .. }
            | Error::Start { .. }
            | Error::Program { .. } => Exit::Unavailable,
        }
    }

    /// What to do next, where there is something better than reading the message again.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Sql { hint, .. }
            | Error::MigrationFile { hint, .. }
            | Error::Settings { hint, .. }
            | Error::Connect { hint, .. }
            | Error::Embedded { hint, .. }
            | Error::NoPrograms { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }
}
