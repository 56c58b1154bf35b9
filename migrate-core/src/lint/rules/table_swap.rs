//! `table-swap`: a copy made by LIKE takes the place of a table.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{
    migration::risk::Risk,
    record::Severity,
    sql::{
        effects::Class,
        words::{Name, Words},
    },
};

pub(super) const RULE: Rule = Rule {
    code: "table-swap",
    severity: Severity::Warning,
    weighs: Weighs::Always,
    risk: Risk::High,
    instead: "change the table itself in small steps; where it must be a copy, carry over foreign \
              keys, triggers, policies, privileges, owner and sequences by name, and check with \
              `migrate-check schema`",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut copies: Vec<(usize, Name)> = Vec::new();
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate() {
        if seen.is("CREATE TABLE") && seen.effects.creates.is_some() {
            copies.extend(liked(seen.text).map(|it| (index, it)));
        }
        for action in seen.effects.actions.iter().filter(|it| it.class == Class::DropTable) {
            let Some(table) = action.relation.table() else { continue };
            if copies.iter().any(|(_, of)| of == table) {
                hits.push(Hit::about(
                    index,
                    table,
                    format!(
                        "the copy that takes the place of `{table}` has no foreign keys, triggers, \
                         policies, privileges or owner of it, and its sequence goes with the old one"
                    ),
                ));
            }
        }
    }
    hits
}

/// What a CREATE TABLE says LIKE of.
fn liked(text: &str) -> Option<Name> {
    let mut words = Words::new(text, true);
    while words.peek().is_some() {
        if words.accept("like") {
            return words.name();
        }
        words.next();
    }
    None
}

#[test]
fn it_is_found_where_the_copied_table_goes() {
    super::check(
        &RULE,
        &["create table n (like t including all); insert into n select * from t; drop table t; \
           alter table n rename to t"],
        &[
            "create table n (like t including all)",
            "create table n (like t including all); drop table other",
        ],
    );
}
