//! Renews a lease while its owner works, and stops the work when it is lost.
//!
//! Two threads: one renews and may hang in the network as long as it likes, the other judges by
//! the clock alone, so that a lease that cannot be renewed in time is lost in time.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Ledger,
    lease::{Lease, Life, REATTACH},
};
use crate::{
    connect::{session::Session, target::Database},
    error::{Error, PgError, Result},
    interrupt,
};

const RENEW: &str = include_str!("../../sql/lease_renew.sql");

/// Renews a lease on a session of its own until it is dropped.
pub struct Heartbeat {
    stop: Sender<News>,
    judge: Option<thread::JoinHandle<()>>,
    lost: Arc<Mutex<Option<String>>>,
    back: Receiver<Session>,
}

/// How long a renewal under way may take when the work is over.
const LAST_RENEWAL: Duration = Duration::from_secs(5);

/// What the judge hears.
enum News {
    /// In force for a TTL from when this was sent.
    Renewed(Instant),
    Gone,
    Failed(String),
    Stop,
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
        Heartbeat::start_on(session, database, application, ledger, lease)
    }

    /// As [`Heartbeat::start`], on the session that the lease lives with.
    pub fn start_on(
        session: Session,
        database: &Arc<Database>,
        application: &str,
        ledger: &Arc<Ledger>,
        lease: &Lease,
    ) -> Result<Heartbeat> {
        let (news, inbox) = mpsc::channel();
        let (ended, end) = mpsc::channel();
        let (give_back, back) = mpsc::channel();
        let beat = Beat {
            session: Some(session),
            database: Arc::clone(database),
            application: application.to_owned(),
            ledger: Arc::clone(ledger),
            lease: lease.clone(),
            news: news.clone(),
            back: give_back,
        };
        // Not waited for at the end: it may hang in a connection that goes nowhere.
        let _renewing = spawn("heartbeat", move || beat.run(&end))?;
        let lost = Arc::new(Mutex::new(None));
        let said = Arc::clone(&lost);
        let (ttl, since) = (lease.ttl, lease.renewed);
        let judge = spawn("lease", move || {
            let _ended = ended;
            if let Some(why) = judge(ttl, since, &inbox) {
                log::error!("the lease is lost: {why}");
                *said.lock().expect("never poisoned") = Some(why);
                interrupt::cancel_running();
            }
        })?;
        Ok(Heartbeat { stop: news, judge: Some(judge), lost, back })
    }

    /// Why the lease is lost, if it is.
    pub fn lost(&self) -> Option<String> {
        self.lost.lock().expect("never poisoned").clone()
    }

    /// Ends the renewals, and hands out the session that they ran on: a lease that lives with it
    /// would be free for others as soon as it is closed.
    pub fn end(mut self) -> Option<Session> {
        self.stop();
        self.back.recv_timeout(LAST_RENEWAL).ok().filter(|it| !it.is_closed())
    }

    fn stop(&mut self) {
        // Nobody listens any more where the lease was lost.
        let _ = self.stop.send(News::Stop);
        if let Some(judge) = self.judge.take() {
            let _ = judge.join();
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|source| Error::Start { program: name.to_owned(), source })
}

/// By the client's own monotonic clock, from when the renewal was sent: whatever a wait or a
/// stalled network does, the lease has not expired on the server before this.
fn safe_part(ttl: Duration) -> Duration {
    ttl * 5 / 6
}

/// Returns why the lease was lost, or nothing when it was given back.
fn judge(ttl: Duration, since: Instant, inbox: &Receiver<News>) -> Option<String> {
    let mut safe_until = since + safe_part(ttl);
    let mut problem = "the server does not answer".to_owned();
    let mut asked_again = false;
    loop {
        let now = Instant::now();
        match inbox.recv_timeout(safe_until.saturating_duration_since(now)) {
            Ok(News::Renewed(sent)) => {
                safe_until = sent + safe_part(ttl);
                asked_again = false;
            }
            Ok(News::Gone) => return Some("somebody else took or removed it".to_owned()),
            Ok(News::Failed(why)) => problem = why,
            Ok(News::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
            // This process was stopped (SIGSTOP, a suspended machine) and could not renew. Every
            // change is fenced, so asking once whether the lease is still there does no harm.
            Err(RecvTimeoutError::Timeout)
                if !asked_again && Instant::now() > safe_until + ttl / 6 =>
            {
                asked_again = true;
                safe_until = Instant::now() + (ttl / 6).max(Duration::from_secs(1));
            }
            Err(RecvTimeoutError::Timeout) => {
                return Some(format!("it could not be renewed in time: {problem}"));
            }
        }
    }
}

struct Beat {
    session: Option<Session>,
    database: Arc<Database>,
    application: String,
    ledger: Arc<Ledger>,
    lease: Lease,
    news: Sender<News>,
    back: Sender<Session>,
}

impl Beat {
    /// Renews until the judge has ended.
    fn run(mut self, end: &Receiver<()>) {
        let ttl = self.lease.ttl;
        let mut pause = ttl / 6;
        while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(pause) {
            let sent = Instant::now();
            let news = match self.renew() {
                Ok(true) => News::Renewed(sent),
                Ok(false) => News::Gone,
                Err(why) => {
                    log::warn!("cannot renew the lease, trying again: {why}");
                    News::Failed(why)
                }
            };
            pause = match news {
                News::Failed(_) => (ttl / 20).min(Duration::from_secs(1)),
                _ => ttl / 6,
            };
            if self.news.send(news).is_err() {
                break;
            }
        }
        if let Some(session) = self.session {
            let _ = self.back.send(session);
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
        // A lease that was handed on lives with the session that renews it.
        let renew = if self.lease.life == Life::Handed { REATTACH } else { RENEW };
        let renewed: Result<_, PgError> = session.query_opt(
            &self.ledger.sql(renew),
            &[&self.lease.name.as_str(), &self.lease.token, &ttl_ms],
        );
        self.session = Some(session);
        renewed.map(|row| row.is_some()).map_err(|it| match it.as_db_error() {
            Some(db) => db.message().to_owned(),
            None => it.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_millis(1200);

    #[test]
    fn a_lease_that_nobody_renews_is_lost_before_its_time_is_over() {
        let (_news, inbox) = mpsc::channel();
        let since = Instant::now();
        assert!(judge(TTL, since, &inbox).unwrap().contains("does not answer"));
        assert!(since.elapsed() >= TTL * 5 / 6 && since.elapsed() < TTL);
    }

    #[test]
    fn a_failed_try_is_not_yet_a_loss_but_its_reason_is_kept() {
        let (news, inbox) = mpsc::channel();
        news.send(News::Failed("no route".into())).unwrap();
        assert!(judge(TTL, Instant::now(), &inbox).unwrap().ends_with("no route"));
    }

    #[test]
    fn a_process_that_was_stopped_asks_once_more() {
        let (news, inbox) = mpsc::channel();
        let long_ago = Instant::now().checked_sub(TTL * 3).unwrap();
        news.send(News::Renewed(long_ago)).unwrap();
        let teller = news.clone();
        thread::spawn(move || {
            teller.send(News::Renewed(Instant::now())).unwrap();
            teller.send(News::Stop).unwrap();
        });
        assert_eq!(judge(TTL, long_ago, &inbox), None);
    }
}
