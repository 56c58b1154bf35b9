//! `no-primary-key`: a table whose rows nobody can name.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{migration::risk::Risk, record::Severity, sql::effects::Class};

pub(super) const RULE: Rule = Rule {
    code: "no-primary-key",
    severity: Severity::Info,
    weighs: Weighs::Always,
    risk: Risk::Low,
    instead: "give it one: batches, logical replication and duplicates need it",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate() {
        let Some(table) = &seen.effects.creates else { continue };
        let plain =
            seen.begins_with(&["create", "table"]) || seen.begins_with(&["create", "unlogged"]);
        let elsewhere = ["like", "of", "inherits"];
        let words = seen.words();
        if !plain
            || seen.is("CREATE TABLE AS")
            || seen.has(&["primary", "key"])
            || seen.has(&["partition", "of"])
            || words.iter().any(|it| elsewhere.contains(&it.as_str()) || it == "as")
        {
            continue;
        }
        let later = view.statements[index..].iter().any(|it| {
            it.effects.actions.iter().any(|it| {
                matches!(it.class, Class::AddPrimaryKey | Class::AddPrimaryKeyUsingIndex)
                    && it.relation.table() == Some(table)
            })
        });
        if !later {
            hits.push(Hit::about(index, table, format!("`{table}` has no primary key")));
        }
    }
    hits
}

#[test]
fn it_is_found_where_none_is_added_later_either() {
    super::check(
        &RULE,
        &["create table t (a int)"],
        &[
            "create table t (a int primary key)",
            "create table t (a int); alter table t add primary key (a)",
            "create table t (like u including all)",
            "create table p partition of t for values in (1)",
            "create temp table t (a int)",
        ],
    );
}
