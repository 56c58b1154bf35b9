//! The key that a batched change walks along: whether it can, and the SQL of its ranges.

use migrate_core::{
    connect::session::Session,
    error::{PgError, Result},
    ledger::{quote_identifier, quote_literal},
    migration::directive::Batch,
    sql::words::Name,
};

const AGGREGATE: &str = include_str!("../../sql/batch_aggregate.sql");
const KEY: &str = include_str!("../../sql/batch_key.sql");

/// A table with columns that ranges can be cut by.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// With its schema, quoted.
    table: String,
    /// Quoted.
    columns: Vec<String>,
    types: Vec<String>,
    /// As the last ANALYZE has it.
    pub(crate) rows: Option<u64>,
}

/// Why a table cannot be cut into ranges, and what to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unusable {
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// Looks for the table as the script would: call it in the script's view of the session.
pub(crate) fn resolve(session: &Session, table: &Name) -> Result<Option<i64>, PgError> {
    let mut name = String::new();
    if let Some(schema) = &table.schema {
        name = quote_identifier(schema) + ".";
    }
    name += &quote_identifier(&table.name);
    Ok(session.query_one("select pg_catalog.to_regclass($1)::oid::int8", &[&name])?.get(0))
}

/// Whether the statement makes one value of many rows, which would be one of each range: call it
/// in the script's view of the session.
pub(crate) fn aggregate(session: &Session, calls: &[Name]) -> Result<Option<Unusable>, PgError> {
    let schemas: Vec<Option<&str>> = calls.iter().map(|it| it.schema.as_deref()).collect();
    let names: Vec<&str> = calls.iter().map(|it| it.name.as_str()).collect();
    let row = session.query_opt(AGGREGATE, &[&schemas, &names])?;
    Ok(row.map(|row| Unusable {
        message: format!("each range would do its own `{}`", row.get::<_, &str>("name")),
        hint: "a batch can do what is done for each row by itself".to_owned(),
    }))
}

/// Looks at the table that was resolved: call it in the ledger's view of the session.
pub(crate) fn look(
    session: &Session,
    oid: Option<i64>,
    batch: &Batch,
) -> Result<Result<Key, Unusable>, PgError> {
    let row = match oid {
        Some(oid) => session.query_opt(KEY, &[&oid, &batch.key])?,
        None => None,
    };
    let unusable = |message: String, hint: String| Ok(Err(Unusable { message, hint }));
    let Some(row) = row else {
        return unusable(
            format!("the table `{}` of the batch is not there", batch.table),
            "name it as the statement does, with its schema if need be".to_owned(),
        );
    };
    let table: String = row.get("name");
    let columns: Vec<String> = batch.key.iter().map(|it| quote_identifier(it)).collect();
    let kind = match row.get("kind") {
        "r" | "p" => None,
        "v" => Some("view"),
        "m" => Some("materialized view"),
        "f" => Some("foreign table"),
        _ => Some("relation of another kind"),
    };
    if let Some(kind) = kind {
        return unusable(
            format!("`{}` is a {kind}, and has no key to cut ranges by", batch.table),
            "batch the table that is behind it".to_owned(),
        );
    }
    if row.get("has_children") {
        return unusable(
            format!("other tables inherit from `{}`, and share no index with it", batch.table),
            "give each of them a batch of its own".to_owned(),
        );
    }
    if let Some(column) = row.get::<_, Option<&str>>("lacking") {
        return unusable(
            format!("`{}` has no column `{column}`", batch.table),
            "key= names columns of the table, separated by commas".to_owned(),
        );
    }
    if let Some(column) = row.get::<_, Option<&str>>("nullable") {
        let quoted = quote_identifier(column);
        return unusable(
            format!("the key's column `{column}` may be null, and no range holds such a row"),
            format!("use another key, or: alter table {table} alter column {quoted} set not null"),
        );
    }
    if let Some(kind) = row.get::<_, Option<&str>>("unstable") {
        return unusable(
            format!("the batch's key has the type {kind}, whose text depends on settings"),
            "use another key: a checkpoint keeps keys as texts".to_owned(),
        );
    }
    if !row.get::<_, bool>("indexed") {
        let concurrently = if row.get::<_, &str>("kind") == "p" { "" } else { " concurrently" };
        return unusable(
            format!(
                "`{}` has no unique index on the batch's key ({})",
                batch.table,
                batch.key.join(", ")
            ),
            format!("create unique index{concurrently} on {table} ({})", columns.join(", ")),
        );
    }
    let rows = row.get::<_, i64>("rows");
    Ok(Ok(Key { table, columns, types: row.get("types"), rows: u64::try_from(rows).ok() }))
}

impl Key {
    /// A query for the greatest key.
    pub(crate) fn last_sql(&self) -> String {
        let (texts, table) = (self.texts(), &self.table);
        format!("select {texts} from {table} as t order by {} limit 1", self.columns(" desc"))
    }

    /// A query for the `size`th key behind `after`; no row where there are fewer up to `last`.
    pub(crate) fn end_sql(&self, after: Option<&[String]>, last: &[String], size: u64) -> String {
        format!(
            "select {} from {} as t where {} order by {} offset {} limit 1",
            self.texts(),
            self.table,
            self.predicate("t", after, last),
            self.columns(""),
            size.saturating_sub(1)
        )
    }

    /// True of the keys behind `after`, up to and with `through`.
    pub(crate) fn predicate(
        &self,
        qualifier: &str,
        after: Option<&[String]>,
        through: &[String],
    ) -> String {
        let columns: Vec<String> =
            self.columns.iter().map(|it| format!("{qualifier}.{it}")).collect();
        let values = |key: &[String]| -> Vec<String> {
            key.iter()
                .zip(&self.types)
                .map(|(value, of)| format!("{}::{of}", quote_literal(value)))
                .collect()
        };
        let row = |parts: &[String]| match parts {
            [one] => one.clone(),
            parts => format!("({})", parts.join(", ")),
        };
        let through = values(through);
        let mut terms = vec![format!("{} <= {}", row(&columns), row(&through))];
        if let Some(after) = after {
            let after = values(after);
            terms.insert(0, format!("{} > {}", row(&columns), row(&after)));
            if columns.len() > 1 {
                // Says nothing new, but the planner can tell from it how few rows these are.
                terms.push(format!("{0} >= {1}", columns[0], after[0]));
                terms.push(format!("{0} <= {1}", columns[0], through[0]));
            }
        }
        format!("({})", terms.join(" and "))
    }

    fn texts(&self) -> String {
        self.columns("::text")
    }

    /// Qualified: in ORDER BY a bare name would mean the text that is selected under that name.
    fn columns(&self, each: &str) -> String {
        let columns: Vec<String> = self.columns.iter().map(|it| format!("t.{it}{each}")).collect();
        columns.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(columns: &[&str]) -> Key {
        Key {
            table: "app.t".to_owned(),
            columns: columns.iter().map(|it| quote_identifier(it)).collect(),
            types: columns.iter().map(|_| "text".to_owned()).collect(),
            rows: None,
        }
    }

    #[test]
    fn a_range_begins_behind_the_one_before() {
        let text = |it: &str| vec![it.to_owned()];
        let id = key(&["id"]);
        assert_eq!(id.predicate("o", None, &text("9")), r#"(o."id" <= '9'::text)"#);
        let (after, through) = (text("it's"), text("z"));
        assert_eq!(
            id.predicate("t", Some(&after), &through),
            r#"(t."id" > 'it''s'::text and t."id" <= 'z'::text)"#
        );
        assert_eq!(
            id.end_sql(None, &through, 10),
            r#"select t."id"::text from app.t as t where (t."id" <= 'z'::text) order by t."id" offset 9 limit 1"#
        );
    }

    #[test]
    fn a_composite_key_is_compared_as_a_row() {
        let of = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        assert_eq!(
            key(&["a", "B"]).predicate("t", Some(&of("1", "2")), &of("3", "4")),
            r#"((t."a", t."B") > ('1'::text, '2'::text) and (t."a", t."B") <= ('3'::text, '4'::text) and t."a" >= '1'::text and t."a" <= '3'::text)"#
        );
        assert_eq!(
            key(&["a", "B"]).last_sql(),
            r#"select t."a"::text, t."B"::text from app.t as t order by t."a" desc, t."B" desc limit 1"#
        );
    }
}
