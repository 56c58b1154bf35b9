//! `list`: what is in the store, and what is known of it; needs no database.

use migrate_core::{
    ctx::Ctx,
    error::Result,
    exit::Exit,
    record::{BackupState, Record},
};

use crate::store::Store;

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
Ends with 1 if a backup is damaged, unreadable or of an unknown version. What was left by a
killed run, and what is not of this tool, is listed too, but is no reason to worry.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only backups of this database
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let store = Store::open(&ctx.config.backups)?;
    let now = ctx.now();
    let mut rows: Vec<_> = store.entries()?.iter().map(|it| it.row(&store, now)).collect();
    if let Some(name) = &args.database {
        rows.retain(|it| it.database.as_ref() == Some(name));
    }
    if rows.is_empty() {
        log::info!("there is no backup in {}", store.path().display());
    }
    let worrying = rows.iter().any(|it| is_worrying(it.state));
    ctx.emit_together(rows.into_iter().map(Record::Backup).collect());
    Ok(if worrying { Exit::No } else { Exit::Ok })
}

fn is_worrying(state: BackupState) -> bool {
    match state {
        BackupState::Damaged
        | BackupState::DamagedManifest
        | BackupState::UnknownVersion
        | BackupState::Unreadable => true,
        BackupState::Complete
        | BackupState::Partial
        | BackupState::Trash
        | BackupState::Foreign => false,
    }
}
