//! From a socket to a stream that PostgreSQL's protocol can start on: the question for TLS.

use std::{
    future::{Ready, ready},
    io,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::connect::{
    failure::{Failure, Kind},
    socket::Socket,
    tls::Tls,
};

pub(super) type Secured = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

pub(super) enum Wire {
    Plain(Socket),
    Secured(Box<Secured>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
}

/// "SSLRequest" of the protocol.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Reads the one byte of the answer and no more: what follows must come through TLS.
pub(super) async fn ask_for_tls(socket: &mut Socket) -> Result<Answer, Failure> {
    let broke = |err: io::Error| {
        if err.kind() == io::ErrorKind::UnexpectedEof {
            Failure::new(Kind::Unreachable, "the server closed the connection without a word")
                .with_hint("is it PostgreSQL that answers at this host and port?")
        } else {
            Failure::new(Kind::Unreachable, format!("the connection broke: {err}"))
        }
    };
    socket.write_all(&REQUEST).await.map_err(broke)?;
    match socket.read_u8().await.map_err(broke)? {
        b'S' => Ok(Answer::Yes),
        b'N' => Ok(Answer::No),
        _ => {
            Err(Failure::new(Kind::Other, "the server gave no valid answer to the request for TLS")
                .with_hint("is it PostgreSQL that answers at this host and port?"))
        }
    }
}

pub(super) fn no_tls() -> Failure {
    Failure::new(Kind::Tls, "the server does not offer TLS, and this `sslmode` needs it")
        .with_hint("set `ssl = on` on the server; nothing was sent unencrypted")
}

pub(super) async fn handshake(socket: Socket, tls: &Tls, host: &str) -> Result<Secured, Failure> {
    let mut connector = tls.connector.clone();
    let Ok(connect) = MakeTlsConnect::<Socket>::make_tls_connect(&mut connector, host);
    connect.connect(socket).await.map_err(|err| Failure::handshake(&err))
}

/// Hands a stream whose handshake is over to the driver, as if the driver had made it.
pub(super) struct Done;

impl<S: TlsStream + Unpin> TlsConnect<S> for Done {
    type Stream = S;
    type Error = io::Error;
    type Future = Ready<io::Result<S>>;

    fn connect(self, stream: S) -> Self::Future {
        ready(Ok(stream))
    }
}
