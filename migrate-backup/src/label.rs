//! `label`: gives a backup a name for people, or takes it away; needs no database.

use std::time::Duration;

use migrate_core::{
    cli,
    ctx::Ctx,
    error::Result,
    exit::Exit,
    record::{BackupId, BackupLabelled, Record},
};

use crate::{pin::note, store::Event};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The backup
    #[arg(value_name = "ID")]
    backup: BackupId,

    /// What it is, in a few words; an empty text takes the label away
    #[arg(value_name = "TEXT")]
    label: String,

    /// How long to wait for a `prune` to end
    #[arg(long, value_name = "DURATION", value_parser = cli::duration, default_value = "30s")]
    wait: Duration,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let label = Some(args.label.trim().to_owned()).filter(|it| !it.is_empty());
    note(&args.backup, args.wait, Event::Labelled { label: label.clone() }, ctx)?;
    ctx.emit(Record::BackupLabelled(BackupLabelled { backup_id: args.backup.clone(), label }));
    Ok(Exit::Ok)
}
