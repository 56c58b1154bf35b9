//! `concurrent-if-not-exists`: an index that an interruption left invalid is taken for made.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{migration::risk::Risk, record::Severity, sql::effects::Class};

pub(super) const RULE: Rule = Rule {
    code: "concurrent-if-not-exists",
    severity: Severity::Warning,
    weighs: Weighs::Always,
    risk: Risk::Medium,
    instead: "leave IF NOT EXISTS out: migrate-apply repairs and repeats what was interrupted",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate() {
        let concurrently =
            seen.effects.actions.iter().any(|it| it.class == Class::CreateIndexConcurrently);
        if concurrently && seen.has(&["if", "not", "exists"]) {
            let message = "with IF NOT EXISTS an invalid index of an earlier try counts as made: \
                           it costs each write and serves no read";
            hits.push(Hit::at(index, message));
        }
    }
    hits
}

#[test]
fn it_is_found_with_both_words() {
    super::check(
        &RULE,
        &["-- outside\ncreate index concurrently if not exists i on t (a)"],
        &[
            "create index if not exists i on t (a)",
            "-- outside\ncreate index concurrently i on t (a)",
        ],
    );
}
