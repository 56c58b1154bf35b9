//! What keeps the log append-only, and whether it is still there.

use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    ledger::{Ledger, audit},
    record::{LogDamage, OtherDamage},
};
use tokio_postgres::types::Type;

use super::damage::damage;

const GUARDS: &str = include_str!("../../sql/guards.sql");
const COLUMNS: &str = "action text, actor text, canonical text, details jsonb, hash bytea, id bigint, \
                       prev_hash bytea, run_id text, subject text, timestamp timestamp with time zone";
/// BEFORE each UPDATE, DELETE or TRUNCATE as a statement; AFTER each DELETE.
const TRIGGERS: [(&str, &str); 2] = [
    ("_migration_audit_append_only", "A 58 false"),
    ("_migration_audit_archive_only", "A 8 false"),
];

/// What is gone or changed. Columns that this version doesn't know are refused: what they mean for
/// the chain cannot be told.
pub(crate) fn look(session: &Session, ledger: &Ledger) -> Result<Vec<OtherDamage>> {
    let schema = ledger.schema();
    let rows = session
        .query_once(GUARDS, &[(&schema, Type::TEXT)])
        .map_err(Error::database("look what guards the audit log"))?;
    let mut found = Vec::new();
    let mut say = |message: String| found.push(damage(LogDamage::Unprotected, None, None, message));
    let Some(row) = rows.first() else {
        return Ok(vec![damage(
            LogDamage::Truncated,
            None,
            None,
            "the table `_migration_audit_log` is gone".to_owned(),
        )]);
    };
    let text = |name: &str| row.get::<_, Option<String>>(name).unwrap_or_default();
    if text("columns") != COLUMNS || row.get::<_, &str>("kind") != "r" {
        return Err(Error::refused(
            "unknown_format",
            format!(
                "`{schema}._migration_audit_log` has columns that this version does not know, or lacks some"
            ),
            "a later version of the tools wrote it, or somebody altered it: verify it with that version, \
             or compare `\\d _migration_audit_log` with one that was just made",
        ));
    }
    let keys = text("keys");
    for key in ["id", "prev_hash", "hash"] {
        if !keys.split(", ").any(|it| it == key) {
            say(format!("the unique key of column `{key}` is gone"));
        }
    }
    let triggers = text("triggers");
    for (name, wanted) in TRIGGERS {
        let prefix = format!("{name} ");
        match triggers.split(", ").find_map(|it| it.strip_prefix(&prefix)) {
            Some(found) if found == wanted => (),
            Some(found) if !found.starts_with('A') => {
                say(format!("the trigger `{name}` is disabled, or doesn't fire always"));
            }
            Some(_) => say(format!("the trigger `{name}` was replaced by another one")),
            None => say(format!("the trigger `{name}` is gone")),
        }
    }
    if !triggers.is_empty() && text("refuses") != audit::refusing_function() {
        say("the function `_migration_audit_refuse` was changed".to_owned());
    }
    let foreign = triggers.split(", ").filter(|it| {
        !it.is_empty() && !TRIGGERS.iter().any(|(name, _)| it.starts_with(&format!("{name} ")))
    });
    for it in foreign {
        let name = it.split(' ').next().unwrap_or_default();
        say(format!("the trigger `{name}` is not ours"));
    }
    if row.get("row_security") {
        say("row security is on: it hides rows from some roles".to_owned());
    }
    if row.get("has_rule") {
        say("a rule stands on the table: it may swallow rows".to_owned());
    }
    Ok(found)
}
