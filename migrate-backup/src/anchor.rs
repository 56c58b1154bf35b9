//! The audit log as a witness: a manifest and the hash beside it can both be changed, the chain cannot.

use migrate_core::{
    connect::session::Session,
    ctx::Ctx,
    error::{Error, Result},
    ledger::{Ledger, Presence},
    record::{AuditMatch, Damage, DamageKind},
};

use crate::store::backup::{Backup, MANIFEST};

const AUDITED: &str = include_str!("../sql/audited_manifest.sql");

/// What the log says, and the damage that follows from it.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) says: AuditMatch,
    pub(crate) damage: Option<Damage>,
}

/// Asks the database that was named, if one was. Nothing of a backup depends on its being there.
pub(crate) fn ask(backup: &Backup, ctx: &Ctx) -> Witness {
    let without = |says| Witness { says, damage: None };
    if !ctx.config.names_database() {
        return without(AuditMatch::NotAsked);
    }
    ask_database(backup, ctx).unwrap_or_else(|err| {
        log::warn!("the audit log was not asked: {err}");
        without(AuditMatch::NotReachable)
    })
}

fn ask_database(backup: &Backup, ctx: &Ctx) -> Result<Witness> {
    let database = ctx.config.target()?.database()?;
    let session = Session::open(&database, "migrate-backup/verify")?;
    let ledger = Ledger::new(&ctx.config.ledger_schema)?;
    let summary = &backup.manifest.summary;
    let facts = session.facts();
    let same =
        facts.system_identifier == summary.system_identifier && facts.database == summary.database;
    let unknown = if same { AuditMatch::NotFound } else { AuditMatch::OtherDatabase };
    let unknown = Witness { says: unknown, damage: None };
    if ledger.look(&session)? == Presence::Absent {
        return Ok(unknown);
    }
    let row = session
        .query_opt(&ledger.sql(AUDITED), &[&backup.id().as_str()])
        .map_err(Error::database("ask the audit log"))?;
    let Some(row) = row else { return Ok(unknown) };
    let logged: Option<String> = row.get("manifest_sha256");
    if logged.as_ref() == Some(&backup.manifest_sha256) {
        return Ok(Witness { says: AuditMatch::Matches, damage: None });
    }
    let message = format!(
        "its SHA-256 is {}, and row {} of the audit log says {}: it was made anew",
        backup.manifest_sha256,
        row.get::<_, i64>("id"),
        logged.as_deref().unwrap_or("nothing")
    );
    let damage = Damage { object: MANIFEST.to_owned(), kind: DamageKind::Manifest, message };
    Ok(Witness { says: AuditMatch::Differs, damage: Some(damage) })
}
