//! Password files: `.pgpass`.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// What a line of the file must match.
pub(super) struct Wanted<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The text of the file, or None if there is none that may be used.
pub(super) fn read(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() {
        log::warn!("password file `{}` is not a plain file: ignored", path.display());
        return None;
    }
    if metadata.mode() & 0o077 != 0 {
        log::warn!(
            "password file `{}` can be read by others: ignored; run `chmod 0600` on it",
            path.display()
        );
        return None;
    }
    match fs::read(path) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(err) => {
            log::warn!("cannot read password file `{}`: {err}", path.display());
            None
        }
    }
}

/// The password of the first line that matches.
pub(super) fn find(text: &str, wanted: &Wanted<'_>) -> Option<String> {
    let port = wanted.port.to_string();
    let expected = [wanted.host, &port, wanted.database, wanted.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        for expected in expected {
            let (raw, field, after) = split_field(rest);
            if raw != "*" && field != expected {
                return None;
            }
            rest = after?;
        }
        let (_, password, _) = split_field(rest);
        (!password.is_empty()).then_some(password)
    })
}

/// One line for a new password file; `*` for the database, as restoring connects to several.
pub(super) fn line(host: &str, port: u16, user: &str, password: &str) -> String {
    format!("{}:{port}:*:{}:{}\n", escape(host), escape(user), escape(password))
}

/// The field up to the next bare `:`, as written and unescaped, and what follows the `:`.
fn split_field(text: &str) -> (&str, String, Option<&str>) {
    let mut field = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ':' => return (&text[..at], field, Some(&text[at + 1..])),
            '\\' => field.push(chars.next().map_or('\\', |(_, escaped)| escaped)),
            c => field.push(c),
        }
    }
    (text, field, None)
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(file: &str) -> Option<String> {
        find(file, &Wanted { host: "db", port: 5432, database: "shop", user: "a:b" })
    }

    #[test]
    fn the_first_line_that_matches_counts() {
        for (file, expected) in [
            ("db:5432:shop:a\\:b:first\ndb:5432:shop:a\\:b:second", Some("first")),
            ("#db:5432:shop:a\\:b:no\nother:*:*:*:no\n*:*:*:*:any", Some("any")),
            ("*:5433:*:*:no\n*:5432:*:a:no", None),
            ("*:*:*:*:p\\:w\\\\d#1", Some("p:w\\d#1")),
            ("\\*:*:*:*:no", None),
            ("*:*:*:*:windows\r\n", Some("windows")),
            ("*:*:*:*:", None),
            ("too:short", None),
        ] {
            assert_eq!(password(file).as_deref(), expected, "{file}");
        }
    }

    #[test]
    fn a_written_line_is_found_again() {
        let file = line("db", 5432, "a:b", "p\\a:ss w'ord");
        assert_eq!(password(&file).as_deref(), Some("p\\a:ss w'ord"));
    }
}
