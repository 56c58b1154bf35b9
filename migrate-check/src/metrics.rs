//! Numbers that the server tells of itself: one file a subject, with their names and help.

use std::{collections::BTreeMap, time::Duration};

use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    ledger::{Ledger, Presence},
    record::{Metric, MetricKind},
};

const LEDGER: &str = include_str!("../metrics/ledger.sql");
const FILES: [&str; 4] = [
    include_str!("../metrics/database.sql"),
    include_str!("../metrics/sessions.sql"),
    include_str!("../metrics/freezing.sql"),
    include_str!("../metrics/replication.sql"),
];

/// What a file's head says of one of its metrics: `-- gauge NAME: help`.
struct Declared {
    name: &'static str,
    kind: MetricKind,
    help: &'static str,
}

/// All of them, with `labels` beside their own; of the ledger only where there is one.
pub(crate) fn read(
    session: &Session,
    ledger: &Ledger,
    labels: &BTreeMap<String, String>,
    timeout: Duration,
) -> Result<Vec<Metric>> {
    let mut metrics = Vec::new();
    let limit = i32::try_from(timeout.as_millis().max(1)).unwrap_or(i32::MAX);
    session
        .run(&format!("set statement_timeout = {limit}"))
        .map_err(Error::database("set a time limit"))?;
    let known = ledger.look(session)? == Presence::Present;
    for file in FILES.into_iter().chain(known.then_some(LEDGER)) {
        let declared = declared(file);
        let rows = session
            .query_once(&ledger.sql(file), &[])
            .map_err(Error::database("read the server's numbers"))?;
        for it in &declared {
            for row in rows.iter().filter(|row| row.get::<_, &str>("name") == it.name) {
                let mut labels = labels.clone();
                let own: Vec<String> = row.get("labels");
                labels.extend(own.chunks_exact(2).map(|it| (it[0].clone(), it[1].clone())));
                metrics.push(Metric {
                    name: it.name.to_owned(),
                    kind: it.kind,
                    help: it.help.to_owned(),
                    labels,
                    value: row.get("value"),
                });
            }
        }
    }
    Ok(metrics)
}

fn declared(file: &'static str) -> Vec<Declared> {
    let of = |kind: MetricKind, line: &'static str| {
        let start = format!("-- {} ", kind.as_str());
        let (name, help) = line.strip_prefix(&start)?.split_once(": ")?;
        Some(Declared { name, kind, help })
    };
    file.lines()
        .take_while(|it| it.starts_with("--"))
        .filter_map(|it| of(MetricKind::Gauge, it).or_else(|| of(MetricKind::Counter, it)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_a_query_is_declared_in_the_head_of_its_file() {
        for file in FILES.into_iter().chain([LEDGER]) {
            let names: Vec<&str> = declared(file).iter().map(|it| it.name).collect();
            let sql: Vec<&str> = file.split("'migrate_").skip(1).collect();
            for part in sql {
                let name = format!("migrate_{}", part.split('\'').next().unwrap());
                assert!(names.contains(&name.as_str()), "{name}");
            }
            assert!(names.len() >= 3, "{names:?}");
        }
    }
}
