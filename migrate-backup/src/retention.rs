//! Which backups to keep, and why. No input or output happens here.
//!
//! The rules mean what they mean in restic: each is applied by itself, to the backups of one
//! database, and what any of them keeps is kept.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use migrate_core::record::{BackupId, Level, RetentionAction};

/// The server's clock, which dates backups, may be a little ahead of ours.
const SLACK: TimeDelta = TimeDelta::hours(1);

/// What to keep of each database. Days, weeks and months are those of UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) last: u32,
    pub(crate) daily: u32,
    pub(crate) weekly: u32,
    pub(crate) monthly: u32,
    /// Before the newest backup, not before now: so that nothing goes where none is made any more.
    pub(crate) within: Option<Duration>,
}

impl Policy {
    /// Whether it keeps nothing at all: a mistake, never a wish.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Policy::default()
    }
}

/// A database that was backed up: one of that name on another server is another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    pub(crate) system_identifier: String,
    pub(crate) database: String,
}

/// A complete backup, as far as it matters for whether to keep it.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) id: BackupId,
    pub(crate) source: Source,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) proven: Option<Level>,
    pub(crate) pin: Option<String>,
    pub(crate) files: Files,
}

/// What is known of a backup's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Files {
    /// They were read just now, and are what was written.
    Whole,
    Unknown,
    Damaged,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) action: RetentionAction,
    pub(crate) reasons: Vec<String>,
}

impl Decision {
    fn keep(reasons: Vec<String>) -> Decision {
        Decision { action: RetentionAction::Keep, reasons }
    }
}

/// Decides for every candidate, in their order.
pub(crate) fn decide(
    candidates: &[Candidate],
    policy: &Policy,
    now: DateTime<Utc>,
) -> Vec<Decision> {
    let mut decisions: Vec<Decision> = candidates.iter().map(|it| standing(it, now)).collect();
    for (_, good) in good_by_source(candidates, now) {
        let mut reasons = rules(&good, candidates, policy);
        if let Some(&newest) = good.first() {
            reasons.entry(newest).or_default().insert(0, "last good".to_owned());
        }
        if let Some((level, index)) = best_proven(&good, candidates) {
            let reason = format!("newest of level {}", level.as_str());
            reasons.entry(index).or_default().push(reason);
        }
        for (index, found) in reasons {
            let decision = &mut decisions[index];
            let pinned = std::mem::take(&mut decision.reasons);
            let pinned = pinned.into_iter().filter(|_| decision.action == RetentionAction::Keep);
            *decision = Decision::keep(found.into_iter().chain(pinned).collect());
        }
    }
    decisions
}

/// The next backup whose files have to be read before anything is removed: of each database, one
/// that stays must be known to be whole. The newest is asked first.
pub(crate) fn to_check(
    candidates: &[Candidate],
    decisions: &[Decision],
    now: DateTime<Utc>,
) -> Option<usize> {
    good_by_source(candidates, now).into_values().find_map(|good| {
        let is = |index: usize, action| decisions[index].action == action;
        let stays = |index: &usize| is(*index, RetentionAction::Keep);
        let goes = good.iter().any(|&it| is(it, RetentionAction::Remove));
        let known = good.iter().any(|it| stays(it) && candidates[*it].files == Files::Whole);
        if !goes || known { None } else { good.into_iter().find(stays) }
    })
}

/// Without any rule: what is pinned stays, what cannot be judged is left alone, the rest goes.
fn standing(it: &Candidate, now: DateTime<Utc>) -> Decision {
    if let Some(reason) = &it.pin {
        return Decision::keep(vec![reason.clone()]);
    }
    let leave = |reason: &str| Decision {
        action: RetentionAction::LeaveAlone,
        reasons: vec![reason.to_owned()],
    };
    if it.files == Files::Damaged {
        leave("damaged: it counts for no rule")
    } else if it.created_at > now + SLACK {
        leave("dated in the future: it counts for no rule")
    } else {
        Decision { action: RetentionAction::Remove, reasons: vec!["no rule keeps it".to_owned()] }
    }
}

/// The backups that count, newest first. One from the future would stand in front of all that is
/// made until then, and take their place.
fn good_by_source(candidates: &[Candidate], now: DateTime<Utc>) -> BTreeMap<&Source, Vec<usize>> {
    let mut sources: BTreeMap<&Source, Vec<usize>> = BTreeMap::new();
    for (index, it) in candidates.iter().enumerate() {
        if it.files != Files::Damaged && it.created_at <= now + SLACK {
            sources.entry(&it.source).or_default().push(index);
        }
    }
    for good in sources.values_mut() {
        good.sort_by_key(|&it| (candidates[it].created_at, candidates[it].id.clone()));
        good.reverse();
    }
    sources
}

/// Of the highest level that any has: whatever the rules say, one that was restored once stays.
fn best_proven(good: &[usize], candidates: &[Candidate]) -> Option<(Level, usize)> {
    let level = |it: &usize| candidates[*it].proven.filter(|&level| level > Level::Checksum);
    let best = good.iter().filter_map(level).max()?;
    let newest = good.iter().find(|it| level(it) == Some(best))?;
    Some((best, *newest))
}

/// The day, week or month of a time.
type Period = fn(DateTime<Utc>) -> (i32, u32);

/// What the rules keep of one database's backups, which come newest first.
fn rules(
    good: &[usize],
    candidates: &[Candidate],
    policy: &Policy,
) -> BTreeMap<usize, Vec<String>> {
    let mut kept: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let at = |index: usize| candidates[index].created_at;
    for &index in good.iter().take(policy.last as usize) {
        kept.entry(index).or_default().push("last".to_owned());
    }
    let periods: [(&str, u32, Period); 3] = [
        ("daily", policy.daily, day),
        ("weekly", policy.weekly, week),
        ("monthly", policy.monthly, month),
    ];
    for (name, count, period) in periods {
        for (index, oldest) in newest_of_each(good, count, |it| period(at(it))) {
            let reason = if oldest { format!("oldest {name}") } else { name.to_owned() };
            kept.entry(index).or_default().push(reason);
        }
    }
    if let (Some(within), Some(&newest)) = (policy.within, good.first()) {
        let within_delta = TimeDelta::from_std(within).unwrap_or(TimeDelta::MAX);
        let start = at(newest).checked_sub_signed(within_delta).unwrap_or(DateTime::UNIX_EPOCH);
        for &index in good.iter().filter(|&&it| at(it) > start) {
            let reason = format!("within {}", humantime::format_duration(within));
            kept.entry(index).or_default().push(reason);
        }
    }
    kept
}

/// The newest of each of the last `count` periods that have one; and the oldest of all while there
/// are fewer periods, so that the history reaches back as far as it can.
fn newest_of_each(
    good: &[usize],
    count: u32,
    period: impl Fn(usize) -> (i32, u32),
) -> Vec<(usize, bool)> {
    let mut found = Vec::new();
    let mut last = None;
    for (rank, &index) in good.iter().enumerate() {
        if found.len() >= count as usize {
            break;
        }
        let is_new = last != Some(period(index));
        if is_new || rank + 1 == good.len() {
            last = Some(period(index));
            found.push((index, !is_new));
        }
    }
    found
}

fn day(at: DateTime<Utc>) -> (i32, u32) {
    (at.year(), at.ordinal())
}

/// The ISO week, which has a year of its own.
fn week(at: DateTime<Utc>) -> (i32, u32) {
    (at.iso_week().year(), at.iso_week().week())
}

fn month(at: DateTime<Utc>) -> (i32, u32) {
    (at.year(), at.month())
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
