//! Verdicts on migrations before they run: what is dangerous, what to do instead, how long it takes.
//!
//! What a statement locks, reads and writes stands in [`effects`](crate::sql::effects), once. The
//! rules of `rules/` are about what a class alone doesn't tell, and squawk's are the rest.

mod allow;
mod rules;
mod size;
mod squawk;
mod view;
mod weight;

use std::time::Duration;

pub use size::{Size, Sizes};

use crate::{
    error::{Location, Result},
    migration::{Migration, risk::Risk, script::Script},
    record::{Finding, Severity},
    sql::{
        effects::{Effects, Judge, Judged},
        position::position_of,
        words::{Name, name_of},
    },
};
use allow::Allowances;
use rules::Weighs;
use view::View;

/// What there is to say about one migration.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// In the order of the file.
    pub findings: Vec<Found>,
    /// What the author says, or else what the statements can do at worst.
    pub risk: Risk,
    /// What the author says, or else what the sizes of the tables make likely.
    pub estimate: Option<Duration>,
}

/// One thing that is wrong or dangerous about a statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The rule's name: for whoever allows it.
    pub code: String,
    pub severity: Severity,
    pub risk: Risk,
    /// The table or other object that it is about.
    pub object: Option<String>,
    /// The danger.
    pub message: String,
    /// The safe way.
    pub instead: Option<String>,
    pub at: Location,
    /// The reason of a person who looked at it.
    pub allowed: Option<String>,
    pub estimate: Option<Duration>,
    /// From 0.
    statement: usize,
}

impl Found {
    fn at(at: Location) -> Found {
        Found {
            code: String::new(),
            severity: Severity::Info,
            risk: Risk::Low,
            object: None,
            message: String::new(),
            instead: None,
            at,
            allowed: None,
            estimate: None,
            statement: 0,
        }
    }

    /// Whether it is neither dangerous nor somebody's decision: for `migrate-check lint` alone.
    pub fn is_taste(&self) -> bool {
        self.severity == Severity::Info && self.risk == Risk::Low && self.allowed.is_none()
    }

    /// As `validate` and `plan` say it.
    pub fn finding(&self, migration: &Migration) -> Finding {
        let allowed = self.allowed.as_ref().map(|it| format!(" (allowed: {it})"));
        Finding {
            severity: self.severity,
            code: self.code.clone(),
            version: Some(migration.version.clone()),
            message: format!("{}: {}{}", self.at, self.message, allowed.unwrap_or_default()),
            hint: self.instead.clone(),
            file: Some(self.at.file.clone()),
            line: Some(self.at.line),
            column: Some(self.at.column),
            risk: Some(self.risk),
            estimate_ms: self.estimate.map(|it| it.as_millis() as u64),
        }
    }
}

/// Judges a migration's way up; `sizes` are those of the tables of a database, where there is one.
pub fn verdict(migration: &Migration, sizes: &Sizes) -> Result<Verdict> {
    let script = &migration.up;
    let transaction = script.check().map_or(script.transaction, |it| it.transaction);
    let view = View::of(script, transaction)?;
    let (weighed, risk, estimate) = weigh(script, &view, sizes);
    let mut findings = weighed;
    findings.extend(broken_rules(script, &view, sizes));
    findings.extend(violations(script, &view));
    Allowances::of(script, &view)?.apply(script, &mut findings);
    findings
        .sort_by(|a, b| (a.at.line, a.at.column, &a.code).cmp(&(b.at.line, b.at.column, &b.code)));
    Ok(Verdict {
        findings,
        risk: migration.risk.unwrap_or(risk),
        estimate: migration.estimate.or(estimate),
    })
}

/// The risk alone, which takes less time.
pub fn risk(migration: &Migration, sizes: &Sizes) -> Result<Risk> {
    if let Some(risk) = migration.risk {
        return Ok(risk);
    }
    let mut judge = Judge::default();
    let mut worst = Risk::Low;
    for statement in migration.up.statements() {
        let statement = statement?;
        let effects = Effects::of(statement.text(&migration.up.text), &statement.kind);
        for judged in judge.judge(&effects) {
            worst = worst.max(weight::weigh(&judged, sizes).risk);
        }
        if worst == Risk::High {
            break;
        }
    }
    Ok(worst)
}

/// The tables that a migration may lock, by the names that it gives them.
pub fn tables(migration: &Migration) -> Result<Vec<Name>> {
    let script = &migration.up;
    let view = View::of(script, script.transaction)?;
    let mut names = Vec::new();
    for action in view.statements.iter().flat_map(|it| &it.effects.actions) {
        names.extend(action.relation.name().cloned());
    }
    names.sort_by_key(ToString::to_string);
    names.dedup();
    Ok(names)
}

/// What the table of facts says, on tables of these sizes.
fn weigh(script: &Script, view: &View<'_>, sizes: &Sizes) -> (Vec<Found>, Risk, Option<Duration>) {
    let mut judge = Judge::default();
    let mut findings = Vec::new();
    let mut worst = Risk::Low;
    let mut estimate = None;
    for (index, seen) in view.statements.iter().enumerate() {
        for judged in judge.judge(&seen.effects) {
            let weight = weight::weigh(&judged, sizes);
            worst = worst.max(weight.risk);
            if let Some(time) = weight.estimate {
                *estimate.get_or_insert(Duration::ZERO) += time;
            }
            let at = seen.statement.location(&script.file);
            findings.extend(concern(&judged, &weight, seen.statement.tag(), at, index));
        }
    }
    (findings, worst, estimate)
}

fn broken_rules(script: &Script, view: &View<'_>, sizes: &Sizes) -> Vec<Found> {
    let mut findings = Vec::new();
    for rule in rules::ALL {
        findings.extend((rule.find)(view).into_iter().map(|hit| {
            let statement = &view.statements[hit.statement].statement;
            let name = hit.object.as_deref().and_then(name_of);
            let size = name.and_then(|it| sizes.of(&it).cloned());
            let risk = match rule.weighs {
                Weighs::Always => rule.risk,
                Weighs::BySize => weight::ease(rule.risk, size.as_ref()),
            };
            Found {
                code: rule.code.to_owned(),
                severity: match rule.severity {
                    Severity::Warning if risk < rule.risk => Severity::Info,
                    severity => severity,
                },
                risk,
                object: hit.object,
                message: hit.message,
                instead: Some(rule.instead.to_owned()),
                statement: hit.statement,
                ..Found::at(statement.location(&script.file))
            }
        }));
    }
    findings
}

fn violations(script: &Script, view: &View<'_>) -> Vec<Found> {
    let found = squawk::violations(view).into_iter().map(|it| {
        let (line, column) = position_of(&script.text, it.at, script.first_line);
        let statement =
            view.statements.iter().rposition(|seen| seen.statement.range.start <= it.at);
        Found {
            code: it.code,
            severity: it.severity,
            risk: it.risk,
            message: it.message,
            instead: it.instead,
            statement: statement.unwrap_or(0),
            ..Found::at(Location { file: script.file.clone(), line, column })
        }
    });
    found.collect()
}

fn concern(
    judged: &Judged,
    weight: &weight::Weight,
    tag: &str,
    at: Location,
    statement: usize,
) -> Option<Found> {
    let concern = judged.concern.as_ref()?;
    let said = weight.said.as_ref().map(|it| format!("; {it}"));
    Some(Found {
        code: concern.code.to_owned(),
        severity: match weight.risk {
            Risk::High => Severity::Warning,
            Risk::Medium | Risk::Low => Severity::Info,
        },
        risk: weight.risk,
        object: judged.action.relation.name().map(ToString::to_string),
        message: format!("{tag} {}{}", concern.message, said.unwrap_or_default()),
        instead: concern.instead.map(str::to_owned),
        estimate: weight.estimate,
        statement,
        ..Found::at(at)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::migration::{dir::join, file};

    fn codes(sql: &str) -> BTreeSet<String> {
        let file = file::parse_unnamed("f.sql", sql.as_bytes().to_vec()).unwrap();
        let migration = join(vec![file]).unwrap().remove(0);
        verdict(&migration, &Sizes::default())
            .unwrap()
            .findings
            .into_iter()
            .map(|it| it.code)
            .collect()
    }

    /// What squawk would say of these is said by the table of facts, and is allowed by either name.
    #[test]
    fn what_squawk_knows_and_we_leave_out_is_said_by_us() {
        for (rule, sql) in [
            ("require-concurrent-index-creation", "create index i on t (a)"),
            ("require-concurrent-index-deletion", "drop index i"),
            ("constraint-missing-not-valid", "alter table t add constraint c check (a > 0)"),
            ("adding-foreign-key-constraint", "alter table t add foreign key (a) references p"),
            ("adding-field-with-default", "alter table t add a uuid default gen_random_uuid()"),
            ("changing-column-type", "alter table t alter a type bigint"),
            ("adding-not-nullable-field", "alter table t alter a set not null"),
            ("adding-serial-primary-key-field", "alter table t add primary key (a)"),
            ("adding-required-field", "alter table t add a int not null"),
            ("disallowed-unique-constraint", "alter table t add unique (a)"),
            ("ban-drop-column", "alter table t drop a"),
            ("ban-drop-table", "drop table t"),
            ("ban-drop-schema", "drop schema s cascade"),
            ("ban-drop-type", "drop type m cascade"),
            ("ban-truncate-cascade", "truncate t cascade"),
            ("require-concurrent-partition-detach", "alter table t detach partition p"),
            ("require-concurrent-reindex", "reindex table t"),
            ("prefer-repack", "-- migrate:up transaction:false\nvacuum full t"),
            ("ban-alter-domain-with-add-constraint", "alter domain d add check (value > 0)"),
        ] {
            let found = codes(sql);
            let named = |code: &String| squawk::also_called(code).any(|it| it == rule);
            assert!(found.iter().any(named), "{rule}: {sql}: {found:?}");
        }
    }
}
