//! Level `restore`: the backup is loaded into a throwaway database, which is compared with the manifest.

use migrate_core::{
    connect::{session::Session, target::Database},
    ctx::Ctx,
    error::{Error, Result},
    interrupt,
    inventory::{Change, Difference, Inventory},
    ledger::{Ledger, quote_identifier},
    record::{Damage, DamageKind},
    scratch::Throwaway,
};

use crate::{
    copy::{Beside, Copy, Locale, Stopped},
    dump::INVENTORY,
    load,
    place::Place,
    restore::maintenance::Maintenance,
    store::backup::{Backup, DUMP},
    toc::Toc,
};

/// More than any schema takes.
const LARGEST_INVENTORY: u64 = 1 << 30;

/// What is wrong with the restored copy; nothing if it is equal.
pub(crate) fn check(backup: &Backup, toc: &Toc, jobs: u32, ctx: &mut Ctx) -> Result<Vec<Damage>> {
    let inventory = inventory(backup)?;
    match private(backup)? {
        Ok(server) => {
            let admin = Session::open(server.database(), "migrate-backup/verify")?;
            make_roles(&admin, &backup.manifest.roles)?;
            let trial = Trial { backup, toc, inventory: &inventory, jobs };
            trial.run(&admin, server.database(), "migrate_trial", ctx)
        }
        Err(obstacle) => {
            log::info!("{obstacle}: so the trial is a database beside the one that was named");
            beside(backup, toc, &inventory, &obstacle, jobs, ctx)
        }
    }
}

/// The schema as it was recorded.
pub(crate) fn inventory(backup: &Backup) -> Result<Inventory> {
    let dump = backup.folder().folder(DUMP).map_err(backup.folder().cannot_read(DUMP))?;
    let text = dump.read(INVENTORY, LARGEST_INVENTORY).map_err(dump.cannot_read(INVENTORY))?;
    Inventory::parse(String::from_utf8_lossy(&text).into_owned()).map_err(|line| {
        Error::refused(
            "unusable_backup",
            format!("line {line} of {INVENTORY} cannot be read"),
            "use another backup",
        )
    })
}

/// A private server that can take the backup, or what stands in the way of one.
fn private(backup: &Backup) -> Result<Result<Throwaway, String>> {
    let major = backup.manifest.summary.server_version_num / 10_000;
    let Some(programs) = Throwaway::programs(major) else {
        return Ok(Err(format!("there are no server programs of PostgreSQL {major} here")));
    };
    let server = Throwaway::start(&programs)?;
    let session = Session::open(server.database(), "migrate-backup/verify")?;
    let names: Vec<String> = backup.manifest.extensions.iter().map(|it| it.name.clone()).collect();
    let lacking = Throwaway::lacking(&session, &names)?;
    drop(session);
    if lacking.is_empty() {
        return Ok(Ok(server));
    }
    Ok(Err(format!(
        "PostgreSQL {} on this machine lacks the extensions {}",
        programs.version,
        lacking.join(", ")
    )))
}

/// As superusers: what may belong to nobody else would fail, and nothing else is on this server.
fn make_roles(admin: &Session, roles: &[String]) -> Result<()> {
    for role in roles.iter().filter(|it| **it != admin.facts().role) {
        admin
            .run(&format!("create role {} superuser nologin", quote_identifier(role)))
            .map_err(Error::database("make a role for the trial"))?;
    }
    Ok(())
}

fn beside(
    backup: &Backup,
    toc: &Toc,
    inventory: &Inventory,
    obstacle: &str,
    jobs: u32,
    ctx: &mut Ctx,
) -> Result<Vec<Damage>> {
    let cannot = |why: &str| Error::Unavailable {
        kind: "no_place_for_a_trial",
        message: format!("the backup cannot be restored here to try it: {obstacle}; {why}"),
        hint: Some(
            "install what lacks, or name a server with --database-url; that says nothing about \
             the backup"
                .to_owned(),
        ),
    };
    if !ctx.config.names_database() {
        return Err(cannot("and no database is named beside which it could be"));
    }
    let place = Place::open(ctx)?;
    let names: Vec<String> = backup.manifest.extensions.iter().map(|it| it.name.clone()).collect();
    let lacking = Throwaway::lacking(&place.session, &names)?;
    if !lacking.is_empty() {
        return Err(cannot(&format!("and the server lacks the extensions {}", lacking.join(", "))));
    }
    let maintenance = Maintenance::open(&place.database, None, &place.application)?;
    maintenance.drop_leftovers()?;
    let name = maintenance.reserve_name()?;
    let trial = Trial { backup, toc, inventory, jobs };
    let found = trial.run(&maintenance.session, &place.database, &name, ctx);
    maintenance.drop_database(&name)?;
    found
}

struct Trial<'a> {
    backup: &'a Backup,
    toc: &'a Toc,
    inventory: &'a Inventory,
    jobs: u32,
}

impl Trial<'_> {
    fn run(
        &self,
        admin: &Session,
        beside: &Database,
        name: &str,
        ctx: &mut Ctx,
    ) -> Result<Vec<Damage>> {
        let manifest = &self.backup.manifest;
        let programs = load::programs_for(admin.facts().server_version_num / 10_000)?;
        load::refuse_newer(self.toc, &programs)?;
        let application = "migrate-backup/verify";
        let copy = Copy::create(admin, beside, name, application, manifest, Locale::Throwaway)?;
        let stopped: Stopped<'_> = &|| {
            interrupt::received().map(|signal| Error::Interrupted {
                signal,
                state: "the trial was removed, and nothing was proven".to_owned(),
            })
        };
        let dump = self.backup.dump_path();
        match copy.load(&programs, &dump, self.jobs, Locale::Throwaway, stopped, ctx) {
            Ok(()) => (),
            // That is what the trial is for.
            Err(Error::Failed { message, .. }) => {
                let object = DUMP.to_owned();
                return Ok(vec![Damage { object, kind: DamageKind::Archive, message }]);
            }
            Err(err) => return Err(err),
        }
        let ledger = Ledger::new(&ctx.config.ledger_schema)?;
        let tolerated = |it: &Difference| is_of_place(it);
        copy.compare(&ledger, self.inventory, &tolerated, Beside::Nothing, stopped, ctx)
    }
}

/// What the server decides, and not the backup: CREATE EXTENSION takes the version that it has.
pub(crate) fn is_of_place(it: &Difference) -> bool {
    it.kind == "extension" && matches!(it.change, Change::Changed(_))
}
