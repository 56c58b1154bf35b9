//! `archive`: moves old rows of the log into a file, from which the chain goes on.
//!
//! The order is the safety: the file is written, synced, read again and verified, and only then do
//! the rows leave, in one transaction with the row that tells of it. Stopped between any two of
//! these, the log is whole, and at most there is a file too many.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use migrate_core::{
    anchor, cli,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    fault::{self, Point},
    ledger::{
        Presence, audit,
        lease::{Lease, LockName, refuse_unwritable},
    },
    plan::hex,
    record::{AuditArchived, Record},
};
use sha2::{Digest, Sha256};

use crate::{
    exported, period,
    place::Place,
    rows,
    verify::{chain::Chain, source},
};

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
The file is a line a row, with all that is hashed: `migrate-audit verify --archive FILE` reads it
together with the table, several files in any order. Keep it: what is in it is nowhere else. No
run may be under way. A damaged log is not archived.";

const RANGE: &str = include_str!("../sql/archive_range.sql");
const STILL: &str = include_str!("../sql/archive_still.sql");
const DELETE: &str = include_str!("../sql/archive_delete.sql");

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Move rows that are older than this
    #[arg(long, value_name = "TIME")]
    before: String,

    /// The file to write; it must not be there yet
    #[arg(long, value_name = "FILE")]
    to: PathBuf,

    /// How long to wait for a run to end
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = cli::duration)]
    wait: Duration,
}

/// What was written, and where the chain stands at its end.
struct Written {
    sha256: String,
    bytes: u64,
    rows: u64,
    last_hash: String,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let before = period::time(&args.before, ctx.now())?;
    let name = args.to.file_name().ok_or_else(|| {
        Error::usage("`--to` names no file", "write a file name: --to audit-2026.jsonl")
    })?;
    if args.to.symlink_metadata().is_ok() {
        return Err(exists(&args.to));
    }
    let place = Place::open("archive", ctx)?;
    refuse_unwritable(&place.session)?;
    if place.ledger.look_to_write(&place.session)? == Presence::Absent {
        return Err(place.no_ledger());
    }
    // A run that meets the lock of the log for as long as rows are removed would fail.
    Lease::keep_away(&place.session, &place.ledger, &LockName::default(), args.wait)?;
    let Some((first, last)) = range(&place, before)? else {
        log::info!(
            "no row is older than {}: nothing to do",
            migrate_core::record::timestamp(&before)
        );
        return Ok(Exit::Ok);
    };
    let partial = args.to.with_file_name(format!("{}.partial", name.to_string_lossy()));
    let written = write(&place, &partial, last, ctx).and_then(|written| {
        check(&partial, first, last, &written)?;
        publish(&partial, &args.to)?;
        Ok(written)
    });
    let written = written.inspect_err(|_| {
        let _ = fs::remove_file(&partial);
    })?;
    fault::hit(Point::ArchiveWritten);
    let origin = audit::origin(&place.session, &place.ledger)?;
    let origin = origin.ok_or_else(|| damaged("its first row is gone"))?;
    let archived = AuditArchived {
        file: name.to_string_lossy().into_owned(),
        sha256: written.sha256,
        bytes: written.bytes,
        rows: written.rows,
        first_id: first,
        last_id: last,
        last_hash: written.last_hash,
        before,
        environment: origin.environment,
        database: origin.database.unwrap_or_default(),
        system_identifier: origin.system_identifier.unwrap_or_default(),
    };
    remove(&place, archived, ctx)
}

/// The rows that are to leave.
fn range(place: &Place, before: DateTime<Utc>) -> Result<Option<(i64, i64)>> {
    let row = place
        .session
        .query_one(&place.ledger.sql(RANGE), &[&before])
        .map_err(Error::database("look for old rows"))?;
    let range: (Option<i64>, Option<i64>) = (row.get("first"), row.get("last"));
    match range {
        (Some(first), Some(last)) if first <= last => Ok(Some((first, last))),
        (Some(_), _) => Ok(None),
        (None, _) => Err(damaged("it is empty")),
    }
}

fn write(place: &Place, path: &Path, last: i64, ctx: &Ctx) -> Result<Written> {
    let failed = |source| Error::WriteFile { path: path.to_owned(), source };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = BufWriter::new(file.map_err(|err| match err.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => failed(err),
    })?);
    let (at, tool) = (ctx.now(), ctx.tool());
    let (mut digest, mut bytes, mut line) = (Sha256::new(), 0, Vec::new());
    let mut chain = Chain::default();
    place.read_only()?;
    rows::read(&place.session, &place.ledger, i64::MIN, last + 1, &mut |row| {
        chain.take(row);
        line.clear();
        exported::json(row, at, tool, &mut line)?;
        digest.update(&line);
        bytes += line.len() as u64;
        file.write_all(&line).map_err(failed)
    })?;
    place.session.run("commit").map_err(Error::database("end the reading"))?;
    if let Some(id) = chain.first_bad() {
        return Err(damaged(&format!("row {id} is not as it was written")));
    }
    let file = file.into_inner().map_err(|err| failed(err.into_error()))?;
    file.sync_all().map_err(failed)?;
    Ok(Written {
        sha256: format!("sha256:{}", hex(&digest.finalize())),
        bytes,
        rows: chain.rows,
        last_hash: hex(&chain.hash),
    })
}

/// Reads the file again, as `verify` will: what left the table is nowhere else.
fn check(path: &Path, first: i64, last: i64, written: &Written) -> Result<()> {
    let mut chain = Chain::default();
    source::file(path, &mut |row| {
        chain.take(row);
        Ok(())
    })?;
    let failed = |source| Error::ReadFile { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match reader.read(&mut buffer).map_err(failed)? {
            0 => break,
            read => digest.update(&buffer[..read]),
        }
    }
    let same = chain.first_bad().is_none()
        && chain.rows == written.rows
        && chain.rows == (last - first + 1).unsigned_abs()
        && chain.id == last
        && hex(&chain.hash) == written.last_hash
        && format!("sha256:{}", hex(&digest.finalize())) == written.sha256;
    if same {
        return Ok(());
    }
    Err(failed(io::Error::other("what was read back is not what was written: is the disk sound?")))
}

/// Gives the file its name, which nobody else may have taken meanwhile.
fn publish(partial: &Path, path: &Path) -> Result<()> {
    let failed = |source| Error::WriteFile { path: path.to_owned(), source };
    fs::hard_link(partial, path).map_err(|err| match err.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => failed(err),
    })?;
    fs::remove_file(partial).map_err(failed)?;
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|it| it.sync_all()).map_err(failed)
}

/// Appends the row that tells of the archive, and removes what it tells of.
fn remove(place: &Place, archived: AuditArchived, ctx: &mut Ctx) -> Result<Exit> {
    let (last, rows, last_hash) = (archived.last_id, archived.rows, archived.last_hash.clone());
    let subject = archived.file.clone();
    let line = ctx.line(Record::AuditArchived(archived));
    let head = place.session.transaction(|session| {
        let head = audit::append(session, &place.ledger, &line, Some(&subject), None)?;
        let failed = || Error::database("remove archived rows");
        let still = session
            .query_one(&place.ledger.sql(STILL), &[&last, &last_hash])
            .map_err(failed())?
            .get::<_, bool>(0);
        let removed = session.execute(&place.ledger.sql(DELETE), &[&last]).map_err(failed())?;
        if !still || removed != rows {
            return Err(damaged("it was changed while it was archived"));
        }
        fault::hit(Point::ArchiveRemoved);
        Ok(head)
    })?;
    ctx.emit_line(line);
    if let Some(path) = &ctx.config.anchors {
        anchor::keep(path, ctx.now(), place.session.facts(), place.ledger.schema(), &head);
    }
    Ok(Exit::Ok)
}

fn exists(path: &Path) -> Error {
    Error::refused(
        "file_exists",
        format!("{} is there already", path.display()),
        "name another file; one that a run left which was stopped holds rows that are still in the \
         table, if `migrate-audit verify` finds it to overlap",
    )
}

fn damaged(how: &str) -> Error {
    Error::refused(
        "audit_log_damaged",
        format!("the audit log is damaged, and nothing of it was removed: {how}"),
        "see what happened to it with `migrate-audit verify`",
    )
}
