//! The page: a story in HTML that needs nothing else, for a screen, a phone and paper.

use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use migrate_core::{
    record::{Gate, GateStatus, Identity, RunStatus},
    text::{holder, took, victim},
};

use super::{
    story::{Outcome, Ran, Story},
    timeline,
};

const STYLE: &str = include_str!("style.css");

pub(crate) fn page(story: &Story) -> Markup {
    let title = title(story);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content="migrate-audit";
                // Nothing from anywhere, whatever a name in it tries.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { h1 { (title) } (summary(story)) }
                main {
                    (errors(story))
                    (picture(story))
                    (migrations(story))
                    (waits(story))
                    (gates(story))
                    (approvals(story))
                    (evidence(story))
                    (notes(story))
                    (log(story))
                    (chain(story))
                }
            }
        }
    }
}

fn title(story: &Story) -> String {
    match &story.told.run {
        Some(run) => format!("Migration run {run} on {}", story.told.database),
        None => format!("Changes of {}", story.told.database),
    }
}

fn time(at: &DateTime<Utc>) -> Markup {
    html! {
        time datetime=(at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)) {
            (at.format("%Y-%m-%d %H:%M:%S%.3f"))
        }
    }
}

fn summary(story: &Story) -> Markup {
    let (class, word) = match story.finished.as_ref().map(|it| it.status) {
        Some(RunStatus::Done | RunStatus::NothingToDo) => ("good", "Done"),
        Some(RunStatus::Failed) => ("bad", "Failed"),
        Some(RunStatus::Interrupted) => ("care", "Interrupted"),
        None if story.told.run.is_some() => ("care", "Not ended"),
        None => ("quiet", "Period"),
    };
    let done = story.migrations.iter().filter(|it| it.outcome != Outcome::Failed).count();
    let failed = story.migrations.len() - done;
    html! {
        p { span.badge.(class) { (word) } " "
            (done) " done" @if failed > 0 { ", " span.bad { (failed) " failed" } }
            @if let Some(it) = &story.finished {
                @if it.pending > 0 { ", " (it.pending) " pending" }
                ", in " (took(it.ms))
            }
        }
        dl {
            dt { "Database" } dd { (story.told.database) " " span.quiet { "(system " (story.told.system_identifier) ")" } }
            @if let Some(environment) = story.started.as_ref().and_then(|it| it.environment.as_ref()) {
                dt { "Environment" } dd { (environment) }
            }
            @if let Some(actor) = &story.actor { dt { "Role" } dd { (actor) } }
            dt { "From" } dd { (time(story.told.since.as_ref().unwrap_or(&story.from))) " UTC" }
            dt { "To" } dd { (time(story.told.until.as_ref().unwrap_or(&story.to))) " UTC" }
            @if let Some(started) = &story.started {
                @if let Some(hash) = &started.plan_hash { dt { "Plan" } dd { code { (hash) } } }
                @for it in &started.overrides { dt { "Set aside" } dd.care { (it) } }
            }
        }
    }
}

fn errors(story: &Story) -> Markup {
    html! {
        @if !story.errors.is_empty() {
            section { h2 { "Errors" }
                @for it in &story.errors {
                    div.box {
                        p { strong { (it.what) } " " span.quiet { (time(&it.at)) } }
                        pre.mono { (it.message) }
                        dl { @for (name, text) in &it.context { dt { (name) } dd { (text) } } }
                    }
                }
            }
        }
    }
}

fn picture(story: &Story) -> Markup {
    html! {
        @if !story.migrations.is_empty() {
            section { h2 { "Timeline" } (timeline::svg(story)) }
        }
    }
}

fn migrations(story: &Story) -> Markup {
    html! {
        @if !story.migrations.is_empty() {
            section { h2 { "Migrations" }
                div.scroll { table.wide {
                    caption { "Times against estimates" }
                    thead { tr {
                        th scope="col" { "Version" } th scope="col" { "Name" } th scope="col" { "Result" }
                        th.number scope="col" { "Took" } th.number scope="col" { "Estimate" }
                        th.number scope="col" { "Retries" } th.number scope="col" { "Statements" }
                        th.number scope="col" { "Rows" }
                    } }
                    tbody { @for it in &story.migrations { (row(it)) } }
                } }
            }
        }
    }
}

fn row(it: &Ran) -> Markup {
    let (class, word) = match it.outcome {
        Outcome::Applied => ("good", "applied"),
        Outcome::RolledBack => ("care", "rolled back"),
        Outcome::Failed => ("bad", "failed"),
    };
    let late = it.estimate_ms.is_some_and(|estimate| it.execution_ms > estimate);
    html! {
        tr {
            td data-name="Version" { (it.span.label) } td data-name="Name" { (it.name) }
            td.(class) data-name="Result" { (word) }
            td.number.care[late] data-name="Took" { (took(it.execution_ms)) }
            td.number data-name="Estimate" { @if let Some(estimate) = it.estimate_ms {
                (took(estimate)) @if late { " (exceeded)" }
            } }
            td.number data-name="Retries" { @if it.retries > 0 { (it.retries) } }
            td.number data-name="Statements" { (it.statements) }
            td.number data-name="Rows" { @if let Some(rows) = it.rows { (rows) } }
        }
    }
}

fn waits(story: &Story) -> Markup {
    html! {
        @if !story.waits.is_empty() || !story.yields.is_empty() {
            section { h2 { "Waits, and who was blocked" }
                ul {
                    @for (at, it) in &story.waits {
                        li { (time(at)) " waited " (took(it.waited_ms)) " for " (it.waiting_for)
                            @if it.queue > 0 { ", " (it.queue) " sessions behind it" }
                            @for holder in it.holders.iter().map(holder) { br; span.quiet { "held by " (holder) } }
                        }
                    }
                    @for (at, it) in &story.yields {
                        li { (time(at)) " " (it.version) " " (it.name) " gave way after " (took(it.block_limit_ms))
                            @for victim in it.victims.iter().map(victim) { br; span.quiet { "blocked: " (victim) } }
                        }
                    }
                }
            }
        }
    }
}

fn gates(story: &Story) -> Markup {
    html! {
        @if !story.gates.is_empty() {
            section { h2 { "Gates" }
                div.scroll { table {
                    thead { tr { th scope="col" { "Gate" } th scope="col" { "Status" } th scope="col" { "What there was" } } }
                    tbody { @for it in &story.gates { (gate(it)) } }
                } }
            }
        }
    }
}

fn gate(it: &Gate) -> Markup {
    let (class, word) = match it.status {
        GateStatus::Pass => ("good", "pass"),
        GateStatus::Fail => ("bad", "fail"),
        GateStatus::Overridden => ("care", "overridden"),
    };
    html! { tr { td { (it.name) } td.(class) { (word) } td { (it.message) } } }
}

fn approvals(story: &Story) -> Markup {
    html! {
        @if !story.approvals.is_empty() {
            section { h2 { "Approvals" }
                ul { @for (at, it) in &story.approvals {
                    li { strong { (it.approver) } " "
                        @match it.identity {
                            Identity::Stated => { "as stated by role " (it.role) },
                            Identity::Database => { "by database role" },
                            Identity::Signature => { "by signature" @if let Some(key) = &it.fingerprint { " of key " code { (key) } } },
                        }
                        ", " (time(at))
                        @if let Some(comment) = &it.comment { ": " (comment) }
                        br; span.quiet { code { (it.plan_hash) } }
                    }
                } }
            }
        }
    }
}

fn evidence(story: &Story) -> Markup {
    html! {
        @if !story.evidence.is_empty() {
            section { h2 { "Backups, rehearsals and checks" }
                ul { @for it in &story.evidence {
                    @let class = match it.good { Some(true) => "good", Some(false) => "bad", None => "quiet" };
                    li { strong.(class) { (it.kind) } ", " (time(&it.at))
                        @if !it.fields.is_empty() { br; span.quiet {
                            @for (number, (name, text)) in it.fields.iter().enumerate() {
                                @if number > 0 { " · " } (name) " " (text)
                            }
                        } }
                    }
                } }
            }
        }
    }
}

fn notes(story: &Story) -> Markup {
    html! {
        @if !story.notes.is_empty() {
            section { h2 { "Notes" }
                ul { @for (at, actor, text) in &story.notes { li { (text) " " span.quiet { (actor) ", " (time(at)) } } } }
            }
        }
    }
}

fn log(story: &Story) -> Markup {
    html! {
        section { h2 { "Audit log" }
            details {
                summary { (story.told.rows.len()) " rows" @if story.told.cut { ", and more that are not shown" } }
                div.scroll { table {
                    thead { tr { th.number scope="col" { "Row" } th scope="col" { "Time (UTC)" } th scope="col" { "Role" } th scope="col" { "Action" } th scope="col" { "About" } } }
                    tbody { @for it in &story.told.rows {
                        tr { td.number { (it.id) } td { (time(&it.timestamp)) } td { (it.actor) } td { (it.action) }
                            td { (it.subject.as_deref().unwrap_or_default()) } }
                    } }
                } }
            }
        }
    }
}

fn chain(story: &Story) -> Markup {
    html! {
        section { h2 { "Anchor of the chain" }
            @if let Some(head) = &story.told.head {
                p { "When this page was made, " (time(&story.told.at)) " UTC, the newest row of the audit log was "
                    (head.id) " with the hash" }
                p { code { (head.id) ":" (head.hash) } }
                p.quiet { "Kept with this page it proves later that no row up to there was changed or cut off: "
                    code { "migrate-audit verify --anchor " (head.id) ":" (head.hash) } }
            }
        }
    }
}
