//! Whether there is a recent backup that is proven, by the audit log.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use migrate_core::{
    config::RequireBackup,
    record::{CheckStatus, timestamp},
    text,
};

use super::{Answer, Seen, evidence::Backup};

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// From weak to strong; each includes those before it.
const LEVELS: [&str; 3] = ["checksum", "read", "restore"];

pub(super) fn answer(seen: &Seen) -> Answer {
    let Some(evidence) = &seen.evidence else {
        return Answer::unknown("this role may not read the audit log");
    };
    judge(&evidence.backups, seen.require.backup.as_ref(), seen.session.server_now())
}

fn judge(backups: &[Backup], wanted: Option<&RequireBackup>, now: DateTime<Utc>) -> Answer {
    let max_age = wanted.and_then(|it| it.max_age).unwrap_or(A_DAY);
    let level = wanted.and_then(|it| it.verified.as_deref());
    let newest = |proven: bool| {
        let enough = |it: &&Backup| !proven || rank(it.level.as_deref()) >= rank(level).max(1);
        backups.iter().filter(enough).max_by_key(|it| (it.created_at, rank(it.level.as_deref())))
    };
    let Some(last) = newest(false) else {
        return Answer::new(CheckStatus::Fail, "no backup of this database is known");
    };
    let describe = |it: &Backup| {
        let age = (now - it.created_at).num_milliseconds().unsigned_abs();
        let proven = it
            .level
            .as_deref()
            .map_or("never verified".to_owned(), |it| format!("verified to level {it}"));
        format!("of {}, {} old, {proven}", timestamp(&it.created_at), text::took(age))
    };
    let young = |it: &Backup| {
        TimeDelta::from_std(max_age).is_ok_and(|max| it.created_at >= now - max)
            // Nobody's clock is that wrong by accident.
            && it.created_at <= now + TimeDelta::minutes(5)
    };
    let limit = text::took(max_age.as_millis() as u64);
    match newest(true) {
        Some(it) if young(it) => Answer::of(CheckStatus::Pass, &it.id, describe(it)),
        Some(it) => Answer::of(
            CheckStatus::Fail,
            &it.id,
            format!("{}; it may be {limit} old at most", describe(it)),
        ),
        None if young(last) && level.is_none() => {
            Answer::of(CheckStatus::Warn, &last.id, describe(last))
        }
        None => Answer::of(
            CheckStatus::Fail,
            &last.id,
            format!("{}; wanted is level {}", describe(last), level.unwrap_or("checksum")),
        ),
    }
}

fn rank(level: Option<&str>) -> usize {
    level.and_then(|level| LEVELS.iter().position(|it| *it == level)).map_or(0, |it| it + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(hours: i64, level: Option<&str>) -> Backup {
        let created_at = DateTime::UNIX_EPOCH - TimeDelta::hours(hours);
        Backup { id: format!("{hours}h"), created_at, level: level.map(str::to_owned) }
    }

    #[test]
    fn a_backup_must_be_young_and_proven_enough() {
        let required = |age: u64, level: &str| {
            Some(RequireBackup {
                max_age: Some(Duration::from_secs(age * 3600)),
                verified: Some(level.to_owned()),
            })
        };
        for (backups, wanted, status, object) in [
            (vec![], None, CheckStatus::Fail, None),
            (vec![backup(1, None)], None, CheckStatus::Warn, Some("1h")),
            (
                vec![backup(1, None), backup(2, Some("checksum"))],
                None,
                CheckStatus::Pass,
                Some("2h"),
            ),
            (vec![backup(30, Some("restore"))], None, CheckStatus::Fail, Some("30h")),
            (vec![backup(1, Some("read"))], required(2, "restore"), CheckStatus::Fail, Some("1h")),
            (vec![backup(1, Some("restore"))], required(2, "read"), CheckStatus::Pass, Some("1h")),
            (vec![backup(3, Some("restore"))], required(2, "read"), CheckStatus::Fail, Some("3h")),
            (vec![backup(-9, Some("restore"))], None, CheckStatus::Fail, Some("-9h")),
            // Made and verified are two rows of one backup.
            (vec![backup(1, None), backup(1, Some("read"))], None, CheckStatus::Pass, Some("1h")),
        ] {
            let answer = judge(&backups, wanted.as_ref(), DateTime::UNIX_EPOCH);
            assert_eq!((answer.status, answer.object.as_deref()), (status, object), "{backups:?}");
        }
    }
}
