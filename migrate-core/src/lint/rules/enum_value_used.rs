//! `enum-value-used`: a new value of an enum, used before it is committed.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{
    migration::risk::Risk,
    record::Severity,
    sql::{lexer::TokenKind, words::Words},
};

pub(super) const RULE: Rule = Rule {
    code: "enum-value-used",
    severity: Severity::Warning,
    weighs: Weighs::Always,
    risk: Risk::High,
    instead: "add the value in a migration of its own, before the one that uses it",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut added: Vec<&str> = Vec::new();
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate().filter(|_| view.transaction) {
        let made_here = view.statements[..index].iter().any(|it| it.is("CREATE TYPE"));
        let texts = texts(seen.text);
        if seen.begins_with(&["alter", "type"]) && seen.has(&["add", "value"]) {
            added.extend(texts.first().filter(|_| !made_here));
        } else if let Some(value) = added.iter().find(|it| texts.contains(it)) {
            let message = format!(
                "{value} was added to an enum above, and cannot be used before COMMIT (55P04)"
            );
            hits.push(Hit::at(index, message));
        }
    }
    hits
}

/// The string literals, in their quotes.
fn texts(text: &str) -> Vec<&str> {
    let mut words = Words::new(text, true);
    let mut found = Vec::new();
    while let Some(token) = words.next() {
        if token.kind == TokenKind::Text {
            found.push(token.text(text));
        }
    }
    found
}

#[test]
fn it_is_found_behind_the_new_value() {
    super::check(
        &RULE,
        &["alter type mood add value 'calm'; update t set m = 'calm' where id = 1"],
        &[
            "alter type mood add value 'calm'; update t set m = 'ok'",
            "-- outside\nalter type mood add value 'calm'; update t set m = 'calm'",
            "create type mood as enum (); alter type mood add value 'a'; select 'a'::mood",
        ],
    );
}
