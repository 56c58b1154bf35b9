//! `json-column`: a type that cannot be compared.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{migration::risk::Risk, record::Severity};

pub(super) const RULE: Rule = Rule {
    code: "json-column",
    severity: Severity::Info,
    weighs: Weighs::Always,
    risk: Risk::Low,
    instead: "use jsonb; numeric for money, timestamptz for timetz",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate() {
        if !seen.is("CREATE TABLE") && !seen.is("ALTER TABLE") {
            continue;
        }
        let words = seen.words();
        for (kind, why) in [
            ("json", "has no equality: DISTINCT, GROUP BY and UNION over it fail"),
            ("money", "means another amount under another lc_monetary"),
            ("timetz", "has an offset but no date, so no time zone fits it"),
        ] {
            // The first word could be a column of that name.
            let named = |it: &[String]| it[1] == kind && it[0] != "column" && it[0] != "add";
            if words.windows(2).any(named) {
                hits.push(Hit::at(index, format!("type {kind} {why}")));
            }
        }
    }
    hits
}

#[test]
fn it_is_found_as_the_type_of_a_column() {
    super::check(
        &RULE,
        &["create table t (a json)", "alter table t add column a money"],
        &["create table t (a jsonb)", "alter table t add column money int"],
    );
}
