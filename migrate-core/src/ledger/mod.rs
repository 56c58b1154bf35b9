//! The ledger: the tables in which the tools remember what was done, by whom, and who may go on.

pub(crate) mod advisory;
pub mod audit;
pub mod breaking;
pub mod claim;
pub mod heartbeat;
pub mod history;
pub mod inventories;
pub mod lease;
pub mod locks;
pub mod progress;
pub mod script;

use std::{collections::HashMap, sync::Mutex};

use tokio_postgres::types::Type;

use crate::{
    connect::session::{Facts, Session},
    error::{Error, Result},
    record::{LedgerCreated, Line},
};

const OBJECTS: &str = include_str!("../../sql/ledger_objects.sql");
const STATE: &str = include_str!("../../sql/ledger_state.sql");
const TABLES: &str = include_str!("../../sql/ledger_tables.sql");
const CREATE: [&str; 6] = [
    include_str!("../../sql/locks_create.sql"),
    include_str!("../../sql/history_create.sql"),
    include_str!("../../sql/scripts_create.sql"),
    include_str!("../../sql/progress_create.sql"),
    audit::CREATE,
    inventories::CREATE,
];
/// A ledger of an earlier version lacks it until a run ends.
const LATER: &str = "_migration_inventories";
/// How many of the tables must be there.
const TABLE_COUNT: usize = CREATE.len() - 1;

/// The ledger of one schema of one database.
#[derive(Debug)]
pub struct Ledger {
    schema: String,
    prepared: Mutex<HashMap<&'static str, String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    Write,
}

/// Whether the ledger's tables are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Absent,
    Present,
}

impl Ledger {
    /// The server cuts a longer name silently, and two ledgers would become one.
    pub fn new(schema: &str) -> Result<Ledger> {
        if schema.is_empty() || schema.len() > 63 || schema.contains('\0') {
            return Err(Error::usage(
                format!("`{}` cannot be a schema's name", schema.escape_debug()),
                "a name has 1 to 63 bytes",
            ));
        }
        Ok(Ledger { schema: schema.to_owned(), prepared: Mutex::default() })
    }

    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The text of an SQL file, with the schema in its place: `{ledger}`, and inside of a text's
    /// quotes `{ledger:text}`.
    pub fn sql(&self, template: &'static str) -> String {
        let mut prepared = self.prepared.lock().expect("never poisoned");
        prepared
            .entry(template)
            .or_insert_with(|| {
                let schema = quote_identifier(&self.schema);
                template
                    .replace("{ledger}", &schema)
                    .replace("{ledger:text}", &schema.replace('\'', "''"))
            })
            .clone()
    }

    /// Looks whether the tables are there, for a command that only reads.
    pub fn look(&self, session: &Session) -> Result<Presence> {
        self.inspect(session, Purpose::Read)
    }

    /// Looks whether the tables are there, and whether it is safe to write to them.
    ///
    /// Another role could have put a view or a trigger in their place, which would swallow rows,
    /// or run as whoever writes.
    pub fn look_to_write(&self, session: &Session) -> Result<Presence> {
        self.inspect(session, Purpose::Write)
    }

    fn inspect(&self, session: &Session, purpose: Purpose) -> Result<Presence> {
        let rows = session
            .query_once(TABLES, &[(&self.schema, Type::TEXT)])
            .map_err(Error::database("look for the ledger's tables"))?;
        for row in &rows {
            let name: &str = row.get("name");
            let bad = if row.get::<_, &str>("kind") != "r" {
                "is not an ordinary table".to_owned()
            } else if row.get("misshapen") {
                "lacks columns or the unique key (lock_name, token) that the fence needs".to_owned()
            } else if purpose == Purpose::Read {
                continue;
            } else if !row.get::<_, bool>("trusted") {
                format!("belongs to `{}`, whom nothing makes trusted", row.get::<_, &str>("owner"))
            } else if row.get("row_security") {
                "has row security, which hides rows".to_owned()
            } else if row.get("foreign_trigger") {
                "has a trigger that is not ours".to_owned()
            } else if row.get("has_rule") {
                "has a rule, which may swallow rows".to_owned()
            } else {
                continue;
            };
            return Err(Error::refused(
                "foreign_ledger",
                format!("`{}.{name}` {bad}", self.schema),
                "find out who made it so; `--ledger-schema` picks another place",
            ));
        }
        let there = rows.iter().filter(|it| it.get::<_, &str>("name") != LATER).count();
        Ok(if there < TABLE_COUNT { Presence::Absent } else { Presence::Present })
    }

    /// The numbers of its tables, indexes and sequences, as an array's text.
    pub fn objects(&self, session: &Session) -> Result<String> {
        let row = session
            .query_one(OBJECTS, &[&self.schema])
            .map_err(Error::database("look for the ledger's objects"))?;
        Ok(row.get("objects"))
    }

    /// A query for what no migration may change: two answers in one transaction differ where one did.
    pub fn state_sql(&self) -> String {
        STATE.replace("$1", &quote_literal(&self.schema))
    }

    /// Makes what is missing. The caller holds the advisory lock, so nobody does so beside us.
    pub(crate) fn create(
        &self,
        session: &Session,
        environment: Option<&str>,
        line: impl FnOnce(LedgerCreated) -> Line,
    ) -> Result<()> {
        let facts = session.facts().clone();
        session.transaction(|session| {
            let schema = quote_identifier(&self.schema);
            let exists = session
                .query_opt("select from pg_namespace where nspname = $1", &[&self.schema])
                .map_err(Error::database("look for the ledger's schema"))?;
            if exists.is_none() {
                session
                    .run(&format!("create schema {schema}"))
                    .map_err(Error::database("create the ledger's schema"))?;
            }
            for file in CREATE {
                session
                    .run(&self.sql(file))
                    .map_err(Error::database("create the ledger's tables"))?;
            }
            let created = genesis(self, &facts, environment, session);
            audit::append(session, self, &line(created), None, None).map(drop)
        })
    }
}

fn genesis(
    ledger: &Ledger,
    facts: &Facts,
    environment: Option<&str>,
    session: &Session,
) -> LedgerCreated {
    LedgerCreated {
        schema: ledger.schema.clone(),
        database: facts.database.clone(),
        system_identifier: facts.system_identifier.clone(),
        environment: environment.map(str::to_owned),
        created_at: session.server_now(),
    }
}

/// The only way an identifier gets into SQL.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as an SQL literal, for statements that share a message and so have no parameters.
pub fn quote_literal(text: &str) -> String {
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(quote_identifier(r#"a"; drop table t; --"#), r#""a""; drop table t; --""#);
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"\'; --"), r"E'\\''; --'");
    }

    #[test]
    fn a_schema_name_that_the_server_would_cut_is_refused() {
        assert!(Ledger::new(&"é".repeat(31)).is_ok());
        assert!(Ledger::new(&"é".repeat(32)).is_err());
        assert!(Ledger::new("").is_err());
    }
}
