//! A copy in a database beside the target, on the same server.

use super::{Needs, Place, Scratch};
use crate::{
    connect::{session::Session, target::Database},
    error::{Error, Result},
    ledger::{quote_identifier, quote_literal},
};

const LEFTOVERS: &str = include_str!("../../sql/scratch_leftovers.sql");

/// Ours among the advisory locks of a database, beside that of leases: "migs".
const CLASS: i32 = 0x6d69_6773;

/// The database; goes when this is dropped.
pub(super) struct Beside {
    name: String,
    /// On the target: holds the advisory lock that says that the copy is in use.
    session: Session,
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Err(err) = drop_database(&self.session, &self.name) {
            log::warn!("cannot drop the copy `{}`: {err}; the next dry run does", self.name);
        }
    }
}

/// An empty database; `obstacle` is why there is no private server.
pub(super) fn make(
    target: &Database,
    session: &Session,
    needs: &Needs,
    obstacle: &str,
) -> Result<Scratch> {
    let facts = session.facts();
    let hint = format!(
        "install what lacks (apt-get install postgresql-{}), grant the role `createdb`, \
         or use `--dry-run=here`",
        needs.major
    );
    let refused = |why: &str| Error::refused("no_copy", format!("{obstacle}; {why}"), hint.clone());
    if facts.in_recovery {
        return Err(refused("and beside the target no database can be made: it is a standby"));
    }
    if !needs.may_create {
        return Err(refused(&format!(
            "and role `{}` may not make a database beside the target",
            facts.role
        )));
    }
    if needs.foreign_servers && !facts.superuser {
        return Err(refused(
            "and a copy beside the target would reach the same foreign servers as the target does",
        ));
    }
    let owner = Session::open(target, "migrate-scratch")?;
    // The target's own number, so that two databases don't clear up each other's copies.
    let prefix = format!("migrate_scratch_{}_", needs.database);
    drop_leftovers(&owner, &prefix)?;
    let key = fastrand::i32(..);
    let name = format!("{prefix}{:08x}", key.cast_unsigned());
    try_lock(&owner, key)?;
    owner
        .run(&format!(
            "create database {} template template0 encoding {}",
            quote_identifier(&name),
            quote_literal(&facts.encoding)
        ))
        .map_err(Error::database("create a database for the copy"))?;
    let database = target.beside(&name);
    Ok(Scratch {
        database,
        place: Place::Beside { _owner: Box::new(Beside { name, session: owner }) },
        notes: Vec::new(),
    })
}

/// Whoever can have the lock of a copy knows that its run is gone.
fn drop_leftovers(session: &Session, prefix: &str) -> Result<()> {
    let rows = session
        .query(LEFTOVERS, &[&prefix])
        .map_err(Error::database("look for copies that killed runs left"))?;
    for row in rows {
        let name: &str = row.get("name");
        let Some(key) = name.strip_prefix(prefix).and_then(|it| u32::from_str_radix(it, 16).ok())
        else {
            continue;
        };
        if !try_lock(session, key.cast_signed())? {
            continue;
        }
        log::debug!("dropping {name}, which a killed run left");
        if let Err(err) = drop_database(session, name) {
            log::warn!("cannot drop the copy `{name}` that a killed run left: {err}");
        }
    }
    Ok(())
}

fn try_lock(session: &Session, key: i32) -> Result<bool> {
    let row = session
        .query_one("select pg_try_advisory_lock($1, $2)", &[&CLASS, &key])
        .map_err(Error::database("lock the copy"))?;
    Ok(row.get(0))
}

/// With force: a session of ours may not have ended yet. Servers of version 12 wait for it.
fn drop_database(session: &Session, name: &str) -> Result<()> {
    let force = if session.facts().server_version_num >= 130_000 { " with (force)" } else { "" };
    session
        .run(&format!("drop database if exists {}{force}", quote_identifier(name)))
        .map_err(Error::database("drop the copy"))
}
