//! `validate-same-transaction`: NOT VALID and VALIDATE in one transaction.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{
    migration::risk::Risk,
    record::Severity,
    sql::effects::{Class, Relation},
};

pub(super) const RULE: Rule = Rule {
    code: "validate-same-transaction",
    severity: Severity::Warning,
    weighs: Weighs::BySize,
    risk: Risk::High,
    instead: "VALIDATE it in a migration of its own",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut added: Vec<&Relation> = Vec::new();
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate().filter(|_| view.transaction) {
        for action in &seen.effects.actions {
            let new = action.relation.table().is_some_and(|it| view.is_new(index, it));
            match action.class {
                Class::AddForeignKeyNotValid | Class::AddConstraintUnchecked if !new => {
                    added.push(&action.relation);
                }
                Class::ValidateConstraint if added.contains(&&action.relation) => {
                    let relation = &action.relation;
                    let message = format!(
                        "the strong lock that NOT VALID took on {relation} is held while all of it \
                         is read"
                    );
                    hits.push(Hit { object: object(relation), ..Hit::at(index, message) });
                }
                _ => (),
            }
        }
    }
    hits
}

fn object(relation: &Relation) -> Option<String> {
    relation.table().map(ToString::to_string)
}

#[test]
fn it_is_found_in_one_transaction_on_one_table() {
    let add = "alter table t add constraint c check (a > 0) not valid;";
    super::check(
        &RULE,
        &[
            &format!("{add} alter table t validate constraint c"),
            "alter table t add foreign key (a) references p not valid; alter table t validate constraint c",
        ],
        &[
            add,
            &format!("-- outside\n{add} alter table t validate constraint c"),
            &format!("{add} alter table u validate constraint c"),
            &format!("create table t (a int); {add} alter table t validate constraint c"),
        ],
    );
}
