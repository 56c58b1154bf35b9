//! Squawk's rules, for all that the table of facts doesn't judge itself.

use squawk_linter::{Linter, Rule};
use squawk_syntax::SourceFile;

use super::view::{Seen, View};
use crate::{
    migration::risk::Risk,
    record::Severity,
    sql::{effects::depth, kind::Kind},
};

/// Of the rules that squawk has, those that the table of facts or the reader of files decides, by
/// the name that is said here instead; a file may allow either.
const OURS: [(Rule, &str); 29] = [
    (Rule::RequireConcurrentIndexCreation, "create-index-not-concurrent"),
    (Rule::RequireConcurrentIndexDeletion, "drop-index-not-concurrent"),
    (Rule::ConstraintMissingNotValid, "add-check-valid"),
    (Rule::AddingForeignKeyConstraint, "add-fk-valid"),
    (Rule::AddingFieldWithDefault, "add-column-volatile-default"),
    (Rule::ChangingColumnType, "change-type-rewrite"),
    (Rule::AddingNotNullableField, "set-not-null"),
    (Rule::AddingSerialPrimaryKeyField, "add-primary-key"),
    (Rule::AddingRequiredField, "add-column-not-null-no-default"),
    (Rule::DisallowedUniqueConstraint, "add-unique-constraint"),
    (Rule::BanDropColumn, "drop-column"),
    (Rule::BanDropTable, "drop-table"),
    (Rule::BanDropSchema, "drop-cascade"),
    (Rule::BanDropDatabase, "drop-cascade"),
    (Rule::BanDropType, "drop-cascade"),
    (Rule::BanDropDomain, "drop-cascade"),
    (Rule::BanDropExtension, "drop-cascade"),
    (Rule::BanTruncateCascade, "cascade"),
    (Rule::RequireConcurrentPartitionDetach, "detach-partition"),
    (Rule::RequireConcurrentReindex, "reindex"),
    (Rule::PreferRepack, "vacuum-full-cluster"),
    (Rule::BanCreateDomainWithConstraint, "domain-with-constraint"),
    (Rule::BanAlterDomainWithAddConstraint, "domain-with-constraint"),
    // The reader of files refuses these.
    (Rule::BanConcurrentIndexCreationInTransaction, "sql"),
    (Rule::TransactionNesting, "sql"),
    (Rule::BanUncommittedTransaction, "sql"),
    // migrate-apply sets its own, and keeps a journal.
    (Rule::RequireLockTimeout, "timeout"),
    (Rule::RequireStatementTimeout, "timeout"),
    (Rule::PreferRobustStmts, "journal"),
];

/// What the running application meets, which no lock tells.
const BREAKS: [Rule; 11] = [
    Rule::RenamingColumn,
    Rule::RenamingTable,
    Rule::RenamingObject,
    Rule::BanDropView,
    Rule::BanDropFunction,
    Rule::BanDropNotNull,
    Rule::BanDropSequence,
    Rule::BanDropGeneratedExpression,
    Rule::BanSetSchema,
    Rule::IdentifierTooLong,
    Rule::BanDuplicateColumnAssignments,
];

pub(super) struct Violation {
    pub(super) code: String,
    pub(super) severity: Severity,
    pub(super) risk: Risk,
    /// The byte of the script that it is about.
    pub(super) at: usize,
    pub(super) message: String,
    pub(super) instead: Option<String>,
}

pub(super) fn violations(view: &View<'_>) -> Vec<Violation> {
    let text = readable(view);
    // A bug of the linter is no reason not to say what we know ourselves.
    let found = std::panic::catch_unwind(|| {
        let parse = SourceFile::parse(&text);
        let excluded: Vec<Rule> = OURS.iter().map(|(rule, _)| *rule).collect();
        let mut linter = Linter::with_rules(&[], &excluded);
        linter.settings.assume_in_transaction = view.transaction;
        linter.lint(&parse, &text)
    });
    found
        .unwrap_or_default()
        .into_iter()
        .map(|it| {
            let breaks = BREAKS.contains(&it.code);
            Violation {
                code: it.code.to_string(),
                severity: if breaks { Severity::Warning } else { Severity::Info },
                risk: if breaks { Risk::Medium } else { Risk::Low },
                at: u32::from(it.text_range.start()) as usize,
                message: sentence(&it.message),
                instead: it.help.as_deref().map(sentence),
            }
        })
        .collect()
}

/// Squawk's name for one of ours, where both judge the same.
pub(super) fn also_called(code: &str) -> impl Iterator<Item = String> {
    OURS.iter().filter(move |(_, ours)| *ours == code).map(|(rule, _)| rule.to_string())
}

/// Of the text only the statements that the parser can read, each where it stands: rows and code
/// would only take time, and what nests too deep would overflow its stack.
fn readable(view: &View<'_>) -> String {
    let mut bytes: Vec<u8> =
        view.text.bytes().map(|it| if it == b'\n' { b'\n' } else { b' ' }).collect();
    for seen in view.statements.iter().filter(|it| is_readable(it)) {
        let range = seen.statement.range.clone();
        bytes[range.clone()].copy_from_slice(seen.text.as_bytes());
        match bytes.get_mut(range.end) {
            Some(byte) => *byte = b';',
            None => bytes.push(b';'),
        }
    }
    String::from_utf8(bytes).expect("whole statements and blanks")
}

fn is_readable(seen: &Seen<'_>) -> bool {
    let tag = seen.statement.tag();
    let rows = ["INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "SELECT", "DO", "CALL"];
    !rows.contains(&tag)
        && !matches!(seen.statement.kind, Kind::TransactionControl(_))
        && depth::is_readable(seen.text)
}

/// In the words of this project: no capital in front, no full stop.
fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let mut characters = text.chars();
    match (characters.next(), characters.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::script::Script;

    fn script(sql: &str, transaction: bool) -> Script {
        Script {
            file: "f.sql".to_owned(),
            text: sql.to_owned().into(),
            first_line: 1,
            transaction,
            marked: true,
            batches: Vec::new(),
        }
    }

    fn codes(sql: &str) -> Vec<String> {
        let script = script(sql, true);
        let view = View::of(&script, true).unwrap();
        violations(&view).into_iter().map(|it| it.code).collect()
    }

    #[test]
    fn what_only_squawk_knows_is_said_by_its_name() {
        for (sql, code) in [
            ("alter table t rename a to b", "renaming-column"),
            ("alter table t rename to u", "renaming-table"),
            (
                "create table t (id bigint generated by default as identity, a char(3))",
                "ban-char-field",
            ),
            ("create table t (a timestamp)", "prefer-timestamp-tz"),
            ("create table t (a int4)", "prefer-bigint-over-int"),
            ("drop view v", "ban-drop-view"),
            ("alter table t alter a drop not null", "ban-drop-not-null"),
        ] {
            assert!(codes(sql).iter().any(|it| it == code), "{sql}: {:?}", codes(sql));
        }
    }

    #[test]
    fn what_the_parser_cannot_read_hides_nothing_else() {
        let deep = "(".repeat(100_000) + &")".repeat(100_000);
        let sql = format!("select {deep};\ninsert into t values (1);\nalter table t rename to u");
        assert_eq!(codes(&sql), ["renaming-table"]);
        let copy = "copy t from stdin;\n1\t;'\n\\.\nalter table t rename to u;";
        assert_eq!(codes(copy), ["renaming-table"]);
    }

    #[test]
    fn places_are_those_of_the_script() {
        let sql = "-- é\nselect 'é';\nalter table t rename to u;";
        let script = script(sql, true);
        let view = View::of(&script, true).unwrap();
        let [only] = &violations(&view)[..] else { panic!() };
        assert!(sql[only.at..].starts_with("rename"), "{}", &sql[only.at..]);
    }
}
