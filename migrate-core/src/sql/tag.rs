//! The command tag of a statement, from its text: drivers don't hand on what the server says.

use std::borrow::Cow;

use super::{lexer::TokenKind, words::Words};

/// Objects of CREATE, ALTER and DROP, longer names first, with the name that the server uses.
const OBJECTS: &[(&[&str], &str)] = &[
    (&["text", "search", "configuration"], "TEXT SEARCH CONFIGURATION"),
    (&["text", "search", "dictionary"], "TEXT SEARCH DICTIONARY"),
    (&["text", "search", "parser"], "TEXT SEARCH PARSER"),
    (&["text", "search", "template"], "TEXT SEARCH TEMPLATE"),
    (&["foreign", "data", "wrapper"], "FOREIGN DATA WRAPPER"),
    (&["access", "method"], "ACCESS METHOD"),
    (&["default", "privileges"], "DEFAULT PRIVILEGES"),
    (&["event", "trigger"], "EVENT TRIGGER"),
    (&["foreign", "table"], "FOREIGN TABLE"),
    (&["large", "object"], "LARGE OBJECT"),
    (&["materialized", "view"], "MATERIALIZED VIEW"),
    (&["operator", "class"], "OPERATOR CLASS"),
    (&["operator", "family"], "OPERATOR FAMILY"),
    (&["user", "mapping"], "USER MAPPING"),
    (&["table"], "TABLE"),
    (&["index"], "INDEX"),
    (&["function"], "FUNCTION"),
    (&["view"], "VIEW"),
    (&["type"], "TYPE"),
    (&["trigger"], "TRIGGER"),
    (&["sequence"], "SEQUENCE"),
    (&["schema"], "SCHEMA"),
    (&["extension"], "EXTENSION"),
    (&["policy"], "POLICY"),
    (&["procedure"], "PROCEDURE"),
    (&["domain"], "DOMAIN"),
    (&["role"], "ROLE"),
    (&["user"], "ROLE"),
    (&["group"], "ROLE"),
    (&["aggregate"], "AGGREGATE"),
    (&["cast"], "CAST"),
    (&["collation"], "COLLATION"),
    (&["conversion"], "CONVERSION"),
    (&["database"], "DATABASE"),
    (&["language"], "LANGUAGE"),
    (&["operator"], "OPERATOR"),
    (&["owned"], "OWNED"),
    (&["publication"], "PUBLICATION"),
    (&["routine"], "ROUTINE"),
    (&["rule"], "RULE"),
    (&["server"], "SERVER"),
    (&["statistics"], "STATISTICS"),
    (&["subscription"], "SUBSCRIPTION"),
    (&["system"], "SYSTEM"),
    (&["tablespace"], "TABLESPACE"),
    (&["transform"], "TRANSFORM"),
];

/// Words that may stand between CREATE and the object.
const MODIFIERS: &[&str] = &[
    "or",
    "replace",
    "global",
    "local",
    "temp",
    "temporary",
    "unlogged",
    "unique",
    "recursive",
    "constraint",
    "trusted",
    "procedural",
];

pub(super) fn tag(mut words: Words<'_>) -> Cow<'static, str> {
    let Some(first) = words.word() else {
        return if words.accept_kind(TokenKind::Open) { "SELECT".into() } else { "SQL".into() };
    };
    match first.to_ascii_lowercase().as_str() {
        // The three that fill large files, without an allocation for each of a million.
        "insert" => "INSERT".into(),
        "update" => "UPDATE".into(),
        "delete" => "DELETE".into(),
        "select" | "values" | "table" => "SELECT".into(),
        "with" => with(words).into(),
        "create" => create(words),
        "alter" => object("ALTER", words),
        "drop" => object("DROP", words),
        "lock" => "LOCK TABLE".into(),
        "truncate" => "TRUNCATE TABLE".into(),
        "refresh" => "REFRESH MATERIALIZED VIEW".into(),
        "security" => "SECURITY LABEL".into(),
        "import" => "IMPORT FOREIGN SCHEMA".into(),
        "reassign" => "REASSIGN OWNED".into(),
        "declare" => "DECLARE CURSOR".into(),
        "close" => "CLOSE CURSOR".into(),
        "analyse" => "ANALYZE".into(),
        word => word.chars().take(63).collect::<String>().to_ascii_uppercase().into(),
    }
}

fn create(mut words: Words<'_>) -> Cow<'static, str> {
    while words.accept_any(MODIFIERS) || default_conversion(&mut words) {}
    object("CREATE", words)
}

fn default_conversion(words: &mut Words<'_>) -> bool {
    let mut ahead = *words;
    ahead.accept_all(&["default", "conversion"]) && words.accept("default")
}

fn object(verb: &'static str, mut words: Words<'_>) -> Cow<'static, str> {
    words.accept("procedural");
    for (spelling, name) in OBJECTS {
        if words.accept_all(spelling) {
            return format!("{verb} {name}").into();
        }
    }
    verb.into()
}

/// The statement behind the queries of a WITH stands after a closing parenthesis.
fn with(mut words: Words<'_>) -> &'static str {
    let mut depth = 0u64;
    let mut after_query = false;
    while let Some(token) = words.next() {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            TokenKind::Word if depth == 0 && after_query => {
                match words.text(token).to_ascii_lowercase().as_str() {
                    "insert" => return "INSERT",
                    "update" => return "UPDATE",
                    "delete" => return "DELETE",
                    "merge" => return "MERGE",
                    "select" | "values" | "table" => return "SELECT",
                    // Their column names may come between the query and the statement.
                    "search" | "cycle" => continue,
                    _ => {}
                }
            }
            _ => {}
        }
        after_query = token.kind == TokenKind::Close
            || (after_query && depth == 0 && token.kind != TokenKind::Comma);
    }
    "SELECT"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_the_servers_words() {
        for (sql, expected) in [
            ("Insert into t values (1)", "INSERT"),
            ("create table t ()", "CREATE TABLE"),
            ("create unlogged table t ()", "CREATE TABLE"),
            ("create or replace function f() returns int", "CREATE FUNCTION"),
            ("create unique index on t (a)", "CREATE INDEX"),
            ("create materialized view v as select 1", "CREATE MATERIALIZED VIEW"),
            ("create constraint trigger t", "CREATE TRIGGER"),
            ("create text search dictionary d", "CREATE TEXT SEARCH DICTIONARY"),
            ("create default conversion c for 'a' to 'b' from f", "CREATE CONVERSION"),
            ("create user u", "CREATE ROLE"),
            ("create user mapping for u server s", "CREATE USER MAPPING"),
            ("alter default privileges grant all on tables to u", "ALTER DEFAULT PRIVILEGES"),
            ("alter /* x */ table t add a int", "ALTER TABLE"),
            ("drop owned by u", "DROP OWNED"),
            ("DO $$ begin end $$", "DO"),
            ("(select 1) union select 2", "SELECT"),
            ("with a as (select 1) select * from a", "SELECT"),
            (
                "with recursive a (x) as materialized (select 1), b as (delete from t) insert into u",
                "INSERT",
            ),
            ("with a as (select 1) search depth first by x set y update t set x = 1", "UPDATE"),
            ("merge into t using u on true when matched then delete", "MERGE"),
            ("lock t", "LOCK TABLE"),
            ("grant select on t to u", "GRANT"),
            ("42", "SQL"),
        ] {
            assert_eq!(tag(Words::new(sql, true)), expected, "{sql}");
        }
    }
}
