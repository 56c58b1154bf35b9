//! What the server said against a statement, with the place in the file and without secrets.

use std::{cmp::Reverse, iter};

use migrate_core::{
    error::{Location, PgError, StatementError},
    migration::script::Script,
    sql::{
        lexer::{Lexer, TokenKind},
        position,
        secret::may_hold_secrets,
        split::Statement,
    },
};

/// A server quotes a value of 100 MB back in full, and each copy of it would cost as much again.
const LONGEST_CHARACTERS: usize = 2000;

/// The error of `statement`, the `number`th of the script; `sent_from` is the byte in the script
/// where the message began, from which the server counts characters.
pub(crate) fn of_statement(
    script: &Script,
    statement: &Statement,
    number: u64,
    sent_from: usize,
    error: &PgError,
) -> StatementError {
    let position = server_position(script, sent_from, error);
    let byte = position.unwrap_or(statement.range.start);
    let (line, column) = position::position_of(&script.text, byte, script.first_line);
    let text = &script.text[statement.range.clone()];
    let mut failure = of_server(error);
    failure.statement = Some(number);
    failure.at = Some(Location { file: script.file.clone(), line, column });
    if may_hold_secrets(text) {
        mask(&mut failure, text, statement.copy_data.is_some());
    } else {
        // Not the whole line: another statement in it may hold a secret.
        let rest = &script.text[statement.range.start..];
        let shown = &rest[..text.len() + usize::from(rest[text.len()..].starts_with(';'))];
        let inside = byte.saturating_sub(statement.range.start);
        failure.excerpt = Some(position::excerpt(shown, inside));
    }
    failure
}

/// Where in the script the server points at, if it does.
pub(crate) fn server_position(script: &Script, sent_from: usize, error: &PgError) -> Option<usize> {
    use tokio_postgres::error::ErrorPosition;
    match error.as_db_error()?.position()? {
        ErrorPosition::Original(character) => {
            let sent = &script.text[sent_from..];
            Some(sent_from + position::byte_of_character(sent, *character as usize))
        }
        ErrorPosition::Internal { .. } => None,
    }
}

/// An error that belongs to no statement, such as a deferred constraint's at COMMIT.
pub(crate) fn of_server(error: &PgError) -> StatementError {
    match error.as_db_error() {
        Some(db) => StatementError {
            sqlstate: Some(db.code().code().to_owned()),
            message: shortened(db.message()),
            detail: db.detail().map(shortened),
            hint: db.hint().map(shortened),
            context: db.where_().map(shortened),
            ..StatementError::default()
        },
        None => StatementError { message: error.to_string(), ..StatementError::default() },
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Takes out of the server's words whatever may come from a value in the statement. Details and
/// context quote whole rows, and of escapes and of rows to copy we don't know the words.
fn mask(failure: &mut StatementError, text: &str, has_rows: bool) {
    failure.detail = None;
    failure.context = None;
    let literals = literals(text);
    if has_rows || literals.iter().any(|it| it.contains('\\')) {
        failure.message = "the server's words are left out: they may quote a password".to_owned();
        failure.hint = None;
        return;
    }
    for said in iter::once(&mut failure.message).chain(&mut failure.hint) {
        for literal in &literals {
            *said = said.replace(literal, "***");
        }
    }
}

/// What stands in quotes, also in quotes inside of quotes; the longest first.
fn literals(text: &str) -> Vec<String> {
    let mut found: Vec<String> = text.split('\'').skip(1).step_by(2).map(str::to_owned).collect();
    let mut lexer = Lexer::new(text);
    while let Ok(Some(token)) = lexer.next_token() {
        if token.kind == TokenKind::Text {
            found.push(unquoted(token.text(text)).replace("''", "'"));
        }
    }
    found.retain(|it| !it.is_empty());
    found.sort_by_key(|it| Reverse(it.len()));
    found
}

/// Of `'…'`, with any prefix, and of `$tag$…$tag$`.
fn unquoted(literal: &str) -> &str {
    let quote = match literal.strip_prefix('$').and_then(|it| it.split_once('$')) {
        Some((tag, _)) => &literal[..tag.len() + 2],
        None => "'",
    };
    let inside = literal.split_once(quote).and_then(|(_, rest)| rest.rsplit_once(quote));
    inside.map_or(literal, |(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_stands_in_quotes_is_found() {
        let text = "a 'b''c' $$d$$ $x$e 'f'$x$ U&'g' /* it's */ 'hunter2'";
        let found = literals(text);
        for literal in ["b'c", "d", "e 'f'", "f", "g", "hunter2"] {
            assert!(found.contains(&literal.to_owned()), "{literal}: {found:?}");
        }
    }
}
