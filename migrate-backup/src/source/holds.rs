//! What a database holds: tables, sequences, large objects; and whether all of it may be read.

use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    ledger::Ledger,
};

use tokio_postgres::Row;

use crate::{
    manifest::{Sequence, TableKind},
    names::{qualified, shown},
};

const TABLES: &str = include_str!("../../sql/tables.sql");
const SEQUENCES: &str = include_str!("../../sql/sequences.sql");
const LARGE_OBJECTS: &str = include_str!("../../sql/large_objects.sql");

/// How many sequences one statement reads.
const READ_TOGETHER: usize = 200;
/// How many objects an error names.
const NAMED: usize = 5;

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) kind: TableKind,
    pub(crate) bytes: u64,
    /// Whether a dump holds its rows.
    pub(crate) carried: bool,
    /// Whether pg_dump looks at it at all: not so with an extension's own.
    dumped: bool,
    readable: bool,
    hides_rows: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Holds {
    pub(crate) tables: Vec<Table>,
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) large_objects: u64,
}

impl Holds {
    /// In the snapshot of `session`. Refused where something could not be read: a backup without
    /// it would be one in name only.
    pub(crate) fn read(session: &Session, ledger: &Ledger) -> Result<Holds> {
        let tables = tables(session, ledger)?;
        refuse_unreadable(session, &tables)?;
        Ok(Holds { sequences: sequences(session)?, large_objects: large_objects(session)?, tables })
    }

    /// Those that pg_dump locks.
    pub(crate) fn locked(&self) -> Vec<Table> {
        self.tables
            .iter()
            .filter(|it| it.dumped && matches!(it.kind, TableKind::Table | TableKind::Partitioned))
            .cloned()
            .collect()
    }

    /// Those whose rows the dump holds.
    pub(crate) fn carried(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(|it| it.carried)
    }
}

/// All tables, without a look at rights: for a restored copy.
pub(crate) fn tables(session: &Session, ledger: &Ledger) -> Result<Vec<Table>> {
    let rows =
        session.query(TABLES, &[]).map_err(Error::database("look at the database's tables"))?;
    Ok(rows.iter().map(|row| table(row, ledger)).collect())
}

fn table(row: &Row, ledger: &Ledger) -> Table {
    let kind = match row.get::<_, &str>("kind") {
        "p" => TableKind::Partitioned,
        "m" => TableKind::MaterializedView,
        "f" => TableKind::Foreign,
        _ => TableKind::Table,
    };
    let (schema, name): (String, String) = (row.get("schema"), row.get("name"));
    let of_extension = row.get::<_, Option<&str>>("extension").is_some();
    let dumped = !of_extension || row.get::<_, bool>("configures_extension");
    Table {
        carried: kind == TableKind::Table && dumped && !is_locks(ledger, &schema, &name),
        kind,
        bytes: row.get::<_, i64>("bytes").unsigned_abs(),
        dumped,
        readable: row.get("readable"),
        hides_rows: row.get("hides_rows"),
        schema,
        name,
    }
}

/// The table of leases: in a restored database a lease of the past would look alive.
pub(crate) fn is_locks(ledger: &Ledger, schema: &str, name: &str) -> bool {
    schema == ledger.schema() && name == "_migration_locks"
}

fn refuse_unreadable(session: &Session, tables: &[Table]) -> Result<()> {
    let dumped = || {
        tables
            .iter()
            .filter(|it| it.dumped && matches!(it.kind, TableKind::Table | TableKind::Partitioned))
    };
    let named = |it: &Table| shown(&it.schema, &it.name);
    let unreadable: Vec<String> = dumped().filter(|it| !it.readable).map(named).collect();
    let role = &session.facts().role;
    if !unreadable.is_empty() {
        return Err(lacks(role, "read", &unreadable));
    }
    let hiding: Vec<String> = dumped().filter(|it| it.hides_rows).map(named).collect();
    if !hiding.is_empty() {
        return Err(Error::refused(
            "row_security",
            format!("row security hides rows of {} from role `{role}`", some(&hiding)),
            "make the backup as the tables' owner (without FORCE), as a superuser, or as a role with \
             BYPASSRLS: a part of the rows would be no backup",
        ));
    }
    Ok(())
}

fn lacks(role: &str, what: &str, objects: &[String]) -> Error {
    Error::refused(
        "not_readable",
        format!("role `{role}` may not {what} {}", some(objects)),
        "grant it what lacks (pg_read_all_data does for tables and sequences), or connect as a \
         superuser; a backup without it would be none",
    )
}

fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let first = names[..names.len().min(NAMED)].join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

pub(crate) fn sequences(session: &Session) -> Result<Vec<Sequence>> {
    let rows = session
        .query(SEQUENCES, &[])
        .map_err(Error::database("look at the database's sequences"))?;
    let rises = |it: &Row| it.get::<_, bool>("rises") && !it.get::<_, bool>("cycles");
    let names: Vec<(String, String, bool)> =
        rows.iter().map(|it| (it.get("schema"), it.get("name"), rises(it))).collect();
    let unreadable: Vec<String> = rows
        .iter()
        .zip(&names)
        .filter(|(row, _)| !row.get::<_, bool>("readable"))
        .map(|(_, (schema, name, _))| shown(schema, name))
        .collect();
    if !unreadable.is_empty() {
        return Err(lacks(&session.facts().role, "read", &unreadable));
    }
    let mut found = Vec::with_capacity(names.len());
    for names in names.chunks(READ_TOGETHER) {
        let reads: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(index, (schema, name, _))| {
                let from = qualified(schema, name);
                format!("select {index}::bigint as index, last_value, is_called from {from}")
            })
            .collect();
        let rows = session
            .query_once(&format!("{} order by 1", reads.join(" union all ")), &[])
            .map_err(Error::database("read the sequences"))?;
        for (row, (schema, name, rises)) in rows.iter().zip(names) {
            found.push(Sequence {
                schema: schema.clone(),
                name: name.clone(),
                value: row.get("last_value"),
                is_called: row.get("is_called"),
                rises: *rises,
            });
        }
    }
    Ok(found)
}

pub(crate) fn large_objects(session: &Session) -> Result<u64> {
    let row = session
        .query_one(LARGE_OBJECTS, &[])
        .map_err(Error::database("look at the large objects"))?;
    if let Some(unreadable) = row.get::<_, Option<u32>>("unreadable") {
        let object = format!("large object {unreadable}");
        return Err(lacks(&session.facts().role, "read", &[object]));
    }
    Ok(row.get::<_, i64>("count").unsigned_abs())
}
