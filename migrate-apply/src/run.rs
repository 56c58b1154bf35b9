//! A run: the session that works, the lease that it works under, and its first and last record.

use std::{
    cell::Cell,
    panic,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use migrate_core::{
    anchor,
    connect::{session::Session, target::Database},
    ctx::Ctx,
    error::{Error, Result},
    fault::{self, Point},
    interrupt,
    ledger::{
        Ledger, audit,
        heartbeat::Heartbeat,
        history, inventories,
        lease::{self, Lease, Life, LockName, Terms},
        quote_literal,
    },
    migration::{Migration, dir},
    record::{ApplyFinished, ApplyStarted, Direction, Line, LockReleased, Record, RunStatus},
};

use crate::{
    guard::{Guard, Policy, Seen},
    limits::{self, Limits},
    send::{self, GaveWay, Stop},
    view,
};

/// The database and the ledger, before anything is locked.
pub(crate) struct Place {
    pub(crate) database: Arc<Database>,
    pub(crate) session: Session,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) run_id: String,
}

impl Place {
    /// Connects; nothing is written.
    pub(crate) fn open(ctx: &Ctx) -> Result<Place> {
        let ledger = Arc::new(Ledger::new(&ctx.config.ledger_schema)?);
        let database = Arc::new(ctx.config.target()?.database()?);
        let run_id = run_id(ctx);
        let session = Session::open(&database, &format!("migrate-apply/{run_id}"))?;
        ctx.config.check_pin(session.facts())?;
        Ok(Place { database, session, ledger, run_id })
    }

    /// The same, and reads the files while the server is busy with the connection and the history.
    /// Both stay until the process ends: to free thousands of them one by one would only take time.
    pub(crate) fn open_and_read(
        ctx: &Ctx,
    ) -> Result<(&'static [Migration], Place, &'static [history::Run])> {
        let migrations = &ctx.config.migrations;
        let (files, place) = thread::scope(|scope| {
            let files = scope.spawn(|| dir::read_dir(migrations));
            let place = Place::open(ctx).and_then(|place| {
                let runs = history::look(&place.session, &place.ledger)?;
                Ok((place, runs))
            });
            (files.join().unwrap_or_else(|cause| panic::resume_unwind(cause)), place)
        });
        let (files, (place, runs)) = (files?, place?);
        Ok((files.leak(), place, runs.leak()))
    }
}

/// `20261122T093000Z-4f2a91`: sorts by time, and two at once differ.
fn run_id(ctx: &Ctx) -> String {
    format!("{}-{:06x}", ctx.now().format("%Y%m%dT%H%M%SZ"), fastrand::u32(..0x100_0000))
}

/// A run that holds the lease. Whatever changes the database asks for it.
pub(crate) struct Run {
    pub(crate) database: Arc<Database>,
    pub(crate) session: Session,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) lease: Lease,
    pub(crate) run_id: String,
    pub(crate) direction: Direction,
    heartbeat: Option<Heartbeat>,
    guard: Option<Guard>,
    /// The server was looked for in vain: not to be looked for again.
    pub(crate) unreachable: Cell<bool>,
    /// This run may have changed the schema, or a dead one that it ends for.
    pub(crate) changed: bool,
    application: String,
    start: Instant,
}

impl Run {
    /// Takes the lease, or goes on under one that is handed on by `MIGRATE_LOCK_TOKEN`; watches
    /// over what blocks and is blocked where there are limits to keep.
    pub(crate) fn begin(
        place: Place,
        direction: Direction,
        wait: Duration,
        limits: Option<Limits>,
        ctx: &mut Ctx,
    ) -> Result<Run> {
        let start = Instant::now();
        let Place { database, session, ledger, run_id } = place;
        // Before the first change: where connections run out, nothing was touched.
        let open = || Session::open(&database, &format!("migrate-apply/{run_id}"));
        let watching = limits.map(|limits| open().map(|it| (it, limits))).transpose()?;
        let name = LockName::default();
        let handed = match lease::handed_token()? {
            Some(token) => Lease::inherit(&session, &ledger, &name, token, wait)?,
            None => None,
        };
        let mut beating = None;
        let lease = match handed {
            Some(lease) => lease,
            None => {
                beating = Some(open()?);
                let terms = Terms {
                    name,
                    ttl: lease::session_ttl(),
                    wait,
                    reason: Some(format!("migrate-apply {}, run {run_id}", direction.as_str())),
                    life: Life::Work,
                };
                let (lease, line) = Lease::take(&session, &ledger, &terms, ctx)?;
                ctx.emit_line(line);
                lease
            }
        };
        fault::hit(Point::LeaseTaken);
        let application = format!("migrate-apply/{run_id}/{}", lease.token);
        let heartbeat = match beating {
            Some(session) => {
                session
                    .run(&format!("set application_name = {}", quote_literal(&application)))
                    .map_err(Error::database("name the heartbeat's session"))?;
                Some(Heartbeat::start_on(session, &database, &application, &ledger, &lease)?)
            }
            None => None,
        };
        let guard = match watching {
            Some((session, limits)) => {
                Some(Guard::start(session, &database, &application, ledger.schema(), limits)?)
            }
            None => None,
        };
        interrupt::cancels(Some(session.cancel()));
        Ok(Run {
            database,
            session,
            ledger,
            lease,
            run_id,
            direction,
            heartbeat,
            guard,
            unreachable: Cell::new(false),
            changed: false,
            application,
            start,
        })
    }

    /// Writes down what the run is about to do, so that an attempt leaves a trace even if it dies.
    pub(crate) fn intend(&mut self, started: ApplyStarted, ctx: &mut Ctx) -> Result<()> {
        let line = ctx.line(Record::ApplyStarted(started));
        self.session.transaction(|session| {
            self.lease.fence(session, &self.ledger)?;
            audit::append(session, &self.ledger, &line, None, Some(&self.run_id))
        })?;
        ctx.emit_line(line);
        self.changed = true;
        fault::hit(Point::IntentWritten);
        Ok(())
    }

    /// Says how the run ended, and gives the lease back in the same transaction.
    pub(crate) fn finish(
        mut self,
        status: RunStatus,
        done: u32,
        pending: u32,
        ctx: &mut Ctx,
    ) -> Result<()> {
        fault::hit(Point::BeforeEnd);
        // The heartbeat must not find the row gone and call the lease lost, nor a signal cancel this.
        self.heartbeat = None;
        interrupt::cancels(None);
        let deadline = Instant::now() + limits::reconnect_time();
        let mut said = None;
        loop {
            match self.try_to_finish(status, done, pending, &mut said, ctx) {
                Err(err) if send::lost(&self.session, &err) && Instant::now() < deadline => (),
                ended => break ended?,
            }
        }
        said.into_iter().for_each(|line| ctx.emit_line(line));
        self.keep_anchor(ctx);
        Ok(())
    }

    /// Keeps the head of the log outside of the database, where the configuration says so.
    fn keep_anchor(&self, ctx: &Ctx) {
        let Some(path) = &ctx.config.anchors else { return };
        match audit::head(&self.session, &self.ledger) {
            Ok(Some(head)) => {
                anchor::keep(path, ctx.now(), self.session.facts(), self.ledger.schema(), &head);
            }
            Ok(None) => (),
            Err(err) => log::warn!("the head of the audit log was not kept: {err}"),
        }
    }

    /// `said` is the record once it may stand in the audit log, though no answer came.
    fn try_to_finish(
        &mut self,
        status: RunStatus,
        done: u32,
        pending: u32,
        said: &mut Option<Line>,
        ctx: &Ctx,
    ) -> Result<()> {
        if said.is_some() {
            let session = self.connect_again()?;
            let open = audit::open_run(&session, &self.ledger)?;
            if open.is_none_or(|it| it.run_id != self.run_id) {
                return Ok(());
            }
            self.adopt(session)?;
        } else {
            self.reconnect_if_lost()?;
        }
        interrupt::cancels(None);
        let head = audit::head(&self.session, &self.ledger)?;
        let line = ctx.line(Record::ApplyFinished(ApplyFinished {
            run_id: Some(self.run_id.clone()),
            direction: self.direction,
            status,
            done,
            pending,
            ms: self.start.elapsed().as_millis() as u64,
            audit_head: head,
            schema_sha256: None,
        }));
        self.write_end(said.insert(line))
    }

    /// The schema is read behind all that the run did, and its hash is in the same transaction as
    /// the end of the run: where that is not written, no inventory counts for it.
    fn write_end(&self, line: &mut Line) -> Result<()> {
        self.session.transaction(|session| {
            self.lease.fence(session, &self.ledger)?;
            if self.changed
                && let Record::ApplyFinished(finished) = &mut line.record
            {
                let digest = inventories::record(session, &self.ledger, &self.run_id)?;
                finished.schema_sha256 = digest.map(|it| it.sha256);
            }
            audit::append(session, &self.ledger, line, None, Some(&self.run_id))?;
            self.lease.delete(session, &self.ledger)
        })
    }

    /// Gives the lease back, after work that recorded itself.
    pub(crate) fn release(mut self, ctx: &mut Ctx) -> Result<()> {
        self.heartbeat = None;
        interrupt::cancels(None);
        if self.lease.inherited {
            return Ok(());
        }
        let line = ctx.line(Record::LockReleased(LockReleased {
            lock_name: self.lease.name.to_string(),
            token: self.lease.token,
            held_ms: self.start.elapsed().as_millis() as u64,
        }));
        self.session.transaction(|session| {
            self.lease.delete(session, &self.ledger)?;
            audit::append(session, &self.ledger, &line, Some(self.lease.name.as_str()), None)
        })?;
        ctx.emit_line(line);
        Ok(())
    }

    /// Connects again and takes the advisory lock back; the lease must still be ours.
    pub(crate) fn reconnect(&mut self) -> Result<()> {
        let deadline = Instant::now() + limits::reconnect_time();
        loop {
            let session = self.connect_again()?;
            match self.lease.reattach(&session, &self.ledger, limits::reconnect_time()) {
                Ok(()) => {
                    self.go_on_with(session);
                    return Ok(());
                }
                // A server on its way down may still let a session in, and end it.
                Err(err) if send::lost(&session, &err) && Instant::now() < deadline => (),
                Err(err) => return Err(err),
            }
        }
    }

    /// The same, where the connection is found to be gone; ends any transaction under way.
    pub(crate) fn reconnect_if_lost(&mut self) -> Result<()> {
        match self.session.run("rollback") {
            Ok(()) => Ok(()),
            Err(_) => self.reconnect(),
        }
    }

    /// Connects to the same server again, which may take a while to come back.
    pub(crate) fn connect_again(&self) -> Result<Session> {
        let before = self.session.facts();
        let deadline = Instant::now() + limits::reconnect_time();
        loop {
            let problem = match Session::open(&self.database, &self.application) {
                Ok(session) => {
                    let now = session.facts();
                    let same = now.system_identifier == before.system_identifier
                        && now.timeline == before.timeline;
                    match (now.in_recovery, same) {
                        (false, true) => return Ok(session),
                        (false, false) => return Err(failed_over()),
                        // On its way to be the primary, or one that never will.
                        (true, _) => lease::refuse_unwritable(&session).err(),
                    }
                }
                Err(err) => Some(err),
            };
            if let Some(problem) = problem {
                if Instant::now() >= deadline || interrupt::received().is_some() {
                    self.unreachable.set(true);
                    return Err(problem);
                }
                log::debug!("the connection is lost, trying again: {problem}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Goes on with `session`, under the same lease.
    pub(crate) fn adopt(&mut self, session: Session) -> Result<()> {
        self.lease.reattach(&session, &self.ledger, limits::reconnect_time())?;
        self.go_on_with(session);
        Ok(())
    }

    fn go_on_with(&mut self, session: Session) {
        self.session = session;
        interrupt::cancels(Some(self.session.cancel()));
    }

    /// Writes down how a step ended, with what `work` does, in a transaction of its own: a rollback
    /// must not erase the attempt. Where the connection is lost, another one takes over.
    pub(crate) fn record(
        &mut self,
        line: &Line,
        subject: &str,
        work: impl Fn(&Run) -> Result<()>,
    ) -> Result<()> {
        let deadline = Instant::now() + limits::reconnect_time();
        let mut before = None;
        loop {
            self.reconnect_if_lost()?;
            interrupt::cancels(None);
            let written = self.session.transaction(|session| {
                self.lease.fence(session, &self.ledger)?;
                if let Some(before) = before
                    && audit::has(session, &self.ledger, before, line, &self.run_id)?
                {
                    return Ok(());
                }
                before = Some(audit::head(session, &self.ledger)?.map_or(0, |it| it.id));
                work(self)?;
                audit::append(session, &self.ledger, line, Some(subject), Some(&self.run_id))
                    .map(drop)
            });
            match written {
                Err(err) if send::lost(&self.session, &err) && Instant::now() < deadline => {
                    log::debug!("the connection is lost again, trying again: {err}");
                }
                written => return written,
            }
        }
    }

    /// Why work must stop now, if it must: a signal, or a lost lease.
    pub(crate) fn stopped(&self, state: impl FnOnce() -> String) -> Option<Error> {
        if let Some(why) = self.heartbeat.as_ref().and_then(Heartbeat::lost) {
            return Some(self.lease.lost(&why));
        }
        interrupt::received().map(|signal| Error::Interrupted { signal, state: state() })
    }

    /// From now on it is seen who waits for what the session does, until [`Run::unwatch`].
    pub(crate) fn watch(&self, policy: Policy) {
        if let Some(guard) = &self.guard {
            guard.begin(self.session.facts().backend_pid, policy);
        }
    }

    /// What was seen; from now on nothing is cancelled for others any more.
    pub(crate) fn unwatch(&self) -> Seen {
        self.guard.as_ref().map(Guard::end).unwrap_or_default()
    }

    /// Why work stops between two statements for the sake of others, if it does.
    pub(crate) fn gives_way(&self) -> Option<Stop> {
        let victims = self.guard.as_ref()?.gives_way()?;
        Some(Stop::GaveWay(GaveWay { victims, statement: None }))
    }

    /// The watch over the work, for whoever says how it goes.
    pub(crate) fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }

    /// What others see of this run in `pg_stat_activity`.
    pub(crate) fn application(&self) -> &str {
        &self.application
    }

    /// For [`Tries::again`](crate::transaction::tries::Tries::again).
    pub(crate) fn must_stop(&self) -> bool {
        self.stopped(String::new).is_some()
    }

    pub(crate) fn ledger_view(&self) -> String {
        view::ledger(self.session.facts(), &self.application)
    }

    pub(crate) fn script_view(&self, lock_timeout: Option<Duration>) -> String {
        view::script(self.session.facts(), &self.application, lock_timeout)
    }
}

fn failed_over() -> Error {
    Error::refused(
        "another_server",
        "the connection came back to another server or timeline: a failover took place",
        "check which server is the primary, then run `migrate-apply status`",
    )
}
