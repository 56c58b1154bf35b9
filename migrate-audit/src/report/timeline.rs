//! The picture of a run: what took how long, beside what, as SVG.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use migrate_core::text::took;

use super::story::{Outcome, Ran, Span, Story};

const WIDTH: f64 = 920.0;
const LEFT: f64 = 8.0;
const LANE: f64 = 40.0;
const TOP: f64 = 28.0;
/// More lanes are no picture; all of them stand in the table.
const MOST: usize = 40;

/// Moments as places from left to right.
struct Scale {
    from: DateTime<Utc>,
    micros: f64,
}

impl Scale {
    fn x(&self, at: DateTime<Utc>) -> f64 {
        let since = (at - self.from).num_microseconds().unwrap_or(i64::MAX) as f64;
        LEFT + (since / self.micros).clamp(0.0, 1.0) * (WIDTH - 2.0 * LEFT)
    }
}

/// A lane of the picture.
struct Lane {
    label: String,
    bars: Vec<Bar>,
}

struct Bar {
    span: Span,
    class: &'static str,
    /// In the lower half of its lane.
    below: bool,
}

/// The longest lanes, and how many others there are.
pub(crate) fn svg(story: &Story) -> Markup {
    let micros = (story.to - story.from).num_microseconds().unwrap_or(i64::MAX).max(1000) as f64;
    let scale = Scale { from: story.from, micros };
    let (lanes, others) = lanes(story);
    let height = TOP + lanes.len() as f64 * LANE + 8.0;
    let said = format!(
        "{} of work from {}: {}",
        took((micros / 1000.0) as u64),
        story.from.format("%Y-%m-%d %H:%M:%S UTC"),
        lanes.iter().map(|it| it.label.as_str()).collect::<Vec<_>>().join("; ")
    );
    html! {
        figure {
            div.scroll tabindex="0" {
                svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-labelledby="timeline-title timeline-desc" {
                    title id="timeline-title" { "Timeline" }
                    desc id="timeline-desc" { (said) }
                    (axis(&scale, micros, height))
                    @for (number, lane) in lanes.iter().enumerate() {
                        (draw(lane, TOP + number as f64 * LANE, &scale))
                    }
                }
            }
            figcaption {
                span.key.applied { "applied" } " " span.key.back { "rolled back" } " "
                span.key.failed { "failed" } " " span.key.statement { "statement" } " "
                span.key.wait { "waited for others" } " " span.key.yield { "gave way to others" }
                @if others > 0 { " · " (others) " more in the table" }
            }
        }
    }
}

fn axis(scale: &Scale, micros: f64, height: f64) -> Markup {
    html! {
        @for tick in 0..=4 {
            @let part = f64::from(tick) / 4.0;
            @let x = LEFT + part * (WIDTH - 2.0 * LEFT);
            line.axis x1=(round(x)) x2=(round(x)) y1="18" y2=(height) {}
            text.axis x=(round(x)) y="12" text-anchor=(anchor(tick)) {
                @if tick == 0 {
                    (scale.from.format("%H:%M:%S%.3f"))
                } @else {
                    "+" (took((part * micros / 1000.0) as u64))
                }
            }
        }
    }
}

fn anchor(tick: i32) -> &'static str {
    match tick {
        0 => "start",
        4 => "end",
        _ => "middle",
    }
}

fn lanes(story: &Story) -> (Vec<Lane>, usize) {
    let mut lanes = Vec::new();
    let bars = |spans: &[Span], class| -> Vec<Bar> {
        spans.iter().map(|it| Bar { span: it.clone(), class, below: false }).collect()
    };
    if !story.locks.is_empty() {
        lanes.push(Lane { label: "migration lock".into(), bars: bars(&story.locks, "lock") });
    }
    let mut shown: Vec<&Ran> = story.migrations.iter().collect();
    shown.sort_by_key(|it| std::cmp::Reverse(it.execution_ms));
    let others = shown.len().saturating_sub(MOST);
    shown.truncate(MOST);
    shown.sort_by_key(|it| (it.span.from, it.span.to));
    for it in shown {
        lanes.push(migration(it, story));
    }
    let waits: Vec<Span> = story
        .waits
        .iter()
        .map(|(at, it)| Span {
            label: format!("waited {} for {}", took(it.waited_ms), it.waiting_for),
            from: *at - chrono::TimeDelta::milliseconds(it.waited_ms.min(1 << 40) as i64),
            to: *at,
        })
        .collect();
    if !waits.is_empty() {
        lanes.push(Lane { label: "waits for locks".into(), bars: bars(&waits, "wait") });
    }
    let yields: Vec<Span> = story
        .yields
        .iter()
        .map(|(at, it)| Span {
            label: format!("{} gave way to {} sessions", it.version, it.victims.len()),
            from: *at - chrono::TimeDelta::milliseconds(it.block_limit_ms.min(1 << 40) as i64),
            to: *at,
        })
        .collect();
    if !yields.is_empty() {
        lanes.push(Lane { label: "others were blocked".into(), bars: bars(&yields, "yield") });
    }
    (lanes, others)
}

fn migration(it: &Ran, story: &Story) -> Lane {
    let class = match it.outcome {
        Outcome::Applied => "applied",
        Outcome::RolledBack => "back",
        Outcome::Failed => "failed",
    };
    let mut bars = vec![Bar { span: it.span.clone(), class, below: false }];
    let own = format!("{}: ", it.span.label);
    // Those of another run of the same version lie beside it.
    let statements = story.statements.iter().filter(|statement| {
        statement.label.starts_with(&own)
            && statement.from <= it.span.to
            && statement.to >= it.span.from
    });
    bars.extend(statements.map(|it| Bar { span: it.clone(), class: "statement", below: true }));
    let estimate = it.estimate_ms.map(|it| format!(", estimate {}", took(it))).unwrap_or_default();
    Lane {
        label: format!("{} {} · {}{estimate}", it.span.label, it.name, took(it.execution_ms)),
        bars,
    }
}

fn draw(lane: &Lane, y: f64, scale: &Scale) -> Markup {
    html! {
        text.label x=(LEFT) y=(round(y + 12.0)) { (lane.label) }
        @for bar in &lane.bars {
            @let x = scale.x(bar.span.from);
            // What took next to no time is seen all the same.
            @let width = (scale.x(bar.span.to) - x).max(2.0);
            rect class=(bar.class) x=(round(x)) y=(round(y + if bar.below { 28.0 } else { 17.0 }))
                width=(round(width)) height=(if bar.below { "6" } else { "10" }) rx="2" {
                title { (bar.span.label) " (" (took(length(&bar.span))) ")" }
            }
        }
    }
}

pub(crate) fn length(span: &Span) -> u64 {
    (span.to - span.from).num_milliseconds().unsigned_abs()
}

fn round(number: f64) -> String {
    format!("{number:.1}")
}
