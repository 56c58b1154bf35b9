//! `rls-without-policy`: row security with nothing that lets a row through.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{migration::risk::Risk, record::Severity, sql::words::Words};

pub(super) const RULE: Rule = Rule {
    code: "rls-without-policy",
    severity: Severity::Warning,
    weighs: Weighs::Always,
    risk: Risk::High,
    instead: "create the policies first, in the same migration",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate() {
        if !seen.has(&["enable", "row", "level", "security"]) {
            continue;
        }
        let mut words = Words::new(seen.text, true);
        words.accept_all(&["alter", "table"]);
        words.accept_all(&["if", "exists"]);
        words.accept("only");
        let Some(table) = words.name() else { continue };
        let has_policy = view.statements.iter().any(|it| {
            it.is("CREATE POLICY")
                && it.effects.actions.iter().any(|it| it.relation.table() == Some(&table))
        });
        if !has_policy && !view.is_new(index, &table) {
            let message = format!(
                "without a policy nobody but the owner of `{table}` sees or writes a row of it, and \
                 nothing fails"
            );
            hits.push(Hit::about(index, table, message));
        }
    }
    hits
}

#[test]
fn it_is_found_where_no_policy_is_made() {
    super::check(
        &RULE,
        &["alter table t enable row level security"],
        &["create policy p on t using (true); alter table t enable row level security"],
    );
}
