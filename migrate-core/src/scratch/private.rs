//! A copy in a private server of its own, in a temporary folder.

use super::{
    Needs, Place, Scratch,
    folder::{self, Folder},
    programs_for,
};
use crate::{
    connect::{session::Session, settings::Settings, target::Database},
    error::{Error, Result},
    ledger::{quote_identifier, quote_literal},
    server::{embedded::Embedded, programs::Required},
};

pub(super) const EXTENSIONS: &str = include_str!("../../sql/scratch_extensions.sql");
const ROLES: &str = include_str!("../../sql/scratch_roles.sql");
const DATABASE: &str = include_str!("../../sql/scratch_database.sql");

/// The server that a copy is in.
pub(super) struct Private {
    /// The copy, as the server's own superuser.
    pub(super) admin: Settings,
    /// Its end removes the data.
    _folder: Folder,
}

/// A server with an empty database of the target's name, or what stands in the way of one.
pub(super) fn make(session: &Session, needs: &Needs) -> Result<Result<Scratch, String>> {
    folder::remove_leftovers();
    let programs = match programs_for(Required::Server, needs.major) {
        Ok(programs) => programs,
        Err(err) => return Ok(Err(err.to_string())),
    };
    let facts = session.facts();
    let folder = Folder::new();
    let server = Embedded::start_throwaway(&folder.create()?, programs.major)?;
    let maintenance = Settings::resolve(Some(&server.dsn()), &|_| None)?;
    let mut admin = maintenance.clone();
    admin.set_dbname(facts.database.clone());
    let mut settings = admin.clone();
    settings.set_user(facts.role.clone());
    let scratch = Scratch {
        database: Database::of_private(server, settings),
        place: Place::Private(Private { admin, _folder: folder }),
        notes: Vec::new(),
    };
    let there = Session::open(&Database::of(maintenance), "migrate-scratch")?;
    let missing: Vec<String> = there
        .query_one(EXTENSIONS, &[&needs.extensions])
        .map_err(Error::database("see which extensions the private server has"))?
        .get("missing");
    if !missing.is_empty() {
        return Ok(Err(format!(
            "PostgreSQL {} on this machine lacks the extensions {}",
            programs.version,
            missing.join(", ")
        )));
    }
    // A tablespace needs no folder of its own here, where the server is new enough.
    run_or_note(&there, "set allow_in_place_tablespaces = on");
    for sql in generated(session, ROLES)? {
        run_or_note(&there, &sql);
    }
    create_database(&there, &facts.database, &facts.encoding)?;
    Ok(Ok(scratch))
}

impl Private {
    /// What is not in the dump: owner, privileges and settings of the database itself. After the
    /// dump, as a setting could change how that is read.
    pub(super) fn make_alike(&self, target: &Session) -> Result<()> {
        let session = Session::open(&Database::of(self.admin.clone()), "migrate-scratch")?;
        for sql in generated(target, DATABASE)? {
            run_or_note(&session, &sql);
        }
        Ok(())
    }
}

/// In the target's encoding; by the bytes' order, as the target's locale may lack here.
fn create_database(session: &Session, name: &str, encoding: &str) -> Result<()> {
    if session.facts().database == name {
        return Ok(());
    }
    let sql = |locale: &str| {
        format!(
            "create database {} template template0 encoding {} lc_collate '{locale}' lc_ctype '{locale}'",
            quote_identifier(name),
            quote_literal(encoding)
        )
    };
    session
        .run(&sql("C.UTF-8"))
        .or_else(|_| session.run(&sql("C")))
        .map_err(Error::database("create the copy's database"))
}

pub(super) fn generated(session: &Session, query: &str) -> Result<Vec<String>> {
    let rows = session.query(query, &[]).map_err(Error::database("read what a copy needs"))?;
    Ok(rows.iter().map(|it| it.get("sql")).collect())
}

/// What this server does not know or cannot have makes the copy less alike, and is no failure.
pub(super) fn run_or_note(session: &Session, sql: &str) {
    if let Err(err) = session.run(sql) {
        let why = err.as_db_error().map_or_else(|| err.to_string(), |it| it.message().to_owned());
        log::debug!("the copy goes without `{sql}`: {why}");
    }
}
