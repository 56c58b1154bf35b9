//! The database and its ledger, with nothing locked and nothing written.

use std::{sync::Arc, time::Duration};

use migrate_core::{
    cli,
    connect::{session::Session, target::Database},
    ctx::Ctx,
    error::Result,
    ledger::Ledger,
};

/// Longer leases are no leases.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

pub(crate) struct Place {
    pub(crate) database: Arc<Database>,
    pub(crate) session: Session,
    pub(crate) ledger: Arc<Ledger>,
}

impl Place {
    /// Connects for `command`, which is what others see of us in `pg_stat_activity`.
    pub(crate) fn open(command: &str, ctx: &Ctx) -> Result<Place> {
        let ledger = Arc::new(Ledger::new(&ctx.config.ledger_schema)?);
        let database = Arc::new(ctx.config.target()?.database()?);
        let session = Session::open(&database, &format!("migrate-lock/{command}"))?;
        ctx.config.check_pin(session.facts())?;
        Ok(Place { database, session, ledger })
    }
}

/// How long a lease lives: long enough to be renewed over a network.
pub(crate) fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = cli::duration(text)?;
    if (Duration::from_secs(1)..=LONGEST).contains(&ttl) {
        Ok(ttl)
    } else {
        Err("a lease lives between 1s and 366days".to_owned())
    }
}
