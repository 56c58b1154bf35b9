//! How big and how busy the tables are that migrations name.

use std::collections::HashMap;

use crate::{
    connect::session::Session,
    error::{Error, Result},
    sql::words::Name,
};

const RESOLVE: &str = include_str!("../../sql/lint_resolve.sql");
const SIZES: &str = include_str!("../../sql/lint_sizes.sql");

/// Of one table with its partitions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Size {
    /// As the last ANALYZE or vacuum counted them, or by the size where there was none.
    pub rows: i64,
    pub bytes: i64,
    pub index_bytes: i64,
    /// Since the server's counters began.
    pub writes_per_second: f64,
    pub partitions: i64,
    /// Views and foreign keys of other tables.
    pub dependants: i64,
}

impl Size {
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

/// What is known of tables; empty without a database.
#[derive(Debug, Clone, Default)]
pub struct Sizes(HashMap<Name, Size>);

impl Sizes {
    /// Asks for all of these at once. Names are looked up as a session of this role would.
    pub fn read(session: &Session, names: &[Name]) -> Result<Sizes> {
        if names.is_empty() {
            return Ok(Sizes::default());
        }
        let quoted: Vec<String> = names.iter().map(quoted).collect();
        let ask = || {
            session.run("begin read only; set local search_path to default")?;
            let resolved = session.query(RESOLVE, &[&quoted])?;
            let oids: Vec<u32> =
                resolved.iter().map(|it| it.get::<_, Option<u32>>(0).unwrap_or(0)).collect();
            session.run("rollback")?;
            session.query(SIZES, &[&oids])
        };
        let rows = ask().map_err(Error::database("see how big the tables are"));
        if rows.is_err() && !session.is_closed() {
            let _ = session.run("rollback");
        }
        let mut sizes = HashMap::new();
        for row in rows? {
            let number: i64 = row.get("number");
            sizes.insert(
                names[number as usize - 1].clone(),
                Size {
                    rows: row.get("rows"),
                    bytes: row.get("bytes"),
                    index_bytes: row.get("index_bytes"),
                    writes_per_second: row.get("writes_per_second"),
                    partitions: row.get("partitions"),
                    dependants: row.get("dependants"),
                },
            );
        }
        Ok(Sizes(sizes))
    }

    pub fn of(&self, name: &Name) -> Option<&Size> {
        self.0.get(name)
    }
}

fn quoted(name: &Name) -> String {
    let quote = crate::ledger::quote_identifier;
    match &name.schema {
        Some(schema) => format!("{}.{}", quote(schema), quote(&name.name)),
        None => quote(&name.name),
    }
}
