//! What the comments at the head of a file say about it: `-- risk: medium`, `-- estimate: 30s`.

use std::time::Duration;

use super::{
    directive::{comment, wrong},
    risk::Risk,
    version::Version,
};
use crate::error::{Location, Result};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) risk: Option<Risk>,
    pub(super) estimate: Option<Duration>,
    pub(super) requires: Vec<Version>,
    pub(super) author: Option<String>,
}

/// Reads down to the first line that is neither empty nor a `--` comment.
pub(super) fn header(file: &str, text: &str) -> Result<Header> {
    let mut header = Header::default();
    for (line, text) in (1..).zip(text.lines()) {
        match comment(text) {
            Some(comment) => {
                let column = 1 + text.chars().take_while(|c| c.is_whitespace()).count();
                let column = u32::try_from(column).unwrap_or(u32::MAX);
                header.take(comment, &Location { file: file.to_owned(), line, column })?;
            }
            None if text.trim().is_empty() => {}
            None => break,
        }
    }
    Ok(header)
}

impl Header {
    fn take(&mut self, comment: &str, at: &Location) -> Result<()> {
        let Some((key, value)) = comment.split_once(':') else { return Ok(()) };
        let value = value.trim();
        match key.trim_end().to_ascii_lowercase().as_str() {
            "risk" => {
                let risk = value.parse::<Risk>().map_err(|error| {
                    wrong(at, &error.to_string(), "write it like `-- risk: medium`")
                })?;
                once(&mut self.risk, risk, "risk", at)
            }
            "estimate" => {
                let estimate = humantime::parse_duration(value).map_err(|_| {
                    let message = format!("`{}` is not a duration", value.escape_debug());
                    wrong(at, &message, "write it like `-- estimate: 30s` or `-- estimate: 1h 30m`")
                })?;
                once(&mut self.estimate, estimate, "estimate", at)
            }
            "author" => once(&mut self.author, value.to_owned(), "author", at),
            "requires" => self.require(value, at),
            _ => Ok(()),
        }
    }

    fn require(&mut self, value: &str, at: &Location) -> Result<()> {
        const HINT: &str = "write it like `-- requires: 008` or `-- requires: 007, 008`";
        if value.is_empty() {
            return Err(wrong(at, "no version is named", HINT));
        }
        for version in value.split([',', ' ', '\t']).filter(|part| !part.is_empty()) {
            let version = version.parse().map_err(|error: super::version::NotAVersion| {
                wrong(at, &error.to_string(), HINT)
            })?;
            self.requires.push(version);
        }
        Ok(())
    }
}

fn once<T>(slot: &mut Option<T>, value: T, key: &str, at: &Location) -> Result<()> {
    if slot.is_some() {
        return Err(wrong(at, &format!("`{key}` was said before"), "remove one of the lines"));
    }
    *slot = Some(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_file_is_read_up_to_its_first_statement() {
        let text = "-- Adds users.\n--risk : HIGH\n\n  -- estimate: 1m 30s\r\n-- migrate:up\n\
                    -- Requires: 007, 1.2\n-- requires: 8\n-- author: Ann\nselect 1;\n-- risk: never read\n";
        let header = header("f", text).unwrap();
        assert_eq!(header.risk, Some(Risk::High));
        assert_eq!(header.estimate, Some(Duration::from_secs(90)));
        assert_eq!(header.requires, ["7", "1.2", "8"].map(|v| v.parse().unwrap()));
        assert_eq!(header.author.as_deref(), Some("Ann"));
    }

    #[test]
    fn wrong_values_are_refused_where_they_stand() {
        for (text, expected) in [
            ("-- risk: huge", "f:1:1: `huge` is not a risk: expected low, medium or high"),
            ("\n  -- estimate: soon", "f:2:3: `soon` is not a duration"),
            (
                "-- requires: 008 and 9",
                "f:1:1: `and` is not a version: digits are expected, with dots between them",
            ),
            ("-- requires:", "f:1:1: no version is named"),
            ("-- risk: low\n-- risk: low", "f:2:1: `risk` was said before"),
        ] {
            assert_eq!(header("f", text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
