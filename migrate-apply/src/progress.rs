//! What a person sees of a statement that takes long: a live line, or lines that can be grepped.

use std::{
    cell::Cell,
    io::IsTerminal,
    time::{Duration, Instant},
};

use migrate_core::{
    ctx::Ctx,
    interrupt, live,
    migration::version::Version,
    record::{MigrationProgress, Record},
    sql::split::Statement,
    text,
};

use crate::{
    guard::{Guard, Phase, Seen},
    step::Step,
};

/// Nothing is said of what is done by then.
const QUIET_FOR: Duration = Duration::from_secs(2);

/// Where a migration stands. The live line goes when this is dropped, before anything else is said.
pub(crate) struct Progress<'a> {
    pub(crate) version: Version,
    pub(crate) statement: u64,
    pub(crate) statements: u64,
    pub(crate) command: String,
    pub(crate) estimate_ms: Option<u64>,
    pub(crate) migration_start: Instant,
    /// Whoever sees what it waits for, and how far it has come.
    pub(crate) guard: Option<&'a Guard>,
    /// Whether a live line stands on the terminal.
    pub(crate) shown: Cell<bool>,
}

impl<'a> Progress<'a> {
    /// Of the `number`th statement of `step`, which began at `migration_start`.
    pub(crate) fn of(
        step: &Step,
        number: u64,
        statement: &Statement,
        migration_start: Instant,
        guard: Option<&'a Guard>,
    ) -> Progress<'a> {
        Progress {
            version: step.version.clone(),
            statement: number,
            statements: step.summary.statements,
            command: statement.tag().to_owned(),
            estimate_ms: step.estimate_ms(),
            migration_start,
            guard,
            shown: Cell::default(),
        }
    }

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
        let seen = self.guard.map(Guard::seen).unwrap_or_default();
        message += &details(&seen);
        if std::io::stderr().is_terminal() {
            live::show(&format!("  {} {message}", live::bar(self.part(elapsed_ms, &seen))));
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
                phase: seen.phase.as_ref().map(|it| it.name.clone()),
                work_done: seen.phase.as_ref().map(|it| it.done),
                work_total: seen.phase.as_ref().map(|it| it.total).filter(|&it| it > 0),
                work_unit: seen.phase.as_ref().map(|it| it.unit.to_owned()),
                holders: seen.waits_for().map(|it| it.holders.clone()).unwrap_or_default(),
                blocked: seen.victims.len() as u32,
                message,
            }));
        }
    }
}

impl Progress<'_> {
    /// Which part is done: by the server's own count, else by the estimate.
    fn part(&self, elapsed_ms: u64, seen: &Seen) -> Option<f64> {
        let part = |done: u64, total: u64| (total > 0).then(|| done as f64 / total as f64);
        let counted = seen.phase.as_ref().and_then(|it| part(it.done, it.total));
        counted.or_else(|| part(elapsed_ms, self.estimate_ms?))
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.shown.get() {
            live::show("");
        }
    }
}

/// What is seen of it from outside, in words.
fn details(seen: &Seen) -> String {
    let mut said = String::new();
    if let Some(Phase { name, done, total, unit }) = &seen.phase {
        said += &format!(", {name}");
        if *total > 0 {
            said += &format!(": {done} of {total} {unit} ({} %)", done * 100 / total);
        } else if *done > 0 {
            said += &format!(": {done} {unit}");
        }
    }
    if let Some(waiting) = seen.waits_for() {
        let holders: Vec<String> = waiting.holders.iter().map(text::holder).collect();
        let lock =
            waiting.table.as_ref().map_or("a lock".to_owned(), |it| format!("the lock on {it}"));
        said += &format!(", waiting for {lock} held by {}", holders.join("; "));
    }
    if !seen.victims.is_empty() {
        said += &format!(", {} blocked by it", seen.victims.len());
    }
    said
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
