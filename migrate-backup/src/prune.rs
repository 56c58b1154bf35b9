//! `prune`: removes the backups that no rule keeps, and what killed runs left; needs no database.

use std::{
    collections::HashMap,
    ffi::OsString,
    time::{Duration, Instant},
};

use migrate_core::{
    cli,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    interrupt,
    record::{BackupId, BackupPruned, Level, Record, RetentionAction, RetentionRow},
    text,
};

use crate::{
    checksum,
    retention::{self, Candidate, Decision, Files, Policy, Source},
    store::{
        Event, Reading, Store,
        entry::{Complete, Entry, Found},
    },
};

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
The rules are restic's: what any of them keeps is kept. They count for each database by itself,
and days, weeks and months are those of UTC. Always kept are the last good backup of each
database, the newest of the highest level that was proven, and what is pinned. Before anything
goes, the newest backup that stays is read and compared with its manifest. What is damaged, dated
in the future or not of this tool counts for nothing and is left alone.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Keep the last N backups
    #[arg(long, value_name = "N")]
    keep_last: Option<u32>,

    /// Keep the last backup of each of N days that have one
    #[arg(long, value_name = "N")]
    keep_daily: Option<u32>,

    /// Keep the last backup of each of N weeks that have one
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u32>,

    /// Keep the last backup of each of N months that have one
    #[arg(long, value_name = "N")]
    keep_monthly: Option<u32>,

    /// Keep all that are at most this much older than the last one, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = cli::duration)]
    keep_within: Option<Duration>,

    /// Only backups of this database
    #[arg(long, value_name = "NAME")]
    database: Option<String>,

    /// Decide and say why, but remove nothing
    #[arg(long)]
    dry_run: bool,

    /// How long to wait for others that use the store
    #[arg(long, value_name = "DURATION", value_parser = cli::duration, default_value = "30s")]
    wait: Duration,
}

impl Args {
    fn policy(&self) -> Result<Policy> {
        let policy = Policy {
            last: self.keep_last.unwrap_or(0),
            daily: self.keep_daily.unwrap_or(0),
            weekly: self.keep_weekly.unwrap_or(0),
            monthly: self.keep_monthly.unwrap_or(0),
            within: self.keep_within.filter(|it| !it.is_zero()),
        };
        if policy.is_empty() {
            return Err(Error::usage(
                "this policy keeps nothing",
                "say how many to keep, such as `--keep-last 7`",
            ));
        }
        Ok(policy)
    }
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let policy = args.policy()?;
    let began = Instant::now();
    let store = Store::open(&ctx.config.backups)?;
    let mut prune = Prune { store: &store, args, policy, checked: HashMap::new() };
    let rows = if args.dry_run {
        prune.settle(&store.reading(args.wait)?, ctx)?
    } else {
        prune.remove(ctx)?
    };
    let count = |action| rows.iter().filter(|(_, it)| it.action == action).count() as u64;
    let freed = rows.iter().filter(|(_, it)| it.action == RetentionAction::Remove);
    let pruned = BackupPruned {
        dry_run: args.dry_run,
        kept: count(RetentionAction::Keep),
        removed: count(RetentionAction::Remove),
        left_alone: count(RetentionAction::LeaveAlone),
        freed_bytes: freed.filter_map(|(_, it)| it.bytes).sum(),
        ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    if args.dry_run {
        say(rows, ctx);
    }
    ctx.emit(Record::BackupPruned(pruned));
    Ok(Exit::Ok)
}

fn say(rows: Vec<(OsString, RetentionRow)>, ctx: &mut Ctx) {
    ctx.emit_together(rows.into_iter().map(|(_, it)| Record::Retention(it)).collect());
}

struct Prune<'a> {
    store: &'a Store,
    args: &'a Args,
    policy: Policy,
    /// Backups whose files were read in this run.
    checked: HashMap<BackupId, Files>,
}

type Rows = Vec<(OsString, RetentionRow)>;

impl Prune<'_> {
    /// Reading can take long, and nobody who needs a backup shall wait for it: so it is done under
    /// the lock of readers. Then the store is looked at once more, alone; if it has changed so that
    /// more is to be read, all over again.
    fn remove(&mut self, ctx: &mut Ctx) -> Result<Rows> {
        loop {
            self.settle(&self.store.reading(self.args.wait)?, ctx)?;
            let removing = self.store.removing(self.args.wait)?;
            let entries = self.entries()?;
            let judged = self.judge(&entries, ctx);
            if judged.to_check.is_some() {
                continue;
            }
            let rows = self.rows(&entries, judged);
            let gone: Vec<(OsString, BackupId)> = rows
                .iter()
                .filter(|(_, row)| row.action == RetentionAction::Remove)
                .filter_map(|(name, row)| Some((name.clone(), row.backup_id.clone()?)))
                .collect();
            say(rows.clone(), ctx);
            let trash = self.store.move_to_trash(&gone, &removing)?;
            drop(removing);
            self.store.empty_trash(&trash)?;
            return Ok(rows);
        }
    }

    /// Reads what has to be read until the decision stands.
    fn settle(&mut self, reading: &Reading, ctx: &mut Ctx) -> Result<Rows> {
        loop {
            let entries = self.entries()?;
            let judged = self.judge(&entries, ctx);
            let Some(id) = judged.to_check else { return Ok(self.rows(&entries, judged)) };
            let files = self.check(&id, reading, ctx)?;
            self.checked.insert(id, files);
        }
    }

    fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = self.store.entries()?;
        if let Some(database) = &self.args.database {
            let other = |it: &Complete| it.summary.database != *database;
            entries.retain(|it| !matches!(&it.found, Found::Complete(it) if other(it)));
        }
        Ok(entries)
    }

    fn judge(&self, entries: &[Entry], ctx: &Ctx) -> Judged {
        let now = ctx.now();
        let candidates: Vec<Candidate> =
            entries.iter().filter_map(|it| self.candidate(it)).collect();
        let decisions = retention::decide(&candidates, &self.policy, now);
        let to_check = retention::to_check(&candidates, &decisions, now);
        let to_check = to_check.map(|it| candidates[it].id.clone());
        let of_backups = candidates.into_iter().map(|it| it.id).zip(decisions).collect();
        Judged { of_backups, to_check }
    }

    fn candidate(&self, entry: &Entry) -> Option<Candidate> {
        let Found::Complete(it) = &entry.found else { return None };
        let Complete { summary, state } = it.as_ref();
        let known = if state.damaged.is_some() { Files::Damaged } else { Files::Unknown };
        Some(Candidate {
            id: summary.backup_id.clone(),
            source: Source {
                system_identifier: summary.system_identifier.clone(),
                database: summary.database.clone(),
            },
            created_at: summary.created_at,
            proven: state.proven.map(|(level, _)| level),
            pin: state.pinned.as_ref().map(|pin| match &pin.reason {
                Some(reason) => format!("pinned: {reason}"),
                None => "pinned".to_owned(),
            }),
            files: self.checked.get(&summary.backup_id).cloned().unwrap_or(known),
        })
    }

    /// Reads a backup whole. What is found is kept for `list`, but a dry run writes nothing.
    fn check(&self, id: &BackupId, reading: &Reading, ctx: &Ctx) -> Result<Files> {
        let backup = match self.store.look(id, reading) {
            Ok(backup) => backup,
            Err(_) => return Ok(Files::Damaged),
        };
        let size = text::bytes(i64::try_from(backup.manifest.summary.bytes).unwrap_or(i64::MAX));
        log::info!("reading {id} ({size}) before anything older is removed");
        let damages = checksum::check(&backup, &mut go_on)?;
        let event = if damages.is_empty() {
            Event::Proven { level: Level::Checksum }
        } else {
            log::warn!("{id} is damaged: see `migrate-backup verify {id}`");
            Event::Damaged { level: Level::Checksum }
        };
        if !self.args.dry_run {
            self.store.note(id, ctx.now(), event)?;
        }
        Ok(if damages.is_empty() { Files::Whole } else { Files::Damaged })
    }

    fn rows(&self, entries: &[Entry], mut judged: Judged) -> Rows {
        let row = |entry: &Entry| {
            let decision = match (&entry.found, entry.id()) {
                (Found::Complete(_), Some(id)) => judged.of_backups.remove(id)?,
                _ => self.no_backup(entry),
            };
            let complete = match &entry.found {
                Found::Complete(it) => Some(&it.summary),
                _ => None,
            };
            let removed = decision.action == RetentionAction::Remove;
            let row = RetentionRow {
                action: decision.action,
                backup_id: entry.id().cloned(),
                created_at: complete.map(|it| it.created_at),
                database: complete.map(|it| it.database.clone()),
                system_identifier: complete.map(|it| it.system_identifier.clone()),
                bytes: match complete {
                    _ if removed => Some(self.store.bytes_of(&entry.name)),
                    other => other.map(|it| it.bytes),
                },
                reasons: decision.reasons,
                name: entry.name.to_string_lossy().into_owned(),
            };
            Some((entry.name.clone(), row))
        };
        entries.iter().rev().filter_map(row).collect()
    }

    /// What is no complete backup: leftovers of ours go, everything else is for a person to judge.
    fn no_backup(&self, entry: &Entry) -> Decision {
        let action = match &entry.found {
            Found::Partial { being_made: false, .. } | Found::Trash(_) | Found::StateAlone(_) => {
                RetentionAction::Remove
            }
            _ => RetentionAction::LeaveAlone,
        };
        let reason = match &entry.found {
            Found::Partial { being_made: false, .. } => "left by a run that was killed".to_owned(),
            Found::Trash(_) | Found::StateAlone(_) => {
                "left of a removal that was killed".to_owned()
            }
            _ => entry.problem(self.store).unwrap_or_default(),
        };
        Decision { action, reasons: vec![reason] }
    }
}

struct Judged {
    of_backups: HashMap<BackupId, Decision>,
    to_check: Option<BackupId>,
}

fn go_on(_bytes: u64) -> Result<()> {
    interrupt::received().map_or(Ok(()), |signal| {
        Err(Error::Interrupted { signal, state: "nothing was removed".to_owned() })
    })
}
