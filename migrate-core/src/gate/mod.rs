//! The gates of `up`: what an environment requires, judged from evidence in the audit log.
//!
//! Judging is pure: evidence, the plan and the time go in, a verdict a gate comes out.

mod evidence;
pub mod person;
pub mod signature;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

pub use evidence::{Backup, Evidence, Rehearsal};

use self::person::Person;
use crate::{
    config::{Require, RequireBackup},
    migration::risk::Risk,
    record::{Gate, GateStatus, Identity, PlanApproved, timestamp},
};

/// The levels to which a backup is proven; each includes those before it.
pub const LEVELS: [&str; 3] = ["checksum", "read", "restore"];

/// What is to be let through.
#[derive(Debug, Clone, Copy)]
pub struct Planned<'a> {
    pub hash: &'a str,
    /// As the headers of the files state them.
    pub authors: &'a [String],
    /// The riskiest migration: its version and name, and how risky it is.
    pub riskiest: Option<(&'a str, Risk)>,
}

/// The gates that are required, in the order in which a person passes them. `preflight` is none of
/// these: it is looked at, not remembered.
pub fn judge(
    require: &Require,
    planned: Planned<'_>,
    evidence: &Evidence,
    now: DateTime<Utc>,
) -> Vec<Gate> {
    let mut gates = Vec::new();
    if let Some(max) = require.max_risk {
        gates.push(max_risk(max, planned));
    }
    if let Some(wanted) = &require.backup {
        gates.push(backup(wanted, planned, evidence, now));
    }
    if require.rehearsal == Some(true) {
        gates.push(rehearsal(planned, evidence));
    }
    if let Some(wanted) = require.approvals.filter(|it| *it > 0) {
        gates.push(approvals(wanted, require.approved_by, planned, evidence));
    }
    gates
}

/// A verdict, with the command that brings what lacks.
pub fn gate(
    name: &str,
    hash: &str,
    verdict: Result<String, String>,
    command: Option<String>,
) -> Gate {
    let (status, message, command) = match verdict {
        Ok(message) => (GateStatus::Pass, message, None),
        Err(message) => (GateStatus::Fail, message, command),
    };
    Gate { name: name.to_owned(), status, plan_hash: hash.to_owned(), message, command }
}

fn max_risk(max: Risk, planned: Planned<'_>) -> Gate {
    let verdict = match planned.riskiest {
        Some((migration, risk)) if risk > max => {
            Err(format!("migration {migration} has risk {risk}, and max_risk is {max}"))
        }
        _ => Ok(format!("no migration has more than {max}")),
    };
    gate("max_risk", planned.hash, verdict, None)
}

fn backup(
    wanted: &RequireBackup,
    planned: Planned<'_>,
    evidence: &Evidence,
    now: DateTime<Utc>,
) -> Gate {
    let level = wanted.verified.as_deref();
    let rank = |it: &str| LEVELS.iter().position(|level| *level == it);
    let verify = level.map(|it| format!(" | migrate-backup verify - --level {it}"));
    let command = format!("migrate-backup create{}", verify.unwrap_or_default());
    let proven = |it: &&Backup| match level {
        None => true,
        Some(level) => {
            it.level.as_deref().and_then(rank) >= Some(rank(level).unwrap_or(LEVELS.len()))
        }
    };
    let what = match level {
        Some(level) => format!("backup of this database, verified to level {level}"),
        None => "backup of this database".to_owned(),
    };
    let newest = evidence.backups.iter().filter(proven).max_by_key(|it| it.created_at);
    let verdict = match (newest, wanted.max_age) {
        (None, _) => Err(format!("there is no {what}")),
        (Some(it), Some(max)) if it.created_at < now - delta(max) => Err(format!(
            "the newest {what} is {}, of {}: {} old, and max_age is {}",
            it.id,
            timestamp(&it.created_at),
            age(now - it.created_at),
            humantime::format_duration(max)
        )),
        // Nobody's clock is that wrong by accident.
        (Some(it), _) if it.created_at > now + TimeDelta::minutes(5) => {
            Err(format!("backup {} is from the future: {}", it.id, timestamp(&it.created_at)))
        }
        (Some(it), _) => Ok(format!(
            "backup {} of {}, {} old{}",
            it.id,
            timestamp(&it.created_at),
            age(now - it.created_at),
            it.level.as_ref().map(|it| format!(", verified to level {it}")).unwrap_or_default()
        )),
    };
    gate("backup", planned.hash, verdict, Some(command))
}

fn rehearsal(planned: Planned<'_>, evidence: &Evidence) -> Gate {
    // The newest one counts: it may have found what an earlier one had not.
    let verdict = match evidence.rehearsals.first() {
        None => Err("this plan was not rehearsed".to_owned()),
        Some(it) if it.passed => Ok(format!("rehearsed {} by `{}`", timestamp(&it.at), it.actor)),
        Some(it) => Err(format!("the rehearsal of this plan of {} failed", timestamp(&it.at))),
    };
    gate("rehearsal", planned.hash, verdict, Some("migrate-check rehearse".to_owned()))
}

fn approvals(
    wanted: u32,
    identity: Option<Identity>,
    planned: Planned<'_>,
    evidence: &Evidence,
) -> Gate {
    let (counted, remarks) = count(identity, planned, evidence);
    let names: Vec<String> = counted
        .iter()
        .map(|it| match it.identity {
            Identity::Stated => format!("{} (stated by role {})", it.approver, it.role),
            Identity::Database => format!("{} (database role)", it.approver),
            Identity::Signature => format!("{} (signature)", it.approver),
        })
        .collect();
    let mut message = match names.len() {
        0 => format!("nobody has approved this plan, {wanted} must"),
        given => format!("{given} of {wanted} approvals of this plan: {}", names.join(", ")),
    };
    for remark in remarks {
        message += &format!("; {remark}");
    }
    let enough = counted.len() >= wanted as usize;
    let command = format!("migrate-audit approve {}", planned.hash);
    gate("approvals", planned.hash, if enough { Ok(message) } else { Err(message) }, Some(command))
}

/// One approval a person, the best proven one; and why others don't count.
fn count<'a>(
    identity: Option<Identity>,
    planned: Planned<'_>,
    evidence: &'a Evidence,
) -> (Vec<&'a PlanApproved>, Vec<String>) {
    let authors: Vec<Person> = planned.authors.iter().map(|it| Person::named(it)).collect();
    let mut remarks = Vec::new();
    let mut counted: Vec<&PlanApproved> = Vec::new();
    let mut best: Vec<&PlanApproved> = evidence.approvals.iter().collect();
    best.sort_by_key(|it| std::cmp::Reverse(it.identity));
    for it in best {
        let person = Person::named(&it.approver);
        let remark = if counted.iter().any(|other| Person::named(&other.approver) == person) {
            continue;
        } else if authors.contains(&person) {
            format!("{} does not count: an author of it", it.approver)
        } else if identity.is_some_and(|wanted| it.identity < wanted) {
            format!("{} does not count: not proven well enough", it.approver)
        } else {
            counted.push(it);
            continue;
        };
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }
    counted.reverse();
    (counted, remarks)
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(36_500))
}

fn age(age: TimeDelta) -> String {
    let seconds = age.num_seconds().unsigned_abs();
    // Minutes are enough where it is hours.
    let shown = if seconds >= 3600 { seconds / 60 * 60 } else { seconds };
    humantime::format_duration(Duration::from_secs(shown)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:00";

    fn now() -> DateTime<Utc> {
        "2026-03-10T12:00:00Z".parse().unwrap()
    }

    fn approval(approver: &str, identity: Identity) -> PlanApproved {
        PlanApproved {
            plan_hash: HASH.into(),
            approver: approver.into(),
            identity,
            role: "deploy".into(),
            comment: None,
            fingerprint: None,
            signature: None,
        }
    }

    #[track_caller]
    fn verdict(require: &Require, authors: &[&str], evidence: &Evidence) -> (GateStatus, String) {
        let authors: Vec<String> = authors.iter().map(|it| (*it).to_owned()).collect();
        let planned = Planned { hash: HASH, authors: &authors, riskiest: None };
        let gates = judge(require, planned, evidence, now());
        assert_eq!(gates.len(), 1, "{gates:?}");
        (gates[0].status, gates[0].message.clone())
    }

    #[test]
    fn one_person_counts_once_and_an_author_not_at_all() {
        let require = Require { approvals: Some(2), ..Require::default() };
        let stated = |names: &[&str]| Evidence {
            approvals: names.iter().map(|it| approval(it, Identity::Stated)).collect(),
            ..Evidence::default()
        };
        let of = |names: &[&str], authors: &[&str]| verdict(&require, authors, &stated(names)).0;
        assert_eq!(of(&["ann", "bob"], &[]), GateStatus::Pass);
        assert_eq!(of(&["ann", " Ann "], &[]), GateStatus::Fail);
        assert_eq!(of(&["ann", "Ann <ann@shop.example>", "ANN"], &[]), GateStatus::Fail);
        assert_eq!(of(&["ann", "bob"], &["Ann <ann@shop.example>"]), GateStatus::Fail);
        assert_eq!(of(&["ann", "bob", "cid"], &["ann"]), GateStatus::Pass);
        let (_, message) = verdict(&require, &["Bob"], &stated(&["ann", "bob"]));
        assert_eq!(
            message,
            "1 of 2 approvals of this plan: ann (stated by role deploy); bob does not count: an author of it"
        );
        let (_, message) = verdict(&require, &[], &stated(&[]));
        assert_eq!(message, "nobody has approved this plan, 2 must");
    }

    #[test]
    fn an_environment_may_want_identities_that_are_proven() {
        let evidence = Evidence {
            approvals: vec![
                approval("ann", Identity::Stated),
                approval("ann", Identity::Signature),
                approval("bob", Identity::Database),
                approval("cid", Identity::Stated),
            ],
            ..Evidence::default()
        };
        let wanting = |approvals, approved_by| {
            let require = Require { approvals: Some(approvals), approved_by, ..Require::default() };
            verdict(&require, &[], &evidence).0
        };
        assert_eq!(wanting(3, None), GateStatus::Pass);
        assert_eq!(wanting(4, None), GateStatus::Fail);
        assert_eq!(wanting(2, Some(Identity::Database)), GateStatus::Pass);
        assert_eq!(wanting(3, Some(Identity::Database)), GateStatus::Fail);
        assert_eq!(wanting(2, Some(Identity::Signature)), GateStatus::Fail);
    }

    #[test]
    fn a_backup_must_be_young_enough_and_proven_well_enough() {
        let evidence = |ago: i64, level: Option<&str>| Evidence {
            backups: vec![Backup {
                id: "b".into(),
                level: level.map(str::to_owned),
                created_at: now() - TimeDelta::minutes(ago),
            }],
            ..Evidence::default()
        };
        let wanting = |verified: Option<&str>, evidence: &Evidence| {
            let max_age = Some(Duration::from_secs(3600));
            let backup = Some(RequireBackup { max_age, verified: verified.map(str::to_owned) });
            verdict(&Require { backup, ..Require::default() }, &[], evidence).0
        };
        for (verified, ago, level, expected) in [
            (None, 59, None, GateStatus::Pass),
            (None, 61, None, GateStatus::Fail),
            (None, -6, None, GateStatus::Fail),
            (Some("checksum"), 1, None, GateStatus::Fail),
            (Some("checksum"), 1, Some("checksum"), GateStatus::Pass),
            (Some("checksum"), 1, Some("restore"), GateStatus::Pass),
            (Some("restore"), 1, Some("read"), GateStatus::Fail),
            (Some("no such"), 1, Some("restore"), GateStatus::Fail),
            (Some("read"), 61, Some("restore"), GateStatus::Fail),
        ] {
            let seen = wanting(verified, &evidence(ago, level));
            assert_eq!(seen, expected, "{verified:?} {ago} {level:?}");
        }
        assert_eq!(wanting(None, &Evidence::default()), GateStatus::Fail);
    }

    #[test]
    fn the_newest_rehearsal_decides() {
        let rehearsal = |passed| Rehearsal { at: now(), actor: "ci".into(), passed };
        let require = Require { rehearsal: Some(true), ..Require::default() };
        let of = |passed: &[bool]| {
            let rehearsals = passed.iter().map(|it| rehearsal(*it)).collect();
            verdict(&require, &[], &Evidence { rehearsals, ..Evidence::default() }).0
        };
        assert_eq!(of(&[]), GateStatus::Fail);
        assert_eq!(of(&[true, false]), GateStatus::Pass);
        assert_eq!(of(&[false, true]), GateStatus::Fail);
    }
}
