//! What a statement did to tables, read from the server after it: locks, new files, scans.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    time::{Duration, Instant},
};

use migrate_core::{
    connect::session::Session,
    error::{Error, PgError, Result},
    record::{Impact, TableImpact, TableLock, TableSize},
    sql::lock_mode::LockMode,
};
use tokio_postgres::types::Type;

const TABLES: &str = include_str!("../../sql/dry_run_tables.sql");
const SIZES: &str = include_str!("../../sql/dry_run_sizes.sql");
const LOCKS: &str = include_str!("../../sql/dry_run_locks.sql");

/// Catalogs that all databases of a server share, and that nobody may change from a copy.
const SHARED: [&str; 7] = [
    "pg_authid",
    "pg_auth_members",
    "pg_database",
    "pg_db_role_setting",
    "pg_tablespace",
    "pg_shdescription",
    "pg_parameter_acl",
];

/// The tables of the target by name, with their sizes.
pub(super) type Sizes = HashMap<String, (i64, i64)>;

pub(super) fn sizes(target: &Session) -> Result<Sizes> {
    let rows = target.query(SIZES, &[]).map_err(Error::database("read the sizes of the tables"))?;
    Ok(rows
        .iter()
        .map(|row| (row.get("name"), (row.get("bytes"), row.get("rows_estimate"))))
        .collect())
}

/// A lock as the server shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Another one in each transaction of a session.
    pub(super) transaction: String,
    oid: u32,
    mode: String,
    pub(super) granted: bool,
    /// Its name, where it is a catalog that all databases share.
    shared: Option<String>,
    filenode: Option<u32>,
    scans: i64,
}

/// Follows what a session does to the tables of the target.
pub(super) struct Observer {
    sizes: Sizes,
    /// By number, with the name that it has on the target.
    names: HashMap<u32, String>,
    filenodes: HashMap<u32, u32>,
    /// What the transaction under way holds, and since when; none for what a migration before took.
    held: HashMap<(u32, String), Option<Instant>>,
    scans: HashMap<u32, i64>,
    total: BTreeMap<String, TableImpact>,
}

impl Observer {
    pub(super) fn new(sizes: Sizes) -> Observer {
        Observer {
            sizes,
            names: HashMap::new(),
            filenodes: HashMap::new(),
            held: HashMap::new(),
            scans: HashMap::new(),
            total: BTreeMap::new(),
        }
    }

    /// Learns which tables there are. A table that the run itself made, or whose name it gave to
    /// another, keeps the name that it has on the target, or is none of it.
    pub(super) fn look(&mut self, session: &Session) -> Result<(), PgError> {
        let first = self.names.is_empty();
        for row in session.query_once(TABLES, &[])? {
            let oid: u32 = row.get("oid");
            let name: String = row.get("name");
            if first && self.sizes.contains_key(&name) {
                self.names.insert(oid, name);
            }
            self.filenodes.insert(oid, row.get("filenode"));
        }
        Ok(())
    }

    /// What the statement that began at `began` has done, by the locks that stand after it.
    pub(super) fn statement(&mut self, seen: &[Seen], began: Instant, telling: Telling) -> Impact {
        let mut impact = Impact::default();
        let mut rewritten = HashSet::new();
        for it in seen {
            let Some(name) = self.names.get(&it.oid).cloned() else { continue };
            if let Entry::Vacant(held) = self.held.entry((it.oid, it.mode.clone())) {
                held.insert(Some(began));
                impact.locks.push(TableLock {
                    table: name.clone(),
                    mode: it.mode.clone(),
                    blocks: blocks(&it.mode),
                });
            }
            if let Some(now) = it.filenode
                && self.filenodes.insert(it.oid, now).is_some_and(|before| before != now)
                && telling >= Telling::LocksAndFiles
            {
                rewritten.insert(it.oid);
                impact.rewritten.push(self.size(&name));
                self.of_table(&name).rewritten = true;
            }
        }
        for it in seen {
            let Some(name) = self.names.get(&it.oid).cloned() else { continue };
            let before = self.scans.insert(it.oid, it.scans).unwrap_or(0);
            // Rewriting reads all of it, too: that is said already.
            if telling == Telling::All && it.scans > before && rewritten.insert(it.oid) {
                impact.scanned.push(self.size(&name));
                self.of_table(&name).scanned = true;
            }
        }
        impact.locks.sort_by_key(|it| std::cmp::Reverse(strength(&it.mode)));
        impact.rewritten.sort_by(|one, two| one.table.cmp(&two.table));
        impact.scanned.sort_by(|one, two| one.table.cmp(&two.table));
        impact
    }

    /// Adds the tables that are in other files than before, as far as it is committed.
    pub(super) fn new_files(
        &mut self,
        session: &Session,
        impact: &mut Impact,
    ) -> Result<(), PgError> {
        for row in session.query_once(TABLES, &[])? {
            let (oid, now): (u32, u32) = (row.get("oid"), row.get("filenode"));
            if self.filenodes.insert(oid, now).is_some_and(|before| before != now)
                && let Some(name) = self.names.get(&oid).cloned()
            {
                impact.rewritten.push(self.size(&name));
                self.of_table(&name).rewritten = true;
            }
        }
        Ok(())
    }

    /// The migration has ended, and with it what it holds, as far as a real run would go.
    pub(super) fn end_migration(&mut self) {
        let ended: Vec<_> =
            self.held.iter().filter_map(|(key, it)| Some((key.clone(), (*it)?))).collect();
        for ((oid, mode), since) in ended {
            let name = self.names[&oid].clone();
            self.add(&name, &mode, since.elapsed());
            self.held.insert((oid, mode), None);
        }
    }

    /// The transaction has ended: the server holds nothing any more.
    pub(super) fn end_transaction(&mut self) {
        self.end_migration();
        self.held.clear();
        self.scans.clear();
    }

    /// The tables that were touched, those that it blocks most first.
    pub(super) fn tables(&self) -> Vec<TableImpact> {
        let mut tables: Vec<TableImpact> = self.total.values().cloned().collect();
        tables.sort_by_key(|it| std::cmp::Reverse(strength(&it.mode)));
        tables
    }

    fn add(&mut self, name: &str, mode: &str, held: Duration) {
        let held_ms = held.as_millis() as u64;
        let table = self.of_table(name);
        let (known, new) = (strength(&table.mode), strength(mode));
        if known < new {
            table.mode = mode.to_owned();
            table.blocks = blocks(mode);
            table.held_ms = held_ms;
        } else if known == new {
            table.held_ms = table.held_ms.max(held_ms);
        }
    }

    fn of_table(&mut self, name: &str) -> &mut TableImpact {
        let TableSize { table, bytes, rows_estimate } = self.size(name);
        self.total.entry(name.to_owned()).or_insert(TableImpact {
            table,
            mode: String::new(),
            blocks: Vec::new(),
            held_ms: 0,
            rewritten: false,
            scanned: false,
            bytes,
            rows_estimate,
        })
    }

    fn size(&self, name: &str) -> TableSize {
        let (bytes, rows_estimate) = self.sizes.get(name).copied().unwrap_or_default();
        TableSize { table: name.to_owned(), bytes, rows_estimate }
    }
}

/// What of a statement's doings means something for the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Telling {
    /// New files are no rewriting, and scans are of nothing.
    Locks,
    /// On a copy the tables are empty, and the planner reads them otherwise than on the target.
    LocksAndFiles,
    All,
}

/// What session `pid` has locked now.
pub(super) fn locks(session: &Session, pid: i32) -> Result<Vec<Seen>, PgError> {
    let rows = session.query_once(LOCKS, &[(&pid, Type::INT4)])?;
    Ok(rows
        .iter()
        .map(|row| Seen {
            transaction: row.get("transaction"),
            oid: row.get("oid"),
            mode: row.get("mode"),
            granted: row.get("granted"),
            shared: row.get("shared"),
            filenode: row.get("filenode"),
            scans: row.get("scans"),
        })
        .collect())
}

/// The shared catalog that a transaction is changing, if it does.
pub(super) fn shared_change(seen: &[Seen]) -> Option<&str> {
    seen.iter()
        .filter(|it| strength(&it.mode) >= Some(LockMode::RowExclusive))
        .filter_map(|it| it.shared.as_deref()?.rsplit('.').next())
        .find(|it| SHARED.contains(it))
}

/// None is weaker than all: a table that was not locked yet.
fn strength(mode: &str) -> Option<LockMode> {
    LockMode::from_name(mode)
}

fn blocks(mode: &str) -> Vec<String> {
    let mode = LockMode::from_name(mode);
    mode.iter().flat_map(|it| it.blocks()).map(str::to_owned).collect()
}
