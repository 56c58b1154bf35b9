//! `commit-in-do`: a block that commits, inside a transaction.

use super::{
    super::view::{View, words_of},
    Hit, Rule, Weighs,
};
use crate::{migration::risk::Risk, record::Severity};

pub(super) const RULE: Rule = Rule {
    code: "commit-in-do",
    severity: Severity::Error,
    weighs: Weighs::Always,
    risk: Risk::High,
    instead: "let `-- migrate:batch` commit each range, or begin the file with \
              `-- migrate:up transaction:false`",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate().filter(|_| view.transaction) {
        let Some(body) = seen.body() else { continue };
        let commits = body.split(';').any(|it| {
            let words = words_of(it);
            // It may stand behind THEN or LOOP; `on commit` is no statement.
            let last = words.last().map(String::as_str);
            matches!(last, Some("commit" | "rollback"))
                && words.iter().rev().nth(1).is_none_or(|it| it != "on")
        });
        if commits {
            let message = "COMMIT and ROLLBACK in a block fail inside a transaction (2D000)";
            hits.push(Hit::at(index, message));
        }
    }
    hits
}

#[test]
fn it_is_found_in_transactions_only() {
    super::check(
        &RULE,
        &[
            "do $$ begin loop update t set a = 1; commit; end loop; end $$",
            "do $$ begin if true then rollback; end if; end $$",
        ],
        &[
            "-- outside\ndo $$ begin update t set a = 1; commit; end $$",
            "do $$ begin raise notice 'commit'; end $$",
        ],
    );
}
