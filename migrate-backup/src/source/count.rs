//! Counts the rows of all tables beside the dump, in the same snapshot; with `--fingerprint` their content, too.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use migrate_core::{
    connect::{cancel::Cancel, session::Session},
    error::{Error, Result},
};

use crate::names::qualified;

const COLUMNS: &str = include_str!("../../sql/columns.sql");

/// What a row looks like as text, whatever the settings of role and database are. A type may have a
/// cast to text of its own, so its output is asked for.
const SETTINGS: &str = "set local lc_monetary = 'C'; set local lc_numeric = 'C'; \
                        set local xmlbinary = 'base64'; set local xmloption = 'content'";

/// How closely to look at a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    Rows,
    Content,
}

/// What a table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) rows: u64,
    /// Independent of the order of the rows; a sum, as XOR would not see a row that is there twice.
    pub(crate) fingerprint: Option<String>,
}

/// A table to count, in the order that it shall be done in.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) depth: Depth,
}

/// A count under way on a session and a thread of its own; stopped when this is dropped.
pub(crate) struct Counting {
    thread: Option<JoinHandle<Result<Vec<Counted>>>>,
    cancel: Cancel,
    stop: Arc<AtomicBool>,
    done: Arc<Mutex<Vec<u64>>>,
}

impl Counting {
    /// `session` is in a transaction, with the snapshot that is to be counted.
    pub(crate) fn start(session: Session, jobs: Vec<Job>) -> Result<Counting> {
        let cancel = session.cancel();
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(Mutex::new(Vec::new()));
        let (stopped, so_far) = (Arc::clone(&stop), Arc::clone(&done));
        let thread = thread::Builder::new()
            .name("count".into())
            .spawn(move || {
                count_all(&session, &jobs, &mut |rows| {
                    so_far.lock().expect("never poisoned").push(rows);
                    !stopped.load(Ordering::SeqCst)
                })
            })
            .map_err(|source| Error::Start { program: "count".into(), source })?;
        Ok(Counting { thread: Some(thread), cancel, stop, done })
    }

    /// The rows of the tables counted so far, in the order of the jobs.
    pub(crate) fn done(&self) -> Vec<u64> {
        self.done.lock().expect("never poisoned").clone()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Result<Vec<Counted>> {
        let thread = self.thread.take().expect("it is taken once");
        thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.stop.store(true, Ordering::SeqCst);
        // The request could come between two tables; then the flag stops it.
        if let Err(err) = self.cancel.cancel_blocking() {
            log::debug!("the count was not cancelled: {err}");
        }
        let _ = thread.join();
    }
}

/// Counts one table after another; `go_on` is told the rows of each.
pub(crate) fn count_all(
    session: &Session,
    jobs: &[Job],
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Vec<Counted>> {
    let counting = || Error::database("count the rows of the tables");
    session.run(SETTINGS).map_err(counting())?;
    let mut counted = Vec::with_capacity(jobs.len());
    for job in jobs {
        let table = qualified(&job.schema, &job.name);
        let fingerprint = match job.depth {
            Depth::Rows => "null".to_owned(),
            Depth::Content => fingerprint(&columns(session, &table)?),
        };
        let row = session
            .query_once(
                &format!("select count(*) as rows, {fingerprint} as fingerprint from only {table}"),
                &[],
            )
            .map_err(counting())?
            .pop()
            .expect("an aggregate is one row");
        let rows = row.get::<_, i64>("rows").unsigned_abs();
        counted.push(Counted { rows, fingerprint: row.get("fingerprint") });
        if !go_on(rows) {
            return Err(Error::Interrupted {
                signal: 0,
                state: "the count was not needed any more".to_owned(),
            });
        }
    }
    Ok(counted)
}

/// By name: where a table inherits, a restored one may have them in another order.
fn columns(session: &Session, table: &str) -> Result<String> {
    let row = session
        .query_one(COLUMNS, &[&table])
        .map_err(Error::database("read the columns of the tables"))?;
    Ok(row.get("columns"))
}

/// The sum over all rows of a hash of the row as text.
fn fingerprint(columns: &str) -> String {
    format!(
        "coalesce(sum(hashtextextended(textin(record_out(row({columns}))) collate \"C\", 0)::numeric), 0)::text"
    )
}
