//! `restore`: puts a backup in the place of the database, which is kept; or makes a new database of it.

mod alike;
mod exchange;
mod into;
mod kept;
pub(crate) mod maintenance;
mod preflight;
mod replace;
mod swap;

use std::time::{Duration, Instant};

use migrate_core::{
    cli,
    ctx::Ctx,
    error::Result,
    exit::Exit,
    inventory::Inventory,
    record::{AuditMatch, Damage, Level, Record},
};

use crate::{
    origin::{self, Trust, Use},
    store::{Event, Store, backup::Backup},
    toc::Toc,
    trial, verify,
    which::Which,
};

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
The backup is verified, loaded into a new database beside the live one, and compared with its
manifest; only then the two exchange their names, in one transaction, while sessions are ended
for a moment. The old database is kept under a name that is printed: `--undo` swaps back,
`--drop-old` drops it. What will be lost is said first. A failure at any point leaves the live
database as it was. Where there is no database of the name, one is made.

Not carried: replication slots (they stay with the old database), subscriptions, roles.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The backup; `-` reads a record of `create` or `verify` from stdin
    #[arg(value_name = "ID", required_unless_present_any = ["undo", "drop_old"])]
    backup: Option<Which>,

    /// Make a new database of this name, and leave the live one alone
    #[arg(long, value_name = "NEW_DB")]
    into: Option<String>,

    /// How many tables to load at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: u32,

    /// Swap back to the database from before the last restore
    #[arg(long, conflicts_with_all = ["backup", "into", "drop_old"])]
    undo: bool,

    /// Drop the database that a restore or an undo has kept; NAME where there are several
    #[arg(
        long,
        value_name = "NAME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        conflicts_with_all = ["backup", "into"]
    )]
    drop_old: Option<String>,

    /// The backup may be one of another database or server
    #[arg(long)]
    of_another_database: bool,

    /// The backup was imported, and its SQL will run with your rights: you know who made it
    #[arg(long)]
    trust_origin: bool,

    /// From where to rename databases [default: postgres]
    #[arg(long, value_name = "NAME")]
    maintenance_db: Option<String>,

    /// How long to wait for the lock
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = cli::duration)]
    wait: Duration,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    if args.undo {
        return kept::undo(args, ctx);
    }
    if let Some(name) = &args.drop_old {
        return kept::drop_old(args, name, ctx);
    }
    let start = Instant::now();
    let named = args.backup.as_ref().expect("clap demands it");
    let id = named.resolve()?;
    let store = Store::open(&ctx.config.backups)?;
    let reading = store.reading(args.wait)?;
    let backup = store.backup(&id, &reading)?;
    let proof = verify::files(&backup, ctx)?;
    let audit = proof.audit;
    let archive = if proof.damages.is_empty() { verify::archive(&backup) } else { Err(vec![]) };
    let toc = match archive {
        Ok(toc) => toc,
        Err(damages) => {
            let found = [proof.damages, damages].concat();
            return say_damaged(&store, &backup, Level::Checksum, found, start, ctx);
        }
    };
    let inventory = trial::inventory(&backup)?;
    let job = Job { args, store: &store, backup: &backup, inventory, toc, start };
    let trust = if args.trust_origin { Trust::Declared } else { Trust::Unknown };
    origin::check(&store, &id, audit, &job.toc, Use::Run, trust)?;
    match &args.into {
        Some(name) => into::run(&job, name, ctx),
        None => replace::run(&job, ctx),
    }
}

/// The copy is not what the manifest says, and was dropped.
fn damaged(job: &Job<'_>, damages: Vec<Damage>, ctx: &mut Ctx) -> Result<Exit> {
    say_damaged(job.store, job.backup, Level::Restore, damages, job.start, ctx)
}

fn say_damaged(
    store: &Store,
    backup: &Backup,
    level: Level,
    damages: Vec<Damage>,
    start: Instant,
    ctx: &mut Ctx,
) -> Result<Exit> {
    verify::note(store, backup.id(), Event::Damaged { level }, ctx);
    let ms = start.elapsed().as_millis() as u64;
    let proof = verify::Proof { level, damages, audit: AuditMatch::NotAsked };
    let damaged = verify::damaged(backup.id().clone(), Some(backup), proof, ms);
    ctx.emit(Record::BackupDamaged(damaged));
    log::error!("the backup is not what was written: the database is as it was");
    Ok(Exit::No)
}

/// A backup that is byte by byte what was written, and is to be restored.
struct Job<'a> {
    args: &'a Args,
    store: &'a Store,
    backup: &'a Backup,
    toc: Toc,
    inventory: Inventory,
    start: Instant,
}
