//! What the server said against a statement, with the place in the file and without secrets.

use migrate_core::{
    error::{Location, PgError, StatementError},
    migration::script::Script,
    sql::{position, split::Statement},
};

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
        mask(&mut failure, text);
    } else {
        failure.excerpt = Some(position::excerpt(&script.text, byte));
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
            message: db.message().to_owned(),
            detail: db.detail().map(str::to_owned),
            hint: db.hint().map(str::to_owned),
            context: db.where_().map(str::to_owned),
            ..StatementError::default()
        },
        None => StatementError { message: error.to_string(), ..StatementError::default() },
    }
}

/// Statements that carry passwords; their text must not reach a log.
fn may_hold_secrets(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["password", "subscription", "user mapping", "server"].iter().any(|it| text.contains(it))
}

/// Takes out of the server's words whatever stands in quotes in the statement.
fn mask(failure: &mut StatementError, text: &str) {
    let literals: Vec<&str> =
        text.split('\'').skip(1).step_by(2).filter(|it| !it.is_empty()).collect();
    let clean =
        |said: &str| literals.iter().fold(said.to_owned(), |said, it| said.replace(it, "***"));
    let message = clean(&failure.message);
    failure.message = message;
    for part in [&mut failure.detail, &mut failure.hint, &mut failure.context] {
        *part = part.as_deref().map(clean);
    }
}
