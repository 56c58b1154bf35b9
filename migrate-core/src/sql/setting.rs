//! SET, RESET and their relatives: which setting a statement changes.

use super::{kind::Kind, lexer::TokenKind, words::Words};

/// The settings that the server applies to the rest of the message they stand in only later,
/// or that change how that rest is read.
pub(super) fn changes_reading(name: &str) -> bool {
    matches!(name, "standard_conforming_strings" | "client_encoding" | "all")
}

/// `words` stands behind SET.
pub(super) fn set(mut words: Words<'_>) -> Kind {
    let local = words.accept("local");
    if words.accept_all(&["session", "characteristics"]) {
        return setting("session characteristics", false, "SET");
    }
    if words.accept_all(&["session", "authorization"]) {
        return setting("session_authorization", local, "SET");
    }
    if !local {
        words.accept("session");
    }
    if words.accept("constraints") {
        return Kind::Other { tag: "SET CONSTRAINTS".into() };
    }
    if words.accept("transaction") {
        return setting("transaction", true, "SET");
    }
    let name = name(words);
    setting(&name, local, "SET")
}

/// `words` stands behind RESET.
pub(super) fn reset(mut words: Words<'_>) -> Kind {
    if words.accept_all(&["session", "authorization"]) {
        return setting("session_authorization", false, "RESET");
    }
    let name = name(words);
    setting(&name, false, "RESET")
}

/// `words` stands behind DISCARD, which is not DISCARD ALL.
pub(super) fn discard(mut words: Words<'_>) -> Kind {
    let what = words.word().unwrap_or_default().to_ascii_lowercase();
    let (name, tag) = match what.as_str() {
        "plans" => ("plans", "DISCARD PLANS"),
        "sequences" => ("sequences", "DISCARD SEQUENCES"),
        "temp" | "temporary" => ("temp", "DISCARD TEMP"),
        _ => ("", "DISCARD"),
    };
    setting(name, false, tag)
}

fn setting(name: &str, local: bool, tag: &'static str) -> Kind {
    Kind::Set { name: name.to_owned(), local, tag }
}

/// SQL's own spellings are turned into the names of the settings behind them.
fn name(mut words: Words<'_>) -> String {
    let spelled = [
        (&["time", "zone"][..], "timezone"),
        (&["names"], "client_encoding"),
        (&["schema"], "search_path"),
        (&["xml", "option"], "xmloption"),
    ];
    for (spelling, name) in spelled {
        if words.accept_all(spelling) {
            return name.to_owned();
        }
    }
    words.name().map(|name| name.to_string().to_ascii_lowercase()).unwrap_or_default()
}

/// What a SET, RESET or DISCARD ALL does to the reading of `'…'`; None if nothing.
pub(super) fn standard_strings(statement: &str, standard: bool) -> Option<bool> {
    let mut words = Words::new(statement, standard);
    if words.accept_all(&["discard", "all"]) || words.accept_all(&["reset", "all"]) {
        return Some(true);
    }
    if words.accept("reset") {
        return words.accept("standard_conforming_strings").then_some(true);
    }
    if !words.accept("set") {
        return None;
    }
    words.accept_any(&["local", "session"]);
    if !words.accept("standard_conforming_strings") {
        return None;
    }
    if !words.accept("to") {
        words.accept_kind(TokenKind::Symbol);
    }
    let token = words.next()?;
    let value = words.text(token);
    let value = if token.kind == TokenKind::Text { value.trim_matches('\'') } else { value };
    Some(!is_off(&value.to_ascii_lowercase()))
}

/// Any beginning of a word that is not ambiguous, as the server takes it.
fn is_off(value: &str) -> bool {
    let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(value);
    value == "0" || begins("off", 2) || begins("false", 1) || begins("no", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reading_of_strings_follows_the_setting() {
        for (sql, expected) in [
            ("SET standard_conforming_strings = off", Some(false)),
            ("set local Standard_Conforming_Strings to 'no'", Some(false)),
            ("set session standard_conforming_strings=0", Some(false)),
            ("set standard_conforming_strings to on", Some(true)),
            ("set standard_conforming_strings to default", Some(true)),
            ("reset standard_conforming_strings", Some(true)),
            ("reset all", Some(true)),
            ("discard all", Some(true)),
            ("set escape_string_warning = off", None),
            ("select 1", None),
        ] {
            assert_eq!(standard_strings(sql, true), expected, "{sql}");
        }
    }
}
