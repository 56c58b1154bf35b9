//! Names of migration files: `VERSION_name.sql`, `VERSION_name.up.sql`, `VERSION_name.down.sql`.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use super::version::Version;
use crate::{
    error::{Error, Result},
    sql::position::is_invisible,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    pub version: Version,
    pub name: String,
    pub layout: Layout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Up and down in one file.
    One,
    Up,
    Down,
}

impl FileName {
    pub fn parse(file: &str) -> Result<FileName> {
        if let Some(c) = file.chars().find(|&c| is_refused(c)) {
            let message = format!("the name has the character `{}` in it", c.escape_debug());
            return Err(refused(OsStr::new(file), message));
        }
        let Some(stem) = file.strip_suffix(".sql") else {
            let message = "the name must end in `.sql`, in small letters".to_owned();
            return Err(refused(OsStr::new(file), message));
        };
        let (stem, layout) = match (stem.strip_suffix(".up"), stem.strip_suffix(".down")) {
            (Some(stem), _) => (stem, Layout::Up),
            (_, Some(stem)) => (stem, Layout::Down),
            _ => (stem, Layout::One),
        };
        let parts = stem.split_once('_');
        let parsed = parts.and_then(|(version, name)| Some((version.parse().ok()?, name)));
        match parsed {
            Some((version, name)) if !name.trim().is_empty() => {
                Ok(FileName { version, name: name.to_owned(), layout })
            }
            _ => Err(unexpected(file)),
        }
    }
}

/// True for the files that are looked at; an editor's backups and hidden files are left alone.
pub(super) fn is_migration(file: &OsStr) -> bool {
    let bytes = file.as_bytes();
    let ending = bytes.len().checked_sub(4).map(|at| &bytes[at..]);
    !bytes.starts_with(b".") && ending.is_some_and(|end| end.eq_ignore_ascii_case(b".sql"))
}

/// A name as it can be printed without doing anything to a terminal.
pub fn escaped(file: &OsStr) -> String {
    let mut shown = String::new();
    for chunk in file.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || is_invisible(c) {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
        }
        chunk.invalid().iter().for_each(|byte| shown.push_str(&format!("\\x{byte:02x}")));
    }
    shown
}

pub(super) fn refused(file: &OsStr, message: String) -> Error {
    Error::MigrationFile {
        file: escaped(file),
        message,
        hint: Some("rename the file to `VERSION_name.sql`, such as `009_add_users.sql`".to_owned()),
    }
}

fn unexpected(file: &str) -> Error {
    let mut error =
        refused(OsStr::new(file), "the name is not of the form `VERSION_name.sql`".to_owned());
    let is_flyway = file.starts_with(['V', 'U', 'R']) && file.contains("__");
    if let (true, Error::MigrationFile { hint, .. }) = (is_flyway, &mut error) {
        *hint =
            Some("`migrate-apply adopt --from flyway` takes over a folder of Flyway".to_owned());
    }
    error
}

/// Path separators, and what could act on a terminal or a shell that the name is pasted into.
fn is_refused(c: char) -> bool {
    c.is_control() || is_invisible(c) || matches!(c, '/' | '\\' | '\'' | '"' | '`')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        for (file, version, name, layout) in [
            ("009_add_users.sql", "009", "add_users", Layout::One),
            ("1.2.3_a-b.c.sql", "1.2.3", "a-b.c", Layout::One),
            ("1_a.up.sql", "1", "a", Layout::Up),
            ("1_a.down.sql", "1", "a", Layout::Down),
            ("1_a.sql.sql", "1", "a.sql", Layout::One),
            ("1_[2.0] é b.sql", "1", "[2.0] é b", Layout::One),
        ] {
            let expected =
                FileName { version: version.parse().unwrap(), name: name.to_owned(), layout };
            assert_eq!(FileName::parse(file).unwrap(), expected, "{file}");
        }
    }

    #[test]
    fn other_names_are_refused_and_shown_escaped() {
        let form = "the name is not of the form `VERSION_name.sql`";
        for (file, expected) in [
            ("add_users.sql", format!("add_users.sql: {form}")),
            ("001.sql", format!("001.sql: {form}")),
            ("001_.up.sql", format!("001_.up.sql: {form}")),
            ("-001_a.sql", format!("-001_a.sql: {form}")),
            ("V1__a.sql", format!("V1__a.sql: {form}")),
            ("001_a.SQL", "001_a.SQL: the name must end in `.sql`, in small letters".to_owned()),
            (
                "1_\u{1b}[2J.sql",
                r"1_\u{1b}[2J.sql: the name has the character `\u{1b}` in it".to_owned(),
            ),
            (
                "1_\u{202e}a.sql",
                r"1_\u{202e}a.sql: the name has the character `\u{202e}` in it".to_owned(),
            ),
            ("1_../a.sql", "1_../a.sql: the name has the character `/` in it".to_owned()),
            ("1_a\n.sql", r"1_a\n.sql: the name has the character `\n` in it".to_owned()),
            ("1_it's.sql", r"1_it's.sql: the name has the character `\'` in it".to_owned()),
        ] {
            assert_eq!(FileName::parse(file).unwrap_err().to_string(), expected, "{file}");
        }
        assert_eq!(escaped(OsStr::from_bytes(b"a\xffb\x07")), r"a\xffb\u{7}");
    }

    #[test]
    fn only_sql_files_are_looked_at() {
        for (file, expected) in [
            ("1_a.sql", true),
            ("x.SQL", true),
            ("README.md", false),
            ("1_a.sql~", false),
            (".gitkeep", false),
            (".1_a.sql", false),
            (".#1_a.sql", false),
            ("sql", false),
        ] {
            assert_eq!(is_migration(OsStr::new(file)), expected, "{file}");
        }
    }
}
