//! `-- migrate:allow RULE reason`: what somebody looked at and takes on.
//!
//! It speaks of the statement that follows or that it stands in; above `-- migrate:up` of the
//! whole file.

use super::{Found, squawk, view::View};
use crate::{
    error::{Location, Result},
    migration::{directive::Allow, directive::allowances, script::Script},
    record::Severity,
};

/// The allowances that speak of a script, each with the lines that it covers.
pub(super) struct Allowances {
    each: Vec<(Allow, Cover)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cover {
    All,
    /// The statement, from 0.
    Statement(usize),
}

impl Allowances {
    pub(super) fn of(script: &Script, view: &View<'_>) -> Result<Allowances> {
        let last_line = script.first_line + script.text.matches('\n').count() as u32;
        let cover = |allow: &Allow| {
            if allow.line < script.first_line {
                // Above the marker of the up part nothing but comments stands.
                let head = script.text.whole().lines().take(allow.line as usize);
                return head.clone().all(is_comment).then_some(Cover::All);
            }
            let within = allow.line <= last_line;
            let statement = || view.statements.iter().position(|it| last_line_of(it) >= allow.line);
            within.then(statement).flatten().map(Cover::Statement)
        };
        let each = allowances(&script.file, script.text.whole())?
            .into_iter()
            .filter_map(|it| cover(&it).map(|cover| (it, cover)))
            .collect();
        Ok(Allowances { each })
    }

    /// Marks what is allowed, and adds what an allowance speaks of in vain: mistyped, it must not
    /// look as if it worked.
    pub(super) fn apply(&self, script: &Script, findings: &mut Vec<Found>) {
        let mut unused = Vec::new();
        for (allow, cover) in &self.each {
            let mut used = false;
            for found in findings.iter_mut().filter(|it| cover.has(it.statement)) {
                let named = allow.rule == found.code
                    || squawk::also_called(&found.code).any(|it| it == allow.rule);
                if named {
                    used = true;
                    found.allowed = Some(allow.reason.clone());
                    found.severity = Severity::Info;
                }
            }
            if !used {
                unused.push(unused_of(allow, script));
            }
        }
        findings.extend(unused);
    }
}

impl Cover {
    fn has(self, statement: usize) -> bool {
        self == Cover::All || self == Cover::Statement(statement)
    }
}

fn unused_of(allow: &Allow, script: &Script) -> Found {
    Found {
        code: "allow-unused".to_owned(),
        message: format!("nothing here breaks the rule `{}`", allow.rule.escape_debug()),
        instead: Some("remove the line, or correct the name of the rule".to_owned()),
        ..Found::at(Location { file: script.file.clone(), line: allow.line, column: 1 })
    }
}

fn is_comment(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with("--")
}

fn last_line_of(seen: &super::view::Seen<'_>) -> u32 {
    seen.statement.line + seen.text.matches('\n').count() as u32
}
