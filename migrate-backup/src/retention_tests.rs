//! What is kept, read as a table: a backup a line, newest first, with the reasons.

use super::*;

const NOW: &str = "2026-11-24T12:00";

fn time(text: &str) -> DateTime<Utc> {
    format!("{text}:00Z").parse().unwrap()
}

fn candidate(at: &str) -> Candidate {
    Candidate {
        id: BackupId::new(time(at), 0),
        source: Source { system_identifier: "7".into(), database: "shop".into() },
        created_at: time(at),
        proven: None,
        pin: None,
        files: Files::Whole,
    }
}

fn candidates(times: &[&str]) -> Vec<Candidate> {
    times.iter().map(|it| candidate(it)).collect()
}

/// The reasons for what is kept; none for what goes.
fn kept(candidates: &[Candidate], policy: Policy) -> Vec<Vec<String>> {
    let reasons = |it: Decision| match it.action {
        RetentionAction::Keep => it.reasons,
        RetentionAction::LeaveAlone => vec![format!("({})", it.reasons.join(", "))],
        RetentionAction::Remove => {
            assert_eq!(it.reasons, ["no rule keeps it"]);
            Vec::new()
        }
    };
    decide(candidates, &policy, time(NOW)).into_iter().map(reasons).collect()
}

#[track_caller]
fn check(policy: Policy, expected: &[(&str, &[&str])]) {
    let times: Vec<&str> = expected.iter().map(|(time, _)| *time).collect();
    let wanted: Vec<&[&str]> = expected.iter().map(|(_, reasons)| *reasons).collect();
    assert_eq!(kept(&candidates(&times), policy), wanted, "{policy:?}");
}

fn last(last: u32) -> Policy {
    Policy { last, ..Policy::default() }
}

#[test]
fn the_last_ones_stay() {
    check(
        last(2),
        &[
            ("2026-11-24T10:00", &["last good", "last"]),
            ("2026-11-24T09:00", &["last"]),
            ("2026-11-23T10:00", &[]),
        ],
    );
}

#[test]
fn of_each_day_the_newest_stays_and_days_without_a_backup_do_not_count() {
    check(
        Policy { daily: 2, ..Policy::default() },
        &[
            ("2026-11-24T10:00", &["last good", "daily"]),
            ("2026-11-24T09:00", &[]),
            ("2026-11-20T23:59", &["daily"]),
            ("2026-11-20T00:00", &[]),
            ("2026-11-19T23:59", &[]),
        ],
    );
}

#[test]
fn while_a_rule_has_counts_left_the_oldest_stays() {
    check(
        Policy { monthly: 3, ..Policy::default() },
        &[
            ("2026-11-24T10:00", &["last good", "monthly"]),
            ("2026-11-02T10:00", &[]),
            ("2026-11-01T10:00", &["oldest monthly"]),
        ],
    );
}

#[test]
fn weeks_are_those_of_iso_and_end_with_sunday_across_the_turn_of_the_year() {
    check(
        Policy { weekly: 2, ..Policy::default() },
        &[
            // 2026-01-01 was a Thursday: its week began on 2025-12-29.
            ("2026-01-04T10:00", &["last good", "weekly"]),
            ("2025-12-29T10:00", &[]),
            ("2025-12-28T10:00", &["weekly"]),
            ("2025-12-22T10:00", &[]),
        ],
    );
}

#[test]
fn within_counts_from_the_newest_backup_so_that_nothing_goes_where_none_is_made_any_more() {
    check(
        Policy { within: Some(Duration::from_secs(2 * 86_400)), ..Policy::default() },
        &[
            ("2026-06-10T10:00", &["last good", "within 2days"]),
            ("2026-06-08T10:01", &["within 2days"]),
            ("2026-06-08T10:00", &[]),
        ],
    );
}

#[test]
fn what_any_rule_keeps_is_kept_for_all_its_reasons() {
    check(
        Policy { last: 1, daily: 2, weekly: 1, monthly: 1, within: None },
        &[
            ("2026-11-24T10:00", &["last good", "last", "daily", "weekly", "monthly"]),
            ("2026-11-23T10:00", &["daily"]),
            ("2026-11-22T10:00", &[]),
        ],
    );
}

#[test]
fn a_pinned_backup_stays_and_counts_like_any_other() {
    let mut backups = candidates(&["2026-11-24T10:00", "2026-11-23T10:00", "2026-11-22T10:00"]);
    backups[0].pin = Some("pinned: release".into());
    backups[2].pin = Some("pinned".into());
    assert_eq!(
        kept(&backups, last(1)),
        [vec!["last good", "last", "pinned: release"], vec![], vec!["pinned"]]
    );
}

#[test]
fn a_damaged_backup_counts_for_no_rule_and_the_good_one_before_it_stays() {
    let mut backups = candidates(&["2026-11-24T10:00", "2026-11-23T10:00", "2026-11-22T10:00"]);
    backups[0].files = Files::Damaged;
    assert_eq!(
        kept(&backups, last(1)),
        [vec!["(damaged: it counts for no rule)"], vec!["last good", "last"], vec![]]
    );
}

#[test]
fn a_backup_from_the_future_does_not_take_the_place_of_those_that_are_made_now() {
    check(
        last(1),
        &[
            ("2036-11-24T10:00", &["(dated in the future: it counts for no rule)"]),
            ("2026-11-24T12:59", &["last good", "last"]),
            ("2026-11-23T10:00", &[]),
        ],
    );
}

#[test]
fn with_a_clock_that_went_back_nothing_goes() {
    let backups = candidates(&["2026-11-24T10:00", "2026-11-23T10:00"]);
    let decisions = decide(&backups, &last(1), time("2016-01-01T00:00"));
    assert!(decisions.iter().all(|it| it.action == RetentionAction::LeaveAlone));
}

#[test]
fn each_database_has_its_own_counts() {
    let mut backups = candidates(&["2026-11-24T10:00", "2026-11-23T10:00", "2026-11-22T10:00"]);
    backups[1].source.database = "crm".into();
    backups[2].source.system_identifier = "8".into();
    let good = vec!["last good", "last"];
    assert_eq!(kept(&backups, last(1)), [good.clone(), good.clone(), good]);
}

#[test]
fn the_newest_one_of_the_highest_level_proven_stays_whatever_its_age() {
    let mut backups = candidates(&[
        "2026-11-24T10:00",
        "2026-11-23T10:00",
        "2026-11-22T10:00",
        "2026-11-21T10:00",
    ]);
    backups[0].proven = Some(Level::Checksum);
    backups[1].proven = Some(Level::Read);
    backups[2].proven = Some(Level::Restore);
    backups[3].proven = Some(Level::Restore);
    assert_eq!(
        kept(&backups, last(1)),
        [vec!["last good", "last"], vec![], vec!["newest of level restore"], vec![]]
    );
}

#[test]
fn whatever_the_policy_one_good_backup_of_each_database_stays() {
    let backups: Vec<Candidate> = (0..60)
        .map(|it| {
            let mut backup = candidate("2026-11-24T10:00");
            backup.created_at -= TimeDelta::hours(it * 7);
            backup.source.database = format!("db{}", it % 3);
            backup.files = if it % 5 < 2 { Files::Damaged } else { Files::Whole };
            backup
        })
        .collect();
    for seed in 0..500_u32 {
        let bit = |it: u32| (seed >> it) & 1;
        let policy = Policy {
            last: bit(0) * (seed % 3),
            daily: bit(1) * (seed % 4),
            weekly: bit(2) * (seed % 2),
            monthly: bit(3) * (seed % 2),
            within: (bit(4) == 1).then(|| Duration::from_secs(u64::from(seed) * 1000)),
        };
        let decisions = decide(&backups, &policy, time(NOW));
        for database in ["db0", "db1", "db2"] {
            let stays = backups.iter().zip(&decisions).any(|(backup, decision)| {
                backup.source.database == database
                    && backup.files == Files::Whole
                    && decision.action == RetentionAction::Keep
            });
            assert!(stays, "{policy:?} leaves nothing of {database}");
        }
    }
}

#[test]
fn before_anything_goes_the_newest_that_stays_is_read() {
    let mut backups = candidates(&["2026-11-24T10:00", "2026-11-23T10:00", "2026-11-22T10:00"]);
    for it in &mut backups {
        it.files = Files::Unknown;
    }
    let next = |backups: &[Candidate], policy: Policy| {
        to_check(backups, &decide(backups, &policy, time(NOW)), time(NOW))
    };
    assert_eq!(next(&backups, last(3)), None, "nothing goes");
    assert_eq!(next(&backups, last(1)), Some(0));
    backups[0].files = Files::Damaged;
    assert_eq!(next(&backups, last(1)), Some(1));
    backups[1].files = Files::Whole;
    assert_eq!(next(&backups, last(1)), None);
}
