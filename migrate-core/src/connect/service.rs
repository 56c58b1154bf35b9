//! Connection service files: `pg_service.conf`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    connect::{
        dsn::store,
        parameter::Values,
        refuse,
        settings::{Env, home},
    },
    error::{Error, Result},
};

/// Where Debian's libpq looks when PGSYSCONFDIR is not set.
const SYSTEM_DIR: &str = "/etc/postgresql-common";

/// What the service files say about `name`: the user's file first, then the system's.
pub(super) fn load(name: &str, env: &Env) -> Result<Values> {
    let named = env("PGSERVICEFILE").map(PathBuf::from);
    let must_exist = named.is_some();
    if let Some(path) = named.or_else(|| home(env).map(|home| home.join(".pg_service.conf"))) {
        match fs::read_to_string(&path) {
            Ok(text) => {
                if let Some(values) = section(&text, name, &path)? {
                    return Ok(values);
                }
            }
            Err(source) if must_exist || source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::ReadFile { path, source });
            }
            Err(_) => {}
        }
    }
    let system = env("PGSYSCONFDIR").unwrap_or_else(|| SYSTEM_DIR.to_owned());
    let path = Path::new(&system).join("pg_service.conf");
    match fs::read_to_string(&path) {
        Ok(text) => section(&text, name, &path)?.ok_or_else(|| missing(name)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Err(missing(name)),
        Err(source) => Err(Error::ReadFile { path, source }),
    }
}

fn missing(name: &str) -> Error {
    refuse(
        format!("there is no service `{name}` in the service files"),
        "they are PGSERVICEFILE or ~/.pg_service.conf, then pg_service.conf in PGSYSCONFDIR",
    )
}

/// The parameters under `[name]`, or None if the file has no such section.
fn section(text: &str, name: &str, path: &Path) -> Result<Option<Values>> {
    let mut found: Option<Values> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            if found.is_some() {
                break;
            }
            if line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) == Some(name) {
                found = Some(Values::new());
            }
            continue;
        }
        let Some(values) = &mut found else { continue };
        let wrong = |what: &str| refuse(format!("{}:{}: {what}", path.display(), index + 1), None);
        if line.starts_with("ldap") {
            return Err(wrong("services kept in LDAP are not supported"));
        }
        let (key, value) =
            line.split_once('=').ok_or_else(|| wrong("a line without `=` in the service"))?;
        if key == "service" {
            return Err(wrong("a service cannot refer to another service"));
        }
        if values.contains_key(key) {
            continue;
        }
        store(values, key, value.to_owned())
            .map_err(|_| wrong(&format!("unknown connection parameter `{key}`")))?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# services\n[other]\nhost=no\n\n[prod]\n host=db1,db2 \nport=5433\nport=1\n[prod]\nuser=no\n";

    fn read(text: &str) -> Result<Option<Values>> {
        section(text, "prod", Path::new("pg_service.conf"))
    }

    #[test]
    fn the_first_section_and_the_first_value_count() {
        let expected = [("host", "db1,db2"), ("port", "5433")].map(|(k, v)| (k, v.to_owned()));
        assert_eq!(read(FILE).unwrap().unwrap(), Values::from(expected));
        assert_eq!(read("[production]\nhost=x").unwrap(), None);
    }

    #[test]
    fn a_wrong_line_is_named_without_its_content() {
        for (text, expected) in [
            ("[prod]\nsecret", "pg_service.conf:2: a line without `=` in the service"),
            ("[prod]\n\nhots=x", "pg_service.conf:3: unknown connection parameter `hots`"),
            ("[prod]\nservice=x", "pg_service.conf:2: a service cannot refer to another service"),
            ("[prod]\nldap://x", "pg_service.conf:2: services kept in LDAP are not supported"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), expected);
        }
    }
}
