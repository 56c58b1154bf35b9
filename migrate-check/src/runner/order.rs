//! Answers come in any order and are told in one: by check, then by object.

use std::collections::BTreeMap;

use migrate_core::{
    record::{Check, CheckReason, CheckStatus},
    text,
};

use super::{
    Limits,
    answer::{Answer, Finding, Said},
    task::{LeftOut, Planned, Task},
};
use crate::{
    definition::{Definition, Need},
    report::Report,
    trouble::Trouble,
};

pub(super) struct InOrder<'a> {
    checks: Vec<State<'a>>,
    timeout_ms: u64,
    /// The first check that is not told to its end.
    at: usize,
}

/// A check under way.
struct State<'a> {
    group: &'static str,
    definition: &'a Definition,
    /// How many answers will come.
    targets: usize,
    waiting: BTreeMap<usize, Answer>,
    /// How many answers are told.
    told: usize,
    found: bool,
    unfinished: usize,
    first_unfinished: Option<(String, Trouble)>,
    left_out: Vec<LeftOut>,
    lacks: Option<Need>,
    failed: Option<Trouble>,
    ms: u64,
    show: usize,
    sample: Option<f64>,
}

impl<'a> InOrder<'a> {
    pub(super) fn new(
        group: &'static str,
        definitions: &[&'a Definition],
        limits: &Limits,
    ) -> InOrder<'a> {
        let state = |&definition: &&'a Definition| State {
            group,
            definition,
            targets: 0,
            waiting: BTreeMap::new(),
            told: 0,
            found: false,
            unfinished: 0,
            first_unfinished: None,
            left_out: Vec::new(),
            lacks: None,
            failed: None,
            ms: 0,
            show: limits.show as usize,
            sample: limits.sample.filter(|_| definition.name == "orphans"),
        };
        InOrder {
            checks: definitions.iter().map(state).collect(),
            timeout_ms: limits.timeout.as_millis() as u64,
            at: 0,
        }
    }

    pub(super) fn skip(&mut self, check: usize, need: &Need) {
        self.checks[check].lacks = Some(need.clone());
    }

    pub(super) fn expect(&mut self, check: usize, targets: usize) {
        self.checks[check].targets = targets;
    }

    pub(super) fn plan(&mut self, check: usize, planned: Planned, tasks: &mut Vec<Task>) {
        match planned {
            Planned::Failed(trouble) => self.checks[check].failed = Some(trouble),
            Planned::Targets { tasks: found, left_out } => {
                self.expect(check, found.len());
                self.checks[check].left_out = left_out;
                tasks.extend(found);
            }
        }
    }

    pub(super) fn take(&mut self, answer: Answer) {
        self.checks[answer.task.check].waiting.insert(answer.task.target, answer);
    }

    /// Tells what can be told by now.
    pub(super) fn say(&mut self, report: &mut Report<'_>) {
        while let Some(state) = self.checks.get_mut(self.at) {
            while let Some(answer) = state.waiting.remove(&state.told) {
                state.told += 1;
                state.answer(answer, report);
            }
            if state.told < state.targets {
                return;
            }
            state.end(self.timeout_ms, report);
            self.at += 1;
        }
    }
}

impl State<'_> {
    fn answer(&mut self, answer: Answer, report: &mut Report<'_>) {
        let Answer { task, said, ms } = answer;
        self.ms += ms;
        match said {
            Said::Well => (),
            Said::Counted { count, rows } => {
                let message = self.definition.found.replace("{count}", &count.to_string());
                let message = message + &self.of_sample();
                self.found = true;
                report.say(Check {
                    object: task.object,
                    count: Some(count),
                    rows,
                    fix: task.fix.or_else(|| self.definition.fix.clone()),
                    ms,
                    ..self.check(CheckStatus::Fail, message)
                });
            }
            Said::Findings(findings) => {
                self.found = !findings.is_empty();
                for finding in findings {
                    report.say(self.finding(finding, ms));
                }
            }
            Said::Trouble(trouble) if trouble.reason == CheckReason::NotFinished => {
                self.unfinished += 1;
                let object = task.object.unwrap_or_default();
                self.first_unfinished.get_or_insert((object, trouble));
            }
            Said::Trouble(trouble) => {
                self.found = true;
                let fix = task.fix.filter(|_| trouble.reason == CheckReason::Damage);
                let check = Check { object: task.object, fix, ms, ..self.trouble(trouble) };
                report.say(check);
            }
        }
    }

    /// What is left to say once all answers are in.
    fn end(&mut self, timeout_ms: u64, report: &mut Report<'_>) {
        if let Some(need) = &self.lacks {
            let reason = if *need == Need::Monitor {
                CheckReason::Unknown
            } else {
                CheckReason::NotApplicable
            };
            let said = if reason == CheckReason::Unknown { "unknown" } else { "not looked at" };
            report.say(Check {
                reason: Some(reason),
                ..self.check(CheckStatus::Skip, format!("{said}: it needs {}", need.describe()))
            });
            return;
        }
        if let Some(trouble) = self.failed.take() {
            report.say(match trouble.reason {
                CheckReason::NotFinished => {
                    self.not_finished(Some((String::new(), trouble)), timeout_ms)
                }
                _ => self.trouble(trouble),
            });
            return;
        }
        if self.unfinished > 0 {
            let first = self.first_unfinished.take();
            report.say(self.not_finished(first, timeout_ms));
        } else if !self.found {
            let looked_at = self.targets.to_string();
            let message = self.definition.pass.replace("{targets}", &looked_at);
            let message = message + &self.of_sample();
            report.say(Check {
                count: Some(0),
                reason: self.sample.map(|_| CheckReason::Sample),
                ms: self.ms,
                hint: None,
                ..self.check(CheckStatus::Pass, message)
            });
        }
        self.left_out(report);
    }

    /// What was not looked at, for each reason why.
    fn left_out(&mut self, report: &mut Report<'_>) {
        let mut rest = std::mem::take(&mut self.left_out);
        while let Some(LeftOut { message, reason, .. }) = rest.first() {
            let (message, reason) = (message.clone(), *reason);
            let (same, other): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|it| it.message == message);
            rest = other;
            let objects: Vec<&str> =
                same.iter().take(self.show).map(|it| it.object.as_str()).collect();
            let more = if objects.len() < same.len() { ", …" } else { "" };
            report.say(Check {
                object: Some(same[0].object.clone()),
                count: Some(same.len() as i64),
                reason: Some(reason),
                hint: None,
                ..self.check(
                    CheckStatus::Skip,
                    format!("not looked at: {message} ({}{more})", objects.join(", ")),
                )
            });
        }
    }

    fn of_sample(&self) -> String {
        self.sample.map(|it| format!(" (in a sample of {it} %)")).unwrap_or_default()
    }

    fn not_finished(&self, first: Option<(String, Trouble)>, timeout_ms: u64) -> Check {
        let mut message = format!("not finished within {}", text::took(timeout_ms));
        if self.definition.each.is_some() && self.targets > 0 {
            let done = self.targets - self.unfinished;
            message += &format!(": {done} of {} were looked at", self.targets);
        }
        let (object, trouble) = match first {
            Some((object, trouble)) => (Some(object).filter(|it| !it.is_empty()), Some(trouble)),
            None => (None, None),
        };
        let locked = trouble.as_ref().is_some_and(Trouble::is_locked_out);
        if locked {
            message = "not finished: somebody else holds a lock on the table".to_owned();
        }
        Check {
            object,
            reason: Some(CheckReason::NotFinished),
            hint: Some(if locked {
                "`migrate-check activity` shows who blocks whom".to_owned()
            } else {
                "give it more time with `--timeout`, or more sessions with `--jobs`".to_owned()
            }),
            sqlstate: trouble.and_then(|it| it.sqlstate),
            ms: self.ms,
            ..self.check(CheckStatus::Fail, message)
        }
    }

    fn trouble(&self, trouble: Trouble) -> Check {
        let hint = match (trouble.reason, trouble.sqlstate.as_deref()) {
            (CheckReason::Damage, _) => self.definition.hint.clone(),
            (_, Some("42501")) => {
                "this role may not read it: grant SELECT, or run as its owner".to_owned()
            }
            _ => "the check could not be done, so nobody knows whether all is well".to_owned(),
        };
        Check {
            reason: Some(trouble.reason),
            sqlstate: trouble.sqlstate,
            hint: Some(hint),
            ..self.check(CheckStatus::Fail, trouble.message)
        }
    }

    fn finding(&self, finding: Finding, ms: u64) -> Check {
        let well = finding.status <= CheckStatus::Skip;
        Check {
            object: finding.object,
            count: finding.count,
            hint: finding.hint.or_else(|| (!well).then(|| self.definition.hint.clone())),
            fix: finding.fix,
            reason: finding.reason,
            ms,
            ..self.check(finding.status, finding.message)
        }
    }

    fn check(&self, status: CheckStatus, message: String) -> Check {
        self.definition.check(self.group, status, message)
    }
}
