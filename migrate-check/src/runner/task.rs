//! What is to be asked: one query, or one for each thing that a query listed.

use migrate_core::{
    error::{Error, Result},
    record::CheckReason,
};

use super::{Limits, snapshot::Snapshot};
use crate::{definition::Definition, trouble::Trouble};

#[derive(Debug, Clone)]
pub(super) struct Task {
    /// Which check, and which of its targets.
    pub(super) check: usize,
    pub(super) target: usize,
    /// None for a query that is a whole check.
    pub(super) object: Option<String>,
    pub(super) setup: Option<String>,
    pub(super) sql: String,
    pub(super) rows_sql: Option<String>,
    pub(super) fix: Option<String>,
    /// How much there is to read, for a guess at the time; unknown means little.
    pub(super) bytes: Option<i64>,
}

/// What a listing query found.
pub(super) enum Planned {
    Targets { tasks: Vec<Task>, left_out: Vec<LeftOut> },
    Failed(Trouble),
}

/// A thing that is not looked at, and why.
pub(super) struct LeftOut {
    pub(super) object: String,
    pub(super) message: String,
    pub(super) reason: CheckReason,
}

impl Task {
    pub(super) fn query(check: usize, definition: &Definition) -> Task {
        Task {
            check,
            target: 0,
            object: None,
            setup: None,
            sql: definition.sql.to_owned(),
            rows_sql: None,
            fix: None,
            bytes: None,
        }
    }
}

/// Lists what a check is to look at.
pub(super) fn targets(
    check: usize,
    definition: &Definition,
    snapshot: &Snapshot,
    limits: &Limits,
) -> Result<Planned> {
    let session = &snapshot.workers[0];
    let listed =
        snapshot.read(session, limits.deadline, |session| session.query_once(definition.sql, &[]));
    let rows = match listed {
        Ok(rows) => rows,
        Err(err) if session.is_closed() => {
            return Err(Error::Database { doing: "list what to check", source: err });
        }
        Err(err) => return Ok(Planned::Failed(Trouble::of(&err))),
    };
    let (mut tasks, mut left_out) = (Vec::new(), Vec::new());
    for row in rows {
        let object: String = row.get("object");
        match row.get::<_, Option<String>>("sql") {
            None => left_out.push(LeftOut {
                object,
                message: row.get("message"),
                reason: match row.try_get("reason") {
                    Ok(Some("unknown")) => CheckReason::Unknown,
                    _ => CheckReason::NotLookedAt,
                },
            }),
            Some(sql) => tasks.push(Task {
                check,
                target: tasks.len(),
                object: Some(object),
                setup: row.get("setup"),
                sql,
                rows_sql: row.get("rows_sql"),
                fix: row.get("fix"),
                bytes: row.get("bytes"),
            }),
        }
    }
    Ok(Planned::Targets { tasks, left_out })
}
