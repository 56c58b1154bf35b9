//! A copy in the making: an empty database, filled by pg_restore, compared with the manifest.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use migrate_core::{
    connect::{session::Session, target::Database},
    ctx::Ctx,
    error::{Error, Result},
    interrupt,
    inventory::{Difference, Inventory},
    ledger::{Ledger, quote_identifier, quote_literal},
    record::{BackupPhase, Damage},
    server::programs::Programs,
};

use crate::{
    compare,
    load::Load,
    manifest::{DatabaseFacts, Manifest},
    names::shown,
    progress::{Progress, Tables},
    source::{count::Counting, holds},
};

/// How often to look how large the copy has become.
const LOOK_AT_SIZE: Duration = Duration::from_secs(10);
/// What a copy may have above twice the size of the original: an archive can be made that has no end.
const SLACK_BYTES: i64 = 1 << 30;

/// The locale of the new database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locale {
    /// That of the original, or none.
    Original,
    /// By the bytes' order where the server does not know that of the original.
    Throwaway,
}

pub(crate) struct Copy<'a> {
    database: Database,
    application: String,
    manifest: &'a Manifest,
}

/// Why work must stop now, if it must.
pub(crate) type Stopped<'a> = &'a dyn Fn() -> Option<Error>;

impl<'a> Copy<'a> {
    /// Makes the empty database, from a session on another one of the server `beside`.
    pub(crate) fn create(
        admin: &Session,
        beside: &Database,
        name: &str,
        application: &str,
        manifest: &'a Manifest,
        locale: Locale,
    ) -> Result<Copy<'a>> {
        let facts = &manifest.database_facts;
        let version = admin.facts().server_version_num;
        let made = admin.run(&create_sql(name, facts, version, locale));
        let made = match made {
            Err(_) if locale == Locale::Throwaway => admin.run(&format!(
                "create database {} template template0 encoding {} lc_collate 'C' lc_ctype 'C'",
                quote_identifier(name),
                quote_literal(&facts.encoding)
            )),
            made => made,
        };
        made.map_err(Error::database("create a database for the copy"))?;
        let application = application.to_owned();
        Ok(Copy { database: beside.beside(name), application, manifest })
    }

    pub(crate) fn session(&self) -> Result<Session> {
        Session::open(&self.database, &self.application)
    }

    /// Fills it. Where this fails, nobody should use it.
    pub(crate) fn load(
        &self,
        programs: &Programs,
        dump: &Path,
        jobs: u32,
        place: Locale,
        stopped: Stopped<'_>,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let session = self.session()?;
        let mut settings = self.database.settings().clone();
        settings.set_application_name(self.application.clone());
        // The copy need not be on disk before it is whole: the COMMIT of the swap brings all there.
        settings.add_option("-c synchronous_commit=off -c default_transaction_read_only=off");
        if session.facts().server_version_num >= 140_000 {
            settings.add_option("-c client_connection_check_interval=1000");
        }
        let mut tables = Tables::default();
        for table in self.manifest.tables.iter().filter(|it| it.carried) {
            tables.add(shown(&table.schema, &table.name), table.bytes, Some(table.rows));
        }
        let mut progress = Progress::new(&self.manifest.summary.backup_id, BackupPhase::Load);
        let mut looked = Instant::now();
        let load = Load { programs, dump, jobs, without_tablespaces: place == Locale::Throwaway };
        load.run(&settings, &mut |note| {
            if let Some(err) = stopped() {
                return Err(err);
            }
            if let Some(note) = note {
                tables.hear(note);
                return Ok(());
            }
            if looked.elapsed() > LOOK_AT_SIZE {
                looked = Instant::now();
                self.refuse_bomb(&session)?;
            }
            progress.of_tables(&mut tables, Some(&session), &self.application, ctx);
            Ok(())
        })
    }

    fn refuse_bomb(&self, session: &Session) -> Result<()> {
        let row = session
            .query_one("select pg_database_size(current_database()) as bytes", &[])
            .map_err(Error::database("see how large the copy is"))?;
        let original = i64::try_from(self.manifest.database_facts.bytes).unwrap_or(i64::MAX);
        let limit = original.saturating_mul(2).saturating_add(SLACK_BYTES);
        let bytes: i64 = row.get("bytes");
        if bytes <= limit {
            return Ok(());
        }
        Err(Error::refused(
            "too_large",
            format!("the copy has {bytes} bytes already, and the original had {original}"),
            "this archive holds more than its manifest says: find out who made it",
        ))
    }

    /// What is otherwise than in the manifest; `analyze` gathers the planner's statistics, too.
    pub(crate) fn compare(
        &self,
        ledger: &Ledger,
        inventory: &Inventory,
        tolerated: &dyn Fn(&Difference) -> bool,
        work: Beside,
        stopped: Stopped<'_>,
        ctx: &mut Ctx,
    ) -> Result<Vec<Damage>> {
        let session = self.session()?;
        interrupt::cancels(Some(session.cancel()));
        let damages = self.compare_on(&session, ledger, inventory, tolerated, work, stopped, ctx);
        interrupt::cancels(None);
        damages.map_err(|err| stopped().unwrap_or(err))
    }

    #[expect(clippy::too_many_arguments, reason = "those of `compare`, and the session")]
    fn compare_on(
        &self,
        session: &Session,
        ledger: &Ledger,
        inventory: &Inventory,
        tolerated: &dyn Fn(&Difference) -> bool,
        work: Beside,
        stopped: Stopped<'_>,
        ctx: &mut Ctx,
    ) -> Result<Vec<Damage>> {
        let mut damages = compare::tables(session, ledger, self.manifest)?;
        if !damages.is_empty() {
            return Ok(damages);
        }
        let counting = self.start_counting()?;
        if work == Beside::Analyze {
            session.run("analyze").map_err(Error::database("gather statistics of the copy"))?;
        }
        damages.extend(compare::schema(inventory, &Inventory::read(session, None)?, tolerated));
        damages.extend(compare::sequences(self.manifest, &holds::sequences(session)?));
        damages.extend(compare::large_objects(self.manifest, holds::large_objects(session)?));
        self.wait_for(&counting, stopped, ctx)?;
        damages.extend(compare::counts(self.manifest, &counting.finish()?));
        Ok(damages)
    }

    fn start_counting(&self) -> Result<Counting> {
        let session = self.session()?;
        session
            .run("begin isolation level repeatable read read only")
            .map_err(Error::database("begin to count"))?;
        Counting::start(session, compare::jobs(self.manifest))
    }

    fn wait_for(&self, counting: &Counting, stopped: Stopped<'_>, ctx: &mut Ctx) -> Result<()> {
        const LOOK: Duration = Duration::from_millis(10);
        let mut progress = Progress::new(&self.manifest.summary.backup_id, BackupPhase::Compare);
        let bytes: Vec<u64> =
            self.manifest.tables.iter().filter(|it| it.carried).map(|it| it.bytes).collect();
        while !counting.is_finished() {
            if let Some(err) = stopped() {
                return Err(err);
            }
            let done = bytes.iter().take(counting.done().len()).sum();
            progress.of_bytes(done, Some(bytes.iter().sum()), ctx);
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// What is done while the copy is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    Analyze,
}

fn create_sql(name: &str, facts: &DatabaseFacts, version: u32, locale: Locale) -> String {
    let mut sql = format!(
        "create database {} template template0 encoding {} lc_collate {} lc_ctype {}",
        quote_identifier(name),
        quote_literal(&facts.encoding),
        quote_literal(&facts.collate),
        quote_literal(&facts.ctype)
    );
    if version >= 150_000 && facts.locale_provider != "libc" {
        sql += &format!(" locale_provider {}", quote_identifier(&facts.locale_provider));
        let option = if facts.locale_provider == "icu" { "icu_locale" } else { "builtin_locale" };
        if let Some(locale) = &facts.locale {
            sql += &format!(" {option} {}", quote_literal(locale));
        }
        if let Some(rules) = &facts.icu_rules {
            sql += &format!(" icu_rules {}", quote_literal(rules));
        }
    }
    if locale == Locale::Original && facts.tablespace != "pg_default" {
        sql += &format!(" tablespace {}", quote_identifier(&facts.tablespace));
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_originals_locale() {
        let mut facts = DatabaseFacts {
            owner: "joe".into(),
            encoding: "UTF8".into(),
            collate: "de_DE.UTF-8".into(),
            ctype: "de_DE.UTF-8".into(),
            locale_provider: "icu".into(),
            locale: Some("de".into()),
            icu_rules: None,
            collation_version: None,
            connection_limit: -1,
            tablespace: "fast".into(),
            comment: None,
            acl: None,
            settings: Default::default(),
            role_settings: Default::default(),
            collation_versions: Default::default(),
            bytes: 0,
        };
        assert_eq!(
            create_sql("x", &facts, 150_018, Locale::Original),
            "create database \"x\" template template0 encoding 'UTF8' lc_collate 'de_DE.UTF-8' \
             lc_ctype 'de_DE.UTF-8' locale_provider \"icu\" icu_locale 'de' tablespace \"fast\""
        );
        facts.locale_provider = "libc".into();
        let sql = create_sql("x", &facts, 150_018, Locale::Throwaway);
        assert!(sql.ends_with("lc_ctype 'de_DE.UTF-8'"), "{sql}");
    }
}
