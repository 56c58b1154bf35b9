//! A new database is made of a backup; there is none of that name before, and none is replaced.

use std::sync::Arc;

use migrate_core::{
    connect::{session::Session, target::Database},
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    fault::{self, Point},
    interrupt,
    ledger::{Ledger, Presence, audit, handover, quote_identifier},
    record::{BackupRestored, Damage, Line, Record, RestoreStarted},
};

use super::{
    Job, alike, damaged,
    maintenance::{Maintenance, comment_sql},
    preflight,
    replace::drop_copy,
};
use crate::{
    copy::{Beside, Copy, Locale},
    load, trial,
};

/// The server cuts longer names without a word.
const LONGEST_NAME: usize = 63;

pub(super) fn run(job: &Job<'_>, name: &str, ctx: &mut Ctx) -> Result<Exit> {
    if name.is_empty() || name.len() > LONGEST_NAME || name.contains('\0') {
        return Err(Error::usage(
            format!("`{}` cannot be a database's name", name.escape_debug()),
            format!("a name has 1 to {LONGEST_NAME} bytes"),
        ));
    }
    let database = Arc::new(ctx.config.target()?.database()?);
    let named = job.args.maintenance_db.as_deref();
    let application = format!("{}/restore", ctx.tool());
    let maintenance = Maintenance::open(&database, named, &application)?;
    make(job, &maintenance, &database, name, ctx)
}

/// Fills a copy under a name that only we know, and gives it its own when it is proven: a killed run
/// leaves nothing under that name.
pub(super) fn make(
    job: &Job<'_>,
    maintenance: &Maintenance,
    database: &Arc<Database>,
    name: &str,
    ctx: &mut Ctx,
) -> Result<Exit> {
    let manifest = &job.backup.manifest;
    let admin = &maintenance.session;
    if maintenance.exists(name)? {
        return Err(Error::refused(
            "database_exists",
            format!("there is a database `{name}` already"),
            "name another one with `--into`, or drop that one",
        ));
    }
    may_create(admin)?;
    load::refuse_newer(&job.toc, &load::programs_for(admin.facts().server_version_num / 10_000)?)?;
    let found = preflight::check(admin, manifest)?;
    let run_id = format!("{}-{:06x}", ctx.now().format("%Y%m%dT%H%M%SZ"), fastrand::u32(..1 << 24));
    let mut not_carried = found.not_carried;
    not_carried.extend(manifest.subscriptions.iter().map(|it| format!("subscription \"{it}\"")));
    ctx.emit(Record::RestoreStarted(RestoreStarted {
        run_id: run_id.clone(),
        backup_id: job.backup.id().clone(),
        created_at: manifest.summary.created_at,
        database: name.to_owned(),
        system_identifier: admin.facts().system_identifier.clone(),
        replaces: false,
        rows_lost: None,
        migrations_lost: Vec::new(),
        not_carried: not_carried.clone(),
        bytes_needed: found.bytes_needed,
        bytes_free: found.bytes_free,
    }));
    maintenance.drop_leftovers()?;
    let copy = maintenance.reserve_name()?;
    let filled = fill(job, maintenance, database, &copy, ctx).and_then(|(damages, refused)| {
        if damages.is_empty() {
            admin
                .run(&format!(
                    "alter database {} rename to {}",
                    quote_identifier(&copy),
                    quote_identifier(name)
                ))
                .map_err(Error::database("give the new database its name"))?;
        }
        Ok((damages, refused))
    });
    match filled {
        Ok((damages, refused)) if damages.is_empty() => not_carried.extend(refused),
        Ok((damages, _)) => {
            drop_copy(maintenance, &copy);
            return damaged(job, damages, ctx);
        }
        Err(err) => {
            drop_copy(maintenance, &copy);
            return Err(err);
        }
    }
    let summary = &manifest.summary;
    let line = ctx.line(Record::BackupRestored(BackupRestored {
        backup_id: summary.backup_id.clone(),
        created_at: summary.created_at,
        database: name.to_owned(),
        system_identifier: admin.facts().system_identifier.clone(),
        old_database: None,
        run_id: run_id.clone(),
        migration_head: summary.migration_head.as_ref().map(|it| it.version.clone()),
        audit_rows_carried: 0,
        bytes: summary.bytes,
        rows: summary.rows,
        tables: manifest.tables.len() as u64,
        ms: job.start.elapsed().as_millis() as u64,
        gap_ms: None,
        warnings: not_carried,
    }));
    let recorded = record(&database.beside(name), &line, summary.backup_id.as_str(), &run_id, ctx);
    ctx.emit_line(line);
    recorded.map_err(|err| Error::NotEnded {
        kind: "not_recorded",
        message: format!("`{name}` is whole, but its audit log could not be written: {err}"),
        hint: None,
    })?;
    Ok(Exit::Ok)
}

fn may_create(admin: &Session) -> Result<()> {
    let row = admin
        .query_one(
            "select rolsuper or rolcreatedb as may from pg_roles where rolname = session_user",
            &[],
        )
        .map_err(Error::database("see what this role may do"))?;
    if row.get("may") {
        return Ok(());
    }
    Err(Error::refused(
        "not_allowed",
        format!("role `{}` cannot make a database: it lacks CREATEDB", admin.facts().role),
        "connect as a role that may; nothing was changed",
    ))
}

fn fill(
    job: &Job<'_>,
    maintenance: &Maintenance,
    database: &Arc<Database>,
    name: &str,
    ctx: &mut Ctx,
) -> Result<(Vec<Damage>, Vec<String>)> {
    let admin = &maintenance.session;
    let manifest = &job.backup.manifest;
    let application = format!("{}/restore", ctx.tool());
    let programs = load::programs_for(admin.facts().server_version_num / 10_000)?;
    let copy = Copy::create(admin, database, name, &application, manifest, Locale::Original)?;
    fault::hit(Point::CopyMade);
    let stopped = || {
        interrupt::received().map(|signal| Error::Interrupted {
            signal,
            state: "the new database was dropped".to_owned(),
        })
    };
    let dump = job.backup.dump_path();
    copy.load(&programs, &dump, job.args.jobs, Locale::Original, &stopped, ctx)?;
    let ledger = Ledger::new(&ctx.config.ledger_schema)?;
    let damages =
        copy.compare(&ledger, &job.inventory, &trial::is_of_place, Beside::Analyze, &stopped, ctx)?;
    let refused = alike::apply(admin, name, &manifest.database_facts)?;
    admin
        .run(&comment_sql(name, manifest.database_facts.comment.as_deref()))
        .map_err(Error::database("comment on the new database"))?;
    fault::hit(Point::CopyProven);
    match stopped() {
        Some(err) => Err(err),
        None => Ok((damages, refused)),
    }
}

/// In the new database's own log, which goes on from that of the backup.
fn record(database: &Database, line: &Line, subject: &str, run_id: &str, ctx: &Ctx) -> Result<()> {
    let session = Session::open(database, "migrate-backup/restore")?;
    let ledger = Ledger::new(&ctx.config.ledger_schema)?;
    if ledger.look_to_write(&session)? == Presence::Absent {
        return Ok(());
    }
    handover::clear(&session, &ledger)?;
    audit::record(&session, &ledger, line, Some(subject), Some(run_id)).map(drop)
}
