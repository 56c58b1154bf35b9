//! `verify`: proves that a backup is what its manifest says, and keeps the level that was proven.

use std::time::{Duration, Instant};

use migrate_core::{
    cli,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    interrupt,
    record::{
        AuditMatch, BackupDamaged, BackupId, BackupVerified, Damage, DamageKind, Level, Record,
    },
};

use crate::{
    anchor, checksum,
    store::{
        Event, Store,
        backup::{Backup, MANIFEST, Problem},
    },
    which::{self, Which},
};

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
Level `checksum` proves that the files are byte by byte those that were written; it needs no
database. Where one is named, its audit log is asked whether the manifest is the one that was
written, too: without that answer a backup is only consistent in itself. It does not prove that
the backup can be restored.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The backup; `-` reads the record of `create` from stdin
    #[arg(value_name = "ID", required_unless_present = "latest", conflicts_with = "latest")]
    backup: Option<Which>,

    /// The newest backup
    #[arg(long)]
    latest: bool,

    /// With `--latest`: of this database
    #[arg(long, value_name = "NAME", requires = "latest")]
    database: Option<String>,

    /// How much to prove: checksum
    #[arg(long, default_value = "checksum", hide_default_value = true, value_parser = level)]
    level: Level,

    /// How long to wait for a `prune` to end
    #[arg(long, value_name = "DURATION", value_parser = cli::duration, default_value = "30s")]
    wait: Duration,
}

fn level(text: &str) -> Result<Level, String> {
    if text == "checksum" { Ok(Level::Checksum) } else { Err("the level is `checksum`".to_owned()) }
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let named = args.backup.as_ref().map(Which::resolve).transpose()?;
    let store = Store::open(&ctx.config.backups)?;
    let reading = store.reading(args.wait)?;
    let id = match named {
        Some(id) => id,
        None => which::latest(&store, args.database.as_deref())?,
    };
    let began = Instant::now();
    let (backup, proof) = match store.look(&id, &reading) {
        Ok(backup) => {
            let proof = prove(&backup, args.level, ctx)?;
            (Some(backup), proof)
        }
        Err(problem) if problem.is_damage() => (None, Proof::without_manifest(&problem)),
        Err(problem) => return Err(store.error(problem, &id)),
    };
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match backup {
        Some(backup) if proof.damages.is_empty() => {
            note(&store, &id, Event::Proven { level: args.level }, ctx);
            ctx.emit(Record::BackupVerified(verified(&backup, args.level, proof.audit, ms)));
            Ok(Exit::Ok)
        }
        backup => {
            note(&store, &id, Event::Damaged { level: proof.level }, ctx);
            ctx.emit(Record::BackupDamaged(damaged(id, backup.as_ref(), proof, ms)));
            Ok(Exit::No)
        }
    }
}

/// What was found, at the last level that was looked at.
struct Proof {
    level: Level,
    damages: Vec<Damage>,
    audit: AuditMatch,
}

impl Proof {
    fn without_manifest(problem: &Problem) -> Proof {
        let damage = Damage {
            object: MANIFEST.to_owned(),
            kind: DamageKind::Manifest,
            message: problem.to_string(),
        };
        Proof { level: Level::Checksum, damages: vec![damage], audit: AuditMatch::NotAsked }
    }
}

/// Level by level, each only where the one before holds: a program is not given files that are not
/// what was written.
fn prove(backup: &Backup, level: Level, ctx: &Ctx) -> Result<Proof> {
    let witness = anchor::ask(backup, ctx);
    let mut damages = checksum::check(backup, &mut go_on)?;
    damages.extend(witness.damage);
    Ok(Proof { level, damages, audit: witness.says })
}

fn go_on(_bytes: u64) -> Result<()> {
    interrupt::received().map_or(Ok(()), |signal| {
        let state = "the backup is as it was, and nothing was proven".to_owned();
        Err(Error::Interrupted { signal, state })
    })
}

/// A store that cannot be written to can be verified all the same.
pub(crate) fn note(store: &Store, id: &BackupId, event: Event, ctx: &Ctx) {
    if let Err(err) = store.note(id, ctx.now(), event) {
        log::warn!("the result is not kept in the store: {err}");
    }
}

fn verified(backup: &Backup, level: Level, audit: AuditMatch, ms: u64) -> BackupVerified {
    let summary = &backup.manifest.summary;
    BackupVerified {
        backup_id: backup.id().clone(),
        level,
        system_identifier: summary.system_identifier.clone(),
        database: summary.database.clone(),
        created_at: summary.created_at,
        bytes: summary.bytes,
        rows: summary.rows,
        files: backup.manifest.files.len() as u64,
        manifest_sha256: backup.manifest_sha256.clone(),
        audit,
        ms,
    }
}

fn damaged(id: BackupId, backup: Option<&Backup>, proof: Proof, ms: u64) -> BackupDamaged {
    let summary = backup.map(|it| &it.manifest.summary);
    BackupDamaged {
        backup_id: id,
        level: proof.level,
        system_identifier: summary.map(|it| it.system_identifier.clone()),
        database: summary.map(|it| it.database.clone()),
        created_at: summary.map(|it| it.created_at),
        damages: proof.damages,
        ms,
    }
}
