//! `break`: removes the lease of somebody else, and says who still works.

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    ledger::{
        Ledger,
        breaking::{self, Grounds, Verdict},
        lease::{self, LockName},
        locks::{self, Seen},
    },
    record::{Record, timestamp},
};

use crate::place::Place;

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
`--expired` leaves a lease alone whose session still lives, and ends with 3: what that session
does could still be committed. `--force` removes the row whoever works; the fence stops them
at their next change.";

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub(crate) struct Args {
    /// Remove leases whose time is over and under which nobody works
    #[arg(long, group = "which")]
    expired: bool,

    /// Remove the lease although it is in force
    #[arg(long, group = "which", requires = "reason")]
    force: bool,

    /// Which lock [default: all with --expired, `migrate` with --force]
    #[arg(long, value_name = "NAME")]
    name: Option<LockName>,

    /// Why; it goes into the audit log
    #[arg(long)]
    reason: Option<String>,

    /// End the session that works under the lease first
    #[arg(long)]
    kill_orphan: bool,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    if args.force && args.reason.as_deref().is_none_or(|it| it.trim().is_empty()) {
        return Err(Error::usage("the reason is empty", "say why the lease may be removed"));
    }
    let place = Place::open("break", ctx)?;
    lease::refuse_unwritable(&place.session)?;
    place.ledger.look_to_write(&place.session)?;
    let name =
        if args.force { Some(args.name.clone().unwrap_or_default()) } else { args.name.clone() };
    let mut locks = locks::all(&place.session, &place.ledger, name.as_ref())?;
    locks.retain(|it| args.force || it.row.expired);
    if locks.is_empty() {
        log::info!(
            "{}",
            if args.force { "nobody holds the lock" } else { "no lease is past its time" }
        );
    }
    let mut orphan = None;
    for lock in &locks {
        let broken = if args.force {
            by_force(args, lock, &place, ctx)
        } else {
            expired(args, lock, &place, ctx)
        };
        match broken {
            // The others may still be removed.
            Err(err @ Error::Orphan { .. }) => drop(orphan.get_or_insert(err)),
            other => other?,
        }
    }
    orphan.map_or(Ok(Exit::Ok), Err)
}

fn expired(args: &Args, lock: &Seen, place: &Place, ctx: &mut Ctx) -> Result<()> {
    let Place { session, ledger, .. } = place;
    let terminated = if args.kill_orphan { end_sessions(lock, place)? } else { Vec::new() };
    let grounds = Grounds { reason: args.reason.clone(), terminated };
    match breaking::break_expired(session, ledger, &lock.row, grounds, ctx)? {
        Verdict::Broken(line) => ctx.emit_line(*line),
        Verdict::NotExpired => log::info!("the lease on `{}` was renewed", lock.row.lock_name),
        Verdict::Alive(holder) => {
            ctx.emit(Record::Lock(lock.row.clone()));
            let holder = format!("{holder}{}", query_age(lock));
            return Err(Error::Orphan { lock: lock.row.lock_name.clone(), holder });
        }
    }
    Ok(())
}

fn by_force(args: &Args, lock: &Seen, place: &Place, ctx: &mut Ctx) -> Result<()> {
    let Place { session, ledger, .. } = place;
    let terminated = if args.kill_orphan { end_sessions(lock, place)? } else { Vec::new() };
    let grounds = Grounds { reason: args.reason.clone(), terminated };
    if let Some(token) = lock.row.token {
        let line = breaking::break_by_force(session, ledger, &lock.row, token, grounds, ctx)?;
        ctx.emit_line(line);
    }
    warn_of_who_works(lock, session, ledger)
}

/// Without its lease a session cannot change anything that is fenced, but still keeps others out.
fn warn_of_who_works(
    lock: &Seen,
    session: &migrate_core::connect::session::Session,
    ledger: &Ledger,
) -> Result<()> {
    let name: LockName = match lock.row.lock_name.parse() {
        Ok(name) => name,
        Err(_) => return Ok(()),
    };
    for left in locks::all(session, ledger, Some(&name))? {
        if let Some(pid) = left.row.advisory_pid {
            log::warn!(
                "server process {pid} still works and keeps the lock `{name}` until it ends; \
                 `--kill-orphan` ends it"
            );
        }
    }
    Ok(())
}

/// Ends who works under the lease, and returns whom it ended.
fn end_sessions(lock: &Seen, place: &Place) -> Result<Vec<i32>> {
    let mut ended = Vec::new();
    for backend in &lock.sessions {
        if breaking::end_session(&place.session, backend)? {
            log::warn!("server process {} was ended", backend.pid);
            ended.push(backend.pid);
        } else {
            let since = backend.start.as_ref().map(timestamp).unwrap_or_else(|| "?".to_owned());
            log::warn!(
                "server process {} (since {since}) is not a session of these tools, or hidden \
                 from this role: not ended",
                backend.pid
            );
        }
    }
    Ok(ended)
}

fn query_age(lock: &Seen) -> String {
    let Some(ms) = lock.row.query_age_ms else { return String::new() };
    let age = std::time::Duration::from_secs(ms.unsigned_abs() / 1000);
    format!(", its query began {} ago", humantime::format_duration(age))
}
