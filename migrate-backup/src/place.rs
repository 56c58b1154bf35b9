//! The database that a command works on, before anything is locked.

use std::{sync::Arc, time::Duration};

use migrate_core::{
    connect::{session::Session, target::Database},
    ctx::Ctx,
    error::{Error, Result},
    ledger::{
        Ledger,
        hold::{Hold, Purpose},
    },
};

pub(crate) struct Place {
    pub(crate) database: Arc<Database>,
    pub(crate) session: Session,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) run_id: String,
    pub(crate) application: String,
}

impl Place {
    /// Connects; nothing is written.
    pub(crate) fn open(ctx: &Ctx) -> Result<Place> {
        let database = Arc::new(ctx.config.target()?.database()?);
        Place::on(database, ctx)
    }

    pub(crate) fn on(database: Arc<Database>, ctx: &Ctx) -> Result<Place> {
        let ledger = Arc::new(Ledger::new(&ctx.config.ledger_schema)?);
        let now = ctx.now().format("%Y%m%dT%H%M%SZ");
        let run_id = format!("{now}-{:06x}", fastrand::u32(..0x100_0000));
        let application = format!("{}/{run_id}", ctx.tool());
        let session = Session::open(&database, &application)?;
        ctx.config.check_pin(session.facts())?;
        if session.facts().system_identifier.is_empty() {
            return Err(Error::refused(
                "no_identity",
                format!(
                    "role `{}` may not ask which system this is, by which a backup is told from \
                     those of other servers",
                    session.facts().role
                ),
                "grant execute on function pg_control_system() to it",
            ));
        }
        Ok(Place { database, session, ledger, run_id, application })
    }

    pub(crate) fn major(&self) -> u32 {
        self.session.facts().server_version_num / 10_000
    }

    /// Takes the lock that migrations take, so that neither stands in the other's way.
    pub(crate) fn hold(&self, what: &str, wait: Duration, ctx: &mut Ctx) -> Result<Hold> {
        let purpose = Purpose {
            tool: ctx.tool(),
            run_id: self.run_id.clone(),
            reason: format!("migrate-backup {what}, run {}", self.run_id),
            wait,
        };
        Hold::take(&self.session, &self.database, &self.ledger, &purpose, ctx)
    }
}
