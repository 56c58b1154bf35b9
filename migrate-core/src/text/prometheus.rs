//! Metrics in Prometheus's text format, for the textfile collector of node_exporter.
//!
//! No time stamps, as that collector refuses them; HELP and TYPE once, before all samples of a name.

use std::collections::BTreeMap;

use crate::record::{CheckStatus, Line, MetricKind, Record};

const CHECK: &str = "migrate_check_status";
const CHECK_HELP: &str = "Answer of a check: 0 pass, 1 warn, 2 fail, -1 not looked at or unknown.";

/// All metrics, and each check as the worst of its answers; other records have no place in it.
pub(crate) fn page(lines: &[Line]) -> String {
    let mut families: Vec<(String, MetricKind, String, Vec<String>)> = Vec::new();
    let mut database = None;
    for line in lines {
        let Record::Metric(metric) = &line.record else { continue };
        database = database.or_else(|| metric.labels.get("database").cloned());
        let Some(value) = metric.value else { continue };
        let at = families.iter().position(|it| it.0 == metric.name).unwrap_or_else(|| {
            families.push((metric.name.clone(), metric.kind, metric.help.clone(), Vec::new()));
            families.len() - 1
        });
        families[at].3.push(sample(&metric.name, &metric.labels, value));
    }
    let checks = checks(lines, database.as_deref());
    if !checks.is_empty() {
        families.push((CHECK.to_owned(), MetricKind::Gauge, CHECK_HELP.to_owned(), checks));
    }
    let mut text = String::new();
    for (name, kind, help, samples) in families {
        text += &format!("# HELP {name} {}\n", help.replace('\\', "\\\\").replace('\n', "\\n"));
        text += &format!("# TYPE {name} {}\n", kind.as_str());
        text += &samples.concat();
    }
    text
}

fn checks(lines: &[Line], database: Option<&str>) -> Vec<String> {
    let mut worst: BTreeMap<&str, i8> = BTreeMap::new();
    for line in lines {
        let Record::Check(check) = &line.record else { continue };
        let value = match check.status {
            CheckStatus::Skip => -1,
            CheckStatus::Pass => 0,
            CheckStatus::Warn => 1,
            CheckStatus::Fail => 2,
        };
        let entry = worst.entry(&check.name).or_insert(value);
        *entry = value.max(*entry);
    }
    let labels = |name: &str| {
        let mut labels = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        labels.extend(database.map(|it| ("database".to_owned(), it.to_owned())));
        labels
    };
    worst.into_iter().map(|(name, value)| sample(CHECK, &labels(name), value.into())).collect()
}

fn sample(name: &str, labels: &BTreeMap<String, String>, value: f64) -> String {
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    let labels =
        if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    format!("{name}{labels} {value}\n")
}

/// A label's value may hold anything but an unescaped backslash, quote or line end.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::record::Metric;

    fn line(name: &str, labels: &[(&str, &str)], value: Option<f64>) -> Line {
        let labels = labels.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let (kind, help) = (MetricKind::Gauge, "Some\nhelp.".to_owned());
        let metric = Metric { name: name.to_owned(), kind, help, labels, value };
        let at = DateTime::UNIX_EPOCH;
        Line { v: 1, at, tool: "t".to_owned(), record: Record::Metric(metric) }
    }

    #[test]
    fn samples_of_a_name_stand_together_under_one_help() {
        let lines = [
            line("a_bytes", &[("x", "1")], Some(7.0)),
            line("b", &[], Some(0.5)),
            line("a_bytes", &[("x", "2\"\\\n")], Some(8.0)),
            line("unseen", &[], None),
        ];
        let text = "# HELP a_bytes Some\\nhelp.\n# TYPE a_bytes gauge\na_bytes{x=\"1\"} 7\n\
                    a_bytes{x=\"2\\\"\\\\\\n\"} 8\n# HELP b Some\\nhelp.\n# TYPE b gauge\nb 0.5\n";
        assert_eq!(page(&lines), text);
    }
}
