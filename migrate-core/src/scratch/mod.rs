//! Throwaway databases: a schema-only copy of a database to try things in.
//!
//! Best in a private server, where whatever is tried reaches nothing else. Where that cannot be,
//! in a database beside the target, on the same server.

mod beside;
mod dump;
mod folder;
mod private;
mod throwaway;

pub use throwaway::Throwaway;

use self::{beside::Beside, dump::Rights, private::Private};
use crate::{
    connect::{session::Session, target::Database},
    error::{Error, Result},
    interrupt,
    server::programs::{self, Programs, Required},
};

const NEEDS: &str = include_str!("../../sql/scratch_needs.sql");
const UNREADABLE: &str = include_str!("../../sql/scratch_unreadable.sql");
const MATVIEWS: &str = include_str!("../../sql/scratch_matviews.sql");
const CUT_WRAPPERS: &str = include_str!("../../sql/scratch_cut_wrappers.sql");

/// A copy without rows; gone when this is dropped.
pub struct Scratch {
    // In this order: a private server stops before its folder goes.
    database: Database,
    place: Place,
    notes: Vec<String>,
}

enum Place {
    Private(Private),
    Beside {
        /// Its end drops the database.
        _owner: Box<Beside>,
    },
}

/// What the target asks of the place of its copy.
struct Needs {
    database: u32,
    major: u32,
    extensions: Vec<String>,
    may_create: bool,
    foreign_servers: bool,
}

impl Scratch {
    /// Copies the schema of `target`, which is only read; `session` is one on it.
    pub fn schema_of(target: &Database, session: &Session) -> Result<Scratch> {
        let needs = needs(session)?;
        let client = programs_for(Required::Client, needs.major)?;
        let mut scratch = match private::make(session, &needs)? {
            Ok(scratch) => scratch,
            Err(obstacle) => {
                let scratch = beside::make(target, session, &needs, &obstacle)?;
                log::info!("{obstacle}; so the copy is a database beside the target");
                scratch
            }
        };
        check_interrupted()?;
        scratch.fill(target, session, &client, &needs)?;
        check_interrupted()?;
        Ok(scratch)
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Whether what is done in it can reach other databases of the target's server.
    pub fn shares_server(&self) -> bool {
        matches!(self.place, Place::Beside { .. })
    }

    /// In what the copy is unlike the target.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn fill(
        &mut self,
        target: &Database,
        session: &Session,
        client: &Programs,
        needs: &Needs,
    ) -> Result<()> {
        let (filler, rights) = match &self.place {
            Place::Private(private) => (&private.admin, Rights::Copied),
            Place::Beside { .. } if session.facts().superuser => {
                (self.database.settings(), Rights::Copied)
            }
            Place::Beside { .. } => (self.database.settings(), Rights::LeftOut),
        };
        let unreadable = session
            .query(UNREADABLE, &[])
            .map_err(Error::database("see which tables can be copied"))?;
        let patterns: Vec<String> = unreadable.iter().map(|it| it.get("pattern")).collect();
        let dump = dump::read(target.settings(), client, rights, &patterns)?;
        let filled = Session::open(&Database::of(filler.clone()), "migrate-scratch")?;
        filled.run("set synchronous_commit = off").map_err(Error::database("prepare the copy"))?;
        dump::fill(&filled, &dump)?;
        let names: Vec<&str> = unreadable.iter().map(|it| it.get("name")).collect();
        if !names.is_empty() {
            self.notes.push(format!(
                "the copy lacks what role `{}` may not read: {}",
                session.facts().role,
                names.join(", ")
            ));
        }
        if rights == Rights::Copied {
            for sql in private::generated(&filled, CUT_WRAPPERS)? {
                filled.run(&sql).map_err(Error::database("cut the copy off from other servers"))?;
            }
        }
        for sql in private::generated(&filled, MATVIEWS)? {
            private::run_or_note(&filled, &sql);
        }
        if rights == Rights::LeftOut {
            self.notes.push("owners and privileges are not in the copy".to_owned());
        }
        let major = filled.facts().server_version_num / 10_000;
        if major != needs.major {
            self.notes.push(format!(
                "the copy runs on PostgreSQL {major}, the target on {}",
                needs.major
            ));
        }
        match &self.place {
            Place::Private(private) => private.make_alike(session),
            Place::Beside { .. } => Ok(()),
        }
    }
}

fn needs(session: &Session) -> Result<Needs> {
    let row = session.query_one(NEEDS, &[]).map_err(Error::database("see what a copy needs"))?;
    Ok(Needs {
        database: row.get("database"),
        major: row.get::<_, i32>("major").unsigned_abs(),
        extensions: row.get("extensions"),
        may_create: row.get("may_create"),
        foreign_servers: row.get("foreign_servers"),
    })
}

/// The oldest ones that are not older than the server: the nearest to what it does.
fn programs_for(required: Required, major: u32) -> Result<Programs> {
    let nearest = programs::installed(required)
        .into_iter()
        .filter(|it| it.major >= major)
        .min_by_key(|it| it.major);
    match nearest {
        Some(found) => Ok(found),
        None => programs::find(required, Some(major)),
    }
}

fn check_interrupted() -> Result<()> {
    match interrupt::received() {
        Some(signal) => Err(Error::Interrupted {
            signal,
            state: "the copy was removed; the target is as before".to_owned(),
        }),
        None => Ok(()),
    }
}
