//! `create`: a backup that is whole, with what it takes to prove it, or none.

mod contents;

use std::{
    cell::RefCell,
    path::Path,
    time::{Duration, Instant},
};

use migrate_core::{
    cli,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    fault::{self, Point},
    interrupt,
    ledger::{audit, hold::Hold},
    record::{BackupCreated, BackupPhase, Record},
    server::programs::Programs,
};

use self::contents::{Facts, Found};
use crate::{
    dump::{self, Compression, Dump, INVENTORY},
    manifest::{Manifest, TableKind},
    names::shown,
    place::Place,
    progress::{Progress, Tables},
    source::{
        count::{Counting, Depth, Job},
        holds::{self, Holds, Table},
        snapshot::Snapshot,
    },
    store::{Event, Partial, Published, Sealed, Store, backup::DUMP},
};

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
The dump is pg_dump's directory format, from one snapshot, in which the rows of all tables are
counted, too. It appears in the store whole or not at all. It holds the lock that migrations
take, so that a dump and a migration never wait for each other; reading and writing goes on.
Not in it: roles and passwords, subscriptions, replication slots, statistics.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many tables to dump at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: u32,

    /// A note that `list` shows
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,

    /// Keep it from ever being pruned
    #[arg(long)]
    pin: bool,

    /// Take the content of each table, too, not only the number of rows; reads every row once more
    #[arg(long)]
    fingerprint: bool,

    /// How long to wait for the lock
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = cli::duration)]
    wait: Duration,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let start = Instant::now();
    let store = Store::open_or_make(&ctx.config.backups)?;
    let place = Place::open(ctx)?;
    let programs = dump::programs_for(place.major())?;
    let hold = place.hold("create", args.wait, ctx)?;
    fault::hit(Point::LeaseTaken);
    let made = {
        let work = Work { args, place: &place, hold: &hold, programs: &programs };
        work.back_up(&store, start, ctx)
    };
    interrupt::cancels(None);
    let created = match made {
        Ok(created) => created,
        Err(err) => {
            if let Err(err) = hold.release(&place.session, &place.ledger, ctx) {
                log::warn!("the lock could not be given back, and ends by itself: {err}");
            }
            return Err(err);
        }
    };
    let id = created.backup_id.clone();
    // Whatever happens from here on, the backup is there.
    let state = |err: Error| not_recorded(&id.to_string(), &err);
    let noted = note(&store, &created, args, ctx);
    let line = ctx.line(Record::BackupCreated(created));
    let subject = Some(id.as_str());
    let recorded =
        audit::record(&place.session, &place.ledger, &line, subject, Some(&place.run_id));
    ctx.emit_line(line);
    let released = hold.release(&place.session, &place.ledger, ctx);
    noted.and(recorded.map(drop)).and(released).map_err(state)?;
    Ok(Exit::Ok)
}

/// A label and a pin may change later, so they stand beside the backup.
fn note(store: &Store, created: &BackupCreated, args: &Args, ctx: &Ctx) -> Result<()> {
    let id = &created.backup_id;
    if args.pin {
        let reason = Some("pinned at its creation".to_owned());
        store.note(id, ctx.now(), Event::Pinned { reason })?;
    }
    if let Some(label) = &args.label {
        store.note(id, ctx.now(), Event::Labelled { label: Some(label.clone()) })?;
    }
    Ok(())
}

fn not_recorded(id: &str, err: &Error) -> Error {
    Error::NotEnded {
        kind: "not_recorded",
        message: format!("the backup {id} is complete, but could not be recorded: {err}"),
        hint: Some(format!(
            "it can be used; `migrate-backup verify {id}` will say that the audit log does not know it"
        )),
    }
}

struct Work<'a> {
    args: &'a Args,
    place: &'a Place,
    hold: &'a Hold,
    programs: &'a Programs,
}

impl Work<'_> {
    fn back_up(&self, store: &Store, start: Instant, ctx: &mut Ctx) -> Result<BackupCreated> {
        let partial = store.begin(ctx.now())?;
        let database = &self.place.database;
        let snapshot = Snapshot::take(database, &self.hold.application)?;
        interrupt::cancels(Some(snapshot.session.cancel()));
        let found = self.read(&snapshot, &partial, ctx);
        interrupt::cancels(None);
        let found = found.map_err(|err| self.stopped().unwrap_or(err))?;
        // The server holds back nothing for us any more.
        drop(snapshot);
        let id = partial.id().clone();
        let sealed = self.seal(partial, ctx)?;
        let Work { args, place, programs, .. } = self;
        let label = args.label.as_deref();
        let manifest = contents::manifest(&place.session, programs, label, &id, &sealed, found);
        if let Some(err) = self.stopped() {
            return Err(err);
        }
        let published = sealed.publish(&manifest)?;
        Ok(created(&manifest, &published, self.args, start))
    }

    fn stopped(&self) -> Option<Error> {
        self.hold.stopped(|| "no backup was made; those from before are as they were".to_owned())
    }

    /// All that has to be read in the snapshot.
    fn read(&self, snapshot: &Snapshot, partial: &Partial<'_>, ctx: &mut Ctx) -> Result<Found> {
        let session = &snapshot.session;
        let holds = Holds::read(session, &self.place.ledger)?;
        snapshot.lock(&holds.locked())?;
        let facts = Facts::read(session, &self.place.ledger)?;
        refuse_small_disk(store_of(partial), &holds)?;
        fault::hit(Point::SnapshotTaken);
        let depth = if self.args.fingerprint { Depth::Content } else { Depth::Rows };
        let counting = self.start_counting(snapshot, &holds, depth)?;
        let compression = Compression::of(self.programs);
        let remarks = self.dump(snapshot, partial, &holds, compression, &counting, ctx)?;
        self.wait_for_counts(&counting, partial, &holds, ctx)?;
        let counted = counting.finish()?;
        write_inventory(partial, &facts.inventory)?;
        if !snapshot.is_kept() {
            return Err(Error::Failed {
                kind: "snapshot_lost",
                message: "the session that kept the snapshot was ended: the rows were counted and \
                          dumped at a moment that nobody can vouch for; no backup was made"
                    .to_owned(),
                hint: Some("run again; was it `pg_terminate_backend`, or a time limit?".to_owned()),
            });
        }
        Ok(Found {
            holds,
            counted,
            remarks,
            compression,
            facts,
            taken_at: snapshot.taken_at,
            lsn: snapshot.lsn.clone(),
        })
    }

    /// Beside the dump, on a session of its own: the largest tables first.
    fn start_counting(&self, snapshot: &Snapshot, holds: &Holds, depth: Depth) -> Result<Counting> {
        let session = snapshot.join(&self.place.database, &self.hold.application)?;
        if depth == Depth::Rows {
            // pg_dump has the processors; a count is quick enough with one.
            session
                .run("set local max_parallel_workers_per_gather = 0")
                .map_err(Error::database("prepare to count"))?;
        }
        let jobs = holds
            .carried()
            .map(|it| Job { schema: it.schema.clone(), name: it.name.clone(), depth })
            .collect();
        Counting::start(session, jobs)
    }

    fn dump(
        &self,
        snapshot: &Snapshot,
        partial: &Partial<'_>,
        holds: &Holds,
        compression: Compression,
        counting: &Counting,
        ctx: &mut Ctx,
    ) -> Result<Vec<String>> {
        let ledger = &self.place.ledger;
        let locks: Vec<(String, String)> = holds
            .tables
            .iter()
            .filter(|it| holds::is_locks(ledger, &it.schema, &it.name))
            .map(|it| (it.schema.clone(), it.name.clone()))
            .collect();
        let mut settings = self.place.database.settings().clone();
        settings.set_application_name(self.hold.application.clone());
        if self.place.major() >= 14 {
            // What it asked for is given up soon after its end.
            settings.add_option("-c client_connection_check_interval=1000");
        }
        let mut tables = Tables::default();
        for table in holds.carried() {
            tables.add(shown(&table.schema, &table.name), table.bytes, None);
        }
        let progress = RefCell::new(Progress::new(partial.id(), BackupPhase::Dump));
        let dump = Dump {
            programs: self.programs,
            snapshot: &snapshot.id,
            jobs: self.args.jobs,
            compression,
            into: &partial.dump_path(),
            without_rows: &locks,
        };
        let mut known = 0;
        let remarks = dump.run(&settings, &mut |note| {
            if let Some(err) = self.stopped() {
                return Err(err);
            }
            if let Some(note) = note {
                tables.hear(note);
                return Ok(());
            }
            let done = counting.done();
            for (table, rows) in holds.carried().zip(&done).skip(known) {
                tables.counted(&shown(&table.schema, &table.name), *rows);
            }
            known = done.len();
            progress.borrow_mut().of_tables(
                &mut tables,
                Some(&self.place.session),
                &self.hold.application,
                ctx,
            );
            Ok(())
        })?;
        fault::hit(Point::Dumped);
        Ok(remarks.warnings)
    }

    fn wait_for_counts(
        &self,
        counting: &Counting,
        partial: &Partial<'_>,
        holds: &Holds,
        ctx: &mut Ctx,
    ) -> Result<()> {
        const LOOK: Duration = Duration::from_millis(20);
        let mut progress = Progress::new(partial.id(), BackupPhase::Count);
        let tables: Vec<&Table> = holds.carried().collect();
        let total = tables.iter().map(|it| it.bytes).sum();
        while !counting.is_finished() {
            if let Some(err) = self.stopped() {
                return Err(err);
            }
            let done = counting.done().len();
            progress.of_bytes(tables.iter().take(done).map(|it| it.bytes).sum(), Some(total), ctx);
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn seal<'a>(&self, partial: Partial<'a>, ctx: &mut Ctx) -> Result<Sealed<'a>> {
        let mut progress = Progress::new(partial.id(), BackupPhase::Checksum);
        let mut read = 0;
        partial.seal(&mut |bytes| {
            read += bytes;
            progress.of_bytes(read, None, ctx);
            self.stopped().map_or(Ok(()), Err)
        })
    }
}

fn write_inventory(partial: &Partial<'_>, text: &str) -> Result<()> {
    let dump = partial.folder().folder(DUMP);
    let dump = dump.map_err(partial.folder().cannot_read(DUMP))?;
    dump.write(INVENTORY, text.as_bytes()).map_err(dump.cannot_write(INVENTORY))
}

fn created(
    manifest: &Manifest,
    published: &Published,
    args: &Args,
    start: Instant,
) -> BackupCreated {
    let summary = &manifest.summary;
    BackupCreated {
        backup_id: summary.backup_id.clone(),
        path: published.path.display().to_string(),
        database: summary.database.clone(),
        system_identifier: summary.system_identifier.clone(),
        created_at: summary.created_at,
        bytes: summary.bytes,
        rows: summary.rows,
        tables: manifest.tables.iter().filter(|it| it.kind == TableKind::Table).count() as u64,
        ms: start.elapsed().as_millis() as u64,
        server_version: summary.server_version.clone(),
        manifest_sha256: published.manifest_sha256.clone(),
        migration_head: summary.migration_head.as_ref().map(|it| it.version.clone()),
        audit_head: manifest.made.audit_head.clone(),
        label: args.label.clone(),
        pinned: args.pin,
        warnings: manifest.warnings.clone(),
    }
}

fn store_of<'a>(partial: &'a Partial<'_>) -> &'a Path {
    partial.folder().path()
}

/// No dump is that much smaller than its tables: it would only be found out when the disk is full.
fn refuse_small_disk(folder: &Path, holds: &Holds) -> Result<()> {
    const SMALLEST_PART: u64 = 20;
    let Ok(stat) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = stat.f_bavail * stat.f_frsize;
    let needed = holds.carried().map(|it| it.bytes).sum::<u64>() / SMALLEST_PART;
    if free >= needed {
        return Ok(());
    }
    Err(Error::Unavailable {
        kind: "disk_full",
        message: format!(
            "{} bytes are free in {}, and the dump takes at least {needed}",
            free,
            folder.display()
        ),
        hint: Some("free some space (`migrate-backup prune`), or name another `--backups`".into()),
    })
}
