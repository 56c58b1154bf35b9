//! Rules of our own, one a file; what locks and rewrites mean stands in the table of facts.

mod batch_in_do;
mod cascade;
mod change_all_rows;
mod commit_in_do;
mod concurrent_if_not_exists;
mod enum_value_used;
mod foreign_key_parent;
mod index_unnamed;
mod json_column;
mod ledger_touched;
mod no_primary_key;
mod rls_without_policy;
mod rows_under_lock;
mod secret_literal;
mod security_definer;
mod several_tables;
mod table_swap;
mod trigger_switched;
mod update_order_limit;
mod validate_same_transaction;

use super::view::View;
use crate::{migration::risk::Risk, record::Severity};

/// What is said wherever the rule is broken.
pub(super) struct Rule {
    pub(super) code: &'static str,
    pub(super) severity: Severity,
    pub(super) risk: Risk,
    pub(super) weighs: Weighs,
    /// The safe way.
    pub(super) instead: &'static str,
    pub(super) find: fn(&View<'_>) -> Vec<Hit>,
}

/// Whether the danger is less on a small table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weighs {
    Always,
    BySize,
}

/// A place where it is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    /// The statement, from 0.
    pub(super) statement: usize,
    /// What is dangerous about it.
    pub(super) message: String,
    /// The table or other object that it is about.
    pub(super) object: Option<String>,
}

impl Hit {
    fn at(statement: usize, message: impl Into<String>) -> Hit {
        Hit { statement, message: message.into(), object: None }
    }

    fn about(statement: usize, object: impl ToString, message: impl Into<String>) -> Hit {
        Hit { statement, message: message.into(), object: Some(object.to_string()) }
    }
}

pub(super) const ALL: [&Rule; 20] = [
    &batch_in_do::RULE,
    &cascade::RULE,
    &change_all_rows::RULE,
    &commit_in_do::RULE,
    &concurrent_if_not_exists::RULE,
    &enum_value_used::RULE,
    &foreign_key_parent::RULE,
    &index_unnamed::RULE,
    &json_column::RULE,
    &ledger_touched::RULE,
    &no_primary_key::RULE,
    &rls_without_policy::RULE,
    &rows_under_lock::RULE,
    &secret_literal::RULE,
    &security_definer::RULE,
    &several_tables::RULE,
    &table_swap::RULE,
    &trigger_switched::RULE,
    &update_order_limit::RULE,
    &validate_same_transaction::RULE,
];

#[cfg(test)]
use crate::migration::script::Script;

/// Each bad example breaks the rule once, and no good one does.
#[cfg(test)]
#[track_caller]
fn check(rule: &Rule, bad: &[&str], good: &[&str]) {
    let hits = |sql: &str| {
        let alone = sql.starts_with("-- outside");
        let script = Script {
            file: "f.sql".to_owned(),
            text: sql.to_owned().into(),
            first_line: 1,
            transaction: !alone,
            marked: true,
            batches: Vec::new(),
        };
        (rule.find)(&View::of(&script, !alone).unwrap()).len()
    };
    for sql in bad {
        assert_eq!(hits(sql), 1, "{} is not found once in: {sql}", rule.code);
    }
    for sql in good {
        assert_eq!(hits(sql), 0, "{} is found in: {sql}", rule.code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_in_the_list_and_codes_differ() {
        let mut codes: Vec<&str> = ALL.iter().map(|it| it.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ALL.len());
    }
}
