//! Opens a connection: the hosts in turn, TLS as `sslmode` says, the server in the wanted role.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex},
};

use tokio_postgres::{Client, error::DbError};

use crate::{
    connect::{
        attempt::{Attempt, Stop},
        cancel::Cancel,
        choice::Role,
        settings::Settings,
    },
    error::Result,
};

/// A connection; nothing happens on it unless `driver` is polled, best in a task of its own.
pub struct Opened {
    pub client: Client,
    pub driver: Driver,
    pub cancel: Cancel,
    pub security: Security,
    /// `host:port` of the server that it was, out of those in the settings.
    pub server: String,
}

/// Ends when the connection does.
pub(super) type Driver = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// How the connection is protected, from weakest to strongest as far as networks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// A Unix socket, where TLS has no place: nothing leaves the machine.
    Local,
    Plain,
    /// TLS with a server that may be anyone.
    Encrypted,
    AuthorityVerified,
    HostVerified,
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Security::Local => "unix socket",
            Security::Plain => "not encrypted",
            Security::Encrypted => "TLS, server not verified",
            Security::AuthorityVerified => "TLS, authority verified",
            Security::HostVerified => "TLS, authority and host name verified",
        })
    }
}

pub(super) type Hook = Arc<Mutex<dyn FnMut(DbError) + Send>>;

/// `on_notice` sees what the server says besides answers, from the first moment on.
pub async fn open(
    settings: &Settings,
    on_notice: impl FnMut(DbError) + Send + 'static,
) -> Result<Opened> {
    let mut attempt = Attempt::new(settings, Arc::new(Mutex::new(on_notice)));
    attempt.load_tls_if_sure()?;
    // "prefer-standby" is a round for a standby, and if there is none, one for any server.
    if attempt.role == Role::PreferStandby {
        attempt.role = Role::Standby;
        match attempt.any_server().await {
            Err(Stop::Failed(failure)) if failure.next_host_may_do() => attempt.role = Role::Any,
            other => return other.map_err(|stop| stop.into_error(settings)),
        }
    }
    attempt.any_server().await.map_err(|stop| stop.into_error(settings))
}
