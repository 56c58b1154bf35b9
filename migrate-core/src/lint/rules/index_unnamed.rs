//! `index-unnamed`: an index that is built outside a transaction and has no name of its own.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{
    migration::risk::Risk,
    record::Severity,
    sql::{effects::Class, words::Words},
};

pub(super) const RULE: Rule = Rule {
    code: "index-unnamed",
    severity: Severity::Info,
    weighs: Weighs::Always,
    risk: Risk::Low,
    instead: "give it a name",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate() {
        let concurrently =
            seen.effects.actions.iter().any(|it| it.class == Class::CreateIndexConcurrently);
        let mut words = Words::new(seen.text, true);
        while concurrently && words.peek().is_some() {
            if words.accept("concurrently") {
                if words.accept("on") {
                    let message = "the server picks a name, and another one when an interrupted \
                                   build is repeated: the left-over is hard to tell";
                    hits.push(Hit::at(index, message));
                }
                break;
            }
            words.next();
        }
    }
    hits
}

#[test]
fn it_is_found_without_a_name() {
    super::check(
        &RULE,
        &["-- outside\ncreate index concurrently on t (a)"],
        &["-- outside\ncreate unique index concurrently i on t (a)", "create index on t (a)"],
    );
}
