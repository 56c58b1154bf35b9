//! Watches over a run from a session of its own: whom it waits for, and who waits for it too long.
//!
//! A thread looks at the server while a migration works, but only at work that lasts longer than
//! one pause between two looks: short migrations cost nothing.

mod look;
mod watcher;

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        mpsc::{self, Sender},
    },
    thread,
    time::Instant,
};

use migrate_core::{
    connect::{session::Session, target::Database},
    error::{Error, Result},
    record::Victim,
};

pub(crate) use look::{Phase, Waiting, holder};

use crate::limits::Limits;

/// What becomes of work that blocks others for longer than `block_limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    GiveWay,
    /// To cancel it would leave behind what nobody can judge.
    Stand,
}

/// What was seen of the work under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// What it waited for when that was last seen.
    pub(crate) waiting: Option<Waiting>,
    /// Whether it does so still.
    pub(crate) waits: bool,
    /// Who waits for it.
    pub(crate) victims: Vec<Victim>,
    /// How far its command has come, where the server tells.
    pub(crate) phase: Option<Phase>,
    /// For whom it was told to give way.
    pub(crate) gave_way: Option<Vec<Victim>>,
}

impl Seen {
    /// What it waits for now.
    pub(crate) fn waits_for(&self) -> Option<&Waiting> {
        self.waiting.as_ref().filter(|_| self.waits)
    }
}

/// Something that the session `pid` does, from its first message to the one before COMMIT.
#[derive(Debug, Clone, Copy)]
struct Work {
    number: u64,
    pid: i32,
    policy: Policy,
    since: Instant,
}

#[derive(Default)]
struct State {
    last_number: u64,
    work: Option<Work>,
    seen: Seen,
}

/// Shared with the thread; whoever cancels holds it, so that what comes after is never hit.
type Shared = Arc<Mutex<State>>;

/// The watch over one run; it ends when this and what it was handed to are dropped.
#[derive(Clone)]
pub(crate) struct Guard {
    shared: Shared,
    _stop: Sender<()>,
}

impl Guard {
    /// Begins with nothing to look at. `session` is for nothing else.
    pub(crate) fn start(
        session: Session,
        database: &Arc<Database>,
        application: &str,
        schema: &str,
        limits: Limits,
    ) -> Result<Guard> {
        let shared = Shared::default();
        let (stop, stopped) = mpsc::channel();
        let watcher = watcher::Watcher {
            shared: Arc::clone(&shared),
            session: Some(session),
            eye: None,
            database: Arc::clone(database),
            application: application.to_owned(),
            schema: schema.to_owned(),
            limits,
        };
        // Not waited for at the end: it may hang in a connection that goes nowhere.
        let _watching = thread::Builder::new()
            .name("guard".to_owned())
            .spawn(move || watcher.run(&stopped))
            .map_err(|source| Error::Start { program: "guard".to_owned(), source })?;
        Ok(Guard { shared, _stop: stop })
    }

    /// From now on looks at what backend `pid` does.
    pub(crate) fn begin(&self, pid: i32, policy: Policy) {
        let mut state = lock(&self.shared);
        state.last_number += 1;
        let number = state.last_number;
        state.work = Some(Work { number, pid, policy, since: Instant::now() });
        state.seen = Seen::default();
    }

    /// Looks no longer; once this returns nothing is cancelled any more.
    pub(crate) fn end(&self) -> Seen {
        let mut state = lock(&self.shared);
        state.work = None;
        std::mem::take(&mut state.seen)
    }

    /// What has been seen so far.
    pub(crate) fn seen(&self) -> Seen {
        lock(&self.shared).seen.clone()
    }

    /// For whom the work is told to give way, for work that is between two statements.
    pub(crate) fn gives_way(&self) -> Option<Vec<Victim>> {
        lock(&self.shared).seen.gave_way.clone()
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().expect("never poisoned")
}
