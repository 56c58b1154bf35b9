//! `several-tables`: strong locks on several tables in one transaction.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{migration::risk::Risk, record::Severity, sql::words::Name};

pub(super) const RULE: Rule = Rule {
    code: "several-tables",
    severity: Severity::Info,
    weighs: Weighs::BySize,
    risk: Risk::Medium,
    instead: "one table a migration: a lock that is not free then lets go of no other",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut locked: Vec<&Name> = Vec::new();
    for (index, seen) in view.statements.iter().enumerate().filter(|_| view.transaction) {
        for action in &seen.effects.actions {
            let shuts_out = action.class.facts().lock.is_some_and(|it| it.blocks_reads());
            let table = action.relation.table().filter(|it| shuts_out && !view.is_new(index, it));
            if let Some(table) = table
                && !locked.contains(&table)
            {
                locked.push(table);
                if locked.len() == 2 {
                    let message = format!(
                        "`{}` and `{table}` are both shut until the end of the transaction; \
                         sessions that use them in another order deadlock with it",
                        locked[0]
                    );
                    return vec![Hit::about(index, table, message)];
                }
            }
        }
    }
    Vec::new()
}

#[test]
fn it_is_found_once_a_script() {
    super::check(
        &RULE,
        &["alter table a add x int; alter table b add x int; alter table c add x int"],
        &[
            "alter table a add x int; alter table a add y int",
            "-- outside\nalter table a add x int; alter table b add x int",
            "create table a (); alter table a add x int; alter table b add x int",
        ],
    );
}
