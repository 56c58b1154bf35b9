//! `pin` and `unpin`: keeps a backup from ever being pruned, or no longer; needs no database.

use std::time::Duration;

use migrate_core::{
    cli,
    ctx::Ctx,
    error::Result,
    exit::Exit,
    record::{BackupId, BackupPinned, BackupUnpinned, Record},
};

use crate::store::{Event, Store};

#[derive(clap::Args)]
pub(crate) struct PinArgs {
    /// The backup
    #[arg(value_name = "ID")]
    backup: BackupId,

    /// Why; `list` and `prune` show it
    #[arg(long)]
    reason: Option<String>,

    /// How long to wait for a `prune` to end
    #[arg(long, value_name = "DURATION", value_parser = cli::duration, default_value = "30s")]
    wait: Duration,
}

#[derive(clap::Args)]
pub(crate) struct UnpinArgs {
    /// The backup
    #[arg(value_name = "ID")]
    backup: BackupId,

    /// How long to wait for a `prune` to end
    #[arg(long, value_name = "DURATION", value_parser = cli::duration, default_value = "30s")]
    wait: Duration,
}

pub(crate) fn pin(args: &PinArgs, ctx: &mut Ctx) -> Result<Exit> {
    let reason = args.reason.clone().filter(|it| !it.trim().is_empty());
    let event = Event::Pinned { reason: reason.clone() };
    note(&args.backup, args.wait, event, ctx)?;
    ctx.emit(Record::BackupPinned(BackupPinned { backup_id: args.backup.clone(), reason }));
    Ok(Exit::Ok)
}

pub(crate) fn unpin(args: &UnpinArgs, ctx: &mut Ctx) -> Result<Exit> {
    note(&args.backup, args.wait, Event::Unpinned, ctx)?;
    ctx.emit(Record::BackupUnpinned(BackupUnpinned { backup_id: args.backup.clone() }));
    Ok(Exit::Ok)
}

/// Under the lock of readers, so that what is pinned is there when it is said to be.
pub(crate) fn note(id: &BackupId, wait: Duration, event: Event, ctx: &Ctx) -> Result<()> {
    let store = Store::open(&ctx.config.backups)?;
    let reading = store.reading(wait)?;
    store.backup(id, &reading)?;
    store.note(id, ctx.now(), event)
}
