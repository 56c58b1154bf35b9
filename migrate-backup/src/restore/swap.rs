//! Two databases change their names, in one transaction, while nobody is let stay in either.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use migrate_core::{
    connect::session::Session,
    error::{Error, PgError, Result},
    fault::{self, Point},
    interrupt,
    ledger::quote_identifier,
};
use tokio_postgres::error::SqlState;

use super::maintenance::Maintenance;

const TERMINATE: &str = include_str!("../../sql/terminate_all.sql");

/// How often sessions that come back are ended, and for how long: clients that are cut off for
/// longer are better let in again, to try later.
const AGAIN: Duration = Duration::from_millis(20);
const AT_MOST: Duration = Duration::from_secs(4);
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// How long to look for the server after a COMMIT without an answer.
const LOOK_FOR: Duration = Duration::from_secs(30);

/// Which database gets which name.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// The database that has the name now, by its number.
    pub(crate) old: u32,
    pub(crate) new: u32,
    /// What `new` is called before.
    pub(crate) new_name: String,
    pub(crate) name: String,
    /// What `old` is called after.
    pub(crate) kept_name: String,
    /// Comments, in the same transaction; names are those after the exchange.
    pub(crate) also: Vec<String>,
}

/// Exchanges the names, and returns how long no connection was possible.
///
/// Whoever connects meanwhile waits for the transaction, and then gets the new database, or the old
/// one where it was rolled back. Nothing is left behind that would have to be taken back.
pub(crate) fn swap(maintenance: &mut Maintenance, exchange: &Exchange) -> Result<Duration> {
    for number in 1..=TRIES {
        if let Some(signal) = interrupt::received() {
            return Err(Error::Interrupted { signal, state: "nothing was changed".to_owned() });
        }
        let start = Instant::now();
        let ending = Ending::start(maintenance.another()?, vec![exchange.old, exchange.new])?;
        let tried = attempt(&maintenance.session, exchange);
        drop(ending);
        match tried {
            Ok(()) => return Ok(start.elapsed()),
            Err(Tried::Commit(err)) => return settle(maintenance, exchange, start, err),
            Err(Tried::Before(err)) if is_in_use(&err) => {
                let _ = maintenance.session.run("rollback");
                log::info!("`{}` is still in use (try {number} of {TRIES}): {err}", exchange.name);
                if number < TRIES {
                    thread::sleep(PAUSE);
                }
            }
            Err(Tried::Before(source)) => {
                let _ = maintenance.session.run("rollback");
                return Err(Error::Database { doing: "exchange the databases' names", source });
            }
        }
    }
    Err(Error::Busy {
        kind: "database_in_use",
        message: format!(
            "sessions in `{}` came back faster than they could be ended; nothing was changed",
            exchange.name
        ),
        hint: Some("stop the application for a moment, and run it again".to_owned()),
    })
}

enum Tried {
    Before(PgError),
    /// Whether it took place is not known.
    Commit(PgError),
}

fn attempt(session: &Session, exchange: &Exchange) -> Result<(), Tried> {
    let rename = |from: &str, to: &str| {
        format!("alter database {} rename to {}", quote_identifier(from), quote_identifier(to))
    };
    let run = |sql: &str| session.run(sql).map_err(Tried::Before);
    fault::hit(Point::BeforeSwap);
    run("begin; set local lock_timeout = '5s'")?;
    run(&rename(&exchange.name, &exchange.kept_name))?;
    fault::hit(Point::HalfSwapped);
    run(&rename(&exchange.new_name, &exchange.name))?;
    for sql in &exchange.also {
        run(sql)?;
    }
    fault::hit(Point::BeforeSwapCommit);
    session.run("commit work").map_err(Tried::Commit)?;
    fault::hit(Point::Swapped);
    Ok(())
}

/// Other sessions, or a lock: both go away by themselves.
fn is_in_use(err: &PgError) -> bool {
    [&SqlState::OBJECT_IN_USE, &SqlState::LOCK_NOT_AVAILABLE]
        .iter()
        .any(|it| err.code() == Some(it))
}

/// The names tell by themselves whether a COMMIT without an answer took place.
fn settle(
    maintenance: &mut Maintenance,
    exchange: &Exchange,
    start: Instant,
    err: PgError,
) -> Result<Duration> {
    let deadline = Instant::now() + LOOK_FOR;
    log::warn!("the connection was lost at COMMIT; looking what the databases are called: {err}");
    loop {
        let found = maintenance.reconnect().and_then(|()| maintenance.name_of(exchange.new));
        match found {
            Ok(Some(name)) if name == exchange.name => return Ok(start.elapsed()),
            Ok(_) => {
                return Err(Error::Failed {
                    kind: "swap_lost",
                    message: format!(
                        "the connection was lost, and the server says that nothing was exchanged: \
                         `{}` is as it was",
                        exchange.name
                    ),
                    hint: Some("run it again".to_owned()),
                });
            }
            Err(err) if Instant::now() >= deadline => {
                return Err(Error::Unsure {
                    kind: "swap_unknown",
                    message: format!(
                        "the connection was lost when the names were exchanged, and the server does \
                         not answer: {err}"
                    ),
                    hint: Some(format!(
                        "look with psql -l when it is back: where `{}` is there, the exchange took \
                         place; either way `{}` is a whole database",
                        exchange.kept_name, exchange.name
                    )),
                });
            }
            Err(_) => thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// Ends all sessions in the databases, again and again, until it is dropped or its time is over.
struct Ending {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ending {
    fn start(session: Session, databases: Vec<u32>) -> Result<Ending> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("end sessions".into())
            .spawn(move || {
                let deadline = Instant::now() + AT_MOST;
                while !stopped.load(Ordering::SeqCst) && Instant::now() < deadline {
                    if let Err(err) = session.query(TERMINATE, &[&databases]) {
                        log::debug!("sessions were not ended: {err}");
                    }
                    thread::sleep(AGAIN);
                }
            })
            .map_err(|source| Error::Start { program: "end sessions".into(), source })?;
        Ok(Ending { stop, thread: Some(thread) })
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
