//! Whether the server is in the role that `target_session_attrs` asks for.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::connect::{
    choice::Role,
    failure::{Failure, Kind},
    open::Driver,
};

pub(super) async fn check(client: &Client, driver: &mut Driver, role: Role) -> Result<(), Failure> {
    let (query, wanted, otherwise) = match role {
        Role::Any | Role::PreferStandby => return Ok(()),
        Role::ReadWrite => ("show transaction_read_only", "off", "is read-only"),
        Role::ReadOnly => ("show transaction_read_only", "on", "is not read-only"),
        Role::Primary => ("select pg_catalog.pg_is_in_recovery()", "f", "is a standby"),
        Role::Standby => ("select pg_catalog.pg_is_in_recovery()", "t", "is not a standby"),
    };
    let messages = while_driving(driver, client.simple_query(query))
        .await
        .map_err(|err| Failure::startup(&err, true))?;
    let answer = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    if answer == Some(wanted) {
        return Ok(());
    }
    Err(Failure::new(Kind::WrongRole, format!("the server {otherwise}"))
        .with_hint("`target_session_attrs` asks for another; name other hosts, or change it"))
}

async fn while_driving<T>(
    driver: &mut Driver,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    let mut work = pin!(work);
    let mut ended = false;
    poll_fn(|cx| {
        // The work is asked last: what ended the connection is worth more than "closed".
        if !ended && let Poll::Ready(end) = driver.as_mut().poll(cx) {
            ended = true;
            end?;
        }
        work.as_mut().poll(cx)
    })
    .await
}
