//! Runs the queries of files one after another, and makes records of what they say.

use std::time::Instant;

use migrate_core::{
    connect::session::Session,
    error::Result,
    interrupt,
    record::{Check, CheckReason, CheckStatus, QueryFinished, QueryRow, Record},
    text,
};

use crate::{
    ask::{self, Asked, Kept},
    check_file::{CheckFile, Step, StepKind},
    report::Report,
    runner::{self, Limits},
    selection::Selection,
    trouble::Trouble,
    verdict::Verdict,
};

/// What is asked of whom, and what of it is told.
pub(crate) struct FileRun<'a> {
    pub(crate) group: &'static str,
    pub(crate) session: &'a Session,
    pub(crate) limits: &'a Limits,
    pub(crate) selection: &'a Selection,
    pub(crate) unjudged: Unjudged,
}

/// What becomes of a query that gives no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unjudged {
    /// So many of its rows are told.
    Tell(u64),
    /// A check that cannot fail is a mistake.
    Warn,
}

impl FileRun<'_> {
    pub(crate) fn run(&self, file: &CheckFile, report: &mut Report<'_>) -> Result<()> {
        interrupt::cancels(Some(self.session.cancel()));
        // Settings of one file must not reach the next.
        ask::prepare(self.session)?;
        for step in &file.steps {
            let began = Instant::now();
            let rows = match self.unjudged {
                Unjudged::Tell(rows) => rows,
                Unjudged::Warn => 0,
            };
            let kept = Kept { show: self.limits.show as usize, rows };
            let ctx = report.ctx();
            let asked = ask::ask(step, self.session, self.limits.deadline, kept, &mut |values| {
                let file = file.name.clone();
                ctx.emit(Record::QueryRow(QueryRow { file, line: step.line, values }));
            });
            runner::refuse_interrupted()?;
            self.say(file, step, asked?, began.elapsed().as_millis() as u64, report);
        }
        interrupt::cancels(None);
        Ok(())
    }

    fn say(&self, file: &CheckFile, step: &Step, asked: Asked, ms: u64, report: &mut Report<'_>) {
        match asked {
            Asked::Set => (),
            Asked::Listed { .. } if self.unjudged == Unjudged::Warn => {
                let message = "it has no column `count` or `violation`: it cannot fail".to_owned();
                let name = file.name_of(step);
                self.pick(self.check(name, file, step, CheckStatus::Warn, message), report);
            }
            Asked::Listed { rows, told } => {
                let (file, line) = (file.name.clone(), step.line);
                let finished = QueryFinished { file, line, rows, told, ms };
                report.ctx().emit(Record::QueryFinished(finished));
            }
            Asked::Trouble(trouble) => {
                let check = Check { ms, ..self.trouble(file, step, trouble) };
                self.pick(check, report);
            }
            Asked::Judged(verdicts) => {
                for verdict in verdicts {
                    self.pick(Check { ms, ..self.judged(file, step, verdict) }, report);
                }
            }
        }
    }

    /// A check that nobody asked for is run with its file, and not told.
    fn pick(&self, check: Check, report: &mut Report<'_>) {
        if self.selection.has(&check.name) {
            report.say(check);
        }
    }

    fn judged(&self, file: &CheckFile, step: &Step, verdict: Verdict) -> Check {
        let status = if verdict.is_well() { CheckStatus::Pass } else { CheckStatus::Fail };
        let message = verdict.message();
        Check {
            count: Some(match verdict.count {
                Some(count) => count,
                None => i64::try_from(verdict.wrong).unwrap_or(i64::MAX),
            }),
            rows: verdict.rows,
            ..self.check(
                verdict.name.unwrap_or_else(|| file.name_of(step)),
                file,
                step,
                status,
                message,
            )
        }
    }

    fn trouble(&self, file: &CheckFile, step: &Step, trouble: Trouble) -> Check {
        let took = text::took(self.limits.timeout.as_millis() as u64);
        let (message, hint) = match (trouble.reason, trouble.sqlstate.as_deref()) {
            (CheckReason::NotFinished, _) if trouble.is_locked_out() => (
                "not finished: somebody else holds a lock on the table".to_owned(),
                "`migrate-check activity` shows who blocks whom",
            ),
            (CheckReason::NotFinished, _) => {
                (format!("not finished within {took}"), "give it more time with `--timeout`")
            }
            (_, Some("25006")) => {
                (trouble.message, "a check only reads: this was refused, and nothing has changed")
            }
            _ => (trouble.message, "the query gave no answer, so nobody knows whether all is well"),
        };
        let message = match step.kind {
            StepKind::Setting => format!("cannot set it: {message}"),
            StepKind::Query => message,
        };
        Check {
            hint: Some(hint.to_owned()),
            reason: Some(trouble.reason),
            sqlstate: trouble.sqlstate,
            ..self.check(file.name_of(step), file, step, CheckStatus::Fail, message)
        }
    }

    fn check(
        &self,
        name: String,
        file: &CheckFile,
        step: &Step,
        status: CheckStatus,
        message: String,
    ) -> Check {
        Check {
            file: Some(file.name.clone()),
            line: Some(step.line),
            ..Check::new(self.group, name, status, message)
        }
    }
}
