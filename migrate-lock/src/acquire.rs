//! `acquire`: takes a lease that no session keeps alive.

use std::time::Duration;

use migrate_core::{
    cli,
    ctx::Ctx,
    error::Result,
    exit::Exit,
    ledger::lease::{Lease, Life, LockName, Terms},
};

use crate::place::{self, Place};

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
Prints its token, which `renew` and `release` need. A migrate-apply that finds the token in
MIGRATE_LOCK_TOKEN works under this lease.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which lock; the other tools use `migrate`
    #[arg(long, value_name = "NAME", default_value = "migrate")]
    name: LockName,

    /// How long the lease lives
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = place::ttl)]
    ttl: Duration,

    /// How long to wait for it
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = cli::duration)]
    wait: Duration,

    /// Why; others see it while they wait
    #[arg(long)]
    reason: Option<String>,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let place = Place::open("acquire", ctx)?;
    let terms = Terms {
        name: args.name.clone(),
        ttl: args.ttl,
        wait: args.wait,
        reason: args.reason.clone(),
        life: Life::Detached,
    };
    let (lease, line) = Lease::take(&place.session, &place.ledger, &terms, ctx)?;
    ctx.emit_line(line);
    log::info!("give it back with `migrate-lock release --token {}`", lease.token);
    Ok(Exit::Ok)
}
