//! `change-all-rows`: UPDATE and DELETE without WHERE.

use super::{
    super::view::{View, outer_words_of},
    Hit, Rule, Weighs,
};
use crate::{migration::risk::Risk, record::Severity};

pub(super) const RULE: Rule = Rule {
    code: "change-all-rows",
    severity: Severity::Warning,
    weighs: Weighs::BySize,
    risk: Risk::Medium,
    instead: "run it in ranges by `-- migrate:batch table=… key=…` and `where {batch}`",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate().filter(|(_, it)| it.is_rows()) {
        let table = seen.effects.actions.first().and_then(|it| it.relation.table());
        let new = table.is_some_and(|it| view.is_new(index, it));
        if !new && !outer_words_of(seen.text).iter().any(|it| it == "where") {
            let what = table.map_or_else(|| "a table".to_owned(), |it| format!("`{it}`"));
            let message = format!(
                "changes all rows of {what} at once: each is locked to the end, and its old \
                 version stays until a vacuum"
            );
            let hit = Hit::at(index, message);
            hits.push(Hit { object: table.map(ToString::to_string), ..hit });
        }
    }
    hits
}

#[test]
fn it_is_found_without_a_condition() {
    super::check(
        &RULE,
        &["update t set a = 1", "delete from only t", "update t set a = (select 1 where true)"],
        &[
            "update t set a = 1 where b = 2",
            "create table t (a int); update t set a = 1",
            "insert into t values (1)",
        ],
    );
}
