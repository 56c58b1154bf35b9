//! Connection strings: `postgresql://` URLs and `keyword=value` pairs, read as libpq reads them.
//!
//! Where a special character in a password could make a part of it look like a host, a port or a
//! keyword, the string is refused, and no message repeats any of it.

use crate::{
    connect::{
        parameter::{Values, known},
        refuse,
    },
    error::{Error, Result},
};

const ENCODE: &str = "in a URL, write `@` as %40, `/` as %2F, `:` as %3A, `?` as %3F and `%` as %25, or leave the \
     password out and use PGPASSWORD or a password file";
const QUOTE: &str = "write `keyword=value` pairs with spaces between them; put a value with spaces in single \
     quotes, and `\\` before a quote or backslash inside";

pub(super) fn parse(text: &str) -> Result<Values> {
    match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        Some(rest) => url(rest),
        None if text.contains("://") && !text.contains('=') => Err(refuse(
            "the connection URL does not begin with `postgresql://` or `postgres://`",
            None,
        )),
        None => keywords(text),
    }
}

/// Puts one parameter in its place; later ones replace earlier ones, as in libpq.
pub(super) fn store(values: &mut Values, name: &str, value: String) -> Result<(), UnknownKeyword> {
    if name == "requiressl" {
        let mode = if value.starts_with('1') { "require" } else { "prefer" };
        values.insert("sslmode", mode.to_owned());
        return Ok(());
    }
    let name = known(name).ok_or(UnknownKeyword)?;
    values.insert(name, value);
    Ok(())
}

#[derive(Debug)]
pub(super) struct UnknownKeyword;

fn keywords(text: &str) -> Result<Values> {
    let mut values = Values::new();
    let mut after_password = false;
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_ascii_whitespace()).unwrap_or(rest.len());
        let name = &rest[..end];
        let Some(value) = rest[end..].trim_start().strip_prefix('=') else {
            return Err(refuse("the connection string has a word without `=` after it", QUOTE));
        };
        let (value, remaining) = keyword_value(value.trim_start())?;
        store(&mut values, name, value).map_err(|_| unknown(name, after_password, QUOTE))?;
        after_password = name == "password" || name == "sslpassword";
        rest = remaining.trim_start();
    }
    Ok(values)
}

/// The value at the start of `text`, unescaped, and what comes after it.
fn keyword_value(text: &str) -> Result<(String, &str)> {
    let (quoted, text) = match text.strip_prefix('\'') {
        Some(inside) => (true, inside),
        None => (false, text),
    };
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c if !quoted && c.is_ascii_whitespace() => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    if quoted {
        return Err(refuse("a quoted value in the connection string has no closing quote", QUOTE));
    }
    Ok((value, ""))
}

fn url(rest: &str) -> Result<Values> {
    let mut values = Values::new();
    let (credentials, address) = split_credentials(rest)?;
    let (place, query) = address.split_once('?').unwrap_or((address, ""));
    if place.contains('@') {
        return Err(refuse("the connection URL has an `@` where none can be", ENCODE));
    }
    if let Some(credentials) = credentials {
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        insert_decoded(&mut values, "user", user)?;
        insert_decoded(&mut values, "password", password.unwrap_or_default())?;
    }
    let (servers, database) = place.split_once('/').unwrap_or((place, ""));
    url_servers(&mut values, servers)?;
    insert_decoded(&mut values, "dbname", database)?;
    // Without credentials, an `@` in the query may be where a broken password ended.
    url_query(&mut values, query, credentials.is_none() && query.contains('@'))?;
    Ok(values)
}

/// `user:password` and the rest. libpq lets them reach to the first `@` before a `/`.
fn split_credentials(rest: &str) -> Result<(Option<&str>, &str)> {
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    let Some(at) = authority.find('@') else { return Ok((None, rest)) };
    let credentials = &authority[..at];
    if credentials.split_once('?').is_some_and(|(_, query)| query.contains('=')) {
        return Err(refuse(
            "the connection URL has an `@` after a `?`: it could end a password or be part of a parameter",
            ENCODE,
        ));
    }
    Ok((Some(credentials), &rest[at + 1..]))
}

fn url_servers(values: &mut Values, servers: &str) -> Result<()> {
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for server in servers.split(',') {
        let (host, port) = match server.strip_prefix('[') {
            Some(inside) => {
                let (address, after) = inside.split_once(']').ok_or_else(|| {
                    refuse("the connection URL has a `[` without a `]` after it", None)
                })?;
                match after.strip_prefix(':') {
                    Some(port) => (address, port),
                    None if after.is_empty() => (address, ""),
                    None => {
                        return Err(refuse(
                            "the connection URL has something other than a port after `]`",
                            None,
                        ));
                    }
                }
            }
            None => server.split_once(':').unwrap_or((server, "")),
        };
        hosts.push(decode(host, "host")?);
        ports.push(decode(port, "port")?);
    }
    if hosts.iter().any(|host| !host.is_empty()) {
        values.insert("host", hosts.join(","));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        values.insert("port", ports.join(","));
    }
    Ok(())
}

fn url_query(values: &mut Values, query: &str, mut unsure: bool) -> Result<()> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(refuse("a parameter of the connection URL has no `=`", ENCODE));
        };
        if value.contains('=') {
            return Err(refuse(
                "a parameter of the connection URL has more than one `=`",
                "write a `=` in a value as %3D",
            ));
        }
        let name = decode(name, "parameter names")?;
        let value = decode(value, "parameters")?;
        // The spelling of JDBC, which libpq takes too.
        let stored = match (name.as_str(), value.as_str()) {
            ("ssl", "true") => store(values, "sslmode", "require".to_owned()),
            _ => store(values, &name, value),
        };
        stored.map_err(|_| unknown(&name, unsure, ENCODE))?;
        unsure |= name == "password" || name == "sslpassword";
    }
    Ok(())
}

fn insert_decoded(values: &mut Values, name: &'static str, text: &str) -> Result<()> {
    if !text.is_empty() {
        values.insert(name, decode(text, name)?);
    }
    Ok(())
}

fn decode(text: &str, part: &str) -> Result<String> {
    let broken = || {
        refuse(
            format!("the connection URL has a `%` in its {part} that is not a percent-encoding"),
            ENCODE,
        )
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(broken()) };
        match u8::try_from(high * 16 + low) {
            Ok(0) | Err(_) => return Err(broken()),
            Ok(byte) => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

/// Names the keyword, unless it may be a piece of a password that was not quoted or encoded.
fn unknown(name: &str, may_be_secret: bool, hint: &'static str) -> Error {
    if may_be_secret {
        return refuse("the connection string has an unknown parameter after a password", hint);
    }
    refuse(format!("unknown connection parameter `{name}`"), None)
}
