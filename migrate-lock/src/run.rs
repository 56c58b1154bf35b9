//! `run`: holds a lease while a command runs, and ends the command where the lease is lost.

use std::{
    ffi::OsString,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use migrate_core::{
    attached::{Above, Attached},
    cli,
    connect::session::Session,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    ledger::{
        Presence, audit,
        heartbeat::Heartbeat,
        lease::{self, Lease, Life, LockName, TOKEN_VARIABLE, Terms},
    },
    process,
    record::{CommandFinished, LockLost, LockReleased, Record},
};

use crate::place::{self, Place};

/// How often to look whether the lease is lost.
const LOOK: Duration = Duration::from_millis(50);

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
stdin, stdout and stderr are the command's own: no record is written to stdout, what happens
is said on stderr and in the audit log. The command finds its token in MIGRATE_LOCK_TOKEN, by
which the other tools work under this lease. INT, TERM and HUP are handed on to it. If the lease
is lost, the command and all of its process group get SIGTERM, after the grace period SIGKILL,
and `run` ends with 6; otherwise it ends with the command's code (128 + n for signal n).

At a terminal the command stays in the process group of `run`, so that it can read what is typed
and gets Ctrl-C; then only the command itself is signalled, not what it started. A command
that makes a session of its own (setsid) is out of reach.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which lock; the other tools use `migrate`
    #[arg(long, value_name = "NAME", default_value = "migrate")]
    name: LockName,

    /// How long the lease outlives a lost connection [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = place::ttl)]
    ttl: Option<Duration>,

    /// How long to wait for it
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = cli::duration)]
    wait: Duration,

    /// How long the command may take to end when the lease is lost
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = cli::duration)]
    grace: Duration,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let place = Place::open("run", ctx)?;
    if let Some(token) = inherited(args, &place)? {
        let mut command = Attached::start(&mut command(args, token), Above::Run)?;
        loop {
            if let Some(code) = command.wait(LOOK) {
                return Ok(Exit::Command(code));
            }
        }
    }
    let terms = Terms {
        name: args.name.clone(),
        ttl: args.ttl.unwrap_or_else(lease::session_ttl),
        wait: args.wait,
        reason: Some(format!("migrate-lock run, {}", program(args))),
        life: Life::Handed,
    };
    let (lease, _) = Lease::take(&place.session, &place.ledger, &terms, ctx)?;
    log::info!("Lock `{}` acquired (token {})", lease.name, lease.token);
    hold(args, place, lease, ctx)
}

/// The token of a lease on the same lock that an outer `run` holds and looks after.
fn inherited(args: &Args, place: &Place) -> Result<Option<i64>> {
    let Some(token) = lease::handed_token()? else { return Ok(None) };
    let found = match place.ledger.look(&place.session)? {
        Presence::Absent => None,
        Presence::Present => lease::find(&place.session, &place.ledger, token)?,
    };
    match found {
        Some((name, false)) => Ok((name == args.name).then_some(token)),
        _ => Err(lease::not_in_force(token)),
    }
}

fn hold(args: &Args, place: Place, lease: Lease, ctx: &Ctx) -> Result<Exit> {
    let start = Instant::now();
    let application = format!("migrate-lock/run/{}", lease.token);
    let Place { database, session, ledger } = place;
    let heartbeat =
        Heartbeat::start_on(session, &database, &application, &Arc::clone(&ledger), &lease)?;
    let ended = Attached::start(&mut command(args, lease.token), Above::Nobody)
        .map(|command| watch(command, &heartbeat, args.grace));
    let lost = heartbeat.lost();
    let session = heartbeat.end();
    let finished = |exit_code| CommandFinished {
        lock_name: lease.name.to_string(),
        token: lease.token,
        program: program(args),
        exit_code,
        ms: start.elapsed().as_millis() as u64,
    };
    let command = ended.as_ref().ok().map(|&code| finished(code));
    let session = session.map_or_else(|| Session::open(&database, &application), Ok);
    let give = |session: &Session| match &lost {
        Some(why) => record_loss(session, &ledger, &lease, command.clone(), why, ctx),
        None => give_back(session, &ledger, &lease, command.clone(), start, ctx),
    };
    let given_back = session.and_then(|session| match give(&session) {
        // It was ended a moment ago, as when a restored database takes the place of this one.
        Err(_) if session.is_closed() => give(&Session::open(&database, &application)?),
        given => given,
    });
    match (ended, lost, given_back) {
        (Err(err), ..) => Err(err),
        (Ok(code), Some(why), _) => {
            Err(lease.lost(&format!("{why}; `{}` was ended (code {code})", program(args))))
        }
        (Ok(code), None, Err(Error::Refused { kind: "not_the_owner", .. })) => Err(lease
            .lost(&format!("somebody removed it before `{}` ended (code {code})", program(args)))),
        (Ok(code), None, Err(err)) => {
            log::warn!("the lease could not be given back, and ends by itself: {err}");
            Ok(Exit::Command(code))
        }
        (Ok(code), None, Ok(())) => Ok(Exit::Command(code)),
    }
}

/// Waits for the command's end; ends it where the lease is lost.
fn watch(mut command: Attached, heartbeat: &Heartbeat, grace: Duration) -> u8 {
    loop {
        if let Some(code) = command.wait(LOOK) {
            return code;
        }
        if heartbeat.lost().is_some() {
            return command.end(grace);
        }
    }
}

fn give_back(
    session: &Session,
    ledger: &migrate_core::ledger::Ledger,
    lease: &Lease,
    command: Option<CommandFinished>,
    start: Instant,
    ctx: &Ctx,
) -> Result<()> {
    session.transaction(|session| {
        lease.delete(session, ledger)?;
        let released = LockReleased {
            lock_name: lease.name.to_string(),
            token: lease.token,
            held_ms: start.elapsed().as_millis() as u64,
        };
        let records = command
            .map(Record::CommandFinished)
            .into_iter()
            .chain([Record::LockReleased(released)]);
        for record in records {
            audit::append(session, ledger, &ctx.line(record), Some(lease.name.as_str()), None)?;
        }
        Ok(())
    })
}

fn record_loss(
    session: &Session,
    ledger: &migrate_core::ledger::Ledger,
    lease: &Lease,
    command: Option<CommandFinished>,
    why: &str,
    ctx: &Ctx,
) -> Result<()> {
    session.transaction(|session| {
        let lost = LockLost {
            lock_name: lease.name.to_string(),
            token: lease.token,
            message: why.to_owned(),
        };
        let records =
            [Record::LockLost(lost)].into_iter().chain(command.map(Record::CommandFinished));
        for record in records {
            audit::append(session, ledger, &ctx.line(record), Some(lease.name.as_str()), None)?;
        }
        Ok(())
    })
}

fn command(args: &Args, token: i64) -> Command {
    let mut command = process::command(&args.command[0]);
    command.args(&args.command[1..]).env(TOKEN_VARIABLE, token.to_string());
    command
}

/// Without its arguments, which may hold secrets.
fn program(args: &Args) -> String {
    args.command[0].to_string_lossy().into_owned()
}
