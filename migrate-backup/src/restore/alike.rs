//! Makes a database like another one in what a dump leaves out: owner, privileges, settings, comment.

use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    ledger::{quote_identifier, quote_literal},
};

use tokio_postgres::Row;

use crate::manifest::DatabaseFacts;

const EXPLODE: &str = include_str!("../../sql/acl_explode.sql");

/// Settings whose value is a list of names: PostgreSQL's GUC_LIST_QUOTE. Each name is a value of its
/// own, or the whole list would become one name.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// A privilege on the database; no grantee stands for all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    grantee: Option<String>,
    privilege: String,
    grantable: bool,
}

/// Applies the facts to the database `name`, and says what could not be.
pub(crate) fn apply(session: &Session, name: &str, facts: &DatabaseFacts) -> Result<Vec<String>> {
    let doing = || Error::database("give the new database its owner, privileges and settings");
    let mut grants = None;
    if let Some(acl) = &facts.acl {
        let rows = session.query(EXPLODE, &[acl]).map_err(doing())?;
        let grant = |row: &Row| Grant {
            grantee: row.get("grantee"),
            privilege: row.get("privilege"),
            grantable: row.get("grantable"),
        };
        grants = Some(rows.iter().map(grant).collect::<Vec<_>>());
    }
    for sql in statements(name, facts, grants.as_deref()) {
        session.run(&sql).map_err(doing())?;
    }
    let mut refused = Vec::new();
    for (role, setting, sql) in role_settings(name, facts) {
        // Others than superusers may only do this for themselves.
        if let Err(err) = session.run(&sql) {
            let why =
                err.as_db_error().map_or_else(|| err.to_string(), |it| it.message().to_owned());
            refused.push(format!("the setting {setting} of role `{role}` in it: {why}"));
        }
    }
    Ok(refused)
}

fn statements(name: &str, facts: &DatabaseFacts, grants: Option<&[Grant]>) -> Vec<String> {
    let database = quote_identifier(name);
    let owner = quote_identifier(&facts.owner);
    let mut sql = vec![format!("alter database {database} owner to {owner}")];
    if let Some(grants) = grants {
        sql.push(format!("revoke all on database {database} from public, {owner}"));
        sql.extend(grants.iter().map(|it| {
            format!(
                "grant {} on database {database} to {}{}",
                it.privilege,
                it.grantee.as_deref().map_or_else(|| "public".to_owned(), quote_identifier),
                if it.grantable { " with grant option" } else { "" }
            )
        }));
    }
    sql.extend(facts.settings.iter().map(|(setting, value)| {
        format!("alter database {database} set {}", assignment(setting, value))
    }));
    sql.push(format!("alter database {database} connection limit {}", facts.connection_limit));
    sql
}

fn role_settings<'a>(
    name: &'a str,
    facts: &'a DatabaseFacts,
) -> impl Iterator<Item = (&'a str, &'a str, String)> {
    facts.role_settings.iter().flat_map(move |(role, settings)| {
        settings.iter().map(move |(setting, value)| {
            let sql = format!(
                "alter role {} in database {} set {}",
                quote_identifier(role),
                quote_identifier(name),
                assignment(setting, value)
            );
            (role.as_str(), setting.as_str(), sql)
        })
    })
}

/// `name to value`, where a list is as many values.
fn assignment(setting: &str, value: &str) -> String {
    let values = match LISTS.contains(&setting) {
        true => list(value).iter().map(|it| quote_literal(it)).collect::<Vec<_>>().join(", "),
        false => quote_literal(value),
    };
    // An extension's setting has a dot in its name, which is no schema.
    let name: Vec<String> = setting.split('.').map(quote_identifier).collect();
    format!("{} to {values}", name.join("."))
}

/// The elements of a list as the server stores it, with or without quotes around each.
fn list(value: &str) -> Vec<String> {
    let mut elements = Vec::new();
    let mut chars = value.chars().peekable();
    let (mut element, mut quoted) = (String::new(), false);
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                element.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => elements.push(std::mem::take(&mut element)),
            it if it.is_whitespace() && !quoted => (),
            it => element.push(it),
        }
    }
    elements.push(element);
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_as_many_values_as_it_has_elements() {
        for (value, expected) in [
            ("\"$user\", public", "\"search_path\" to '$user', 'public'"),
            ("\"\"", "\"search_path\" to ''"),
            ("\"a, b\",\"c\"\"d\"", "\"search_path\" to 'a, b', 'c\"d'"),
        ] {
            assert_eq!(assignment("search_path", value), expected);
        }
        assert_eq!(assignment("app.tenant", "a, 'b'"), "\"app\".\"tenant\" to 'a, ''b'''");
        assert_eq!(assignment("datestyle", "ISO, DMY"), "\"datestyle\" to 'ISO, DMY'");
    }
}
