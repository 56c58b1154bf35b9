//! One round over the hosts: which is tried next, and when TLS may be done without.

use std::{
    future::{Future, poll_fn},
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio_postgres::{
    AsyncMessage, Config, Connection, NoTls,
    config::{ChannelBinding, SslMode as DriverSslMode, SslNegotiation},
    tls::TlsStream,
};

use crate::{
    connect::{
        cancel::Cancel,
        choice::{Binding, Role, SslMode},
        failure::{Failure, Kind},
        open::{Driver, Hook, Opened, Security},
        role,
        settings::{Host, Server, Settings},
        socket::{self, Address, Bytes},
        tls::{self, Proof, Tls},
        wire::{Answer, Done, Wire, ask_for_tls, handshake, no_tls},
    },
    error::{Error, Result},
};

pub(super) struct Attempt<'a> {
    settings: &'a Settings,
    /// Read when first needed: a Unix socket should cost nothing.
    tls: Option<Tls>,
    hook: Hook,
    pub(super) role: Role,
}

/// Why an attempt ended: files of ours that cannot be used, or a server that does not let us in.
pub(super) enum Stop {
    Settings(Error),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

impl Stop {
    pub(super) fn into_error(self, settings: &Settings) -> Error {
        match self {
            Stop::Settings(err) => err,
            Stop::Failed(failure) => Error::Connect {
                target: settings.describe(),
                hint: failure.hint().map(str::to_owned),
                source: Box::new(failure),
            },
        }
    }
}

/// What to do about TLS in one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    Without,
    IfOffered,
    Must,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(settings: &'a Settings, hook: Hook) -> Attempt<'a> {
        Attempt { settings, tls: None, hook, role: settings.choices.role }
    }

    /// Wrong certificate files should be found before the network is tried.
    pub(super) fn load_tls_if_sure(&mut self) -> Result<()> {
        let over_network =
            self.settings.servers.iter().any(|server| !matches!(server.host, Host::Socket(_)));
        if over_network && self.settings.choices.ssl_mode >= SslMode::Require {
            self.tls = Some(tls::load(self.settings)?);
        }
        Ok(())
    }

    pub(super) async fn any_server(&mut self) -> Result<Opened, Stop> {
        let settings = self.settings;
        let mut servers: Vec<&Server> = settings.servers.iter().collect();
        if settings.choices.shuffle {
            fastrand::shuffle(&mut servers);
        }
        let mut last: Option<Failure> = None;
        for server in servers {
            match self.one_server(server).await {
                Err(Stop::Failed(failure)) => {
                    let go_on = failure.next_host_may_do();
                    let failure = match &last {
                        Some(earlier) => failure.after(earlier),
                        None => failure,
                    };
                    if !go_on {
                        return Err(failure.into());
                    }
                    last = Some(failure);
                }
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| Failure::new(Kind::Other, "there is no host to try")).into())
    }

    async fn one_server(&mut self, server: &Server) -> Result<Opened, Stop> {
        let mut addresses = match within(self.settings, socket::addresses(server)).await? {
            Ok(addresses) => addresses,
            Err(failure) => return Err(failure.into()),
        };
        if self.settings.choices.shuffle {
            fastrand::shuffle(&mut addresses);
        }
        let mut last = None;
        for address in addresses {
            let settings = self.settings;
            match within(settings, self.one_address(server, &address)).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(Stop::Failed(failure))) | Err(failure) if failure.next_host_may_do() => {
                    last = Some(failure);
                }
                Ok(Err(stop)) => return Err(stop),
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(last.unwrap_or_else(|| Failure::new(Kind::Other, "there is no address to try")).into())
    }

    /// The only place that may give up TLS, and only for the two modes that say so.
    async fn one_address(&mut self, server: &Server, address: &Address) -> Result<Opened, Stop> {
        if !matches!(address, Address::Tcp(_)) {
            return self.once(server, address, Demand::Without).await;
        }
        match self.settings.choices.ssl_mode {
            SslMode::Disable => self.once(server, address, Demand::Without).await,
            SslMode::Allow => match self.once(server, address, Demand::Without).await {
                Err(Stop::Failed(plain)) if plain.is_access_rule() => self
                    .once(server, address, Demand::Must)
                    .await
                    .map_err(|stop| stop.after(&plain)),
                other => other,
            },
            SslMode::Prefer => match self.once(server, address, Demand::IfOffered).await {
                Err(Stop::Failed(secure))
                    if secure.kind == Kind::Tls || secure.is_access_rule() =>
                {
                    log::warn!(
                        "{server}: no TLS ({secure}): trying without, as sslmode=prefer allows"
                    );
                    self.once(server, address, Demand::Without)
                        .await
                        .map_err(|stop| stop.after(&secure))
                }
                other => other,
            },
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                self.once(server, address, Demand::Must).await
            }
        }
    }

    async fn once(
        &mut self,
        server: &Server,
        address: &Address,
        demand: Demand,
    ) -> Result<Opened, Stop> {
        let choices = &self.settings.choices;
        let socket = socket::connect(address, choices, self.settings.get("requirepeer")).await?;
        let wire = self.wire(socket, server, demand).await?;
        let mut config = self.config(server);
        let had_password = server.password.is_some();
        let started = match wire {
            Wire::Plain(socket) => {
                config.ssl_mode(DriverSslMode::Disable);
                let connected = config.connect_raw(socket, NoTls).await;
                connected.map(|(client, it)| (client, drive(it, Arc::clone(&self.hook)), false))
            }
            Wire::Secured(stream) => {
                // The driver should not ask for TLS again: "direct" makes it start at once.
                config.ssl_mode(DriverSslMode::Require).ssl_negotiation(SslNegotiation::Direct);
                let connected = config.connect_raw(*stream, Done).await;
                connected.map(|(client, it)| (client, drive(it, Arc::clone(&self.hook)), true))
            }
        };
        let (client, mut driver, secured) =
            started.map_err(|err| Failure::startup(&err, had_password))?;
        role::check(&client, &mut driver, self.role).await?;
        let tls = self.tls.clone().filter(|_| secured);
        Ok(Opened {
            security: security(address, tls.as_ref()),
            cancel: Cancel::new(&client, self.settings, address, tls, server_name(server)),
            server: server.to_string(),
            client,
            driver,
        })
    }

    async fn wire(
        &mut self,
        mut socket: socket::Socket,
        server: &Server,
        demand: Demand,
    ) -> Result<Wire, Stop> {
        if demand == Demand::Without {
            return Ok(Wire::Plain(socket));
        }
        if !self.settings.choices.direct_tls && ask_for_tls(&mut socket).await? == Answer::No {
            return match demand {
                Demand::Must => Err(no_tls().into()),
                _ => Ok(Wire::Plain(socket)),
            };
        }
        let tls = match self.tls.take() {
            Some(tls) => tls,
            None => tls::load(self.settings).map_err(Stop::Settings)?,
        };
        let tls = self.tls.insert(tls);
        if tls.proof == Proof::Name && !matches!(&server.host, Host::Tcp { name: Some(_), .. }) {
            return Err(Failure::new(Kind::Other, "`sslmode=verify-full` needs a host name")
                .with_hint("set host= besides hostaddr=")
                .into());
        }
        Ok(Wire::Secured(Box::new(handshake(socket, tls, &server_name(server)).await?)))
    }

    fn config(&self, server: &Server) -> Config {
        let settings = self.settings;
        let mut config = Config::new();
        config.user(settings.user()).dbname(settings.dbname());
        config.channel_binding(match settings.choices.binding {
            Binding::Disable => ChannelBinding::Disable,
            Binding::Prefer => ChannelBinding::Prefer,
            Binding::Require => ChannelBinding::Require,
        });
        if let Some(password) = &server.password {
            config.password(password);
        }
        if let Some(options) = settings.get("options") {
            config.options(options);
        }
        if let Some(name) = settings.application_name() {
            config.application_name(name);
        }
        config
    }
}

impl Stop {
    fn after(self, earlier: &Failure) -> Stop {
        match self {
            Stop::Failed(failure) => Stop::Failed(failure.after(earlier)),
            settings => settings,
        }
    }
}

/// What TLS is told about the server: its name, or else its address.
fn server_name(server: &Server) -> String {
    server.host.to_string()
}

fn security(address: &Address, tls: Option<&Tls>) -> Security {
    match (address, tls) {
        (Address::Tcp(_), None) => Security::Plain,
        (_, None) => Security::Local,
        (_, Some(Tls { proof: Proof::Nothing, .. })) => Security::Encrypted,
        (_, Some(Tls { proof: Proof::Authority, .. })) => Security::AuthorityVerified,
        (_, Some(Tls { proof: Proof::Name, .. })) => Security::HostVerified,
    }
}

/// `connect_timeout` counts for each address, as in libpq.
async fn within<T>(settings: &Settings, work: impl Future<Output = T>) -> Result<T, Failure> {
    let Some(limit) = settings.choices.connect_timeout else { return Ok(work.await) };
    tokio::time::timeout(limit, work).await.map_err(|_| timed_out(limit))
}

pub(super) fn timed_out(limit: Duration) -> Failure {
    Failure::new(Kind::Unreachable, format!("no answer within {} s", limit.as_secs()))
        .with_hint("look at the host, the port and the firewalls between, or raise connect_timeout")
}

fn drive<S, T>(mut connection: Connection<S, T>, hook: Hook) -> Driver
where
    S: Bytes + 'static,
    T: TlsStream + Unpin + Send + 'static,
{
    Box::pin(async move {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notice(notice) = message? {
                (hook.lock().unwrap_or_else(PoisonError::into_inner))(notice);
            }
        }
        Ok(())
    })
}
