//! `cascade`: a DROP that takes along what nobody names.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{migration::risk::Risk, record::Severity};

pub(super) const RULE: Rule = Rule {
    code: "cascade",
    severity: Severity::Warning,
    weighs: Weighs::Always,
    risk: Risk::High,
    instead: "drop what depends on it by name, so that a reviewer sees it; `up --dry-run` lists it",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate() {
        let words = seen.words();
        let drops = words.first().is_some_and(|it| it == "drop")
            || words.starts_with(&["alter".to_owned(), "table".to_owned()])
                && words.iter().any(|it| it == "drop")
            || words.first().is_some_and(|it| it == "truncate");
        if drops && words.last().is_some_and(|it| it == "cascade") {
            let message = "CASCADE takes along whatever depends on it: views, foreign keys, and with \
                           TRUNCATE the rows of other tables";
            hits.push(Hit::at(index, message));
        }
    }
    hits
}

#[test]
fn it_is_found_at_the_end_of_a_drop() {
    super::check(
        &RULE,
        &["drop table t cascade", "alter table t drop column a cascade", "truncate t, u cascade"],
        &["drop table t", "create table t (a int references u on delete cascade)"],
    );
}
