//! What is said of each part of a rehearsal, and which of them failed.

use std::time::Instant;

use migrate_core::{
    connect::session::Session,
    ctx::Ctx,
    error::Result,
    inventory::{Inventory, diff},
    record::{Check, CheckReason, CheckStatus, RehearsedQueries},
};

use super::{check, program::Ended, queries::Broken};
use crate::report::Report;

/// More differences or statements than these are counted only.
const SHOWN: usize = 50;

pub(super) struct Stage<'a, 'b> {
    report: &'a mut Report<'b>,
    failed: Vec<String>,
}

impl<'a, 'b> Stage<'a, 'b> {
    pub(super) fn new(report: &'a mut Report<'b>) -> Stage<'a, 'b> {
        Stage { report, failed: Vec::new() }
    }

    pub(super) fn ctx(&mut self) -> &Ctx {
        self.report.ctx()
    }

    /// The names of the checks that failed, in order.
    pub(super) fn failed(self) -> Vec<String> {
        self.failed
    }

    pub(super) fn inventory(&self, copy: &Session) -> Result<Inventory> {
        Inventory::read(copy, None)
    }

    fn say(&mut self, check: Check) {
        if check.status == CheckStatus::Fail && !self.failed.contains(&check.name) {
            self.failed.push(check.name.clone());
        }
        self.report.say(check);
    }

    /// Whether a tool that ran on the copy ended well.
    pub(super) fn ended(&mut self, name: &str, ended: &Ended, well: &str, began: Instant) {
        let ms = began.elapsed().as_millis() as u64;
        if ended.is_ok() {
            self.say(Check { ms, ..check(name, well) });
            return;
        }
        let error = ended.error();
        self.say(Check {
            status: CheckStatus::Fail,
            hint: error.and_then(|it| it.hint.clone()),
            sqlstate: error.and_then(|it| it.sqlstate.clone()),
            file: error.and_then(|it| it.file.clone()),
            line: error.and_then(|it| it.line),
            ms,
            ..check(name, ended.why())
        });
    }

    /// Whether everything could be rolled back. To have no way down is no failure.
    pub(super) fn down(&mut self, down: &Ended, began: Instant) -> bool {
        if down.error().is_some_and(|it| it.kind == "irreversible") {
            self.say(Check {
                status: CheckStatus::Skip,
                reason: Some(CheckReason::NotApplicable),
                hint: Some("plan to restore a backup, or write the down part".to_owned()),
                ms: began.elapsed().as_millis() as u64,
                ..check("down", down.why())
            });
            return false;
        }
        self.ended("down", down, "all of it was rolled back", began);
        down.is_ok()
    }

    /// Whether two schemas are the same; each object that differs is named.
    pub(super) fn same(
        &mut self,
        name: &str,
        expected: &Inventory,
        found: &Inventory,
        then: &str,
    ) -> bool {
        let differences = diff(expected, found);
        if differences.is_empty() {
            self.say(check(name, format!("the schema is as it was {then}")));
            return true;
        }
        for it in differences.iter().take(SHOWN) {
            self.say(Check {
                status: CheckStatus::Fail,
                object: Some(it.name.clone()),
                count: Some(1),
                hint: Some(format!("expected is what was there {then}")),
                ..check(name, format!("{} {}", it.kind, it.change))
            });
        }
        self.more(name, differences.len());
        false
    }

    pub(super) fn queries(&mut self, broken: &[Broken], counts: RehearsedQueries) {
        if broken.is_empty() {
            let mut message =
                format!("{} statements of the application still mean something", counts.checked);
            if counts.not_checkable > 0 {
                message += &format!("; {} could not be checked", counts.not_checkable);
            }
            self.say(Check { count: Some(0), ..check("queries", message) });
        }
        for it in broken.iter().take(SHOWN) {
            let text: String = it.query.text.split_whitespace().collect::<Vec<_>>().join(" ");
            let text: String = text.chars().take(200).collect();
            self.say(Check {
                status: CheckStatus::Fail,
                count: it.query.calls,
                sqlstate: Some(it.sqlstate.clone()),
                hint: Some(
                    "the running application needs it until its next release is out".to_owned(),
                ),
                ..check("queries", format!("{}: {text}", it.why))
            });
        }
        self.more("queries", broken.len());
    }

    pub(super) fn no_queries(&mut self) {
        self.say(Check {
            status: CheckStatus::Skip,
            reason: Some(CheckReason::Unknown),
            hint: Some(
                "create extension pg_stat_statements, or name a file with `--queries`".to_owned(),
            ),
            ..check("queries", "nobody knows which statements the application runs")
        });
    }

    fn more(&mut self, name: &str, all: usize) {
        if all > SHOWN {
            self.say(Check {
                status: CheckStatus::Fail,
                count: Some((all - SHOWN) as i64),
                ..check(name, format!("and {} more", all - SHOWN))
            });
        }
    }
}
