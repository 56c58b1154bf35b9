//! How to reach PostgreSQL: libpq's conventions, TLS, and the session set-up.

mod attempt;
pub mod cancel;
mod certificate;
mod choice;
mod dsn;
mod failure;
pub mod flight;
pub mod open;
mod parameter;
mod passfile;
mod role;
mod service;
pub mod session;
pub mod settings;
mod socket;
pub mod target;
mod tls;
mod wire;

use crate::error::Error;

/// Settings that are wrong or cannot be honoured. The text must never hold a value that was
/// given: what looks like a port may be a piece of a password.
fn refuse(message: impl Into<String>, hint: impl Into<Option<&'static str>>) -> Error {
    Error::Settings { message: message.into(), hint: hint.into().map(str::to_owned) }
}
