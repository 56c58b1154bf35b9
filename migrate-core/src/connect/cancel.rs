//! Asks the server to end what a connection is doing, over a connection as well protected.

use tokio_postgres::{CancelToken, Client, NoTls};

use crate::{
    connect::{
        attempt::timed_out,
        choice::Choices,
        failure::{Failure, Kind},
        settings::Settings,
        socket::{self, Address},
        tls::Tls,
        wire::{Answer, Done, ask_for_tls, handshake, no_tls},
    },
    error::{Error, Result},
};

/// May be used from any thread and runtime, as often as wanted.
#[derive(Clone)]
pub struct Cancel {
    token: CancelToken,
    choices: Choices,
    required_peer: Option<String>,
    /// Not a name that could by now mean another server.
    address: Address,
    tls: Option<Tls>,
    server_name: String,
    target: String,
}

impl Cancel {
    pub(super) fn new(
        client: &Client,
        settings: &Settings,
        address: &Address,
        tls: Option<Tls>,
        server_name: String,
    ) -> Cancel {
        Cancel {
            token: client.cancel_token(),
            choices: settings.choices.clone(),
            required_peer: settings.get("requirepeer").map(str::to_owned),
            address: address.clone(),
            tls,
            server_name,
            target: settings.describe(),
        }
    }

    /// Returns once the request is sent; the server does not say whether there was anything to
    /// cancel.
    pub async fn cancel(&self) -> Result<()> {
        let sent = match self.choices.connect_timeout {
            Some(limit) => tokio::time::timeout(limit, self.send())
                .await
                .unwrap_or_else(|_| Err(timed_out(limit))),
            None => self.send().await,
        };
        sent.map_err(|failure| Error::Connect {
            target: format!("{} to cancel a statement", self.target),
            hint: failure.hint().map(str::to_owned),
            source: Box::new(failure),
        })
    }

    /// As [`Cancel::cancel`], from a thread without a runtime.
    pub fn cancel_blocking(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::Start { program: "runtime".into(), source })?;
        runtime.block_on(self.cancel())
    }

    async fn send(&self) -> Result<(), Failure> {
        let peer = self.required_peer.as_deref();
        let mut socket = socket::connect(&self.address, &self.choices, peer).await?;
        let sent = match &self.tls {
            None => self.token.cancel_query_raw(socket, NoTls).await,
            Some(tls) => {
                if !self.choices.direct_tls && ask_for_tls(&mut socket).await? == Answer::No {
                    return Err(no_tls());
                }
                let stream = handshake(socket, tls, &self.server_name).await?;
                self.token.cancel_query_raw(stream, Done).await
            }
        };
        sent.map_err(|err| {
            Failure::new(Kind::Unreachable, format!("the request was not sent: {err}"))
        })
    }
}
