//! What there is to say about migrations before they run, on the tables that the database has.

use migrate_core::{
    connect::session::Session,
    error::Result,
    lint::{self, Sizes},
    migration::Migration,
};

/// With more of them than this the database is most likely a new one, and empty.
const MANY: usize = 200;

/// How big the tables are that these migrations name. Nothing is known where they cannot be read:
/// that is said where they run.
pub(crate) fn sizes<'a>(
    session: &Session,
    migrations: impl Iterator<Item = &'a Migration>,
) -> Result<Sizes> {
    let migrations: Vec<&Migration> = migrations.take(MANY + 1).collect();
    if migrations.len() > MANY {
        return Ok(Sizes::default());
    }
    let mut names = Vec::new();
    for migration in migrations {
        names.extend(lint::tables(migration).unwrap_or_default());
    }
    names.sort_by_key(ToString::to_string);
    names.dedup();
    Sizes::read(session, &names)
}
