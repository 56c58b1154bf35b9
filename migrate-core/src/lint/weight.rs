//! What an action weighs on the tables that there are: risk and time by rows, bytes and traffic.

use std::time::Duration;

use super::size::{Size, Sizes};
use crate::{
    migration::risk::Risk,
    sql::effects::{Judged, Work},
    text::{bytes, took},
};

/// How much a server reads, writes anew and changes in a second: orders of magnitude, on the slow
/// side, so that what is called short is short.
const READ: f64 = 200e6;
const WRITE: f64 = 30e6;
const ROWS: f64 = 50e3;

/// Nobody notices a lock that is held no longer.
const SHORT: Duration = Duration::from_millis(100);
/// Writers who wait so long give up.
const LONG: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weight {
    pub(super) risk: Risk,
    pub(super) estimate: Option<Duration>,
    /// The sizes in words.
    pub(super) said: Option<String>,
}

pub(super) fn weigh(judged: &Judged, sizes: &Sizes) -> Weight {
    let size = judged.action.relation.name().and_then(|it| sizes.of(it));
    match size {
        None => Weight { risk: judged.risk, estimate: None, said: None },
        Some(size) => by_size(judged, size),
    }
}

fn by_size(judged: &Judged, size: &Size) -> Weight {
    let facts = judged.action.class.facts();
    let estimate = match facts.work {
        Work::Brief => None,
        Work::Scan | Work::ScanUnless(_) => Some(size.bytes as f64 / READ),
        Work::Rewrite | Work::RewriteUnless(_) => {
            Some((size.bytes + size.index_bytes) as f64 / WRITE)
        }
        Work::Rows => Some(size.rows as f64 / ROWS),
    };
    let estimate = estimate.map(Duration::from_secs_f64);
    let blocks_reads = facts.lock.is_some_and(|it| it.blocks_reads());
    let blocks_writes = facts.lock.is_some_and(|it| it.blocks_writes());
    let idle = size.is_empty() && size.writes_per_second == 0.0;
    let risk = match estimate {
        _ if facts.destroys => judged.risk.min(if idle { Risk::Medium } else { Risk::High }),
        _ if idle && blocks_writes => Risk::Low,
        Some(time) if time <= SHORT && blocks_writes => Risk::Medium,
        Some(time) if time <= SHORT => Risk::Low,
        Some(_) if blocks_reads => Risk::High,
        Some(time) if time > LONG && (blocks_writes || facts.work == Work::Rows) => Risk::High,
        _ => judged.risk,
    };
    Weight { risk, estimate, said: Some(said(size, estimate)) }
}

/// The risk of a finding whose danger is how long others wait for the table.
pub(super) fn ease(risk: Risk, object: Option<&Size>) -> Risk {
    match object {
        Some(size) if size.is_empty() => Risk::Low,
        Some(size) if size.bytes as f64 <= SHORT.as_secs_f64() * WRITE => risk.min(Risk::Medium),
        _ => risk,
    }
}

/// `1.2 M rows, 3.4 GB, 120 writes/s, 2 views and foreign keys depend on it: about 12 s`.
fn said(size: &Size, estimate: Option<Duration>) -> String {
    let mut text = format!("{} rows, {}", short(size.rows), bytes(size.bytes));
    if size.writes_per_second >= 0.1 {
        text += &format!(", {:.1} writes/s", size.writes_per_second);
    }
    if size.partitions > 0 {
        text += &format!(", {} partitions", size.partitions);
    }
    if size.dependants > 0 {
        text += &format!(", {} views and foreign keys depend on it", size.dependants);
    }
    match estimate.filter(|it| *it > SHORT) {
        Some(time) => text + &format!(": about {}", took(time.as_millis() as u64)),
        None => text,
    }
}

fn short(rows: i64) -> String {
    match rows {
        ..1_000 => rows.to_string(),
        1_000..1_000_000 => format!("{:.1} k", rows as f64 / 1e3),
        _ => format!("{:.1} M", rows as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{
        effects::{Effects, Judge},
        split::split,
    };

    fn weigh_sql(sql: &str, size: Size) -> (Risk, Option<u64>) {
        let statement = split("f", sql, 1).next().unwrap().unwrap();
        let judged = Judge::default().judge(&Effects::of(sql, &statement.kind));
        let weights = judged.iter().map(|it| by_size(it, &size));
        let (risk, estimate) = weights.map(|it| (it.risk, it.estimate)).max().unwrap();
        (risk, estimate.map(|it| it.as_secs()))
    }

    #[test]
    fn the_same_statement_weighs_as_much_as_its_table() {
        let small = Size { rows: 100, bytes: 8192, ..Size::default() };
        let big = Size { rows: 50_000_000, bytes: 20_000_000_000, ..Size::default() };
        let empty = Size::default();
        for (sql, none, few, many) in [
            ("alter table t alter a set not null", Risk::Low, Risk::Medium, Risk::High),
            ("alter table t alter a type bigint", Risk::Low, Risk::Medium, Risk::High),
            ("create index on t (a)", Risk::Low, Risk::Medium, Risk::High),
            ("create index concurrently on t (a)", Risk::Low, Risk::Low, Risk::Low),
            ("alter table t add a int", Risk::Low, Risk::Medium, Risk::Medium),
            ("alter table t drop a", Risk::Medium, Risk::High, Risk::High),
            ("update t set a = 1", Risk::Low, Risk::Low, Risk::High),
        ] {
            let risks = [empty.clone(), small.clone(), big.clone()].map(|it| weigh_sql(sql, it).0);
            assert_eq!(risks, [none, few, many], "{sql}");
        }
        assert_eq!(weigh_sql("alter table t alter a set not null", big).1, Some(100));
    }

    #[test]
    fn sizes_are_said_in_a_line() {
        let size = Size {
            rows: 1_234_567,
            bytes: 3 << 30,
            writes_per_second: 12.34,
            dependants: 2,
            ..Size::default()
        };
        let text = "1.2 M rows, 3.0 GB, 12.3 writes/s, 2 views and foreign keys depend on it: about 16.1 s";
        assert_eq!(said(&size, Some(Duration::from_millis(16_100))), text);
    }
}
