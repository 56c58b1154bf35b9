//! The application's own statements: prepared before and after, none of them is run.

use std::path::Path;

use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    ledger::quote_identifier,
    record::RehearsedQueries,
    sql::split::split,
};

use crate::input;

const STATEMENTS: &str = include_str!("../../sql/rehearse_statements.sql");

/// More of them say nothing new.
const MOST: usize = 5_000;

/// One statement, and how often it ran since the server's counters began.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) text: String,
    pub(super) calls: Option<i64>,
}

/// A statement that could be prepared before, and cannot any more.
pub(super) struct Broken {
    pub(super) query: Query,
    pub(super) sqlstate: String,
    pub(super) why: String,
}

/// Those that can be prepared, and how many cannot.
pub(super) struct Prepared {
    queries: Vec<Query>,
    not_checkable: u32,
}

pub(super) fn of_file(path: &Path) -> Result<Vec<Query>> {
    let text = input::read_text(path)?;
    split(&path.display().to_string(), &text, 1)
        .map(|it| Ok(Query { text: it?.text(&text).to_owned(), calls: None }))
        .collect()
}

/// What pg_stat_statements saw in this database; None where it isn't there or cannot be read.
pub(super) fn of_server(session: &Session) -> Result<Option<Vec<Query>>> {
    let schema = session
        .query_opt(STATEMENTS, &[])
        .map_err(Error::database("look for pg_stat_statements"))?;
    let Some(schema) = schema else { return Ok(None) };
    let view = format!("{}.pg_stat_statements", quote_identifier(schema.get("schema")));
    let sql = format!(
        "select query, sum(calls)::bigint from {view} where dbid = \
         (select oid from pg_database where datname = current_database()) \
         group by query order by 2 desc limit {MOST}"
    );
    match session.query(&sql, &[]) {
        Ok(rows) => Ok(Some(
            rows.iter().map(|it| Query { text: it.get(0), calls: Some(it.get(1)) }).collect(),
        )),
        Err(err) => {
            log::warn!("pg_stat_statements cannot be read: {err}");
            Ok(None)
        }
    }
}

impl Prepared {
    /// Before the migrations, on the copy.
    pub(super) fn before(queries: Vec<Query>, copy: &Session) -> Result<Prepared> {
        set_path(copy)?;
        let all = queries.len();
        let queries: Vec<Query> = queries
            .into_iter()
            .filter(|it| reads_or_writes(&it.text) && prepare(copy, &it.text).is_ok())
            .collect();
        let not_checkable = (all - queries.len()) as u32;
        Ok(Prepared { queries, not_checkable })
    }

    /// After them: what fails now, and the count of all.
    pub(super) fn after(self, copy: &Session) -> Result<(Vec<Broken>, RehearsedQueries)> {
        set_path(copy)?;
        let checked = self.queries.len() as u32;
        let broken: Vec<Broken> = self
            .queries
            .into_iter()
            .filter_map(|query| {
                let err = prepare(copy, &query.text).err()?;
                let db = err.as_db_error()?;
                let (sqlstate, why) = (db.code().code().to_owned(), db.message().to_owned());
                Some(Broken { query, sqlstate, why })
            })
            .collect();
        let counts = RehearsedQueries {
            checked,
            broken: broken.len() as u32,
            not_checkable: self.not_checkable,
        };
        Ok((broken, counts))
    }
}

/// As the application has it, not as the ledger's statements do.
fn set_path(copy: &Session) -> Result<()> {
    copy.run("set search_path to default").map_err(Error::database("prepare the copy"))
}

/// The server takes one statement by this message, and only looks at what its names mean.
fn prepare(copy: &Session, text: &str) -> Result<(), tokio_postgres::Error> {
    copy.wait(copy.client().prepare(text)).map(drop)
}

/// Others are prepared without a look at the schema.
fn reads_or_writes(text: &str) -> bool {
    let first = text.trim_start_matches([' ', '\n', '\t', '(']).split_whitespace().next();
    let known = ["select", "insert", "update", "delete", "merge", "with", "values", "table"];
    first.is_some_and(|it| known.contains(&it.to_ascii_lowercase().as_str()))
}
