//! `foreign-key-parent`: a new table with a foreign key stops writes to the table that it refers to.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{
    migration::risk::Risk,
    record::Severity,
    sql::effects::{Class, Relation},
};

pub(super) const RULE: Rule = Rule {
    code: "foreign-key-parent",
    severity: Severity::Info,
    weighs: Weighs::Always,
    risk: Risk::Medium,
    instead: "one such table a migration, so that the lock is short and taken alone",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate() {
        if seen.effects.creates.is_none() {
            continue;
        }
        let parents: Vec<String> = seen
            .effects
            .actions
            .iter()
            .filter(|it| it.class == Class::Referenced)
            .filter_map(|it| match &it.relation {
                Relation::Named(name) if !view.is_new(index, name) => Some(format!("`{name}`")),
                _ => None,
            })
            .collect();
        if !parents.is_empty() {
            let message = format!(
                "nobody can write to {} until the end of the transaction",
                parents.join(", ")
            );
            hits.push(Hit::at(index, message));
        }
    }
    hits
}

#[test]
fn it_is_found_where_the_other_table_is_in_use() {
    super::check(
        &RULE,
        &["create table n (a int references t, b int references t)"],
        &[
            "create table n (a int)",
            "create table t (id int primary key); create table n (a int references t)",
        ],
    );
}
