//! `import`: takes a backup that `export` wrote from stdin; it appears whole or not at all.

use std::{
    io::{self, IsTerminal, Read, Write},
    time::{Duration, Instant},
};

use migrate_core::{
    cli,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    interrupt,
    record::{BackupImported, Level, Record},
    text,
};

use crate::{
    archive::{self, Front},
    manifest::Manifest,
    store::{Event, Partial, Store, backup::DUMP, folder::Folder},
    verify::note,
};

const BUFFER_BYTES: usize = 1024 * 1024;

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
Nothing in the archive is believed: paths, kinds of entries, sizes and hashes must be those of its
manifest. Where it comes from is not proven by that: `verify` asks the audit log, and a dump can
run SQL when it is restored. A backup that is there already is left as it is.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long to wait for a `prune` to end
    #[arg(long, value_name = "DURATION", value_parser = cli::duration, default_value = "30s")]
    wait: Duration,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        return Err(Error::usage(
            "`import` reads an archive from stdin, and stdin is a terminal",
            "migrate-backup import < FILE.tar.gz",
        ));
    }
    let began = Instant::now();
    let store = Store::open_or_make(&ctx.config.backups)?;
    let mut there = None;
    let begin = |front: Front| {
        if is_there(&store, &front, args.wait)? {
            there = Some(front);
            return Ok(None);
        }
        Import::begin(&store, front).map(Some)
    };
    let import = archive::read(&mut stdin, begin, Import::take);
    // Ctrl-C ends the tool before us in the pipe, too: that its archive ends early is not the cause.
    let import = import.map_err(|err| interrupted().unwrap_or(err))?;
    let (manifest, manifest_sha256, already_there) = match (import, there) {
        (Some(import), _) => {
            let (manifest, sha256) = import.publish(&store, ctx)?;
            (manifest, sha256, false)
        }
        (None, Some(front)) => {
            // Read to its end, or the tool before would fail for a reader that went away.
            io::copy(&mut stdin, &mut io::sink()).map_err(archive::unreadable)?;
            (front.manifest, front.manifest_sha256, true)
        }
        (None, None) => return Err(archive::unreadable(io::ErrorKind::UnexpectedEof.into())),
    };
    let id = manifest.summary.backup_id.clone();
    if !already_there {
        note(&store, &id, Event::Proven { level: Level::Checksum }, ctx);
    }
    ctx.emit(Record::BackupImported(BackupImported {
        path: store.path().join(id.as_str()).display().to_string(),
        backup_id: id,
        database: manifest.summary.database,
        system_identifier: manifest.summary.system_identifier,
        created_at: manifest.summary.created_at,
        bytes: manifest.summary.bytes,
        rows: manifest.summary.rows,
        manifest_sha256,
        already_there,
        ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }));
    Ok(Exit::Ok)
}

fn interrupted() -> Option<Error> {
    let signal = interrupt::received()?;
    Some(Error::Interrupted { signal, state: "nothing was imported".to_owned() })
}

/// Whether the store has this very backup; another one under its id is refused.
fn is_there(store: &Store, front: &Front, wait: Duration) -> Result<bool> {
    let id = &front.manifest.summary.backup_id;
    let reading = store.reading(wait)?;
    let refused = |what: String| {
        Error::refused("other_backup", what, "remove or rename it, or import into another store")
    };
    if !store.has(id)? {
        return Ok(false);
    }
    match store.look(id, &reading) {
        Ok(backup) if backup.manifest_sha256 == front.manifest_sha256 => Ok(true),
        Ok(_) => Err(refused(format!("the store has another backup under the id {id}"))),
        Err(problem) => Err(refused(format!("the store has something else as {id}: {problem}"))),
    }
}

struct Import<'a> {
    front: Front,
    partial: Partial<'a>,
    dump: Folder,
}

impl<'a> Import<'a> {
    fn begin(store: &'a Store, front: Front) -> Result<Import<'a>> {
        let summary = &front.manifest.summary;
        check_space(store, summary.bytes)?;
        let partial = store.begin_as(&summary.backup_id)?;
        let dump = partial.folder().make_folder(DUMP);
        let dump = dump.map_err(partial.folder().cannot_write(DUMP))?;
        Ok(Import { front, partial, dump })
    }

    /// Stores a file, whose path is one of the manifest.
    fn take(&mut self, path: &str, from: &mut dyn Read) -> Result<()> {
        let name = path.strip_prefix("dump/").unwrap_or(path);
        let mut file = self.dump.create_file(name).map_err(self.dump.cannot_write(name))?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            if let Some(err) = interrupted() {
                return Err(err);
            }
            match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    file.write_all(&buffer[..read]).map_err(self.dump.cannot_write(name))?;
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => (),
                Err(err) => return Err(archive::unreadable(err)),
            }
        }
    }

    /// What is on disk must be what the manifest says, byte by byte, before it gets its name.
    /// That it came from elsewhere is said before it is there: nobody shall find it without.
    fn publish(self, store: &Store, ctx: &Ctx) -> Result<(Manifest, String)> {
        let sealed = self.partial.seal(&mut |_| Ok(()))?;
        let mut wanted: Vec<_> = self.front.manifest.files.iter().collect();
        wanted.sort_by(|one, other| one.path.cmp(&other.path));
        if let Some(other) = sealed.files().iter().zip(wanted).find(|(is, was)| *is != *was) {
            let path = &other.1.path;
            return Err(archive::hostile(format!("`{path}` is not what its manifest says")));
        }
        store.note(&self.front.manifest.summary.backup_id, ctx.now(), Event::Imported)?;
        let published = sealed.publish_bytes(&self.front.manifest_bytes)?;
        Ok((self.front.manifest, published.manifest_sha256))
    }
}

/// A disk that will be full is said to be at once.
fn check_space(store: &Store, bytes: u64) -> Result<()> {
    let free = store.free_bytes()?;
    if bytes <= free {
        return Ok(());
    }
    let said = |it: u64| text::bytes(i64::try_from(it).unwrap_or(i64::MAX));
    let message = format!("the backup has {}, and {} are free", said(bytes), said(free));
    let source = io::Error::new(io::ErrorKind::StorageFull, message);
    Err(Error::WriteFile { path: store.path().to_owned(), source })
}
