//! `status`: every lock and who holds it; reads only.

use migrate_core::{
    ctx::Ctx,
    error::Result,
    exit::Exit,
    ledger::{lease::LockName, locks},
    record::Record,
};

use crate::place::Place;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this lock
    #[arg(long, value_name = "NAME")]
    name: Option<LockName>,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let Place { session, ledger, .. } = Place::open("status", ctx)?;
    let locks = locks::all(&session, &ledger, args.name.as_ref())?;
    if locks.is_empty() {
        log::info!("nobody holds a lock");
    }
    ctx.emit_together(locks.into_iter().map(|it| Record::Lock(it.row)).collect());
    Ok(Exit::Ok)
}
