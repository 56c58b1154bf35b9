//! `renew`: gives a lease that is in force more time.

use std::time::Duration;

use migrate_core::{
    ctx::Ctx,
    error::Result,
    exit::Exit,
    ledger::{Presence, audit, lease},
    record::{LockRenewed, Record},
};

use crate::{
    place::{self, Place},
    release,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The token that `acquire` printed
    #[arg(long)]
    token: i64,

    /// How long it lives from now on [default: as long as before]
    #[arg(long, value_name = "DURATION", value_parser = place::ttl)]
    ttl: Option<Duration>,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let Place { session, ledger, .. } = Place::open("renew", ctx)?;
    lease::refuse_unwritable(&session)?;
    if ledger.look_to_write(&session)? == Presence::Absent {
        return Err(release::not_held(args.token));
    }
    let line = session.transaction(|session| {
        let (name, expires_at) = lease::renew(session, &ledger, args.token, args.ttl)?;
        let line = ctx.line(Record::LockRenewed(LockRenewed {
            lock_name: name.to_string(),
            token: args.token,
            expires_at,
        }));
        audit::append(session, &ledger, &line, Some(name.as_str()), None)?;
        Ok(line)
    })?;
    ctx.emit_line(line);
    Ok(Exit::Ok)
}
