//! Lines that speak to us: `-- migrate:up`, `-- migrate:down`, `-- migrate:batch …`.

use crate::{
    error::{Error, Location, Result},
    sql::words::{Name, name_of},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Directive {
    Up { transaction: bool },
    Down { transaction: bool },
    Batch(Batch),
    Allow(Allow),
}

/// How the statement behind the line is cut into key ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub table: Name,
    /// Columns as the catalog names them; never empty.
    pub key: Vec<String>,
    /// What the statement calls the table, as written.
    pub alias: Option<String>,
    /// Rows to begin with.
    pub size: Option<u64>,
    pub line: u32,
}

/// A finding that somebody looked at and takes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    /// The finding's code.
    pub rule: String,
    pub reason: String,
    pub line: u32,
}

/// What a line says behind its `--`, None if it's no comment.
pub(super) fn comment(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("--").map(str::trim)
}

/// `text` is what `comment` gave. Where a line is nearly a marker it's an error: read as a plain
/// comment, it would make the down part a piece of the up script.
pub(super) fn directive(text: &str, at: &Location) -> Result<Option<Directive>> {
    refuse_foreign(text, at)?;
    let Some(rest) = after_migrate(text) else { return Ok(None) };
    let mut words = rest.split_whitespace();
    let verb = words.next().unwrap_or_default();
    let is = |name: &str| verb.eq_ignore_ascii_case(name);
    // Spaces before or behind the colon.
    if !text.get("migrate:".len()..).is_some_and(|it| it.starts_with(verb)) {
        let hint = format!("write `-- migrate:{}`", verb.to_ascii_lowercase());
        return if is("up") || is("down") {
            Err(wrong(at, "the marker has spaces in it", &hint))
        } else {
            Ok(None)
        };
    }
    if is("up") {
        Ok(Some(Directive::Up { transaction: transaction(words, at)? }))
    } else if is("down") {
        Ok(Some(Directive::Down { transaction: transaction(words, at)? }))
    } else if is("batch") {
        Ok(Some(Directive::Batch(batch(&rest[verb.len()..], at)?)))
    } else if is("allow") {
        Ok(Some(Directive::Allow(allow(&rest[verb.len()..], at)?)))
    } else {
        let message = format!("`migrate:{}` is not a directive", verb.escape_debug());
        let hint = "there are `migrate:up`, `migrate:down`, `migrate:batch` and `migrate:allow`";
        Err(wrong(at, &message, hint))
    }
}

/// What stands behind `migrate:`, or behind `migrate :`.
fn after_migrate(text: &str) -> Option<&str> {
    let word = text.get(..7).filter(|word| word.eq_ignore_ascii_case("migrate"))?;
    text[word.len()..].trim_start().strip_prefix(':')
}

/// Without their markers understood, other tools' files would run their down part too.
fn refuse_foreign(text: &str, at: &Location) -> Result<()> {
    if !text.starts_with(['+', '@', '/']) {
        return Ok(());
    }
    let first = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    let tool = match first.as_str() {
        "+goose" => "goose",
        "+migrate" => "sql-migrate",
        "+micrate" => "micrate",
        "//@undo" | "@undo" => "MyBatis or dbdeploy",
        _ => return Ok(()),
    };
    let message = format!("`{first}` is a marker of {tool}");
    let hint = "`migrate-apply adopt` takes over folders of other tools; here the markers are \
                `-- migrate:up` and `-- migrate:down`";
    Err(wrong(at, &message, hint))
}

fn transaction<'a>(options: impl Iterator<Item = &'a str>, at: &Location) -> Result<bool> {
    let mut transaction = true;
    for option in options {
        transaction = match option.to_ascii_lowercase().as_str() {
            "transaction:true" => true,
            "transaction:false" => false,
            _ => {
                let message = format!("`{}` is not an option of a marker", option.escape_debug());
                return Err(wrong(
                    at,
                    &message,
                    "there are `transaction:true` and `transaction:false`",
                ));
            }
        };
    }
    Ok(transaction)
}

fn batch(options: &str, at: &Location) -> Result<Batch> {
    const HINT: &str = "write it like `-- migrate:batch table=orders key=id size=10000`";
    let (mut table, mut key, mut alias, mut size) = (None, None, None, None);
    for option in split(options, char::is_whitespace).filter(|it| !it.is_empty()) {
        let refused =
            |what: &str| wrong(at, &format!("`{}` is {what}", option.escape_debug()), HINT);
        let no_option = || refused("not an option of a batch");
        let no_name = || refused("not a name");
        let (name, value) = option.split_once('=').ok_or_else(no_option)?;
        match name.to_ascii_lowercase().as_str() {
            "table" => table = Some(name_of(value).ok_or_else(no_name)?),
            "key" => key = Some(columns(value).ok_or_else(no_name)?),
            "alias" if column(value).is_some() => alias = Some(value.to_owned()),
            "alias" => return Err(no_name()),
            "size" => match value.parse() {
                Ok(number) if number > 0 => size = Some(number),
                _ => return Err(wrong(at, "the size of a batch is not a number above 0", HINT)),
            },
            _ => return Err(no_option()),
        }
    }
    match (table, key) {
        (Some(table), Some(key)) => Ok(Batch { table, key, alias, size, line: at.line }),
        _ => Err(wrong(at, "a batch needs a table and a key", HINT)),
    }
}

fn allow(rest: &str, at: &Location) -> Result<Allow> {
    match rest.trim().split_once(char::is_whitespace) {
        Some((rule, reason)) => Ok(Allow {
            rule: rule.to_ascii_lowercase(),
            reason: reason.trim().to_owned(),
            line: at.line,
        }),
        None => Err(wrong(
            at,
            "an allowance needs a rule and a reason",
            "write it like `-- migrate:allow drop-column nothing reads it since release 12`",
        )),
    }
}

fn columns(list: &str) -> Option<Vec<String>> {
    split(list, |c| c == ',').map(column).collect()
}

fn column(name: &str) -> Option<String> {
    name_of(name).filter(|it| it.schema.is_none()).map(|it| it.name)
}

/// Splits outside of quoted names.
fn split(text: &str, separates: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        !quoted && separates(c)
    })
}

/// The batches of a script that has no other markers.
pub fn batches(file: &str, text: &str, first_line: u32) -> Result<Vec<Batch>> {
    let mut found = Vec::new();
    for (line, text) in (first_line..).zip(text.lines()) {
        let Some(comment) = comment(text) else { continue };
        let at = Location { file: file.to_owned(), line, column: 1 };
        if let Some(Directive::Batch(batch)) = directive(comment, &at)? {
            found.push(batch);
        }
    }
    Ok(found)
}

/// The allowances of a whole file.
pub fn allowances(file: &str, text: &str) -> Result<Vec<Allow>> {
    let mut found = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let Some(comment) = comment(text) else { continue };
        let at = Location { file: file.to_owned(), line, column: 1 };
        if let Some(Directive::Allow(allow)) = directive(comment, &at)? {
            found.push(allow);
        }
    }
    Ok(found)
}

pub(super) fn wrong(at: &Location, message: &str, hint: &str) -> Error {
    Error::Sql { at: at.clone(), message: message.to_owned(), hint: Some(hint.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Directive>, String> {
        let at = Location { file: "f".to_owned(), line: 3, column: 1 };
        directive(comment(line).unwrap(), &at).map_err(|error| error.to_string())
    }

    #[test]
    fn markers_are_read_with_their_options() {
        for (line, expected) in [
            ("-- migrate:up", Directive::Up { transaction: true }),
            ("--migrate:UP  transaction:false\r", Directive::Up { transaction: false }),
            ("  --\tMigrate:down transaction:TRUE", Directive::Down { transaction: true }),
        ] {
            assert_eq!(read(line), Ok(Some(expected)), "{line}");
        }
    }

    #[test]
    fn batches_are_read() {
        let name = |schema: &str, name: &str| Name {
            schema: Some(schema.to_owned()),
            name: name.to_owned(),
        };
        let mut expected = Batch {
            table: name("app", "orders"),
            key: vec!["a".to_owned(), "b".to_owned()],
            alias: None,
            size: Some(500),
            line: 3,
        };
        let line = "-- migrate:batch table=App.orders key=a,B size=500";
        assert_eq!(read(line), Ok(Some(Directive::Batch(expected.clone()))));
        expected.table = name("My App", "the \"orders\"");
        expected.key = vec!["a, b".to_owned(), "C".to_owned()];
        expected.alias = Some("\"O\"".to_owned());
        expected.size = None;
        let line = r#"-- migrate:batch table="My App"."the ""orders""" key="a, b","C" alias="O""#;
        assert_eq!(read(line), Ok(Some(Directive::Batch(expected))));
    }

    #[test]
    fn prose_is_left_alone() {
        for line in
            ["-- migrated: yes", "-- migrate the rows: up", "-- migrate: old rows", "--", "-- é"]
        {
            assert_eq!(read(line), Ok(None), "{line}");
        }
    }

    #[test]
    fn what_is_nearly_a_directive_is_refused() {
        for (line, expected) in [
            ("-- migrate:upp", "`migrate:upp` is not a directive"),
            ("-- migrate:", "`migrate:` is not a directive"),
            ("-- migrate: down", "the marker has spaces in it"),
            ("-- migrate :up", "the marker has spaces in it"),
            ("-- migrate:up transaction=false", "`transaction=false` is not an option of a marker"),
            ("-- migrate:allow", "an allowance needs a rule and a reason"),
            ("-- migrate:allow drop-column ", "an allowance needs a rule and a reason"),
            ("-- migrate:batch table=t", "a batch needs a table and a key"),
            ("-- migrate:batch table=t key=a,", "`key=a,` is not a name"),
            ("-- migrate:batch table=t; key=a", "`table=t;` is not a name"),
            (
                "-- migrate:batch table=t key=a size=0",
                "the size of a batch is not a number above 0",
            ),
            ("-- migrate:batch table=t key=a x=1", "`x=1` is not an option of a batch"),
            ("-- +goose Up", "`+goose` is a marker of goose"),
        ] {
            assert_eq!(read(line), Err(format!("f:3:1: {expected}")), "{line}");
        }
    }
}
