//! `release`: gives a lease back; only who knows its token can.

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    ledger::{Presence, audit, lease},
    record::{LockReleased, Record},
};

use crate::place::Place;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The token that `acquire` printed
    #[arg(long)]
    token: i64,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let Place { session, ledger, .. } = Place::open("release", ctx)?;
    lease::refuse_unwritable(&session)?;
    if ledger.look_to_write(&session)? == Presence::Absent {
        return Err(not_held(args.token));
    }
    let line = session.transaction(|session| {
        let found = lease::find(session, &ledger, args.token)?;
        let (name, _) = found.ok_or_else(|| not_held(args.token))?;
        let released = lease::release(session, &ledger, &name, args.token)?;
        let line = ctx.line(Record::LockReleased(LockReleased {
            lock_name: name.to_string(),
            token: args.token,
            held_ms: released.held_ms,
        }));
        audit::append(session, &ledger, &line, Some(name.as_str()), None)?;
        Ok(line)
    })?;
    ctx.emit_line(line);
    Ok(Exit::Ok)
}

pub(crate) fn not_held(token: i64) -> Error {
    Error::refused(
        "not_the_owner",
        format!("no lock is held under token {token}"),
        "it was released, broken or taken over: see `migrate-lock status`",
    )
}
