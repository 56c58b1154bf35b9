//! The plain connection under everything: TCP with keepalives, or a Unix socket.

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use crate::connect::{
    choice::Choices,
    failure::{Failure, Kind},
    settings::{Host, Server},
};

pub(super) trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

pub(super) type Socket = Box<dyn Bytes>;

/// What a host turned out to be; a cancel request must go to the very same.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Socket(PathBuf),
    /// Without the leading NUL.
    Abstract(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Socket(path) => path.display().fmt(f),
            Address::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

pub(super) async fn addresses(server: &Server) -> Result<Vec<Address>, Failure> {
    let name = match &server.host {
        Host::Socket(dir) => return Ok(vec![socket_address(dir, server.port)]),
        Host::Tcp { address: Some(address), .. } => {
            return Ok(vec![Address::Tcp((*address, server.port).into())]);
        }
        Host::Tcp { name, .. } => name.as_deref().unwrap_or("localhost"),
    };
    let cannot = |why: &dyn fmt::Display| {
        Failure::new(Kind::Unreachable, format!("cannot find the address of host `{name}`: {why}"))
    };
    let found: Vec<_> = tokio::net::lookup_host((name, server.port))
        .await
        .map_err(|err| cannot(&err))?
        .map(Address::Tcp)
        .collect();
    if found.is_empty() { Err(cannot(&"it has none")) } else { Ok(found) }
}

fn socket_address(dir: &str, port: u16) -> Address {
    match dir.strip_prefix('@') {
        Some(name) => Address::Abstract(format!("{name}/.s.PGSQL.{port}")),
        None => Address::Socket(Path::new(dir).join(format!(".s.PGSQL.{port}"))),
    }
}

pub(super) async fn connect(
    address: &Address,
    choices: &Choices,
    required_peer: Option<&str>,
) -> Result<Socket, Failure> {
    match address {
        Address::Tcp(to) => {
            let stream =
                TcpStream::connect(to).await.map_err(|err| Failure::unreachable(address, &err))?;
            configure(&stream, choices).map_err(|err| {
                Failure::new(Kind::Other, format!("cannot set up the connection: {err}"))
            })?;
            Ok(Box::new(stream))
        }
        Address::Socket(path) => unix(UnixStream::connect(path).await, address, required_peer),
        Address::Abstract(name) => {
            unix(UnixStream::connect(format!("\0{name}")).await, address, required_peer)
        }
    }
}

fn unix(
    stream: io::Result<UnixStream>,
    address: &Address,
    required_peer: Option<&str>,
) -> Result<Socket, Failure> {
    let stream = stream.map_err(|err| Failure::unreachable(address, &err))?;
    if let Some(required) = required_peer {
        let peer = stream
            .peer_cred()
            .ok()
            .and_then(|peer| nix::unistd::User::from_uid(peer.uid().into()).ok().flatten());
        if peer.is_none_or(|peer| peer.name != required) {
            return Err(Failure::new(
                Kind::Other,
                format!("the server does not run as `{required}`, which `requirepeer` demands"),
            ));
        }
    }
    Ok(Box::new(stream))
}

fn configure(stream: &TcpStream, choices: &Choices) -> io::Result<()> {
    let fd = stream.as_fd();
    stream.set_nodelay(true)?;
    if let Some(timeout) = choices.user_timeout {
        let milliseconds = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(fd, milliseconds)?;
    }
    let Some(keep_alive) = choices.keep_alive else { return Ok(()) };
    sockopt::set_socket_keepalive(fd, true)?;
    if let Some(idle) = keep_alive.idle {
        sockopt::set_tcp_keepidle(fd, idle)?;
    }
    if let Some(interval) = keep_alive.interval {
        sockopt::set_tcp_keepintvl(fd, interval)?;
    }
    if let Some(count) = keep_alive.count {
        sockopt::set_tcp_keepcnt(fd, count)?;
    }
    Ok(())
}
