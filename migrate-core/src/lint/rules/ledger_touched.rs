//! `ledger-touched`: a migration that reaches into the ledger.

use super::{super::view::View, Hit, Rule, Weighs};
use crate::{migration::risk::Risk, record::Severity, sql::lexer::TokenKind, sql::words::Words};

pub(super) const RULE: Rule = Rule {
    code: "ledger-touched",
    severity: Severity::Error,
    weighs: Weighs::Always,
    risk: Risk::High,
    instead: "leave it to `migrate-lock break`, `migrate-apply resolve` and `baseline`",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate() {
        let mut words = Words::new(seen.text, true);
        while let Some(token) = words.next() {
            let name = token.text(seen.text).trim_matches('"').to_ascii_lowercase();
            let named = matches!(token.kind, TokenKind::Word | TokenKind::QuotedName);
            if named && name.starts_with("_migration_") {
                let message = format!(
                    "`{name}` belongs to the ledger: a lease removed by hand lets two runs work at \
                     once, and a run that changes it is refused"
                );
                hits.push(Hit::about(index, name, message));
                break;
            }
        }
    }
    hits
}

#[test]
fn it_is_found_by_the_names_of_the_ledger() {
    super::check(
        &RULE,
        &[
            "delete from _migration_locks where expires_at < now()",
            "update public.\"_migration_history\" set status = 'applied'",
        ],
        &["insert into t values ('_migration_locks')", "create table my_migration_x ()"],
    );
}
