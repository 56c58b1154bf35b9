//! Batched changes: which key they walk along, how large each range is, and when to stand back.

pub(crate) mod give_way;
pub(crate) mod key;
pub(crate) mod size;

use std::time::Duration;

use migrate_core::{
    connect::{flight::Flight, session::Session},
    error::PgError,
};

/// Sends a statement that does not stand in the file like this, and returns its rows.
pub(crate) fn send(
    session: &Session,
    sql: String,
    tick: &mut dyn FnMut(Duration),
) -> Result<u64, PgError> {
    let mut flight = Flight::default();
    flight.send(session, &sql);
    let answers = flight.answers(session, tick).map_err(|it| it.error)?;
    Ok(answers.iter().map(|it| it.rows).sum())
}
