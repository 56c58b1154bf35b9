//! The schema as data: each object of a database with its definition, the same wherever it is read.
//!
//! It is a text: a line of JSON an object, in a stable order, made by the server in one statement,
//! and so from one snapshot. Nothing in it depends on numbers that a restore gives anew, on dropped
//! columns or on settings. What belongs to an extension is left to it, and the ledger is left out.

mod diff;
mod object;

use std::time::Duration;

use sha2::Digest as _;
use tokio_postgres::error::SqlState;

pub use diff::{Change, Difference, diff};
pub use object::Object;

use crate::{
    connect::session::Session,
    error::{Error, Result},
};

/// A query a kind of object; each has the columns `kind`, `name` and `definition`.
const KINDS: [&str; 29] = [
    include_str!("../../sql/inventory_access_methods.sql"),
    include_str!("../../sql/inventory_casts.sql"),
    include_str!("../../sql/inventory_collations.sql"),
    include_str!("../../sql/inventory_columns.sql"),
    include_str!("../../sql/inventory_comments.sql"),
    include_str!("../../sql/inventory_constraints.sql"),
    include_str!("../../sql/inventory_conversions.sql"),
    include_str!("../../sql/inventory_default_privileges.sql"),
    include_str!("../../sql/inventory_event_triggers.sql"),
    include_str!("../../sql/inventory_extensions.sql"),
    include_str!("../../sql/inventory_foreign.sql"),
    include_str!("../../sql/inventory_functions.sql"),
    include_str!("../../sql/inventory_indexes.sql"),
    include_str!("../../sql/inventory_languages.sql"),
    include_str!("../../sql/inventory_operator_classes.sql"),
    include_str!("../../sql/inventory_operator_families.sql"),
    include_str!("../../sql/inventory_operators.sql"),
    include_str!("../../sql/inventory_policies.sql"),
    include_str!("../../sql/inventory_privileges.sql"),
    include_str!("../../sql/inventory_publications.sql"),
    include_str!("../../sql/inventory_rules.sql"),
    include_str!("../../sql/inventory_schemas.sql"),
    include_str!("../../sql/inventory_sequences.sql"),
    include_str!("../../sql/inventory_statistics.sql"),
    include_str!("../../sql/inventory_tables.sql"),
    include_str!("../../sql/inventory_text_search.sql"),
    include_str!("../../sql/inventory_triggers.sql"),
    include_str!("../../sql/inventory_types.sql"),
    include_str!("../../sql/inventory_views.sql"),
];

/// What the objects are called that these tell of.
pub const KIND_NAMES: [&str; 43] = [
    "access method",
    "aggregate",
    "cast",
    "collation",
    "column",
    "comment",
    "composite type",
    "constraint",
    "conversion",
    "default privileges",
    "domain",
    "enum",
    "event trigger",
    "extension",
    "foreign data wrapper",
    "foreign table",
    "function",
    "index",
    "language",
    "materialized view",
    "operator",
    "operator class",
    "operator family",
    "policy",
    "privileges",
    "procedure",
    "publication",
    "range type",
    "rule",
    "schema",
    "sequence",
    "server",
    "statistics",
    "table",
    "text search configuration",
    "text search dictionary",
    "text search parser",
    "text search template",
    "transform",
    "trigger",
    "type",
    "user mapping",
    "view",
];

const LINES: &str = include_str!("../../sql/schema_lines.sql");
const TEXT: &str = include_str!("../../sql/schema_text.sql");
const DIGEST: &str = include_str!("../../sql/schema_digest.sql");
/// What stands in those files for what is put together here, so that they can be prepared.
const NO_OBJECTS: &str = "select '' as kind, '' as name, '{}'::jsonb as definition where false";
const NO_LINES: &str = "select '' as kind, '' as name, '' as line where false";

/// How often to look again where somebody dropped an object in the midst of reading it.
const TRIES: u32 = 3;

/// A schema as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    text: String,
    objects: Vec<Object>,
}

/// What tells two inventories apart without reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    pub sha256: String,
    pub objects: i64,
}

impl Inventory {
    /// Reads the schema of a database; nothing is written, and any role may.
    pub fn read(session: &Session, limit: Option<Duration>) -> Result<Inventory> {
        let text = ask(session, limit, TEXT, |row| row.get(0))?;
        Inventory::parse(text).map_err(|line| {
            Error::refused(
                "inventory",
                format!("line {line} of the inventory that the server made cannot be read"),
                "please report this with the version of the server",
            )
        })
    }

    /// Reads one from lines of JSON; or the number of the first line that is no object.
    pub fn parse(text: String) -> Result<Inventory, usize> {
        let objects = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(index, line)| serde_json::from_str(line).map_err(|_| index + 1))
            .collect::<Result<Vec<Object>, usize>>()?;
        Ok(Inventory { text, objects })
    }

    /// What [`Digest::read`] says of the same schema.
    pub fn digest(&self) -> Digest {
        let sha256 = sha2::Sha256::digest(self.text.as_bytes());
        let sha256 = sha256.iter().map(|it| format!("{it:02x}")).collect();
        Digest { sha256, objects: self.objects.len() as i64 }
    }

    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// A line an object: what [`Inventory::parse`] reads, and what [`Digest::sha256`] is over.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Digest {
    /// Tells whether a schema changed, without carrying it over.
    pub fn read(session: &Session, limit: Option<Duration>) -> Result<Digest> {
        ask(session, limit, DIGEST, |row| Digest { sha256: row.get(0), objects: row.get(1) })
    }
}

/// Asks in a transaction of its own that can only read.
fn ask<T>(
    session: &Session,
    limit: Option<Duration>,
    sql: &str,
    of: impl Fn(&tokio_postgres::Row) -> T,
) -> Result<T> {
    let begin = format!("begin isolation level repeatable read read only; {}", settings(limit));
    let sql = over_lines(sql, session.facts().server_version_num);
    for tries in 1.. {
        session.run(&begin).map_err(Error::database("begin to read the schema"))?;
        let rows = session.query_once(&sql, &[]);
        session.run("rollback").map_err(Error::database("end reading the schema"))?;
        match rows {
            Ok(rows) => return Ok(of(rows.first().expect("an aggregate is one row"))),
            Err(err) if tries < TRIES && was_dropped(err.code()) => (),
            Err(err) => return Err(Error::Database { doing: "read the schema", source: err }),
        }
    }
    unreachable!("the last try returns")
}

/// The server's functions that print definitions look at the catalog of the moment, not of the
/// snapshot.
fn was_dropped(code: Option<&SqlState>) -> bool {
    [&SqlState::INTERNAL_ERROR, &SqlState::UNDEFINED_TABLE, &SqlState::UNDEFINED_OBJECT]
        .iter()
        .any(|it| code == Some(it))
}

/// Names and constants print the same under these, whatever the role or the database says. Without
/// compiling: the statement is long, but its rows are few.
pub(crate) fn settings(limit: Option<Duration>) -> String {
    format!(
        "set local search_path = pg_catalog, pg_temp; set local quote_all_identifiers = off; \
         set local lc_monetary = 'C'; set local jit = off; set local statement_timeout = {}",
        limit.map_or(0, |it| it.as_millis().max(1))
    )
}

/// Puts the lines of all objects into a query over them, for a server of this version.
pub(crate) fn over_lines(sql: &str, version: u32) -> String {
    let kinds: Vec<String> = KINDS.iter().map(|it| known_to(it, version)).collect();
    let lines = LINES.replace(NO_OBJECTS, &kinds.join("\nunion all\n"));
    sql.replace(NO_LINES, &format!("\n{lines}\n"))
}

/// Without the lines that end in `-- since 15` where the server is older.
fn known_to(sql: &str, version: u32) -> String {
    let since =
        |line: &str| -> Option<u32> { line.rsplit_once("-- since ")?.1.trim().parse().ok() };
    let known = |line: &&str| since(line).is_none_or(|major| version / 10_000 >= major);
    sql.lines().filter(known).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_newer_server_is_left_out_for_an_older_one() {
        let sql = "select 1,\n  2, -- since 14\n  3";
        assert_eq!(known_to(sql, 130_011), "select 1,\n  3");
        assert_eq!(known_to(sql, 140_000), sql);
    }

    /// What is left for an older server is still SQL.
    #[test]
    fn each_query_can_be_parsed_for_every_version() {
        for version in (12..=18).map(|it| it * 10_000) {
            for kind in KINDS {
                let sql = known_to(kind, version);
                let errors = squawk_syntax::SourceFile::parse(&sql).errors();
                assert!(errors.is_empty(), "for {version}: {errors:?}\n{sql}");
            }
        }
    }

    #[test]
    fn a_text_that_is_no_inventory_names_its_line() {
        assert_eq!(Inventory::parse("\n{\"kind\": \"x\"}\n".to_owned()), Err(2));
        assert_eq!(Inventory::parse(String::new()).map(|it| it.objects.len()), Ok(0));
    }
}
