//! Why one attempt to connect failed, in words, and what to do about it.

use std::{error::Error as StdError, fmt, io};

use rustls::{CertificateError, OtherError};
use tokio_postgres::error::SqlState;

use crate::connect::{certificate::Distrust, socket::Address};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody answered: the next host may.
    Unreachable,
    /// The server is not in the role that was asked for: the next host may be.
    WrongRole,
    /// TLS could not be had, or did not prove what it must.
    Tls,
    /// The server said no.
    Refused,
    Other,
}

/// The whole story in one line; its `source` is empty, so that printing the chain repeats nothing.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    message: String,
    hint: Option<String>,
    code: Option<SqlState>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Failure {}

impl Failure {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into(), hint: None, code: None }
    }

    /// The SQLSTATE, if it was the server that refused.
    pub(super) fn code(&self) -> Option<&SqlState> {
        self.code.as_ref()
    }

    pub(super) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Says first what an earlier attempt ran into.
    pub(super) fn after(mut self, earlier: &Failure) -> Failure {
        self.message = format!("{}; then: {}", earlier.message, self.message);
        self.hint = self.hint.or_else(|| earlier.hint.clone());
        self
    }

    /// A rule in pg_hba.conf, which may depend on TLS.
    pub(super) fn is_access_rule(&self) -> bool {
        self.code == Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
    }

    /// Never after a wrong password or certificate: libpq stops there too.
    pub(super) fn next_host_may_do(&self) -> bool {
        matches!(self.kind, Kind::Unreachable | Kind::WrongRole)
            || self.code == Some(SqlState::CANNOT_CONNECT_NOW)
    }

    pub(super) fn unreachable(address: &Address, err: &io::Error) -> Failure {
        let hint = match (address, err.kind()) {
            (Address::Tcp(to), io::ErrorKind::ConnectionRefused) => {
                format!("is the server running there, and listening on port {}?", to.port())
            }
            (_, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                "is the server running on this machine, and is this its socket directory and port? \
                 for another machine, set host="
                    .to_owned()
            }
            (Address::Tcp(_), _) => {
                "look at the host, the port, and the firewalls between".to_owned()
            }
            _ => "look at the permissions of the socket and its directory".to_owned(),
        };
        let message = match (address, err.kind()) {
            (Address::Tcp(_), io::ErrorKind::ConnectionRefused) => {
                format!("connection to {address} refused")
            }
            (_, io::ErrorKind::NotFound) => format!("there is no socket {address}"),
            _ => format!("no connection to {address}: {err}"),
        };
        Failure::new(Kind::Unreachable, message).with_hint(hint)
    }

    /// The handshake failed; `err` comes from rustls or from the network.
    pub(super) fn handshake(err: &io::Error) -> Failure {
        match tls_error(err) {
            Some(err) => tls_words(err),
            None if err.kind() == io::ErrorKind::UnexpectedEof => {
                Failure::new(Kind::Tls, "the server closed the connection during the TLS handshake")
            }
            None => Failure::new(Kind::Tls, format!("the TLS handshake failed: {err}")),
        }
    }

    /// The server took the connection, but let nobody in.
    pub(super) fn startup(err: &tokio_postgres::Error, had_password: bool) -> Failure {
        if let Some(db) = err.as_db_error() {
            let mut message = format!("{}: {}", db.severity(), db.message());
            for more in [db.detail(), db.hint()].into_iter().flatten() {
                message = format!("{message} ({more})");
            }
            let hint = server_hint(db.code(), had_password);
            let mut failure =
                Failure::new(Kind::Refused, format!("{message} [{}]", db.code().code()));
            failure.code = Some(db.code().clone());
            failure.hint = hint.map(str::to_owned);
            return failure;
        }
        if let Some(io) = err.source().and_then(|source| source.downcast_ref::<io::Error>()) {
            return match tls_error(io) {
                Some(err) => tls_words(err),
                None => Failure::new(Kind::Unreachable, format!("the connection broke: {io}")),
            };
        }
        if err.is_closed() {
            return Failure::new(
                Kind::Unreachable,
                "the server closed the connection without a word",
            )
            .with_hint("is it PostgreSQL that answers at this host and port?");
        }
        let failure = Failure::new(Kind::Other, chain(err));
        if had_password {
            return failure;
        }
        failure
            .with_hint("if the server wants a password: PGPASSWORD, or a password file (~/.pgpass)")
    }
}

fn server_hint(code: &SqlState, had_password: bool) -> Option<&'static str> {
    Some(match *code {
        SqlState::INVALID_PASSWORD if had_password => {
            "the password is wrong, has expired (`valid until`), or the role has none; it came from \
             the connection string, PGPASSWORD or the password file"
        }
        SqlState::INVALID_PASSWORD => "set PGPASSWORD, or add a line to ~/.pgpass",
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "either the role does not exist or may not log in, or no line of pg_hba.conf on the \
             server lets it in from here with this kind of encryption or certificate"
        }
        SqlState::INVALID_CATALOG_NAME => {
            "look at the name; to create it: `createdb NAME`, connected to the database postgres"
        }
        SqlState::TOO_MANY_CONNECTIONS => {
            "end connections that are not needed, or raise max_connections or the limit of the \
             role or database; then try again"
        }
        SqlState::CANNOT_CONNECT_NOW => {
            "the server is starting, stopping or recovering: try again soon"
        }
        SqlState::INSUFFICIENT_PRIVILEGE => "grant the role `connect` on the database",
        _ => return None,
    })
}

fn tls_error(err: &io::Error) -> Option<&rustls::Error> {
    err.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
}

fn tls_words(err: &rustls::Error) -> Failure {
    match err {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => {
            let Some(distrust) = cause.downcast_ref::<Distrust>() else {
                let message = format!("the server's certificate cannot be used: {cause}");
                return Failure::new(Kind::Tls, message);
            };
            let mut failure = Failure::new(Kind::Tls, distrust.to_string());
            failure.hint = distrust.hint.clone();
            failure
        }
        rustls::Error::AlertReceived(alert) => {
            Failure::new(Kind::Tls, format!("the server broke TLS off: alert {alert:?}")).with_hint(
                "look at the TLS versions of both sides, and whether the server trusts the \
                 authority of the client certificate (sslcert)",
            )
        }
        other => Failure::new(Kind::Tls, format!("the TLS handshake failed: {other}")),
    }
}

/// An error and its causes, joined as they are printed elsewhere.
fn chain(err: &dyn StdError) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        text = format!("{text}: {err}");
        cause = err.source();
    }
    text
}
