//! When a batched change stands back for standbys: while one is too far behind.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
};

const REPLICAS: &str = include_str!("../../sql/batch_replicas.sql");

/// How late a standby may be; tests of a debug build may set it with `MIGRATE_BATCH_LAG`.
fn allowed_lag() -> Duration {
    match std::env::var("MIGRATE_BATCH_LAG") {
        Ok(time) if cfg!(debug_assertions) => {
            humantime::parse_duration(&time).expect("MIGRATE_BATCH_LAG is a duration")
        }
        _ => Duration::from_secs(10),
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Replica {
    name: String,
    /// Bytes of WAL since the beginning.
    written: i64,
    replayed: i64,
    /// Stands still where the standby does.
    lag: Option<Duration>,
}

/// What was written when, to tell how late a standby is that says nothing any more.
#[derive(Debug)]
pub(crate) struct Standbys {
    allowed: Duration,
    start: Instant,
    written: VecDeque<(Duration, i64)>,
}

impl Standbys {
    pub(crate) fn new() -> Standbys {
        Standbys { allowed: allowed_lag(), start: Instant::now(), written: VecDeque::new() }
    }

    /// Why not to go on now. A role that may not see the standbys waits for none.
    pub(crate) fn reason(&mut self, session: &Session) -> Result<Option<String>> {
        let rows = session
            .query_once(REPLICAS, &[])
            .map_err(Error::database("look how far standbys are behind"))?;
        let replica = |row: &tokio_postgres::Row| Replica {
            name: row.get("name"),
            written: row.get("written"),
            replayed: row.get("replayed"),
            lag: row
                .get::<_, Option<i64>>("lag_ms")
                .map(|it| Duration::from_millis(it.unsigned_abs())),
        };
        let replicas: Vec<Replica> = rows.iter().map(replica).collect();
        Ok(self.late(self.start.elapsed(), &replicas))
    }

    fn late(&mut self, now: Duration, replicas: &[Replica]) -> Option<String> {
        let written = replicas.iter().map(|it| it.written).max()?;
        let second = Duration::from_secs(1);
        if self.written.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= second) {
            self.written.push_back((now, written));
        }
        let is_due = |at: &Duration| *at + self.allowed <= now;
        while self.written.get(1).is_some_and(|(at, _)| is_due(at)) {
            self.written.pop_front();
        }
        let due = self.written.front().filter(|(at, _)| is_due(at)).map_or(0, |it| it.1);
        let late = replicas.iter().find(|it| {
            it.replayed < due
                || (it.replayed < it.written && it.lag.is_some_and(|it| it > self.allowed))
        })?;
        Some(format!(
            "standby `{}` is more than {} behind",
            late.name,
            humantime::format_duration(self.allowed)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(written: i64, replayed: i64, lag_s: Option<u64>) -> Replica {
        let lag = lag_s.map(Duration::from_secs);
        Replica { name: "b".to_owned(), written, replayed, lag }
    }

    /// What is said each second of a standby in these states.
    fn late(states: &[Replica]) -> Vec<bool> {
        let mut standbys = Standbys::new();
        let seconds = (0..).map(Duration::from_secs);
        seconds
            .zip(states)
            .map(|(now, it)| {
                standbys.late(now, &[replica(it.written, it.written, None), it.clone()])
            })
            .map(|it| it.is_some())
            .collect()
    }

    #[test]
    fn a_standby_that_says_how_late_it_is_is_believed_while_it_has_something_to_replay() {
        let states = [
            replica(100, 90, Some(9)),
            replica(100, 90, Some(11)),
            replica(100, 100, Some(11)),
            replica(100, 90, None),
        ];
        assert_eq!(late(&states), [false, true, false, false]);
    }

    #[test]
    fn a_standby_that_has_stopped_is_late_once_what_it_lacks_is_old() {
        let stopped: Vec<Replica> = (0..13).map(|at| replica(100 + at, 101, None)).collect();
        let mut expected = [false; 13];
        // At 12 seconds, 102 bytes had been written 10 seconds ago.
        expected[12] = true;
        assert_eq!(late(&stopped), expected);
    }

    #[test]
    fn the_standby_is_named() {
        let said = Standbys::new().late(Duration::ZERO, &[replica(2, 1, Some(60))]);
        assert_eq!(said.as_deref(), Some("standby `b` is more than 10s behind"));
    }
}
