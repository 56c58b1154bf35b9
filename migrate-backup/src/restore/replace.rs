//! The restored copy takes the place of the live database, which is kept.

use std::sync::Arc;

use migrate_core::{
    connect::target::Database,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    fault::{self, Point},
    ledger::{audit, hold::Hold},
    record::{BackupRestored, Damage, Record, RestoreStarted, timestamp},
    server::programs::Programs,
};

use super::{
    Job, alike, damaged,
    exchange::{self, not_ended},
    into, kept,
    maintenance::{Maintenance, Mark, comment_sql, kept_name},
    preflight,
    swap::Exchange,
};
use crate::{
    copy::{Beside, Copy, Locale},
    load,
    place::Place,
    source::database,
    trial,
};

pub(super) fn run(job: &Job<'_>, ctx: &mut Ctx) -> Result<Exit> {
    let database = Arc::new(ctx.config.target()?.database()?);
    let place = match Place::on(Arc::clone(&database), ctx) {
        Ok(place) => place,
        Err(err) => return without_live(job, &database, err, ctx),
    };
    let manifest = &job.backup.manifest;
    if !job.args.of_another_database {
        preflight::check_identity(&place.session, manifest, job.backup.id())?;
    }
    let programs = load::programs_for(place.major())?;
    load::refuse_newer(&job.toc, &programs)?;
    let named = job.args.maintenance_db.as_deref();
    let mut maintenance = Maintenance::open(&database, named, &place.application)?;
    let name = place.session.facts().database.clone();
    kept::report_unrecorded(&place, &maintenance)?;
    preflight::check_exchange(&maintenance.session, &name)?;
    let found = preflight::check(&maintenance.session, manifest)?;
    let hold = place.hold("restore", job.args.wait, ctx)?;
    let work = Work { job, place: &place, hold: &hold, maintenance: &maintenance, name: &name };
    let filled = work.fill(found, &programs, ctx);
    let copy = match filled {
        Ok(Filled::Equal(copy)) => copy,
        Ok(Filled::Otherwise(damages)) => {
            hold.release(&place.session, &place.ledger, ctx)?;
            return damaged(job, damages, ctx);
        }
        Err(err) => {
            if let Err(lost) = hold.release(&place.session, &place.ledger, ctx) {
                log::warn!("the lock could not be given back, and ends by itself: {lost}");
            }
            return Err(err);
        }
    };
    let (system_identifier, run_id) =
        (place.session.facts().system_identifier.clone(), place.run_id.clone());
    let exchange = match plan(job, &maintenance, &copy, &name, &run_id, ctx) {
        Ok(exchange) => exchange,
        Err(err) => {
            drop_copy(&maintenance, &copy.name);
            hold.release(&place.session, &place.ledger, ctx)?;
            return Err(err);
        }
    };
    let done = match exchange::run(place, hold, &mut maintenance, &exchange, ctx) {
        Ok(done) => done,
        Err(err @ (Error::Unsure { .. } | Error::NotEnded { .. })) => return Err(err),
        Err(err) => {
            drop_copy(&maintenance, &copy.name);
            return Err(err);
        }
    };
    let mut warnings = copy.warnings;
    warnings.extend(done.warnings.iter().cloned());
    let summary = &manifest.summary;
    let line = ctx.line(Record::BackupRestored(BackupRestored {
        backup_id: summary.backup_id.clone(),
        created_at: summary.created_at,
        database: name.clone(),
        system_identifier,
        old_database: Some(exchange.kept_name.clone()),
        run_id: run_id.clone(),
        migration_head: summary.migration_head.as_ref().map(|it| it.version.clone()),
        audit_rows_carried: done.audit_rows_carried,
        bytes: summary.bytes,
        rows: summary.rows,
        tables: manifest.tables.len() as u64,
        ms: job.start.elapsed().as_millis() as u64,
        gap_ms: Some(done.gap.as_millis() as u64),
        warnings,
    }));
    let recorded = done.record(&line, summary.backup_id.as_str(), &run_id);
    ctx.emit_line(line);
    recorded.map_err(|err| not_ended(&exchange, err))?;
    log::info!(
        "`migrate-backup restore --undo` swaps back; `migrate-backup restore --drop-old` drops `{}`",
        exchange.kept_name
    );
    Ok(Exit::Ok)
}

/// The worst hour: the database is gone. Then its name is free, and nothing has to be kept.
fn without_live(
    job: &Job<'_>,
    database: &Arc<Database>,
    err: Error,
    ctx: &mut Ctx,
) -> Result<Exit> {
    let name = database.settings().dbname().to_owned();
    let named = job.args.maintenance_db.as_deref();
    let application = format!("{}/restore", ctx.tool());
    match Maintenance::open(database, named, &application) {
        Ok(maintenance) if maintenance.find(&name)?.is_none() => {
            log::info!("there is no database `{name}`: it is made anew");
            into::make(job, &maintenance, database, &name, ctx)
        }
        _ => Err(err),
    }
}

struct Work<'a> {
    job: &'a Job<'a>,
    place: &'a Place,
    hold: &'a Hold,
    maintenance: &'a Maintenance,
    name: &'a str,
}

enum Filled {
    Equal(Equal),
    Otherwise(Vec<Damage>),
}

/// A copy that is proven to be equal, under a name that only we know.
struct Equal {
    name: String,
    warnings: Vec<String>,
}

impl Work<'_> {
    fn fill(&self, found: preflight::Found, programs: &Programs, ctx: &mut Ctx) -> Result<Filled> {
        self.maintenance.drop_leftovers()?;
        let mut warnings = self.say_what_is_lost(found, ctx)?;
        let copy = self.maintenance.reserve_name()?;
        let filled = self.fill_copy(&copy, programs, ctx);
        match filled {
            Ok((damages, refused)) if damages.is_empty() => {
                warnings.extend(refused);
                fault::hit(Point::CopyProven);
                Ok(Filled::Equal(Equal { name: copy, warnings }))
            }
            Ok((damages, _)) => {
                drop_copy(self.maintenance, &copy);
                Ok(Filled::Otherwise(damages))
            }
            Err(err) => {
                drop_copy(self.maintenance, &copy);
                Err(err)
            }
        }
    }

    /// Returns what is not carried.
    fn say_what_is_lost(&self, found: preflight::Found, ctx: &mut Ctx) -> Result<Vec<String>> {
        let manifest = &self.job.backup.manifest;
        let live = &self.place.session;
        let losses = preflight::losses(live, &self.place.ledger, manifest)?;
        let mut not_carried = found.not_carried;
        not_carried.extend(database::stays_behind(live)?);
        not_carried
            .extend(manifest.subscriptions.iter().map(|it| format!("subscription \"{it}\"")));
        let line = ctx.line(Record::RestoreStarted(RestoreStarted {
            run_id: self.place.run_id.clone(),
            backup_id: self.job.backup.id().clone(),
            created_at: manifest.summary.created_at,
            database: self.name.to_owned(),
            system_identifier: live.facts().system_identifier.clone(),
            replaces: true,
            rows_lost: losses.rows_written,
            migrations_lost: losses.migrations,
            not_carried: not_carried.clone(),
            bytes_needed: found.bytes_needed,
            bytes_free: found.bytes_free,
        }));
        let subject = Some(self.job.backup.id().as_str());
        live.transaction(|live| {
            self.hold.lease.fence(live, &self.place.ledger)?;
            audit::append(live, &self.place.ledger, &line, subject, Some(&self.place.run_id))
        })?;
        ctx.emit_line(line);
        fault::hit(Point::IntentWritten);
        Ok(not_carried)
    }

    /// What is otherwise in it, and what could not be applied to it.
    fn fill_copy(
        &self,
        name: &str,
        programs: &Programs,
        ctx: &mut Ctx,
    ) -> Result<(Vec<Damage>, Vec<String>)> {
        let backup = self.job.backup;
        let manifest = &backup.manifest;
        let admin = &self.maintenance.session;
        let copy = Copy::create(
            admin,
            &self.place.database,
            name,
            &self.hold.application,
            manifest,
            Locale::Original,
        )?;
        fault::hit(Point::CopyMade);
        let stopped = || {
            let state = || format!("the copy is dropped, and `{}` is as it was", self.name);
            self.hold.stopped(state)
        };
        let jobs = self.job.args.jobs;
        copy.load(programs, &backup.dump_path(), jobs, Locale::Original, &stopped, ctx)?;
        let damages = copy.compare(
            &self.place.ledger,
            &self.job.inventory,
            &trial::is_of_place,
            Beside::Analyze,
            &stopped,
            ctx,
        )?;
        let refused = alike::apply(admin, name, &manifest.database_facts)?;
        match stopped() {
            Some(err) => Err(err),
            None => Ok((damages, refused)),
        }
    }
}

fn plan(
    job: &Job<'_>,
    maintenance: &Maintenance,
    copy: &Equal,
    name: &str,
    run_id: &str,
    ctx: &Ctx,
) -> Result<Exchange> {
    let databases = maintenance.databases()?;
    let find = |name: &str| {
        let gone = "a database was renamed or dropped meanwhile";
        let found = databases.iter().find(|it| it.name == name);
        found.ok_or_else(|| Error::refused("gone", gone, "look with psql -l"))
    };
    let (old, new) = (find(name)?, find(&copy.name)?);
    let time = ctx.now();
    let kept_name = kept_name(&databases, old, time);
    let mark = Mark {
        kept_of: name.to_owned(),
        at: timestamp(&time),
        backup_id: job.backup.id().to_string(),
        run_id: run_id.to_owned(),
        comment: maintenance.comment_of(old.oid)?,
    };
    let comment = job.backup.manifest.database_facts.comment.as_deref();
    Ok(Exchange {
        old: old.oid,
        new: new.oid,
        new_name: copy.name.clone(),
        name: name.to_owned(),
        also: vec![mark.sql(&kept_name), comment_sql(name, comment)],
        kept_name,
    })
}

/// Where this fails, the next restore does it.
pub(super) fn drop_copy(maintenance: &Maintenance, name: &str) {
    if let Err(err) = maintenance.drop_database(name) {
        log::warn!("the copy `{name}` could not be dropped, and the next restore will: {err}");
    }
}
