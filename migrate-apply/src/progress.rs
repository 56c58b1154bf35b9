//! What a person sees of a statement that takes long: a live line, or lines that can be grepped.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use migrate_core::{
    ctx::Ctx,
    migration::version::Version,
    record::{MigrationProgress, Record},
    text,
};

/// Nothing is said of what is done by then.
const QUIET_FOR: Duration = Duration::from_secs(2);

/// Where a migration stands.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) version: Version,
    pub(crate) statement: u64,
    pub(crate) statements: u64,
    pub(crate) command: String,
    pub(crate) estimate_ms: Option<u64>,
    pub(crate) migration_start: std::time::Instant,
}

impl Progress {
    /// Says how long it has taken, once it has taken long.
    pub(crate) fn tick(&self, elapsed: Duration, ctx: &mut Ctx) {
        if elapsed < QUIET_FOR {
            return;
        }
        let elapsed_ms = self.migration_start.elapsed().as_millis() as u64;
        let mut message = format!(
            "statement {} of {}: {}, {} elapsed",
            self.statement,
            self.statements,
            self.command,
            text::took(elapsed_ms)
        );
        if let Some(estimate) = self.estimate_ms {
            message += &format!(" of about {}", text::took(estimate));
        }
        if std::io::stderr().is_terminal() {
            live_line(&format!("  … {message}"));
        } else {
            log::info!("PROGRESS {} {message}", self.version);
        }
        if !ctx.for_people() {
            ctx.emit(Record::MigrationProgress(MigrationProgress {
                version: self.version.clone(),
                statement: self.statement,
                statements: self.statements,
                elapsed_ms,
                estimate_ms: self.estimate_ms,
                message,
            }));
        }
    }
}

/// Removes the live line before something else is written.
pub(crate) fn clear_live_line() {
    if std::io::stderr().is_terminal() {
        live_line("");
    }
}

fn live_line(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // Back to the start of the line, and clear it to its end.
    let _ = write!(stderr, "\r\x1b[K{text}");
    let _ = stderr.flush();
}
