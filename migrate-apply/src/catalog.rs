//! What became of a statement that runs outside a transaction, read from the catalog.
//!
//! `CREATE INDEX CONCURRENTLY IF NOT EXISTS` succeeds over an invalid index, and a killed one
//! leaves such an index behind: neither an error nor its absence tells, only the catalog does.

use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    ledger::quote_identifier,
    record::Leftover,
    sql::{
        alone::{Alone, ReindexTarget},
        words::Name,
    },
};
use serde_json::{Value, json};
use tokio_postgres::Row;

const INDEXES: &str = include_str!("../sql/indexes_of_table.sql");
const INDEX: &str = include_str!("../sql/index_state.sql");
const REINDEX_LEFT: &str = include_str!("../sql/reindex_leftovers.sql");
const DATABASE: &str = include_str!("../sql/database_state.sql");

/// What the catalog says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// It has taken effect, whole.
    Done,
    /// It has left nothing: run it, or run it again.
    NotDone,
    /// It has left something unusable: run the repairs, then it again.
    Broken(Vec<Leftover>),
}

/// What to remember before the statement runs, to tell its left-overs from what was there.
pub(crate) fn before(session: &Session, alone: &Alone) -> Result<Value> {
    Ok(match alone {
        Alone::CreateIndexConcurrently { table, .. } => {
            let known: Vec<String> =
                indexes(session, table)?.iter().map(|it| it.oid.clone()).collect();
            json!({ "indexes": known })
        }
        Alone::DropIndexConcurrently { indexes, .. } => {
            let mut existing = Vec::new();
            for name in indexes {
                existing.extend(index(session, &regclass(name))?.map(|it| it.oid));
            }
            json!({ "existing": existing })
        }
        Alone::Reindex { target, concurrently: true } => {
            let known: Vec<String> =
                reindex_leftovers(session, target)?.into_iter().map(|it| it.oid).collect();
            json!({ "indexes": known })
        }
        Alone::CreateDatabase { name } | Alone::DropDatabase { name } => {
            json!({ "existed": database(session, name)?.is_some() })
        }
        Alone::CreateTablespace { name } | Alone::DropTablespace { name } => {
            json!({ "existed": exists(session, "select from pg_tablespace where spcname = $1", name)? })
        }
        Alone::CreateSubscription { name } => {
            json!({ "existed": subscription_exists(session, name)? })
        }
        _ => json!({}),
    })
}

/// What the statement came to, given what was remembered.
pub(crate) fn inspect(session: &Session, alone: &Alone, before: &Value) -> Result<Verdict> {
    let existed = before["existed"] == json!(true);
    Ok(match alone {
        Alone::CreateIndexConcurrently { index: name, table, unique, if_not_exists } => {
            created_index(session, name.as_deref(), table, *unique, *if_not_exists, before)?
        }
        Alone::DropIndexConcurrently { .. } => dropped_indexes(session, before)?,
        Alone::Reindex { target, concurrently: true } => reindexed(session, target, before)?,
        Alone::DetachPartitionConcurrently { table, partition } => {
            detached(session, table, partition)?
        }
        Alone::CreateDatabase { name } => match database(session, name)? {
            Some(true) => Verdict::Broken(vec![Leftover {
                object: format!("database {}", quoted(name)),
                problem: "half dropped".to_owned(),
                repair: format!("drop database {}", quoted(name)),
            }]),
            Some(false) if !existed => Verdict::Done,
            _ => Verdict::NotDone,
        },
        Alone::DropDatabase { name } if existed && database(session, name)?.is_none() => {
            Verdict::Done
        }
        Alone::CreateTablespace { name } if !existed => {
            done_if(exists(session, "select from pg_tablespace where spcname = $1", name)?)
        }
        Alone::DropTablespace { name } if existed => {
            done_if(!exists(session, "select from pg_tablespace where spcname = $1", name)?)
        }
        Alone::CreateSubscription { name } if !existed => {
            done_if(subscription_exists(session, name)?)
        }
        // To run these again does the same once more.
        _ => Verdict::NotDone,
    })
}

/// What stands in the way of a statement before it has ever run: an unusable index of its name,
/// over which `IF NOT EXISTS` would succeed.
pub(crate) fn obstacle(session: &Session, alone: &Alone) -> Result<Option<Leftover>> {
    let Alone::CreateIndexConcurrently { index: Some(name), table, if_not_exists: true, unique } =
        alone
    else {
        return Ok(None);
    };
    let found = indexes(session, table)?.into_iter().find(|it| it.name == *name && !it.valid);
    match found {
        Some(index) if index.being_built => Err(Error::refused(
            "index_being_built",
            format!("another session is building the index {}", index.qualified),
            "wait until it is done",
        )),
        Some(index) => Ok(Some(invalid(&index, *unique))),
        None => Ok(None),
    }
}

struct Index {
    oid: String,
    name: String,
    qualified: String,
    valid: bool,
    ready: bool,
    being_built: bool,
}

fn read_index(row: &Row) -> Index {
    Index {
        oid: row.get("oid"),
        name: row.get("name"),
        qualified: row.get("qualified"),
        valid: row.get("valid"),
        ready: row.get("ready"),
        being_built: row.get("being_built"),
    }
}

fn indexes(session: &Session, table: &Name) -> Result<Vec<Index>> {
    let rows = session
        .query(INDEXES, &[&regclass(table)])
        .map_err(Error::database("look at the table's indexes"))?;
    Ok(rows.iter().map(read_index).collect())
}

fn index(session: &Session, name: &str) -> Result<Option<Index>> {
    let row = session.query_opt(INDEX, &[&name]).map_err(Error::database("look at the index"))?;
    Ok(row.as_ref().map(read_index))
}

fn created_index(
    session: &Session,
    name: Option<&str>,
    table: &Name,
    unique: bool,
    if_not_exists: bool,
    before: &Value,
) -> Result<Verdict> {
    let all = indexes(session, table)?;
    let ours: Vec<&Index> = all
        .iter()
        .filter(|it| match name {
            // One of that name that was there before counts only where the statement lets it.
            Some(name) => it.name == name && (if_not_exists || !knew(before, it)),
            None => !knew(before, it),
        })
        .collect();
    let broken: Vec<Leftover> =
        ours.iter().filter(|it| !it.valid).map(|it| invalid(it, unique)).collect();
    Ok(match (ours.is_empty(), broken.is_empty()) {
        (true, _) => Verdict::NotDone,
        (false, true) => Verdict::Done,
        (false, false) => Verdict::Broken(broken),
    })
}

fn invalid(index: &Index, unique: bool) -> Leftover {
    let problem = match (unique, index.ready) {
        (true, true) => "an invalid unique index, which rejects writes now",
        (_, true) => "an invalid index, which slows writes and serves no query",
        (_, false) => "an invalid index",
    };
    Leftover {
        object: format!("index {}", index.qualified),
        problem: problem.to_owned(),
        repair: format!("drop index concurrently {}", index.qualified),
    }
}

fn dropped_indexes(session: &Session, before: &Value) -> Result<Verdict> {
    let existing = before["existing"].as_array().cloned().unwrap_or_default();
    let mut left = 0;
    for oid in existing.iter().filter_map(Value::as_str) {
        left += usize::from(index(session, oid)?.is_some());
    }
    Ok(done_if(left == 0 && !existing.is_empty()))
}

fn reindexed(session: &Session, target: &ReindexTarget, before: &Value) -> Result<Verdict> {
    let broken: Vec<Leftover> = reindex_leftovers(session, target)?
        .iter()
        .filter(|it| !knew(before, it))
        .map(|it| invalid(it, false))
        .collect();
    Ok(if broken.is_empty() { Verdict::NotDone } else { Verdict::Broken(broken) })
}

fn reindex_leftovers(session: &Session, target: &ReindexTarget) -> Result<Vec<Index>> {
    let (kind, name) = match target {
        ReindexTarget::Index(name) => ("index", regclass(name)),
        ReindexTarget::Table(name) => ("table", regclass(name)),
        ReindexTarget::Schema(name) => ("schema", name.name.clone()),
        ReindexTarget::Database(_) | ReindexTarget::System(_) => ("database", String::new()),
    };
    let rows = session
        .query(REINDEX_LEFT, &[&kind, &name])
        .map_err(Error::database("look for left-overs of REINDEX"))?;
    Ok(rows.iter().map(read_index).collect())
}

/// Whether the index stood there before the statement.
fn knew(before: &Value, index: &Index) -> bool {
    before["indexes"].as_array().is_some_and(|all| all.contains(&json!(index.oid)))
}

fn detached(session: &Session, table: &Name, partition: &Name) -> Result<Verdict> {
    let row = session
        .query_opt(
            "select to_jsonb(i) ->> 'inhdetachpending' = 'true' as pending from pg_inherits as i \
             where inhparent = to_regclass($1) and inhrelid = to_regclass($2)",
            &[&regclass(table), &regclass(partition)],
        )
        .map_err(Error::database("look at the partition"))?;
    Ok(match row.map(|row| row.get::<_, Option<bool>>("pending")) {
        None => Verdict::Done,
        Some(Some(true)) => Verdict::Broken(vec![Leftover {
            object: format!("partition {}", quoted(partition)),
            problem: "half detached: neither attached nor a table of its own".to_owned(),
            repair: format!(
                "alter table {} detach partition {} finalize",
                quoted(table),
                quoted(partition)
            ),
        }]),
        Some(_) => Verdict::NotDone,
    })
}

/// Whether the database is there, and whether an interrupted DROP has left it unusable.
fn database(session: &Session, name: &Name) -> Result<Option<bool>> {
    let row = session
        .query_opt(DATABASE, &[&name.name])
        .map_err(Error::database("look for the database"))?;
    Ok(row.map(|row| row.get("half_dropped")))
}

fn subscription_exists(session: &Session, name: &Name) -> Result<bool> {
    exists(session, "select from pg_stat_subscription where subname = $1", name)
}

fn exists(session: &Session, sql: &str, name: &Name) -> Result<bool> {
    let row =
        session.query_opt(sql, &[&name.name]).map_err(Error::database("look at the catalog"))?;
    Ok(row.is_some())
}

fn done_if(done: bool) -> Verdict {
    if done { Verdict::Done } else { Verdict::NotDone }
}

/// The name as `to_regclass` reads it.
fn regclass(name: &Name) -> String {
    quoted(name)
}

/// The name as SQL has it.
pub(crate) fn quoted(name: &Name) -> String {
    match &name.schema {
        Some(schema) => format!("{}.{}", quote_identifier(schema), quote_identifier(&name.name)),
        None => quote_identifier(&name.name),
    }
}
