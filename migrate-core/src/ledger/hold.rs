//! The lease that a tool works under: taken or inherited, renewed beside the work, given back at its end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Ledger, audit,
    heartbeat::Heartbeat,
    lease::{self, Lease, Life, LockName, Terms},
    quote_literal,
};
use crate::{
    connect::{session::Session, target::Database},
    ctx::Ctx,
    error::{Error, Result},
    interrupt,
    record::{LockReleased, Record},
};

/// Who wants the lease, and what for.
#[derive(Debug, Clone)]
pub struct Purpose {
    pub tool: &'static str,
    pub run_id: String,
    /// Others see it while they wait.
    pub reason: String,
    /// How long to wait for it.
    pub wait: Duration,
}

/// A lease under which a session may work, until this is dropped.
pub struct Hold {
    pub lease: Lease,
    /// `tool/run/token`: the name that each session of the run goes by.
    pub application: String,
    heartbeat: Option<Heartbeat>,
    since: Instant,
}

impl Hold {
    /// Takes the lease for `session`, or goes on under one that is handed on by
    /// `MIGRATE_LOCK_TOKEN`. Says `lock.acquired` where it took one.
    pub fn take(
        session: &Session,
        database: &Arc<Database>,
        ledger: &Arc<Ledger>,
        purpose: &Purpose,
        ctx: &mut Ctx,
    ) -> Result<Hold> {
        let since = Instant::now();
        let name = LockName::default();
        let handed = match lease::handed_token()? {
            Some(token) => Lease::inherit(session, ledger, &name, token, purpose.wait)?,
            None => None,
        };
        let application =
            |lease: &Lease| format!("{}/{}/{}", purpose.tool, purpose.run_id, lease.token);
        if let Some(lease) = handed {
            let application = application(&lease);
            return Ok(Hold { lease, application, heartbeat: None, since });
        }
        // Before the first change: where connections run out, nothing was touched.
        let beating = Session::open(database, &format!("{}/{}", purpose.tool, purpose.run_id))?;
        let terms = Terms {
            name,
            ttl: lease::session_ttl(),
            wait: purpose.wait,
            reason: Some(purpose.reason.clone()),
            life: Life::Work,
        };
        let (lease, line) = Lease::take(session, ledger, &terms, ctx)?;
        ctx.emit_line(line);
        let application = application(&lease);
        beating
            .run(&format!("set application_name = {}", quote_literal(&application)))
            .map_err(Error::database("name the heartbeat's session"))?;
        let heartbeat = Heartbeat::start_on(beating, database, &application, ledger, &lease)?;
        Ok(Hold { lease, application, heartbeat: Some(heartbeat), since })
    }

    /// Why the lease is lost, if it is.
    pub fn lost(&self) -> Option<Error> {
        let why = self.heartbeat.as_ref().and_then(Heartbeat::lost)?;
        Some(self.lease.lost(&why))
    }

    /// Why work must stop now, if it must: a lost lease, or a signal, with the state that is left.
    pub fn stopped(&self, state: impl FnOnce() -> String) -> Option<Error> {
        self.lost().or_else(|| {
            interrupt::received().map(|signal| Error::Interrupted { signal, state: state() })
        })
    }

    /// Ends the renewals: from here on the lease is given back, and must not be called lost.
    pub fn end_renewals(&mut self) {
        self.heartbeat = None;
    }

    /// Gives the lease back, after work that recorded itself.
    pub fn release(mut self, session: &Session, ledger: &Ledger, ctx: &mut Ctx) -> Result<()> {
        self.end_renewals();
        if self.lease.inherited {
            return Ok(());
        }
        let line = ctx.line(Record::LockReleased(LockReleased {
            lock_name: self.lease.name.to_string(),
            token: self.lease.token,
            held_ms: self.since.elapsed().as_millis() as u64,
        }));
        session.transaction(|session| {
            self.lease.delete(session, ledger)?;
            audit::append(session, ledger, &line, Some(self.lease.name.as_str()), None)
        })?;
        ctx.emit_line(line);
        Ok(())
    }
}
