//! Records on stdin: what the tool before has said, read to its end before anything is done.

use std::{
    io::{self, BufRead, Read},
    str::FromStr,
};

use serde_json::Value;

use crate::error::{Error, Result};

/// No record of ours is longer.
const LONGEST_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// The `-` that says: from stdin.
#[derive(Debug, Clone, Copy)]
pub struct Dash;

impl FromStr for Dash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Dash, &'static str> {
        if text == "-" { Ok(Dash) } else { Err("only `-`, for stdin, is possible") }
    }
}

/// Hands over the records of stdin one by one.
pub fn read_stdin(take: &mut dyn FnMut(Value)) -> Result<()> {
    read(io::stdin().lock(), "stdin", take)
}

/// Hands over the records of `input` one by one, so that memory doesn't grow with it; an `error`
/// record among them means that a stage before failed.
pub fn read(mut input: impl BufRead, name: &str, take: &mut dyn FnMut(Value)) -> Result<()> {
    for number in 1.. {
        let mut line = Vec::new();
        let read = input
            .by_ref()
            .take(LONGEST_LINE_BYTES)
            .read_until(b'\n', &mut line)
            .map_err(|source| Error::ReadFile { path: name.into(), source })?;
        if read == 0 {
            break;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let record: Value = serde_json::from_slice(&line)
            .ok()
            .filter(|it: &Value| it["type"].is_string())
            .ok_or_else(|| {
                Error::usage(
                    format!("{name}, line {number}: this is no record"),
                    "a record is a JSON object with a `type`, one a line",
                )
            })?;
        if record["type"] == "error" {
            return Err(Error::refused(
                "upstream_failed",
                format!(
                    "the stage before failed: {}",
                    record["message"].as_str().unwrap_or("without a message")
                ),
                "mend that first; nothing was done here",
            ));
        }
        take(record);
    }
    Ok(())
}

/// What was to come is not there: a stage before may have failed.
pub fn missing(record: &str, source: &str) -> Error {
    Error::refused(
        "input_missing",
        format!("the input holds no `{record}` record"),
        format!("feed it from `{source}`; a stage before may have failed"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(input: &[u8]) -> Result<()> {
        read(input, "stdin", &mut drop)
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        for bad in
            ["{\"type\":\"a\"}\nnonsense\n", "{\"type\":\"a\"}\n{}\n", "{\"type\":\"a\"}\n[1]"]
        {
            let message = read_all(bad.as_bytes()).unwrap_err().to_string();
            assert!(message.starts_with("stdin, line 2"), "{message}");
        }
        let deep = "[".repeat(100_000);
        assert!(read_all(deep.as_bytes()).is_err());
    }

    #[test]
    fn an_error_from_upstream_is_refused() {
        let err = read_all(br#"{"type":"error","message":"x"}"#).unwrap_err();
        assert!(matches!(err, Error::Refused { kind: "upstream_failed", .. }));
    }
}
