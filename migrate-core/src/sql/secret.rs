//! Which statements may hold a password, and how the text of one is shown to others.

/// Statements that carry passwords; their text must not reach a log.
pub fn may_hold_secrets(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["password", "subscription", "user mapping", "server"].iter().any(|it| text.contains(it))
}

/// The start of a query in one line, without what may be a password.
pub fn shown(query: &str, characters: usize) -> String {
    if may_hold_secrets(query) {
        return "left out, as it may hold a password".to_owned();
    }
    let words = query.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_shown_in_one_line_and_no_password_is() {
        assert_eq!(shown("select\n  1", 40), "select 1");
        assert_eq!(shown("select 'é' from t", 8), "select '…");
        assert_eq!(shown("alter role x Password 'y'", 40), "left out, as it may hold a password");
    }
}
