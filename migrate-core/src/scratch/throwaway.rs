//! A private server with nothing in it, for whoever brings the content along.

use super::{
    folder::{self, Folder},
    private::EXTENSIONS,
};
use crate::{
    connect::{session::Session, settings::Settings, target::Database},
    error::{Error, Result},
    server::{
        embedded::Embedded,
        programs::{self, Programs, Required},
    },
};

/// Gone when this is dropped, with all that is in it.
pub struct Throwaway {
    // In this order: the server stops before its folder goes.
    database: Database,
    _folder: Folder,
}

impl Throwaway {
    /// By the server programs of that major version, or the next newer one.
    pub fn programs(major: u32) -> Option<Programs> {
        programs::installed(Required::Server)
            .into_iter()
            .filter(|it| it.major >= major)
            .min_by_key(|it| it.major)
    }

    pub fn start(programs: &Programs) -> Result<Throwaway> {
        folder::remove_leftovers();
        let folder = Folder::new();
        let server = Embedded::start_throwaway(&folder.create()?, programs.major)?;
        let settings = Settings::resolve(Some(&server.dsn()), &|_| None)?;
        Ok(Throwaway { database: Database::of_private(server, settings), _folder: folder })
    }

    /// An empty database, as the superuser.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The extensions among `names` that the server of `session` cannot create.
    pub fn lacking(session: &Session, names: &[String]) -> Result<Vec<String>> {
        let row = session
            .query_one(EXTENSIONS, &[&names])
            .map_err(Error::database("see which extensions the server has"))?;
        Ok(row.get("missing"))
    }
}
