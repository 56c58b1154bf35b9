//! Times as people write them on a command line, and where in the log they are.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    ledger::Ledger,
};

const BOUNDS: &str = include_str!("../sql/log_bounds.sql");
const TIME: &str = include_str!("../sql/log_time.sql");
/// Writers may overtake each other by this much.
const SLACK: TimeDelta = TimeDelta::seconds(10);

/// Reads `2026-03-10`, `2026-03-10 09:00`, RFC 3339, or how long ago: `2h`, `3days`. UTC.
pub(crate) fn time(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    for format in ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"] {
        if let Ok(at) = NaiveDateTime::parse_from_str(text.trim_end_matches('Z'), format) {
            return Ok(at.and_utc());
        }
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(day.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    let ago = humantime::parse_duration(text).ok().and_then(|it| TimeDelta::from_std(it).ok());
    ago.and_then(|it| now.checked_sub_signed(it)).ok_or_else(|| {
        Error::usage(
            format!("`{}` is no time", text.escape_debug()),
            "write 2026-03-10, '2026-03-10 09:00', 2026-03-10T09:00:00Z (all UTC), or how long ago: 2h, 3days",
        )
    })
}

/// The numbers between which all rows of a period lie, both of them outside: found by halving, as the
/// times of a log go up with its numbers, but for what writers overtake each other.
pub(crate) fn bounds(
    session: &Session,
    ledger: &Ledger,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
) -> Result<(i64, i64)> {
    if since.is_none() && until.is_none() {
        return Ok((0, i64::MAX));
    }
    let row = session
        .query_one(&ledger.sql(BOUNDS), &[])
        .map_err(Error::database("read the audit log"))?;
    let (Some(first), Some(last)) = (row.get::<_, Option<i64>>("first"), row.get("last")) else {
        return Ok((0, i64::MAX));
    };
    let from = match since {
        Some(since) => at_or_after(session, ledger, first, last, since - SLACK)? - 1,
        None => 0,
    };
    let to = match until {
        Some(until) => at_or_after(session, ledger, first, last, until + SLACK)?,
        None => i64::MAX,
    };
    // What is written from now on belongs to a period that has not ended.
    Ok((from, if to > last { i64::MAX } else { to }))
}

/// The first number between `first` and `last` of that time or a later one; one beyond where none is.
fn at_or_after(
    session: &Session,
    ledger: &Ledger,
    first: i64,
    last: i64,
    time: DateTime<Utc>,
) -> Result<i64> {
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let row = session
            .query_opt(&ledger.sql(TIME), &[&middle])
            .map_err(Error::database("read the audit log"))?;
        let earlier = row.is_some_and(|it| it.get::<_, DateTime<Utc>>("timestamp") < time);
        if earlier { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_a_day_a_minute_a_second_or_how_long_ago() {
        let now = "2026-03-10T12:00:00Z".parse().unwrap();
        for (text, meant) in [
            ("2026-03-09", "2026-03-09T00:00:00Z"),
            ("2026-03-09 08:30", "2026-03-09T08:30:00Z"),
            ("2026-03-09T08:30:01Z", "2026-03-09T08:30:01Z"),
            ("2026-03-09T08:30:01+02:00", "2026-03-09T06:30:01Z"),
            ("90m", "2026-03-10T10:30:00Z"),
            ("2days", "2026-03-08T12:00:00Z"),
        ] {
            assert_eq!(time(text, now).unwrap(), meant.parse::<DateTime<Utc>>().unwrap(), "{text}");
        }
        for wrong in ["", "soon", "2026-13-01", "99999999999999years"] {
            assert!(time(wrong, now).is_err(), "{wrong}");
        }
    }
}
