//! What a person sees of a statement that takes long: a live line, or lines that can be grepped.

use std::{
    cell::Cell,
    fmt,
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
pub(crate) struct Progress {
    version: Version,
    statement: u64,
    statements: u64,
    command: String,
    estimate_ms: Option<u64>,
    earlier_ms: Option<u64>,
    migration_start: Instant,
    /// Whoever sees what it waits for, and how far it has come.
    guard: Option<Guard>,
    /// How far a batched change has come.
    pub(crate) ranges: Option<Ranges>,
    /// Why it stands still by its own will.
    pub(crate) stands_back: Option<String>,
    /// Whether a live line stands on the terminal.
    shown: Cell<bool>,
}

/// How far a change in ranges has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// Rows that the statement has touched.
    pub(crate) touched: u64,
    /// Rows of the table that the ranges have passed, touched or not.
    pub(crate) passed: u64,
    /// Rows of the table, as the last ANALYZE has it.
    pub(crate) total: Option<u64>,
    /// How long the rest takes at the pace so far.
    pub(crate) left_ms: Option<u64>,
}

impl Progress {
    /// Of the `number`th statement of `step`, which began at `migration_start`.
    pub(crate) fn of(
        step: &Step,
        number: u64,
        statement: &Statement,
        migration_start: Instant,
        guard: Option<&Guard>,
    ) -> Progress {
        Progress {
            version: step.version.clone(),
            statement: number,
            statements: step.summary.statements,
            command: statement.tag().to_owned(),
            estimate_ms: step.estimate_ms(),
            earlier_ms: step.earlier_ms,
            migration_start,
            guard: guard.cloned(),
            ranges: None,
            stands_back: None,
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
        let seen = self.guard.as_ref().map(Guard::seen).unwrap_or_default();
        let elapsed_ms = self.migration_start.elapsed().as_millis() as u64;
        let message = self.message(elapsed_ms, &seen);
        if live::is_possible() {
            live::show(&self.line(elapsed_ms, &seen));
            self.shown.set(true);
        } else {
            log::info!("PROGRESS {} {message}", self.version);
        }
        if !ctx.for_people() {
            ctx.emit(Record::MigrationProgress(self.record(elapsed_ms, seen, message)));
        }
    }

    /// Takes the live line away, so that something else can be said.
    pub(crate) fn hide(&self) {
        if self.shown.take() {
            live::show("");
        }
    }

    fn record(&self, elapsed_ms: u64, seen: Seen, message: String) -> MigrationProgress {
        MigrationProgress {
            version: self.version.clone(),
            statement: self.statement,
            statements: self.statements,
            elapsed_ms,
            estimate_ms: self.estimate_ms,
            earlier_ms: self.earlier_ms,
            rows: self.ranges.as_ref().map(|it| it.passed),
            rows_total: self.ranges.as_ref().and_then(|it| it.total),
            eta_ms: self.ranges.as_ref().and_then(|it| it.left_ms),
            phase: seen.phase.as_ref().map(|it| it.name.clone()),
            work_done: seen.phase.as_ref().map(|it| it.done),
            work_total: seen.phase.as_ref().map(|it| it.total).filter(|&it| it > 0),
            work_unit: seen.phase.as_ref().map(|it| it.unit.to_owned()),
            holders: seen.waits_for().map(|it| it.holders.clone()).unwrap_or_default(),
            blocked: seen.victims.len() as u32,
            message,
        }
    }

    /// For a log: what, how far, how long, what it meets.
    fn message(&self, elapsed_ms: u64, seen: &Seen) -> String {
        let (took, blocked) = (self.took(elapsed_ms), blocked(seen));
        format!("{}, {took}{}{blocked}", self.doing(), self.details(seen))
    }

    /// For one line of a terminal: what matters most first, as the rest may not fit.
    fn line(&self, elapsed_ms: u64, seen: &Seen) -> String {
        let (took, blocked) = (self.took(elapsed_ms), blocked(seen));
        let bar = live::bar(self.part(elapsed_ms, seen));
        let details = self.details(seen);
        format!("  {} {bar} {took}{blocked} · {}{details}", self.version, self.doing())
    }

    fn doing(&self) -> String {
        format!("statement {} of {}: {}", self.statement, self.statements, self.command)
    }

    fn took(&self, elapsed_ms: u64) -> String {
        let took = text::took(elapsed_ms);
        let left = self.ranges.as_ref().and_then(|it| it.left_ms);
        match (left, self.estimate_ms, self.earlier_ms) {
            (Some(left), _, _) => format!("{took} elapsed, about {} left", text::took(left)),
            (None, Some(estimate), _) => {
                format!("{took} elapsed of about {}", text::took(estimate))
            }
            (None, None, Some(earlier)) => {
                format!("{took} elapsed, an earlier run took {}", text::took(earlier))
            }
            (None, None, None) => format!("{took} elapsed"),
        }
    }

    /// Which part is done: by the rows, by the server's own count, else by the time it may take.
    fn part(&self, elapsed_ms: u64, seen: &Seen) -> Option<f64> {
        let part = |done: u64, total: u64| (total > 0).then(|| done as f64 / total as f64);
        let rows = self.ranges.as_ref().and_then(|it| part(it.passed, it.total?));
        let counted = seen.phase.as_ref().and_then(|it| part(it.done, it.total));
        let expected = self.estimate_ms.or(self.earlier_ms);
        rows.or(counted).or_else(|| part(elapsed_ms, expected?))
    }

    fn details(&self, seen: &Seen) -> String {
        let mut said = String::new();
        if let Some(ranges) = &self.ranges {
            said += &ranges.to_string();
        }
        if let Some(Phase { name, done, total, unit }) = &seen.phase {
            said += &format!(", {name}");
            if *total > 0 {
                said += &format!(": {done} of {total} {unit} ({} %)", done * 100 / total);
            } else if *done > 0 {
                said += &format!(": {done} {unit}");
            }
        }
        if let Some(reason) = &self.stands_back {
            said += &format!(", waiting: {reason}");
        }
        if let Some(waiting) = seen.waits_for() {
            let holders: Vec<String> = waiting.holders.iter().map(text::holder).collect();
            let table = waiting.table.as_ref();
            let lock = table.map_or("a lock".to_owned(), |it| format!("the lock on {it}"));
            said += &format!(", waiting for {lock} held by {}", holders.join("; "));
        }
        said
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", {} rows", self.touched)?;
        match self.total.filter(|&it| it > self.passed) {
            Some(total) => write!(f, ", {} %", self.passed * 100 / total),
            None => Ok(()),
        }
    }
}

fn blocked(seen: &Seen) -> String {
    match seen.victims.len() {
        0 => String::new(),
        count => format!(", {count} blocked by it"),
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.hide();
    }
}

/// The last PROGRESS line of a migration that took long.
pub(crate) fn done(record: &Record) {
    let (Record::MigrationApplied(it) | Record::MigrationRolledBack(it)) = record else { return };
    if u128::from(it.execution_ms) < QUIET_FOR.as_millis() || live::is_possible() {
        return;
    }
    let estimate = it.estimate_ms.map(|it| format!(" (estimate {})", text::took(it)));
    let took = text::took(it.execution_ms);
    log::info!("PROGRESS {} done in {took}{}", it.version, estimate.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_say_what_is_done_as_far_as_it_is_known() {
        let ranges = |total| Ranges { touched: 7, passed: 50, total, left_ms: None }.to_string();
        assert_eq!(ranges(Some(200)), ", 7 rows, 25 %");
        assert_eq!(ranges(Some(50)), ", 7 rows");
        assert_eq!(ranges(None), ", 7 rows");
    }
}
