//! The account that a server runs as: PostgreSQL refuses to run as root.

use std::{
    fs::{self, DirBuilder, Metadata},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, MetadataExt, lchown},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{getegid, geteuid};

use crate::{
    error::{Error, Result},
    process,
};

/// For root, an unprivileged account; for everyone else, their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    pub name: String,
}

impl Account {
    /// The account for a server in that folder, which need not exist yet: root takes the owner
    /// of the folder, or of the one that it will be made in; if that is root, `postgres` or
    /// `nobody`.
    pub fn for_folder(dir: &Path) -> Result<Account> {
        if !is_root() {
            return Ok(Account::named(geteuid().as_raw(), getegid().as_raw()));
        }
        let owner = dir.ancestors().find_map(|it| fs::metadata(it).ok());
        if let Some(owner) = owner.filter(|it| it.uid() != 0) {
            return Ok(Account::named(owner.uid(), owner.gid()));
        }
        let accounts = known_accounts();
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| accounts.iter().find(|it| it.name == *name && it.uid != 0))
            .cloned()
            .ok_or_else(|| Error::Embedded {
                message: "PostgreSQL refuses to run as root, and there is neither a user \
                          `postgres` nor `nobody` to run it as"
                    .to_owned(),
                hint: Some("add one: useradd --system postgres".to_owned()),
            })
    }

    fn named(uid: u32, gid: u32) -> Account {
        let known = known_accounts().into_iter().find(|it| it.uid == uid);
        let name = known.map_or_else(|| format!("uid {uid}"), |it| it.name);
        Account { uid, gid, name }
    }

    /// A program that runs as this account. Its environment is empty, because variables of
    /// the caller (`PGPORT`, `LC_MESSAGES`, `TZ`) would change what the server does.
    pub fn command(&self, program: &Path, current_dir: &Path) -> Command {
        let mut command = process::command(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC");
        command.current_dir(current_dir);
        if is_root() {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Says which folder on the way to `path` this account may not enter.
    pub fn check_reach(&self, path: &Path) -> Result<()> {
        let Some(blocking) = self.blocking_folder(path) else { return Ok(()) };
        let folder = blocking.display();
        Err(Error::Embedded {
            message: format!(
                "PostgreSQL would run as user `{}`, who may not enter {folder} and so cannot \
                 reach {}",
                self.name,
                path.display()
            ),
            hint: Some(format!(
                "choose a folder under /tmp or /var/lib, or allow it: chmod o+x {folder}"
            )),
        })
    }

    fn blocking_folder(&self, path: &Path) -> Option<PathBuf> {
        if self.uid == 0 {
            return None;
        }
        let mut parents: Vec<&Path> = path.ancestors().skip(1).collect();
        parents.reverse();
        parents
            .into_iter()
            .find(|it| fs::metadata(it).is_ok_and(|folder| !self.may_enter(&folder)))
            .map(Path::to_owned)
    }

    fn may_enter(&self, folder: &Metadata) -> bool {
        let bit = match (folder.uid() == self.uid, folder.gid() == self.gid) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        folder.mode() & bit != 0
    }

    /// Makes a folder that only this account can enter, or finds one that is already so.
    pub fn private_folder(&self, path: &Path) -> Result<()> {
        let found = self.own_folder(path)?;
        if found.mode() & 0o077 == 0 {
            return Ok(());
        }
        Err(Error::Embedded {
            message: format!("{} can be entered by other users", path.display()),
            hint: Some(format!("chmod 700 {}", path.display())),
        })
    }

    /// Makes a folder of this account, or finds one.
    pub fn own_folder(&self, path: &Path) -> Result<Metadata> {
        let write_error = |source| Error::WriteFile { path: path.to_owned(), source };
        match DirBuilder::new().mode(0o700).create(path) {
            Err(err) if err.kind() != ErrorKind::AlreadyExists => return Err(write_error(err)),
            _ => {}
        }
        let found = fs::symlink_metadata(path).map_err(write_error)?;
        if is_root() && found.is_dir() && found.uid() == 0 {
            // New, or left by a run that was killed right here.
            lchown(path, Some(self.uid), Some(self.gid)).map_err(write_error)?;
        }
        self.check_own_folder(path)
    }

    /// Refuses a symbolic link, and what belongs to someone else: they could put their own
    /// files into our server's place.
    pub fn check_own_folder(&self, path: &Path) -> Result<Metadata> {
        let found = fs::symlink_metadata(path)
            .map_err(|source| Error::ReadFile { path: path.to_owned(), source })?;
        let problem = if !found.is_dir() {
            "is not a folder".to_owned()
        } else if found.uid() != self.uid {
            let owner = Account::named(found.uid(), found.gid()).name;
            format!("belongs to `{owner}`, not to `{}`", self.name)
        } else {
            return Ok(found);
        };
        Err(Error::Embedded {
            message: format!("{} {problem}", path.display()),
            hint: Some("choose another folder, or run as the owner of this one".to_owned()),
        })
    }
}

pub fn is_root() -> bool {
    geteuid().is_root()
}

fn known_accounts() -> Vec<Account> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd.lines().filter_map(parse_account).collect()
}

/// From `postgres:x:104:110:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash`.
fn parse_account(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account { uid, gid, name })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn stranger() -> Account {
        Account { uid: 4_000_000, gid: 4_000_000, name: "stranger".to_owned() }
    }

    #[test]
    fn the_first_folder_that_blocks_is_named_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let closed = dir.path().join("closed");
        fs::create_dir_all(closed.join("open")).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();

        let target = closed.join("open/pg");
        let err = stranger().check_reach(&target).unwrap_err();
        assert_eq!(
            err.to_string(),
            format!(
                "PostgreSQL would run as user `stranger`, who may not enter {} and so cannot \
                 reach {}",
                closed.display(),
                target.display()
            )
        );
        assert!(err.hint().unwrap().ends_with(&format!("chmod o+x {}", closed.display())));

        fs::set_permissions(&closed, fs::Permissions::from_mode(0o701)).unwrap();
        stranger().check_reach(&target).unwrap();
    }

    #[test]
    fn a_folder_of_someone_else_and_a_link_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let me = Account::named(geteuid().as_raw(), getegid().as_raw());
        let folder = dir.path().join("run");
        me.private_folder(&folder).unwrap();
        me.private_folder(&folder).unwrap();

        let err = stranger().check_own_folder(&folder).unwrap_err().to_string();
        assert!(err.ends_with(&format!("belongs to `{}`, not to `stranger`", me.name)), "{err}");

        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let err = me.private_folder(&link).unwrap_err().to_string();
        assert!(err.ends_with("is not a folder"), "{err}");
    }

    #[test]
    fn accounts_are_read_from_passwd() {
        let parsed = parse_account("postgres:x:104:110:PostgreSQL,,,:/var/lib:/bin/bash");
        assert_eq!(parsed, Some(Account { uid: 104, gid: 110, name: "postgres".to_owned() }));
        assert_eq!(parse_account("+::::::"), None);
    }
}
