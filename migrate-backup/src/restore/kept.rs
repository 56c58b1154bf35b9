//! `restore --undo` and `restore --drop-old`: what becomes of a database that a restore has put aside.

use std::time::Instant;

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    ledger::{Presence, audit},
    record::{BackupDropped, BackupSwappedBack, Line, Record, timestamp},
};

use super::{
    Args, exchange,
    maintenance::{Found, Maintenance, Mark, comment_sql, kept_name},
    preflight,
    swap::Exchange,
};
use crate::place::Place;

const RECORDED: &str = include_str!("../../sql/run_recorded.sql");

/// Swaps back: the database from before has its name again, and the restored one is kept.
pub(crate) fn undo(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let start = Instant::now();
    let place = Place::open(ctx)?;
    let mut maintenance =
        Maintenance::open(&place.database, args.maintenance_db.as_deref(), &place.application)?;
    let name = place.session.facts().database.clone();
    report_unrecorded(&place, &maintenance)?;
    // Before the lock, which leaves traces; and again under it.
    plan_undo(&place, &maintenance, ctx)?;
    let hold = place.hold("restore --undo", args.wait, ctx)?;
    let planned = plan_undo(&place, &maintenance, ctx);
    let (exchange, mark) = match planned {
        Ok(planned) => planned,
        Err(err) => {
            hold.release(&place.session, &place.ledger, ctx)?;
            return Err(err);
        }
    };
    let system_identifier = place.session.facts().system_identifier.clone();
    let run_id = place.run_id.clone();
    let done = exchange::run(place, hold, &mut maintenance, &exchange, ctx)?;
    let line = ctx.line(Record::BackupSwappedBack(BackupSwappedBack {
        backup_id: mark.backup_id,
        run_id: run_id.clone(),
        database: name.clone(),
        system_identifier,
        restored_database: exchange.kept_name.clone(),
        audit_rows_carried: done.audit_rows_carried,
        warnings: done.warnings.clone(),
        gap_ms: Some(done.gap.as_millis() as u64),
        ms: start.elapsed().as_millis() as u64,
    }));
    let recorded = done.record(&line, &name, &run_id);
    ctx.emit_line(line);
    recorded.map_err(|err| exchange::not_ended(&exchange, err))?;
    log::info!("`migrate-backup restore --drop-old` drops `{}`", exchange.kept_name);
    Ok(Exit::Ok)
}

/// The newest kept database of this one takes its place again.
fn plan_undo(place: &Place, maintenance: &Maintenance, ctx: &Ctx) -> Result<(Exchange, Mark)> {
    let name = &place.session.facts().database;
    preflight::check_exchange(&maintenance.session, name)?;
    let databases = maintenance.databases()?;
    let kept = kept_of(&databases, name).pop().ok_or_else(|| nothing_kept(name))?;
    let mark = kept.mark.clone().expect("it is one of those with a mark");
    let live = databases.iter().find(|it| it.name == *name);
    let live = live.ok_or_else(|| nothing_kept(name))?;
    let time = ctx.now();
    let kept_name = kept_name(&databases, live, time);
    let aside = Mark {
        kept_of: name.clone(),
        at: timestamp(&time),
        backup_id: mark.backup_id.clone(),
        run_id: place.run_id.clone(),
        comment: maintenance.comment_of(live.oid)?,
    };
    let exchange = Exchange {
        old: live.oid,
        new: kept.oid,
        new_name: kept.name.clone(),
        name: name.clone(),
        also: vec![aside.sql(&kept_name), comment_sql(name, mark.comment.as_deref())],
        kept_name,
    };
    Ok((exchange, mark))
}

/// Drops a database that a restore or an undo has put aside, and no other.
pub(crate) fn drop_old(args: &Args, named: &str, ctx: &mut Ctx) -> Result<Exit> {
    let place = Place::open(ctx)?;
    let maintenance =
        Maintenance::open(&place.database, args.maintenance_db.as_deref(), &place.application)?;
    pick(&place, &maintenance, named)?;
    let hold = place.hold("restore --drop-old", args.wait, ctx)?;
    let dropped = drop_kept(&place, &maintenance, named, ctx);
    let recorded = dropped.and_then(|line| {
        let subject = Some(place.session.facts().database.as_str());
        audit::record(&place.session, &place.ledger, &line, subject, Some(&place.run_id))?;
        Ok(line)
    });
    match recorded {
        Ok(line) => {
            ctx.emit_line(line);
            hold.release(&place.session, &place.ledger, ctx)?;
            Ok(Exit::Ok)
        }
        Err(err) => {
            hold.release(&place.session, &place.ledger, ctx)?;
            Err(err)
        }
    }
}

fn drop_kept(place: &Place, maintenance: &Maintenance, named: &str, ctx: &Ctx) -> Result<Line> {
    let start = Instant::now();
    let found = pick(place, maintenance, named)?;
    let bytes = maintenance.size_of(found.oid)?;
    maintenance.drop_database(&found.name)?;
    let facts = place.session.facts();
    Ok(ctx.line(Record::BackupDropped(BackupDropped {
        database: facts.database.clone(),
        old_database: found.name,
        system_identifier: facts.system_identifier.clone(),
        bytes,
        ms: start.elapsed().as_millis() as u64,
    })))
}

/// The kept database that is meant; refused where that is not sure.
fn pick(place: &Place, maintenance: &Maintenance, named: &str) -> Result<Found> {
    let name = &place.session.facts().database;
    let databases = maintenance.databases()?;
    let mut kept = kept_of(&databases, name);
    if !named.is_empty() {
        kept.retain(|it| it.name == named);
        if kept.is_empty() {
            return Err(Error::refused(
                "not_kept",
                format!("`{named}` is no database that a restore of `{name}` has kept"),
                "only such a one is dropped here",
            ));
        }
    }
    match kept[..] {
        [] => Err(nothing_kept(name)),
        [found] => Ok(found.clone()),
        _ => {
            let names: Vec<String> = kept.iter().map(|it| format!("`{}`", it.name)).collect();
            Err(Error::refused(
                "several_kept",
                format!("several databases are kept of `{name}`: {}", names.join(", ")),
                "name one: `--drop-old=NAME`",
            ))
        }
    }
}

/// A run that was killed after its exchange could not say so: whoever comes next does.
pub(super) fn report_unrecorded(place: &Place, maintenance: &Maintenance) -> Result<()> {
    let Place { session, ledger, .. } = place;
    if ledger.look(session)? == Presence::Absent {
        return Ok(());
    }
    let databases = maintenance.databases()?;
    for found in kept_of(&databases, &session.facts().database) {
        let Some(mark) = &found.mark else { continue };
        let row = session
            .query_one(&ledger.sql(RECORDED), &[&mark.run_id])
            .map_err(Error::database("look for restores that were killed"))?;
        if !row.get::<_, bool>("recorded") {
            log::warn!(
                "run {} put `{}` aside for the backup {} at {}, and was killed before it could say so",
                mark.run_id,
                found.name,
                mark.backup_id,
                mark.at
            );
        }
    }
    Ok(())
}

/// Those that are marked as kept of the database, the newest last.
fn kept_of<'a>(databases: &'a [Found], name: &str) -> Vec<&'a Found> {
    let mut kept: Vec<&Found> = databases
        .iter()
        .filter(|it| it.mark.as_ref().is_some_and(|mark| mark.kept_of == name) && it.name != name)
        .collect();
    kept.sort_by(|one, other| {
        let at = |it: &Found| it.mark.as_ref().map(|mark| mark.at.clone());
        at(one).cmp(&at(other))
    });
    kept
}

fn nothing_kept(name: &str) -> Error {
    Error::refused(
        "nothing_kept",
        format!("no database is kept of a restore of `{name}`"),
        "`restore` keeps the one that it replaces, until `restore --drop-old`",
    )
}
