//! `trigger-switched`: triggers that rest for everybody, foreign keys among them.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{
    migration::risk::Risk,
    record::Severity,
    sql::{effects::Class, kind::Kind},
};

pub(super) const RULE: Rule = Rule {
    code: "trigger-switched",
    severity: Severity::Warning,
    weighs: Weighs::Always,
    risk: Risk::High,
    instead: "leave them on; afterwards `migrate-check integrity` looks for what slipped through",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate() {
        let disables = seen.effects.actions.iter().any(|it| it.class == Class::SwitchTrigger)
            && seen.words().iter().any(|it| it == "disable");
        let replica = matches!(&seen.statement.kind, Kind::Set { name, .. } if name == "session_replication_role")
            && !seen.words().iter().any(|it| ["origin", "default", "reset"].contains(&it.as_str()));
        if disables || replica {
            let message =
                "while triggers rest, foreign keys are not checked, and what breaks them stays";
            hits.push(Hit::at(index, message));
        }
    }
    hits
}

#[test]
fn it_is_found_where_they_are_switched_off() {
    super::check(
        &RULE,
        &["alter table t disable trigger all", "set session_replication_role = replica"],
        &["alter table t enable trigger all", "set session_replication_role = origin"],
    );
}
