//! What a person sees of a statement that takes long: a live line, or lines that can be grepped.

use std::{
    cell::Cell,
    io::{IsTerminal, Write},
    time::Duration,
};

use migrate_core::{
    ctx::Ctx,
    interrupt,
    migration::version::Version,
    record::{MigrationProgress, Record},
    text,
};

/// Nothing is said of what is done by then.
const QUIET_FOR: Duration = Duration::from_secs(2);

/// Where a migration stands. The live line goes when this is dropped, before anything else is said.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) version: Version,
    pub(crate) statement: u64,
    pub(crate) statements: u64,
    pub(crate) command: String,
    pub(crate) estimate_ms: Option<u64>,
    pub(crate) migration_start: std::time::Instant,
    /// Whether a live line stands on the terminal.
    pub(crate) shown: Cell<bool>,
}

impl Progress {
    /// Says how long it has taken, once it has taken long.
    pub(crate) fn tick(&self, elapsed: Duration, ctx: &mut Ctx) {
        if interrupt::received().is_some() {
            // The first request may have come in front of this statement.
            interrupt::cancel_running();
        }
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
            self.shown.set(true);
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

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.get() {
            live_line("");
        }
    }
}

/// The last PROGRESS line of a migration that took long.
pub(crate) fn done(record: &Record) {
    let (Record::MigrationApplied(it) | Record::MigrationRolledBack(it)) = record else { return };
    if u128::from(it.execution_ms) < QUIET_FOR.as_millis() || std::io::stderr().is_terminal() {
        return;
    }
    let estimate = it.estimate_ms.map(|it| format!(" (estimate {})", text::took(it)));
    let took = text::took(it.execution_ms);
    log::info!("PROGRESS {} done in {took}{}", it.version, estimate.unwrap_or_default());
}

fn live_line(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // Back to the start, clear to the end; without wrapping, or a narrow terminal would scroll.
    let _ = write!(stderr, "\r\x1b[K\x1b[?7l{text}\x1b[?7h");
    let _ = stderr.flush();
}
