//! `rows-under-lock`: rows that change while a lock of the same transaction keeps everybody out.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{
    migration::risk::Risk,
    record::Severity,
    sql::{effects::Class, words::Name},
};

pub(super) const RULE: Rule = Rule {
    code: "rows-under-lock",
    severity: Severity::Warning,
    weighs: Weighs::BySize,
    risk: Risk::High,
    instead: "change the schema in one migration, and the rows in the next one",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut locked: Vec<&Name> = Vec::new();
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate().filter(|_| view.transaction) {
        let changes = seen.effects.actions.iter().any(|it| it.class == Class::ChangeRows);
        if changes && let Some(table) = locked.first() {
            let message = format!(
                "nobody can read or write `{table}`, which a statement above changed, while these \
                 rows are changed"
            );
            hits.push(Hit::about(index, table, message));
        }
        for action in &seen.effects.actions {
            let shuts_out = action.class.facts().lock.is_some_and(|it| it.blocks_reads());
            let table = action.relation.table().filter(|it| !view.is_new(index, it));
            locked.extend(table.filter(|_| shuts_out));
        }
    }
    hits
}

#[test]
fn it_is_found_behind_a_lock_that_keeps_readers_out() {
    super::check(
        &RULE,
        &["alter table t add b int; update t set b = 1 where a = 2"],
        &[
            "update t set b = 1 where a = 2; alter table t add c int",
            "create table t (a int); alter table t add b int; update t set b = 1",
            "-- outside\nalter table t add b int; update t set b = 1",
            "alter table t add b int; insert into u values (1)",
        ],
    );
}
