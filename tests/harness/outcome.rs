//! What a tool left when it ended: its exit status, its records, its words.

use std::process::{ExitStatus, Output};

use migrate_core::exit::Exit;
use serde_json::Value;

#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    /// As it was written; also the output of a text or csv form.
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub(crate) fn new(output: Output) -> Outcome {
        Outcome {
            status: output.status,
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub fn expect(self, exit: Exit) -> Outcome {
        let code = self.status.code();
        assert_eq!(code, Some(i32::from(exit.code())), "{exit:?} expected, {self}");
        self
    }

    /// Every line of stdout, each of which must be a record.
    #[track_caller]
    pub fn records(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| self.record(line)).collect()
    }

    /// The records of one type.
    #[track_caller]
    pub fn of_type(&self, name: &str) -> Vec<Value> {
        self.records().into_iter().filter(|it| it["type"] == name).collect()
    }

    /// The only record of that type.
    #[track_caller]
    pub fn one(&self, name: &str) -> Value {
        let mut found = self.of_type(name);
        assert_eq!(found.len(), 1, "one `{name}` record expected, {self}");
        found.remove(0)
    }

    /// The types of all records, in order.
    #[track_caller]
    pub fn types(&self) -> Vec<String> {
        self.records().iter().map(|it| it["type"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    fn record(&self, line: &str) -> Value {
        let Ok(record) = serde_json::from_str::<Value>(line) else {
            panic!("not JSON: {line}\n{self}");
        };
        let complete =
            record["v"] == 1 && ["at", "tool", "type"].iter().all(|name| record[*name].is_string());
        assert!(complete, "a record needs v, at, tool and type: {line}");
        record
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; stdout:\n{}\nstderr:\n{}", self.status, self.stdout, self.stderr)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn outcome(stdout: &str) -> Outcome {
        Outcome {
            status: ExitStatus::from_raw(0),
            stdout: stdout.to_owned(),
            stderr: String::new(),
        }
    }

    #[test]
    fn records_are_found_by_type() {
        let line = r#"{"v":1,"at":"2026-03-10T00:00:00.000Z","tool":"t","type":"a.done","n":7}"#;
        let outcome = outcome(&format!("{line}\n{}\n", line.replace("a.done", "b")));
        assert_eq!(outcome.types(), ["a.done", "b"]);
        assert_eq!(outcome.one("a.done")["n"], 7);
    }

    #[test]
    #[should_panic = "a record needs v, at, tool and type"]
    fn a_line_that_is_no_record_fails_the_test() {
        let _ = outcome("{\"v\":1}\n").records();
    }
}
