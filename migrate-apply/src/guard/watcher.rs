//! The thread that looks, and cancels the statement that blocks others for too long.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use migrate_core::{
    connect::{session::Session, target::Database},
    record::Victim,
};

use super::{
    Policy, Shared, Work, lock,
    look::{self, Eye, Look},
};
use crate::limits::Limits;

/// Only of what takes long it is said how far it has come, and only each second.
const LONG: Duration = Duration::from_millis(1500);
const PHASES_EACH: Duration = Duration::from_millis(900);
const PAUSE: Duration = Duration::from_millis(50);
/// Where nobody waits for anybody.
const QUIET_PAUSE: Duration = Duration::from_millis(200);
/// Looks never take more than this part of the time.
const COST: u32 = 10;

pub(super) struct Watcher {
    pub(super) shared: Shared,
    /// Until the first look.
    pub(super) session: Option<Session>,
    pub(super) eye: Option<Eye>,
    pub(super) database: Arc<Database>,
    pub(super) application: String,
    pub(super) schema: String,
    pub(super) limits: Limits,
}

impl Watcher {
    /// Looks until nobody is interested any more.
    pub(super) fn run(mut self, stop: &Receiver<()>) {
        // A wait that ends by its time limit must be seen before.
        let shortest = self.limits.lock_timeout.min(self.limits.block_limit) / 4;
        let pause = shortest.clamp(Duration::from_millis(5), PAUSE);
        let quiet_pause = shortest.clamp(pause, QUIET_PAUSE);
        let mut next = pause;
        let mut known = 0;
        let mut since = HashMap::new();
        let mut phase_asked = Instant::now();
        while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(next) {
            next = pause;
            let Some(work) = lock(&self.shared).work else { continue };
            if work.number != known {
                known = work.number;
                since.clear();
                continue;
            }
            let began = Instant::now();
            let looked = self.look(work);
            let cost = began.elapsed();
            let Some(mut looked) = looked else { continue };
            if looked.waiting.is_none() && looked.victims.is_empty() {
                next = quiet_pause;
            }
            next = next.max(cost * COST);
            wait_since(&mut looked.victims, &mut since, work);
            self.judge(work, looked);
            if work.since.elapsed() >= LONG && phase_asked.elapsed() >= PHASES_EACH {
                phase_asked = Instant::now();
                self.note_phase(work);
            }
        }
    }

    fn look(&mut self, work: Work) -> Option<Look> {
        if self.eye.as_ref().is_none_or(Eye::is_closed) {
            self.eye = self.open();
        }
        match self.eye.as_ref()?.look(work.pid, &self.schema) {
            Some(Ok(looked)) => Some(looked),
            Some(Err(err)) => {
                log::debug!("cannot see who is blocked: {err}");
                None
            }
            None => {
                self.eye = None;
                None
            }
        }
    }

    /// On the session that was opened before the first change, as long as it lives.
    fn open(&mut self) -> Option<Eye> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.database, &self.application)
                .inspect_err(|err| log::debug!("cannot watch who is blocked: {err}"))
                .ok()?,
        };
        Eye::new(session).inspect_err(|err| log::debug!("cannot watch who is blocked: {err}")).ok()
    }

    /// Notes what was seen, and cancels the work if others have waited for it too long.
    fn judge(&mut self, work: Work, looked: Look) {
        let shared = Arc::clone(&self.shared);
        let mut state = lock(&shared);
        if state.work.is_none_or(|it| it.number != work.number) {
            return;
        }
        let seen = &mut state.seen;
        seen.waits = looked.waiting.is_some();
        if let Some(waiting) = looked.waiting {
            seen.waiting = Some(waiting);
        }
        let limit = self.limits.block_limit.as_millis();
        let too_long = looked.victims.iter().any(|it| u128::from(it.waited_ms) >= limit);
        if too_long && work.policy == Policy::GiveWay {
            seen.gave_way.get_or_insert_with(|| looked.victims.clone());
            self.cancel(work.pid);
        }
        seen.victims = looked.victims;
    }

    fn note_phase(&mut self, work: Work) {
        match self.eye.as_ref().map(|it| it.phase(work.pid)) {
            Some(Some(Ok(phase))) => {
                let mut state = lock(&self.shared);
                if state.work.is_some_and(|it| it.number == work.number) {
                    state.seen.phase = phase;
                }
            }
            Some(Some(Err(err))) => log::debug!("cannot see how far it has come: {err}"),
            Some(None) => self.eye = None,
            None => (),
        }
    }

    /// Returns when the signal was sent. The server drops it where no statement is under way:
    /// then the next look sends it again, and the work asks before it sends more.
    fn cancel(&mut self, pid: i32) {
        match self.eye.as_ref().map(|it| it.cancel(pid)) {
            Some(Some(Ok(()))) | None => (),
            Some(Some(Err(err))) => log::warn!("cannot cancel what blocks others: {err}"),
            Some(None) => self.eye = None,
        }
    }
}

/// Counts by our own clock where the server has none, and never more than we have worked.
fn wait_since(victims: &mut [Victim], since: &mut HashMap<i32, Instant>, work: Work) {
    since.retain(|pid, _| victims.iter().any(|it| it.pid == *pid));
    for victim in &mut *victims {
        let first = since.entry(victim.pid).or_insert_with(Instant::now);
        victim.waited_ms = victim.waited_ms.max(first.elapsed().as_millis() as u64);
    }
    look::at_most(victims, work.since.elapsed());
}
