//! `batch-in-do`: a loop in a DO block that changes rows piece by piece.

use super::{
    super::view::{View, words_of},
    Hit, Rule, Weighs,
};
use crate::{migration::risk::Risk, record::Severity};

pub(super) const RULE: Rule = Rule {
    code: "batch-in-do",
    severity: Severity::Warning,
    weighs: Weighs::Always,
    risk: Risk::Medium,
    instead: "write the statement once, with `-- migrate:batch table=… key=…` before it: it keeps \
              checkpoints, gives way to others and resumes",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate() {
        let Some(body) = seen.body() else { continue };
        let words = words_of(body);
        let has = |word: &str| words.iter().any(|it| it == word);
        if has("loop") && (has("update") || has("delete") || has("insert")) {
            let message = "a loop over ranges ends at the first gap in the key or never, holds its \
                           locks to the end, and starts anew after an interruption";
            hits.push(Hit::at(index, message));
        }
    }
    hits
}

#[test]
fn it_is_found_where_rows_change_in_a_loop() {
    super::check(
        &RULE,
        &["do $x$ begin loop update t set a = 1 where id > 0; exit; end loop; end $x$"],
        &[
            "do $$ begin update t set a = 1; end $$",
            "do $$ begin for i in 1..3 loop execute 'create table t'; end loop; end $$",
        ],
    );
}
