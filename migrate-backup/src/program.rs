//! pg_dump and pg_restore at work: their lines as they come, their failures in words, nothing secret said.

use std::{process::Command, time::Duration};

use migrate_core::{
    bound::Bound,
    connect::settings::Settings,
    error::{Error, Result},
    server::client,
};

use crate::scrub::Scrub;

/// How often to look after a program.
const LOOK: Duration = Duration::from_millis(100);
/// More warnings of a kind help nobody.
const KEPT_WARNINGS: usize = 1000;
const KEPT_ERRORS: usize = 10;

/// A line of a program, without its name and what secrets it may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Note(String),
    Warning(String),
    Error(String),
    /// More of the line before.
    More(String),
}

/// What a program that ended well has remarked.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    pub(crate) warnings: Vec<String>,
}

/// Told of each line, and each tenth of a second; may stop the work with an error.
pub(crate) type Watch<'a> = &'a mut dyn FnMut(Option<&str>) -> Result<()>;

/// Runs a program on the database of `settings` to its end.
pub(crate) fn run(command: &mut Command, settings: &Settings, watch: Watch<'_>) -> Result<Remarks> {
    let scrub = Scrub::of(settings);
    let handed = client::connect_by(command, settings)?;
    let mut program = Bound::start(command)?;
    drop(handed);
    let mut heard = Heard::default();
    loop {
        let mut lines = Vec::new();
        let ended = program.wait(LOOK, &mut |line| lines.push(scrub.clean(&line)))?;
        for line in lines {
            let said = parse(&line);
            if let Said::Note(note) = &said {
                watch(Some(note))?;
            }
            heard.take(said);
        }
        if let Some(status) = ended {
            let name = command.get_program().to_string_lossy().into_owned();
            return if status.success() {
                Ok(Remarks { warnings: heard.warnings })
            } else {
                Err(failure(&name, &status.to_string(), &heard.errors.join("\n")))
            };
        }
        watch(None)?;
    }
}

#[derive(Debug, Default)]
struct Heard {
    warnings: Vec<String>,
    errors: Vec<String>,
    last: Last,
}

#[derive(Debug, Default, Clone, Copy)]
enum Last {
    #[default]
    Note,
    Warning,
    Error,
}

impl Heard {
    fn take(&mut self, said: Said) {
        match said {
            Said::Note(_) => self.last = Last::Note,
            Said::Warning(text) => {
                log::warn!("{text}");
                if self.warnings.len() < KEPT_WARNINGS {
                    self.warnings.push(text);
                }
                self.last = Last::Warning;
            }
            Said::Error(text) => {
                if self.errors.len() < KEPT_ERRORS {
                    self.errors.push(text);
                }
                self.last = Last::Error;
            }
            Said::More(text) => {
                let list = match self.last {
                    Last::Note => return,
                    Last::Warning => &mut self.warnings,
                    Last::Error => &mut self.errors,
                };
                if let Some(before) = list.last_mut().filter(|it| it.len() < 2000) {
                    before.push('\n');
                    before.push_str(&text);
                }
            }
        }
    }
}

/// `pg_dump: warning: text`, and lines that go on from the one before.
fn parse(line: &str) -> Said {
    let Some(text) = ["pg_dump: ", "pg_restore: "].iter().find_map(|it| line.strip_prefix(it))
    else {
        return Said::More(line.to_owned());
    };
    let rest = |prefix: &str| text.strip_prefix(prefix).map(str::to_owned);
    if let Some(text) = rest("warning: ") {
        Said::Warning(text)
    } else if let Some(text) = rest("error: ").or_else(|| rest("fatal: ")) {
        Said::Error(text)
    } else if text.starts_with("detail: ") || text.starts_with("hint: ") {
        Said::More(text.to_owned())
    } else {
        Said::Note(text.to_owned())
    }
}

/// What went wrong, and what to do. The texts are the programs' own in the C locale; where the
/// server speaks another language, only the hint is lost.
fn failure(program: &str, status: &str, errors: &str) -> Error {
    let message = match errors {
        "" => format!("`{program}` ended with {status} and said nothing"),
        _ => format!("`{program}` failed: {errors}"),
    };
    let says = |text: &str| errors.contains(text);
    if says("No space left on device") || says("Disk quota exceeded") {
        return Error::Unavailable {
            kind: "disk_full",
            message,
            hint: Some(
                "free some space (`migrate-backup prune`), or name another `--backups`".into(),
            ),
        };
    }
    if says("could not obtain lock") || says("lock timeout") {
        return Error::Busy {
            kind: "table_locked",
            message,
            hint: Some("another session locks the table, or waits to: try again after it".into()),
        };
    }
    let hint = if says("out of shared memory") {
        Some("raise `max_locks_per_transaction`, which takes a restart of the server")
    } else if says("invalid memory alloc request size") {
        Some(
            "a value of this table is too large for the text form that a dump has; it can be read \
              in parts only",
        )
    } else if says("invalid snapshot identifier") || says("snapshot") && says("does not exist") {
        Some("the session that kept the snapshot was ended: run again")
    } else {
        None
    };
    Error::Failed { kind: "program_failed", message, hint: hint.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use migrate_core::exit::Exit;

    use super::*;

    #[test]
    fn lines_are_told_apart_and_put_together() {
        let mut heard = Heard::default();
        for line in [
            "pg_dump: reading schemas",
            "pg_dump: warning: there are circular foreign-key constraints on this table:",
            "pg_dump: detail: tree",
            "pg_dump: dumping contents of table \"public.tree\"",
            "stray",
            "pg_dump: error: query failed: ERROR:  no",
            "LINE 1: x",
        ] {
            heard.take(parse(line));
        }
        assert_eq!(
            heard.warnings,
            ["there are circular foreign-key constraints on this table:\ndetail: tree"]
        );
        assert_eq!(heard.errors, ["query failed: ERROR:  no\nLINE 1: x"]);
    }

    #[test]
    fn a_full_disk_and_a_lock_are_not_failures_of_the_database() {
        let exit = |errors: &str| failure("pg_dump", "exit status: 1", errors).exit();
        assert_eq!(exit("could not write to file: No space left on device"), Exit::Unavailable);
        assert_eq!(exit("could not obtain lock on relation \"t\""), Exit::Busy);
        assert_eq!(exit("anything else"), Exit::Failed);
    }
}
