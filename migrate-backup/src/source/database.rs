//! Facts of a database as a whole: owner, privileges, settings, extensions, roles; what a dump leaves out.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
};

use crate::manifest::{DatabaseFacts, Extension, Writes};

const FACTS: &str = include_str!("../../sql/database_facts.sql");
const SETTINGS: &str = include_str!("../../sql/database_settings.sql");
const COLLATIONS: &str = include_str!("../../sql/collation_versions.sql");
const EXTENSIONS: &str = include_str!("../../sql/extensions.sql");
const ROLES: &str = include_str!("../../sql/roles_used.sql");
const TABLESPACES: &str = include_str!("../../sql/tablespaces_used.sql");
const SUBSCRIPTIONS: &str = include_str!("../../sql/subscriptions.sql");
const NOT_CARRIED: &str = include_str!("../../sql/not_carried.sql");
const WRITES: &str = include_str!("../../sql/writes.sql");

pub(crate) fn facts(session: &Session) -> Result<DatabaseFacts> {
    let doing = || Error::database("read what is known of the database");
    let row = session.query_one(FACTS, &[]).map_err(doing())?;
    let mut settings = BTreeMap::new();
    let mut role_settings: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for row in session.query(SETTINGS, &[]).map_err(doing())? {
        let into = match row.get::<_, Option<String>>("role") {
            None => &mut settings,
            Some(role) => role_settings.entry(role).or_default(),
        };
        for setting in row.get::<_, Vec<String>>("settings") {
            if let Some((name, value)) = setting.split_once('=') {
                into.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    let versions = session.query(COLLATIONS, &[]).map_err(doing())?;
    Ok(DatabaseFacts {
        owner: row.get("owner"),
        encoding: row.get("encoding"),
        collate: row.get("collate"),
        ctype: row.get("ctype"),
        locale_provider: row.get("locale_provider"),
        locale: row.get("locale"),
        icu_rules: row.get("icu_rules"),
        collation_version: row.get("collation_version"),
        connection_limit: row.get("connection_limit"),
        tablespace: row.get("tablespace"),
        comment: row.get("comment"),
        acl: row.get("acl"),
        settings,
        role_settings,
        collation_versions: versions.iter().map(|it| (it.get("name"), it.get("version"))).collect(),
        bytes: row.get::<_, i64>("bytes").unsigned_abs(),
    })
}

pub(crate) fn extensions(session: &Session) -> Result<Vec<Extension>> {
    let rows = session.query(EXTENSIONS, &[]).map_err(Error::database("read the extensions"))?;
    let extension = |it: &tokio_postgres::Row| Extension {
        name: it.get("name"),
        schema: it.get("schema"),
        version: it.get("version"),
    };
    Ok(rows.iter().map(extension).collect())
}

pub(crate) fn roles(session: &Session) -> Result<Vec<String>> {
    names(session, ROLES, "read which roles are used")
}

pub(crate) fn tablespaces(session: &Session) -> Result<Vec<String>> {
    names(session, TABLESPACES, "read which tablespaces are used")
}

pub(crate) fn subscriptions(session: &Session) -> Result<Vec<String>> {
    names(session, SUBSCRIPTIONS, "read the subscriptions")
}

/// In words.
pub(crate) fn not_carried(session: &Session) -> Result<Vec<String>> {
    let rows =
        session.query(NOT_CARRIED, &[]).map_err(Error::database("see what cannot be carried"))?;
    Ok(rows.iter().map(|it| it.get("said")).collect())
}

/// What belongs to the database itself and stays with it when its name goes to another.
pub(crate) fn stays_behind(session: &Session) -> Result<Vec<String>> {
    let slots = names(
        session,
        "select slot_name::text as name from pg_replication_slots where database = current_database()",
        "look for replication slots",
    )?;
    Ok(slots.iter().map(|it| format!("replication slot \"{it}\"")).collect())
}

/// How much was written so far: another answer later tells how much came after this one.
pub(crate) fn writes(session: &Session) -> Result<Writes> {
    let row =
        session.query_one(WRITES, &[]).map_err(Error::database("read how much was written"))?;
    Ok(Writes {
        rows: row.get("rows"),
        since: row.get::<_, Option<DateTime<Utc>>>("since"),
        database_oid: row.get("database"),
    })
}

fn names(session: &Session, query: &str, doing: &'static str) -> Result<Vec<String>> {
    let rows = session.query(query, &[]).map_err(Error::database(doing))?;
    Ok(rows.iter().map(|it| it.get("name")).collect())
}
