//! `secret-literal`: a password in a file that everybody reads.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{
    migration::risk::Risk,
    record::Severity,
    sql::{lexer::TokenKind, words::Words},
};

pub(super) const RULE: Rule = Rule {
    code: "secret-literal",
    severity: Severity::Warning,
    weighs: Weighs::Always,
    risk: Risk::High,
    instead: "create the role without a password, and set that outside of the migrations",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate() {
        let about = ["role", "user", "subscription"];
        let words = seen.words();
        if !words.iter().take(4).any(|it| about.contains(&it.as_str())) {
            continue;
        }
        let mut words = Words::new(seen.text, true);
        let mut after_password = false;
        while let Some(token) = words.next() {
            let text = token.text(seen.text);
            if after_password && token.kind == TokenKind::Text {
                let message = "the password stands in the repository, and in the server's log if \
                               the statement fails";
                hits.push(Hit::at(index, message));
                break;
            }
            after_password = token.kind == TokenKind::Word && text.eq_ignore_ascii_case("password");
        }
    }
    hits
}

#[test]
fn it_is_found_in_roles_and_user_mappings() {
    super::check(
        &RULE,
        &[
            "create role app login password 'geheim'",
            "create user mapping for app server s options (user 'u', password 'geheim')",
        ],
        &["alter role app password null", "insert into users (password) values ('x')"],
    );
}
