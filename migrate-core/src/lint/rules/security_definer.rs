//! `security-definer`: a function with its owner's rights that looks names up as its caller likes.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{migration::risk::Risk, record::Severity};

pub(super) const RULE: Rule = Rule {
    code: "security-definer",
    severity: Severity::Warning,
    weighs: Weighs::Always,
    risk: Risk::Medium,
    instead: "add `set search_path = …, pg_temp` to it, with pg_temp last",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate() {
        let function = seen.is("CREATE FUNCTION") || seen.is("CREATE PROCEDURE");
        if function && seen.has(&["security", "definer"]) && !seen.has(&["set", "search_path"]) {
            let message = "whoever calls it decides by the search path which tables and operators \
                           run with its owner's rights";
            hits.push(Hit::at(index, message));
        }
    }
    hits
}

#[test]
fn it_is_found_without_a_search_path() {
    super::check(
        &RULE,
        &["create function f() returns int language sql security definer as $$ select 1 $$"],
        &[
            "create function f() returns int language sql security definer \
             set search_path = app, pg_temp as $$ select 1 $$",
            "create function f() returns int language sql as $$ select 'security definer' $$",
        ],
    );
}
