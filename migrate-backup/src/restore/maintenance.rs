//! The sessions from which databases are made, renamed and dropped: in a database that is none of them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use migrate_core::{
    connect::{session::Session, target::Database},
    error::{Error, Result},
    ledger::{quote_identifier, quote_literal},
};
use serde::{Deserialize, Serialize};

const DATABASES: &str = include_str!("../../sql/databases.sql");

/// Ours among the advisory locks of the maintenance database, for copies in the making: "mign".
const CLASS: i32 = 0x6d69_676e;
/// Copies in the making; the number of the database that they are for follows, and eight hexadecimal
/// digits, which are the key of their lock.
const COPY_PREFIX: &str = "migrate_new_";
/// In front of what we say in a database's comment.
const MARK: &str = "migrate-backup: ";
/// Longer names are cut by the server without a word.
const LONGEST_NAME: usize = 63;

/// A session on the same server as the database that a command works on.
pub(crate) struct Maintenance {
    pub(crate) session: Session,
    database: Database,
    application: String,
    /// The database that is worked on.
    of: String,
}

/// A database of the server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) oid: u32,
    pub(crate) name: String,
    pub(crate) mark: Option<Mark>,
}

/// What we note of a database that a restore or an undo has put aside, in its comment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The database in whose place it was.
    pub(crate) kept_of: String,
    /// When, in RFC 3339.
    pub(crate) at: String,
    /// The backup that took its place, or was taken back.
    pub(crate) backup_id: String,
    pub(crate) run_id: String,
    /// Its comment from before.
    pub(crate) comment: Option<String>,
}

impl Maintenance {
    pub(crate) fn open(
        database: &Arc<Database>,
        named: Option<&str>,
        application: &str,
    ) -> Result<Maintenance> {
        let own = database.settings().dbname();
        let name = match named {
            Some(name) if name == own => {
                return Err(Error::usage(
                    format!("`{name}` is the database to restore, and cannot be worked from"),
                    "name another one with `--maintenance-db`",
                ));
            }
            Some(name) => name,
            None if own == "postgres" => "template1",
            None => "postgres",
        };
        let of = own.to_owned();
        let database = database.beside(name);
        let session = Session::open(&database, application)?;
        Ok(Maintenance { session, database, application: application.to_owned(), of })
    }

    /// Templates, too.
    pub(crate) fn exists(&self, name: &str) -> Result<bool> {
        let row = self
            .session
            .query_opt("select from pg_database where datname = $1", &[&name])
            .map_err(Error::database("look at the server's databases"))?;
        Ok(row.is_some())
    }

    /// After the connection was lost. Locks of copies went with it.
    pub(crate) fn reconnect(&mut self) -> Result<()> {
        self.session = self.another()?;
        Ok(())
    }

    pub(crate) fn name_of(&self, oid: u32) -> Result<Option<String>> {
        let row = self
            .session
            .query_opt("select datname::text as name from pg_database where oid = $1", &[&oid])
            .map_err(Error::database("look at the server's databases"))?;
        Ok(row.map(|it| it.get("name")))
    }

    /// Another session in the same place.
    pub(crate) fn another(&self) -> Result<Session> {
        Session::open(&self.database, &self.application)
    }

    pub(crate) fn databases(&self) -> Result<Vec<Found>> {
        let rows = self
            .session
            .query(DATABASES, &[])
            .map_err(Error::database("look at the server's databases"))?;
        Ok(rows
            .iter()
            .map(|row| Found {
                oid: row.get("oid"),
                name: row.get("name"),
                mark: row.get::<_, Option<&str>>("comment").and_then(Mark::parse),
            })
            .collect())
    }

    pub(crate) fn find(&self, name: &str) -> Result<Option<Found>> {
        Ok(self.databases()?.into_iter().find(|it| it.name == name))
    }

    pub(crate) fn comment_of(&self, oid: u32) -> Result<Option<String>> {
        let row = self
            .session
            .query_one("select shobj_description($1, 'pg_database') as comment", &[&oid])
            .map_err(Error::database("read a database's comment"))?;
        Ok(row.get("comment"))
    }

    pub(crate) fn size_of(&self, oid: u32) -> Result<u64> {
        let row = self
            .session
            .query_one("select pg_database_size($1::oid) as bytes", &[&oid])
            .map_err(Error::database("see how large a database is"))?;
        Ok(row.get::<_, i64>("bytes").unsigned_abs())
    }

    /// The name for a new copy, which nobody takes for a leftover as long as this session lives.
    pub(crate) fn reserve_name(&self) -> Result<String> {
        let row = self
            .session
            .query_opt("select oid from pg_database where datname = $1", &[&self.of])
            .map_err(Error::database("look at the server's databases"))?;
        let oid: u32 = row.map_or(0, |it| it.get("oid"));
        loop {
            let key = fastrand::i32(..);
            if self.try_lock(key)? {
                return Ok(format!("{COPY_PREFIX}{oid}_{:08x}", key.cast_unsigned()));
            }
        }
    }

    /// Drops copies that killed runs left: whoever can have the lock of one knows that.
    pub(crate) fn drop_leftovers(&self) -> Result<()> {
        for found in self.databases()? {
            let Some(key) = key_of(&found.name) else { continue };
            if !self.try_lock(key)? {
                continue;
            }
            log::info!("dropping `{}`, which a killed run left", found.name);
            if let Err(err) = self.drop_database(&found.name) {
                log::warn!("cannot drop `{}`, which a killed run left: {err}", found.name);
            }
            self.unlock(key)?;
        }
        Ok(())
    }

    /// With force: a session may not have ended yet. Servers of version 12 wait for it.
    pub(crate) fn drop_database(&self, name: &str) -> Result<()> {
        let force =
            if self.session.facts().server_version_num >= 130_000 { " with (force)" } else { "" };
        self.session
            .run(&format!("drop database if exists {}{force}", quote_identifier(name)))
            .map_err(Error::database("drop a database"))
    }

    fn try_lock(&self, key: i32) -> Result<bool> {
        let row = self
            .session
            .query_one("select pg_try_advisory_lock($1, $2)", &[&CLASS, &key])
            .map_err(Error::database("lock a copy"))?;
        Ok(row.get(0))
    }

    fn unlock(&self, key: i32) -> Result<()> {
        self.session
            .query_one("select pg_advisory_unlock($1, $2)", &[&CLASS, &key])
            .map(drop)
            .map_err(Error::database("leave the lock of a copy"))
    }
}

impl Mark {
    fn parse(comment: &str) -> Option<Mark> {
        serde_json::from_str(comment.strip_prefix(MARK)?).ok()
    }

    /// The statement that puts it on a database.
    pub(crate) fn sql(&self, database: &str) -> String {
        let mark = serde_json::to_string(self).expect("a mark has string keys only");
        comment_sql(database, Some(&format!("{MARK}{mark}")))
    }
}

pub(crate) fn comment_sql(database: &str, comment: Option<&str>) -> String {
    let comment = comment.map_or_else(|| "null".to_owned(), quote_literal);
    format!("comment on database {} is {comment}", quote_identifier(database))
}

/// The key of the lock that goes with a copy's name, if it is one.
fn key_of(name: &str) -> Option<i32> {
    let (oid, digits) = name.strip_prefix(COPY_PREFIX)?.split_once('_')?;
    let ours = oid.parse::<u32>().is_ok() && digits.len() == 8;
    u32::from_str_radix(digits, 16).ok().filter(|_| ours).map(u32::cast_signed)
}

/// A name under which a database is kept, and that no other has: readable where it fits, never cut.
pub(crate) fn kept_name(databases: &[Found], live: &Found, at: DateTime<Utc>) -> String {
    let mut time = at.format("%Y%m%dT%H%M%SZ").to_string();
    loop {
        let readable = format!("{}__old_{time}", live.name);
        let name = if readable.len() <= LONGEST_NAME {
            readable
        } else {
            format!("migrate_old_{}_{time}", live.oid)
        };
        if databases.iter().all(|it| it.name != name) {
            return name;
        }
        time.push('+');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_name_is_readable_where_it_fits_and_never_too_long() {
        let found = |name: &str| Found { oid: u32::MAX, name: name.to_owned(), mark: None };
        let at = "2026-11-24T18:20:00Z".parse().unwrap();
        let kept = |others: &[Found], name: &str| kept_name(others, &found(name), at);
        assert_eq!(kept(&[], "shop"), "shop__old_20261124T182000Z");
        let other = found("shop__old_20261124T182000Z");
        assert_eq!(kept(&[other], "shop"), "shop__old_20261124T182000Z+");
        assert_eq!(kept(&[], &"é".repeat(31)), "migrate_old_4294967295_20261124T182000Z");
    }

    #[test]
    fn only_names_of_our_own_making_are_leftovers() {
        assert_eq!(key_of("migrate_new_7_ffffffff"), Some(-1));
        for other in [
            "migrate_new_",
            "migrate_new_7_xyzxyzxy",
            "migrate_new_x_ffffffff",
            "migrate_new_ffffffff",
            "shop",
        ] {
            assert_eq!(key_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_mark_reads_back_and_other_comments_are_none() {
        let mark = Mark {
            kept_of: "shop".into(),
            at: "2026-11-24T18:20:00Z".into(),
            backup_id: "b".into(),
            run_id: "r".into(),
            comment: Some("it's ours".into()),
        };
        let text = format!("{MARK}{}", serde_json::to_string(&mark).unwrap());
        assert_eq!(Mark::parse(&text), Some(mark));
        assert_eq!(Mark::parse("the shop"), None);
    }
}
