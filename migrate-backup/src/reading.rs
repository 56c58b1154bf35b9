//! Level `read`: pg_restore decompresses and reads every byte of the archive.

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    interrupt,
    record::{BackupPhase, Damage, DamageKind},
};

use crate::{
    load,
    names::shown,
    progress::{Progress, Tables},
    store::backup::{Backup, DUMP},
    toc::Toc,
};

/// What pg_restore finds wrong with the archive.
pub(crate) fn check(backup: &Backup, toc: &Toc, ctx: &mut Ctx) -> Result<Vec<Damage>> {
    let programs = load::programs_to_read(toc)?;
    let mut tables = Tables::default();
    for table in backup.manifest.tables.iter().filter(|it| it.carried) {
        tables.add(shown(&table.schema, &table.name), table.bytes, None);
    }
    let mut progress = Progress::new(backup.id(), BackupPhase::Read);
    let read = load::read(&programs, &backup.dump_path(), &mut |note| {
        if let Some(signal) = interrupt::received() {
            let state = "the backup is as it was, and nothing was proven".to_owned();
            return Err(Error::Interrupted { signal, state });
        }
        match note {
            Some(note) => tables.hear(note),
            None => progress.of_tables(&mut tables, None, "", ctx),
        }
        Ok(())
    });
    match read {
        Ok(remarks) => {
            let damage =
                |message| Damage { object: DUMP.to_owned(), kind: DamageKind::Archive, message };
            Ok(remarks.warnings.into_iter().map(damage).collect())
        }
        Err(Error::Failed { message, .. }) => {
            Ok(vec![Damage { object: DUMP.to_owned(), kind: DamageKind::Archive, message }])
        }
        Err(err) => Err(err),
    }
}
