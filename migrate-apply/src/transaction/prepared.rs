//! What each transaction asks of the ledger, prepared once on a session: planning takes longer than running.

use migrate_core::{
    error::{Error, Result},
    ledger::{audit, quote_literal},
    record::Direction,
};

use crate::{limits::Limits, run::Run, step::Step, view};

const APPLIED: &str = include_str!("../../../migrate-core/sql/history_applied.sql");
const ROLLED_BACK: &str = include_str!("../../../migrate-core/sql/history_rolled_back.sql");
const LEFT_OVER: &str = include_str!("../../sql/left_over.sql");

/// Prepares all of them on the run's session, which is in the ledger's view.
pub(super) fn prepare(run: &Run) -> Result<()> {
    let (session, ledger) = (&run.session, &run.ledger);
    let left_over = LEFT_OVER.replace("$2", &quote_literal(&ledger.objects(session)?));
    let history = match run.direction {
        Direction::Up => (
            "applied(text, text, text, bigint, bigint, text, text, \
                     text, integer, boolean, text, text)",
            ledger.sql(APPLIED),
        ),
        Direction::Down => {
            ("rolled_back(text, text, text, bigint, bigint, text, text)", ledger.sql(ROLLED_BACK))
        }
    };
    let statements = [
        (
            "begin(bigint)",
            format!(
                "select ({}) as fence, txid_current() as xid, txid_status($1) as before",
                run.lease.fence_sql(ledger)
            ),
        ),
        (
            "look(boolean)",
            format!(
                "select txid_current_if_assigned() as xid, found.* from ({left_over}) as found"
            ),
        ),
        history,
        (
            // A trigger could swallow the row: then this divides by zero, and nothing is committed.
            "append(timestamptz, text, text, text, text, text)",
            format!(
                "with appended as ({}) select 1 / count(*) from appended",
                ledger.sql(audit::APPEND)
            ),
        ),
    ];
    let mut message = "deallocate all".to_owned();
    for (name, sql) in statements {
        message += &format!(";\nprepare _migration_{name} as {sql}");
    }
    session.run(&message).map_err(Error::database("prepare the ledger's statements"))
}

/// Begins a transaction: fence, its id, and what became of the one before; then the script's view.
pub(super) fn begin(run: &Run, limits: Limits, before: Option<i64>) -> String {
    format!(
        "begin isolation level read committed, read write, not deferrable; \
         execute _migration_begin({}); {}",
        or_null(before.as_ref()),
        run.script_view(Some(limits.lock_timeout))
    )
}

/// Goes on in a transaction that has recorded a step: the ledger's state before the next one.
pub(super) fn go_on(run: &Run, limits: Limits) -> String {
    format!("{}; {}", run.ledger.state_sql(), run.script_view(Some(limits.lock_timeout)))
}

/// Back to the ledger's view, and what the script has done that it should not have.
pub(super) fn look(run: &Run, recorded: bool) -> String {
    let view = view::record(run.session.facts(), run.application());
    let look = format!("{view}; execute _migration_look({recorded})");
    if recorded { format!("{look}; {}", run.ledger.state_sql()) } else { look }
}

/// The history row of `step`, and its way back.
pub(super) fn history(run: &Run, step: &Step, execution_ms: i64) -> String {
    let mut values = vec![
        quote_literal(&step.version.to_string()),
        quote_literal(&step.name),
        quote_literal(&step.checksum),
        execution_ms.to_string(),
        or_null(step.estimate_ms().as_ref()),
        quote_literal(step.risk.name()),
        quote_literal(&run.run_id),
    ];
    if step.direction == Direction::Down {
        return format!("execute _migration_rolled_back({})", values.join(", "));
    }
    match &step.way_back {
        Some((script, checksum)) => values.extend([
            quote_literal(&script.file),
            script.first_line.to_string(),
            script.transaction.to_string(),
            quote_literal(&script.text),
            quote_literal(checksum),
        ]),
        None => values.extend(vec!["null".to_owned(); 5]),
    }
    format!("execute _migration_applied({})", values.join(", "))
}

/// The audit row; its lock is a statement of its own, in front of the one that reads what it guards.
pub(super) fn audit(run: &Run, entry: &audit::Entry) -> String {
    let text = |it: &Option<String>| or_null(it.as_deref().map(quote_literal).as_ref());
    format!(
        "{}; execute _migration_append('{}', {}, {}, {}, {}, {})",
        run.ledger.sql(audit::LOCK),
        entry.timestamp.to_rfc3339(),
        quote_literal(&entry.actor),
        quote_literal(&entry.action),
        text(&entry.subject),
        text(&entry.run_id),
        quote_literal(&entry.canonical)
    )
}

fn or_null(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "null".to_owned(), ToString::to_string)
}
