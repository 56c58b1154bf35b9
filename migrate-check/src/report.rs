//! The answers as they come: said at once, counted for the summary and the exit code.

use std::time::Instant;

use migrate_core::{
    ctx::Ctx,
    exit::Exit,
    record::{Check, CheckReason, CheckStatus, CheckSummary, Record},
};

/// The checks of one run.
pub(crate) struct Report<'a> {
    ctx: &'a mut Ctx,
    group: &'static str,
    database: String,
    began: Instant,
    seen: Vec<Seen>,
}

/// The worst that was said of one check.
struct Seen {
    name: String,
    status: CheckStatus,
    not_finished: bool,
    unknown: bool,
}

impl<'a> Report<'a> {
    pub(crate) fn new(group: &'static str, ctx: &'a mut Ctx) -> Report<'a> {
        Report { ctx, group, database: String::new(), began: Instant::now(), seen: Vec::new() }
    }

    /// Which database the answers are about, once there is a connection.
    pub(crate) fn about(&mut self, database: &str) {
        self.database = database.to_owned();
    }

    pub(crate) fn group(&self) -> &'static str {
        self.group
    }

    pub(crate) fn ctx(&mut self) -> &mut Ctx {
        self.ctx
    }

    pub(crate) fn say(&mut self, check: Check) {
        let at = self.seen.iter().position(|it| it.name == check.name).unwrap_or_else(|| {
            self.seen.push(Seen {
                name: check.name.clone(),
                status: CheckStatus::Skip,
                not_finished: false,
                unknown: false,
            });
            self.seen.len() - 1
        });
        let seen = &mut self.seen[at];
        // A part that was skipped doesn't take away from what was found to be well.
        seen.status = match (seen.status, check.status) {
            (CheckStatus::Skip, other) | (other, CheckStatus::Skip) => other,
            (one, other) => one.max(other),
        };
        seen.not_finished |= check.reason == Some(CheckReason::NotFinished);
        seen.unknown |= check.reason == Some(CheckReason::Unknown);
        self.ctx.emit(Record::Check(check));
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.seen.iter().any(|it| it.name == name)
    }

    /// Exit 1 if any failed.
    pub(crate) fn finish(self) -> Exit {
        let count = |status| self.seen.iter().filter(|it| it.status == status).count() as u32;
        let fail = count(CheckStatus::Fail);
        self.ctx.emit(Record::CheckSummary(CheckSummary {
            group: self.group.to_owned(),
            checks: self.seen.len() as u32,
            pass: count(CheckStatus::Pass),
            warn: count(CheckStatus::Warn),
            fail,
            skip: count(CheckStatus::Skip),
            not_finished: self.seen.iter().filter(|it| it.not_finished).count() as u32,
            unknown: self.seen.iter().filter(|it| it.unknown).count() as u32,
            database: self.database,
            ms: self.began.elapsed().as_millis() as u64,
        }));
        if fail > 0 { Exit::No } else { Exit::Ok }
    }
}
