//! What a report tells, taken out of rows and records: data only, no words of the page.

use chrono::{DateTime, TimeDelta, Utc};
use migrate_core::record::{
    ApplyFinished, ApplyStarted, AuditHead, AuditNoted, AuditRow, Gate, LockWaited,
    MigrationApplied, MigrationFailed, MigrationYielded, PlanApproved, StatementDone,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// All that a report is made of.
pub(crate) struct Told {
    pub(crate) run: Option<String>,
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) until: Option<DateTime<Utc>>,
    pub(crate) at: DateTime<Utc>,
    pub(crate) database: String,
    pub(crate) system_identifier: String,
    pub(crate) head: Option<AuditHead>,
    /// There were more rows.
    pub(crate) cut: bool,
    pub(crate) rows: Vec<AuditRow>,
    pub(crate) journal: Vec<Journalled>,
    pub(crate) records: Vec<Value>,
}

/// A statement outside a transaction.
#[derive(Debug, Clone)]
pub(crate) struct Journalled {
    pub(crate) version: String,
    pub(crate) statement: u64,
    pub(crate) command: String,
    pub(crate) rows: Option<i64>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// Of a batched change.
    pub(crate) ranges: Option<i64>,
}

pub(crate) struct Story {
    pub(crate) told: Told,
    pub(crate) started: Option<ApplyStarted>,
    pub(crate) finished: Option<ApplyFinished>,
    pub(crate) actor: Option<String>,
    pub(crate) migrations: Vec<Ran>,
    pub(crate) statements: Vec<Span>,
    pub(crate) waits: Vec<(DateTime<Utc>, LockWaited)>,
    pub(crate) yields: Vec<(DateTime<Utc>, MigrationYielded)>,
    pub(crate) locks: Vec<Span>,
    pub(crate) gates: Vec<Gate>,
    pub(crate) approvals: Vec<(DateTime<Utc>, PlanApproved)>,
    /// Backups, rehearsals and checks, by their kind and what they say.
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) errors: Vec<Failure>,
    pub(crate) notes: Vec<(DateTime<Utc>, String, String)>,
    /// From the first to the last moment.
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
}

/// A migration that ran, to whatever end.
pub(crate) struct Ran {
    pub(crate) span: Span,
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    pub(crate) execution_ms: u64,
    pub(crate) estimate_ms: Option<u64>,
    pub(crate) retries: u32,
    pub(crate) statements: u64,
    pub(crate) rows: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Applied,
    RolledBack,
    Failed,
}

/// Something that took time.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) label: String,
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
}

impl Span {
    /// What ended `at` after so long.
    fn until(at: DateTime<Utc>, ms: f64, label: String) -> Span {
        let micros = (ms * 1000.0).clamp(0.0, 1e15) as i64;
        Span { label, from: at - TimeDelta::microseconds(micros), to: at }
    }
}

pub(crate) struct Evidence {
    pub(crate) at: DateTime<Utc>,
    pub(crate) kind: String,
    /// What it says, field by field.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) good: Option<bool>,
}

pub(crate) struct Failure {
    pub(crate) at: DateTime<Utc>,
    pub(crate) what: String,
    pub(crate) message: String,
    /// The place, the state and the like.
    pub(crate) context: Vec<(&'static str, String)>,
}

pub(crate) fn tell(told: Told) -> Story {
    let mut story = Story {
        started: None,
        finished: None,
        actor: None,
        migrations: Vec::new(),
        statements: Vec::new(),
        waits: Vec::new(),
        yields: Vec::new(),
        locks: Vec::new(),
        gates: Vec::new(),
        approvals: Vec::new(),
        evidence: Vec::new(),
        errors: Vec::new(),
        notes: Vec::new(),
        from: told.at,
        to: told.at,
        told,
    };
    let rows = std::mem::take(&mut story.told.rows);
    rows.iter().for_each(|it| story.row(it));
    story.told.rows = rows;
    let records = std::mem::take(&mut story.told.records);
    records.iter().for_each(|it| story.record(it));
    story.told.records = records;
    for it in &story.told.journal {
        let ranges = it.ranges.map(|it| format!(", {it} ranges")).unwrap_or_default();
        let rows = it.rows.map(|it| format!(", {it} rows")).unwrap_or_default();
        story.statements.push(Span {
            label: format!(
                "{}: statement {}, {}{ranges}{rows}",
                it.version, it.statement, it.command
            ),
            from: it.started_at,
            to: it.finished_at.unwrap_or(it.started_at),
        });
    }
    story.statements.sort_by_key(|it| it.from);
    story.bounds();
    story
}

fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

impl Story {
    fn row(&mut self, row: &AuditRow) {
        let (at, details) = (row.timestamp, &row.details);
        match row.action.as_str() {
            "apply.started" if self.told.run.is_some() => {
                self.started = read(details);
                self.actor = Some(row.actor.clone());
            }
            "apply.finished" if self.told.run.is_some() => self.finished = read(details),
            "migration.applied" => self.applied(at, details, Outcome::Applied),
            "migration.rolled_back" => self.applied(at, details, Outcome::RolledBack),
            "migration.failed" => self.failed(at, details),
            "migration.yielded" => self.yields.extend(read(details).map(|it| (at, it))),
            "plan.approved" => self.approvals.extend(read(details).map(|it| (at, it))),
            "audit.noted" => {
                let note = read::<AuditNoted>(details).map(|it| it.text).unwrap_or_default();
                self.notes.push((at, row.actor.clone(), note));
            }
            kind if kind.starts_with("backup.") || kind == "rehearsal" => {
                self.evidence.push(evidence(at, kind, details));
            }
            _ => (),
        }
    }

    /// Only what the log doesn't have.
    fn record(&mut self, record: &Value) {
        let Some(at) = record["at"].as_str().and_then(|it| it.parse().ok()) else { return };
        match record["type"].as_str().unwrap_or_default() {
            "statement.done" => {
                if let Some((it, ms)) =
                    read::<StatementDone>(record).and_then(|it| Some((it.clone(), it.ms?)))
                {
                    let label =
                        format!("{}: statement {}, {}", it.version, it.statement, it.command);
                    self.statements.push(Span::until(at, ms, label));
                }
            }
            "lock.waited" => self.waits.extend(read(record).map(|it| (at, it))),
            "migration.yielded" => {
                // A log of an earlier version has none of these.
                let it = read::<MigrationYielded>(record);
                let new = it.filter(|it| self.yields.iter().all(|(_, known)| known != it));
                self.yields.extend(new.map(|it| (at, it)));
            }
            "gate" => self.gates.extend(read::<Gate>(record)),
            kind @ ("check" | "schema.drift") => self.evidence.push(evidence(at, kind, record)),
            "error" => {
                let text = |field: &str| record[field].as_str().map(str::to_owned);
                let context = [("hint", text("hint")), ("SQLSTATE", text("sqlstate"))];
                self.errors.push(Failure {
                    at,
                    what: format!("the run ended with exit code {}", record["exit_code"]),
                    message: text("message").unwrap_or_default(),
                    context: context
                        .into_iter()
                        .filter_map(|(it, text)| Some((it, text?)))
                        .collect(),
                });
            }
            _ => (),
        }
    }

    fn applied(&mut self, at: DateTime<Utc>, details: &Value, outcome: Outcome) {
        let Some(it) = read::<MigrationApplied>(details) else { return };
        self.migrations.push(Ran {
            span: Span::until(at, it.execution_ms as f64, it.version.to_string()),
            name: it.name,
            outcome,
            execution_ms: it.execution_ms,
            estimate_ms: it.estimate_ms,
            retries: it.retries,
            statements: it.statements,
            rows: Some(it.rows),
        });
    }

    fn failed(&mut self, at: DateTime<Utc>, details: &Value) {
        let Some(it) = read::<MigrationFailed>(details) else { return };
        self.migrations.push(Ran {
            span: Span::until(at, it.execution_ms as f64, it.version.to_string()),
            name: it.name.clone(),
            outcome: Outcome::Failed,
            execution_ms: it.execution_ms,
            estimate_ms: None,
            retries: 0,
            statements: it.statements_done,
            rows: None,
        });
        let mut context = Vec::new();
        if let Some(file) = &it.file {
            let place = [it.line, it.column].into_iter().flatten();
            let place: String = place.map(|it| format!(":{it}")).collect();
            context.push(("place", format!("{file}{place}")));
        }
        context.extend(it.sqlstate.clone().map(|it| ("SQLSTATE", it)));
        let state = serde_json::to_value(it.state).ok();
        let state = state.and_then(|it| it.as_str().map(|it| it.replace('_', " ")));
        context.extend(state.map(|it| ("state left", it)));
        for left in &it.leftovers {
            context
                .push(("left over", format!("{}: {}; {}", left.object, left.problem, left.repair)));
        }
        self.errors.push(Failure {
            at,
            what: format!("migration {} `{}` failed", it.version, it.name),
            message: it.message,
            context,
        });
    }

    /// The period of the picture: what took time, and the run itself.
    fn bounds(&mut self) {
        let run = |it: &&AuditRow| self.told.run.is_none() || it.run_id == self.told.run;
        let rows: Vec<DateTime<Utc>> =
            self.told.rows.iter().filter(run).map(|it| it.timestamp).collect();
        let spans = self.migrations.iter().map(|it| &it.span).chain(&self.statements);
        let (from, to): (Vec<_>, Vec<_>) = spans.map(|it| (it.from, it.to)).unzip();
        self.from = rows.iter().chain(&from).min().copied().unwrap_or(self.told.at);
        self.to = rows.iter().chain(&to).max().copied().unwrap_or(self.told.at);
        for row in self.told.rows.iter().filter(|it| it.action == "lock.acquired") {
            if row.timestamp >= self.from - TimeDelta::seconds(5) && self.told.run.is_some() {
                self.from = self.from.min(row.timestamp);
                self.locks.push(Span {
                    label: "migration lock".to_owned(),
                    from: row.timestamp,
                    to: self.to,
                });
            }
        }
    }
}

fn evidence(at: DateTime<Utc>, kind: &str, details: &Value) -> Evidence {
    let skipped = ["v", "at", "tool", "type", "plan_hash"];
    let fields = details.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, value)| {
        !skipped.contains(&name.as_str())
            && !value.is_null()
            && !value.is_array()
            && !value.is_object()
    });
    let good = match (kind, details["status"].as_str()) {
        ("backup.damaged", _) | (_, Some("fail")) => Some(false),
        ("backup.verified", _) | (_, Some("pass")) => Some(true),
        _ => None,
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Evidence {
        at,
        kind: kind.to_owned(),
        fields: fields.map(|(name, value)| (name.clone(), text(value))).collect(),
        good,
    }
}
