//! Effects by the kind of a statement, as far as that tells them; the rest is left to the tree.

use super::{Class, Effects, Relation, statement};
use crate::sql::{alone::Alone, kind::Kind, words::Words};

pub(super) fn effects(sql: &str, kind: &Kind) -> Effects {
    match kind {
        Kind::TransactionControl(_)
        | Kind::Savepoint(_)
        | Kind::Set { .. }
        | Kind::CopyToStdout => Effects::one(Class::NoTable, Relation::Unnamed),
        Kind::CopyFromStdin => rows(sql, &["copy"], Class::Insert),
        Kind::Alone(Alone::DropDatabase { .. }) => {
            Effects::one(Class::DropWithData, Relation::Unnamed)
        }
        Kind::Alone(_) => statement::read(sql),
        Kind::Other { tag } => match tag.as_ref() {
            "INSERT" => rows(sql, &["insert", "into"], Class::Insert),
            "UPDATE" => rows(sql, &["update"], Class::ChangeRows),
            "DELETE" => rows(sql, &["delete", "from"], Class::ChangeRows),
            "MERGE" => rows(sql, &["merge", "into"], Class::ChangeRows),
            "DO" | "CALL" | "EXECUTE" => Effects::one(Class::Code, Relation::Unnamed),
            "DROP OWNED" => Effects::one(Class::DropWithData, Relation::Unnamed),
            "CREATE VIEW" => view(sql),
            // What they do stands in their bodies, and happens when they are called.
            "CREATE FUNCTION" | "CREATE PROCEDURE" => {
                Effects::one(Class::NoTable, Relation::Unnamed)
            }
            _ => statement::read(sql),
        },
    }
}

/// A WITH in front hides the name.
fn rows(sql: &str, before: &[&str], class: Class) -> Effects {
    let mut words = Words::new(sql, true);
    let name = if words.accept_all(before) {
        words.accept("only");
        words.name()
    } else {
        None
    };
    Effects::one(class, name.map_or(Relation::Unnamed, Relation::Named))
}

/// The query can be long, and tells nothing.
fn view(sql: &str) -> Effects {
    let mut words = Words::new(sql, true);
    words.accept("create");
    let replaces = words.accept_all(&["or", "replace"]);
    while words.accept_any(&["temp", "temporary", "recursive", "view"]) {}
    match words.name().filter(|_| replaces) {
        Some(name) => Effects::one(Class::ReplaceView, Relation::Named(name)),
        None => Effects::one(Class::NoTable, Relation::Unnamed),
    }
}
