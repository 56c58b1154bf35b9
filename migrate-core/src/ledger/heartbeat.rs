//! Renews a lease while its owner works, and stops the work when it is lost.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Ledger, lease::Lease};
use crate::{
    connect::{session::Session, target::Database},
    error::{Error, PgError, Result},
    interrupt,
};

const RENEW: &str = include_str!("../../sql/lease_renew.sql");

/// Renews a lease on a session of its own until it is dropped.
pub struct Heartbeat {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    lost: Arc<Mutex<Option<String>>>,
}

impl Heartbeat {
    /// Opens its session first: running out of connections must not strike in the middle.
    pub fn start(
        database: &Arc<Database>,
        application: &str,
        ledger: &Arc<Ledger>,
        lease: &Lease,
    ) -> Result<Heartbeat> {
        let session = Session::open(database, application)?;
        let (stop, stopped) = mpsc::channel();
        let lost = Arc::new(Mutex::new(None));
        let beat = Beat {
            session: Some(session),
            database: Arc::clone(database),
            application: application.to_owned(),
            ledger: Arc::clone(ledger),
            lease: lease.clone(),
        };
        let said = Arc::clone(&lost);
        let thread = thread::Builder::new()
            .name("heartbeat".into())
            .spawn(move || {
                if let Some(why) = beat.run(&stopped) {
                    log::error!("the lease is lost: {why}");
                    *said.lock().expect("never poisoned") = Some(why);
                    interrupt::cancel_running();
                }
            })
            .map_err(|source| Error::Start { program: "heartbeat".into(), source })?;
        Ok(Heartbeat { stop: Some(stop), thread: Some(thread), lost })
    }

    /// Why the lease is lost, if it is.
    pub fn lost(&self) -> Option<String> {
        self.lost.lock().expect("never poisoned").clone()
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Beat {
    session: Option<Session>,
    database: Arc<Database>,
    application: String,
    ledger: Arc<Ledger>,
    lease: Lease,
}

impl Beat {
    /// Returns why the lease was lost, or nothing when it was stopped.
    fn run(mut self, stopped: &mpsc::Receiver<()>) -> Option<String> {
        let ttl = self.lease.ttl;
        // By the client's own monotonic clock, from when the renewal was sent: whatever a wait
        // or a stalled network does, the lease has not expired on the server before this.
        let mut safe_until = Instant::now() + ttl * 5 / 6;
        let mut pause = ttl / 6;
        loop {
            match stopped.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => (),
                _ => return None,
            }
            let sent = Instant::now();
            match self.renew() {
                Ok(true) => {
                    safe_until = sent + ttl * 5 / 6;
                    pause = ttl / 6;
                }
                Ok(false) => return Some("somebody else took or removed it".to_owned()),
                Err(why) if Instant::now() >= safe_until => {
                    return Some(format!("it could not be renewed: {why}"));
                }
                Err(why) => {
                    log::warn!("cannot renew the lease, trying again: {why}");
                    pause = (ttl / 20).min(Duration::from_secs(1));
                }
            }
        }
    }

    fn renew(&mut self) -> Result<bool, String> {
        let session = match self.session.take().filter(|it| !it.is_closed()) {
            Some(session) => session,
            None => {
                Session::open(&self.database, &self.application).map_err(|it| it.to_string())?
            }
        };
        let ttl_ms = i64::try_from(self.lease.ttl.as_millis()).unwrap_or(i64::MAX);
        let renewed: Result<_, PgError> = session.query_opt(
            &self.ledger.sql(RENEW),
            &[&self.lease.name.as_str(), &self.lease.token, &ttl_ms],
        );
        self.session = Some(session);
        renewed.map(|row| row.is_some()).map_err(|it| it.to_string())
    }
}
