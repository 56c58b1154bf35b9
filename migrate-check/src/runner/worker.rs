//! One session's part of the work: takes the next task, asks, and hands the answer back.

use std::{
    collections::VecDeque,
    sync::{Mutex, mpsc::Sender},
    time::Instant,
};

use migrate_core::{
    connect::session::Session,
    error::{Error, PgError, Result},
};
use serde_json::{Map, Value};
use tokio_postgres::types::Type;

use super::{
    Limits,
    answer::{Answer, Said, finding},
    snapshot::Snapshot,
    task::Task,
};
use crate::trouble::Trouble;

pub(super) fn work(
    session: &Session,
    snapshot: &Snapshot,
    queue: &Mutex<VecDeque<Task>>,
    limits: &Limits,
    sender: &Sender<Result<Answer>>,
) {
    loop {
        let Some(task) = queue.lock().expect("never poisoned").pop_front() else { return };
        let began = Instant::now();
        let said = if began >= limits.deadline {
            Ok(Said::Trouble(Trouble::not_finished()))
        } else {
            ask(&task, session, snapshot, limits)
        };
        let ms = began.elapsed().as_millis() as u64;
        let lost = said.is_err();
        // Nobody listens any more where the run was stopped.
        let _ = sender.send(said.map(|said| Answer { task, said, ms }));
        if lost {
            return;
        }
    }
}

fn ask(task: &Task, session: &Session, snapshot: &Snapshot, limits: &Limits) -> Result<Said> {
    let said = snapshot.read(session, limits.deadline, |session| match &task.object {
        None => query(task, session),
        Some(_) => count(task, session, limits),
    });
    match said {
        Ok(said) => Ok(said),
        Err(source) if session.is_closed() => {
            Err(Error::Database { doing: "ask the server", source })
        }
        Err(err) => Ok(Said::Trouble(Trouble::of(&err))),
    }
}

fn query(task: &Task, session: &Session) -> Result<Said, PgError> {
    let rows = session.query_once(&task.sql, &[])?;
    Ok(Said::Findings(rows.iter().map(finding).collect()))
}

/// Rows are looked for only where there are some.
fn count(task: &Task, session: &Session, limits: &Limits) -> Result<Said, PgError> {
    if let Some(setup) = &task.setup {
        session.run(setup)?;
    }
    let rows = session.query_once(&task.sql, &[])?;
    let count: i64 = rows.first().map_or(0, |row| row.get("count"));
    if count == 0 {
        return Ok(Said::Well);
    }
    let mut shown = Vec::new();
    if let Some(sql) = task.rows_sql.as_ref().filter(|_| limits.show > 0) {
        let limited = format!("{sql} limit $1");
        let show = i64::from(limits.show);
        for row in session.query_once(&limited, &[(&show, Type::INT8)])? {
            shown.push(keys(row.get("keys")));
        }
    }
    Ok(Said::Counted { count, rows: shown })
}

fn keys(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}
