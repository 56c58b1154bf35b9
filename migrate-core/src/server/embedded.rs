//! `embedded:DIR`: a private PostgreSQL that runs as long as somebody uses it.
//!
//! Several processes can be users at once. Whoever holds `start.lock` may start or stop the
//! server; a user holds `users.lock` shared. The system takes both locks back from a killed
//! process, so that its server is used, and then stopped, by the next user.

use std::{fs::File, path::Path};

use super::{
    cluster::{Cluster, Purpose},
    folder::Folder,
};
use crate::error::{Error, Result};

const START_LOCK: &str = "start.lock";
const USERS_LOCK: &str = "users.lock";

/// One user of the server: it runs at least until this is dropped.
#[derive(Debug)]
pub struct Embedded {
    cluster: Cluster,
    users: File,
}

impl Embedded {
    /// Makes the database if there is none yet, and starts the server if it does not run.
    pub fn start(dir: &Path) -> Result<Embedded> {
        Embedded::start_for(Purpose::Keep, dir)
    }

    /// A server whose data nobody will miss, by the programs of that major version.
    pub fn start_throwaway(dir: &Path, major: u32) -> Result<Embedded> {
        Embedded::start_for(Purpose::ThrowAway { major }, dir)
    }

    /// Whether a server in this folder has a user; none where there is no lock to tell by.
    pub(crate) fn is_used(dir: &Path) -> Option<bool> {
        File::open(dir.join(USERS_LOCK)).ok().map(|it| it.try_lock().is_err())
    }

    /// Stops the server that a killed user left, and says whether there was really no user.
    pub(crate) fn stop_unused(dir: &Path) -> Result<bool> {
        let cluster = Cluster::new(Folder::open(dir)?, Purpose::Keep);
        let _stopping = cluster.folder().lock_exclusive(START_LOCK)?;
        // Who was just starting held the lock that we waited for.
        if Embedded::is_used(dir) == Some(true) {
            return Ok(false);
        }
        cluster.stop().map(|()| true)
    }

    fn start_for(purpose: Purpose, dir: &Path) -> Result<Embedded> {
        let folder = Folder::open(dir)?;
        let starting = folder.lock_exclusive(START_LOCK)?;
        let users = folder.open_lock(USERS_LOCK)?;
        // Never waits: it is held exclusively only by those who hold `start.lock`.
        users
            .lock_shared()
            .map_err(|source| Error::WriteFile { path: folder.join(USERS_LOCK), source })?;
        let embedded = Embedded { cluster: Cluster::new(folder, purpose), users };
        let started = embedded.cluster.start();
        // Before an error drops `embedded`, which takes this lock again.
        drop(starting);
        started.map(|()| embedded)
    }

    /// In libpq's keyword form, so that psql and pg_dump take it too.
    pub fn dsn(&self) -> String {
        let host = self.cluster.socket_folder.to_string_lossy();
        let user = self.cluster.purpose.superuser();
        format!("host={} port=5432 user={user} dbname=postgres", quote(&host))
    }

    fn leave(&self) -> Result<()> {
        let _stopping = self.cluster.folder().lock_exclusive(START_LOCK)?;
        // Given back first: the next line asks whether anyone else is left.
        let last = self.users.unlock().is_ok() && self.users.try_lock().is_ok();
        if last { self.cluster.stop() } else { Ok(()) }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Err(err) = self.leave() {
            log::warn!("the private server may still run: {err}");
        }
    }
}

fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_blanks_and_quotes_is_one_value() {
        assert_eq!(quote(r"/it's a \ folder"), r"'/it\'s a \\ folder'");
    }
}
