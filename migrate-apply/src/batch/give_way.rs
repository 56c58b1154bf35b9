//! When a batched change stands back: while a standby is too far behind.

use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
};

const REPLICAS: &str = include_str!("../../sql/batch_replicas.sql");

const SECONDS_BEHIND: f64 = 10.0;
/// A standby that has stopped replaying says no time.
const BYTES_BEHIND: i64 = 1 << 30;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Replica {
    name: String,
    seconds: Option<f64>,
    bytes: i64,
}

/// The standbys that stream from this server; none where the role may not see them.
pub(crate) fn replicas(session: &Session) -> Result<Vec<Replica>> {
    let rows = session
        .query_once(REPLICAS, &[])
        .map_err(Error::database("look how far standbys are behind"))?;
    Ok(rows
        .iter()
        .map(|row| Replica {
            name: row.get("name"),
            seconds: row.get("seconds"),
            bytes: row.get("bytes"),
        })
        .collect())
}

/// Why not to go on now.
pub(crate) fn reason(replicas: &[Replica]) -> Option<String> {
    let late = |it: &Replica| it.bytes > 0 && it.seconds.is_some_and(|it| it > SECONDS_BEHIND);
    let behind = replicas.iter().find(|it| late(it) || it.bytes > BYTES_BEHIND)?;
    let seconds = behind.seconds.map(|it| format!("{it:.0} s and "));
    Some(format!(
        "standby `{}` is {}{} MB behind",
        behind.name,
        seconds.unwrap_or_default(),
        behind.bytes >> 20
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(seconds: Option<f64>, bytes: i64) -> Replica {
        Replica { name: "b".to_owned(), seconds, bytes }
    }

    #[test]
    fn a_standby_that_is_far_behind_is_waited_for() {
        let near = replica(Some(9.9), 500 << 20);
        assert_eq!(reason(&[]), None);
        assert_eq!(reason(&[near.clone(), replica(None, 5), replica(Some(60.0), 0)]), None);
        let late = replica(Some(12.3), 3 << 20);
        let expected = "standby `b` is 12 s and 3 MB behind";
        assert_eq!(reason(&[near.clone(), late]).as_deref(), Some(expected));
        let stopped = replica(None, 2 << 30);
        assert_eq!(reason(&[near, stopped]).as_deref(), Some("standby `b` is 2048 MB behind"));
    }
}
