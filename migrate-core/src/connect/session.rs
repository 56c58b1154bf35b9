//! A connection that is set up the same way everywhere, and knows what it is connected to.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{
    Client, Row, SimpleQueryMessage, Statement,
    binary_copy::BinaryCopyOutStream,
    error::SqlState,
    types::{ToSql, Type},
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};

use super::{cancel::Cancel, failure::Failure, flight::ticking, open::open, target::Database};
use crate::error::{Error, PgError, Result};

/// What the ledger's statements run under, whatever the role, the database or a migration set.
///
/// `pg_temp` stands last so that no temporary table stands in for one of ours.
pub const SETTINGS: &str = include_str!("../../sql/session_settings.sql");
/// What `reset all` goes back to, so that no limit of the role's or the database's ends us, a client
/// that is gone is noticed, and texts are read the same way in every view.
const DEFAULTS: &str = "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 \
    -c standard_conforming_strings=on -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 \
    -c tcp_keepalives_count=3 -c tcp_user_timeout=8000";
const FACTS: &str = include_str!("../../sql/session_facts.sql");

/// The columns of a row as bytes, whatever they are; none for NULL.
pub type Fields<'a> = [Option<&'a [u8]>];

/// What a session found at the other end.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub database: String,
    pub role: String,
    pub superuser: bool,
    pub server_version_num: u32,
    /// Empty where the role may not read it.
    pub system_identifier: String,
    pub timeline: i32,
    pub backend_pid: i32,
    pub in_recovery: bool,
    pub read_only: bool,
    pub encoding: String,
}

/// A connection, driven by the thread that owns it.
pub struct Session {
    runtime: Runtime,
    client: Client,
    cancel: Cancel,
    notices: Arc<Mutex<Vec<String>>>,
    facts: Facts,
    server_time: (DateTime<Utc>, Instant),
}

impl Session {
    /// Connects as `application`, sets the session up and refuses a pooler.
    pub fn open(database: &Database, application: &str) -> Result<Session> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::Start { program: "runtime".into(), source })?;
        let mark = format!("{:016x}", fastrand::u64(..));
        let mut settings = database.settings().clone();
        settings.set_application_name(application.to_owned());
        // A pooler does not hand this on: that is how one is told from a server.
        settings.add_option(&format!("-c migrate.session={mark}"));
        settings.add_option(DEFAULTS);
        let notices = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&notices);
        let opened = runtime.block_on(open(&settings, move |notice| {
            sink.lock().expect("never poisoned").push(format!(
                "{}: {}",
                notice.severity().to_lowercase(),
                notice.message()
            ));
        }));
        let opened = opened.map_err(pooler_or)?;
        runtime.spawn(opened.driver);
        let client = opened.client;
        let set_up = runtime
            .block_on(client.simple_query(&format!("{SETTINGS};\n{FACTS}")))
            .map_err(Error::database("set the session up"))?;
        let (facts, now, seen) = read_facts(&set_up);
        if seen != mark {
            return Err(refuse_pooler());
        }
        Ok(Session {
            runtime,
            client,
            cancel: opened.cancel,
            notices,
            facts,
            server_time: (now, Instant::now()),
        })
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The server's time, without asking it again: nobody who sets the client's clock moves it.
    pub fn server_now(&self) -> DateTime<Utc> {
        let (at, then) = self.server_time;
        at + TimeDelta::from_std(then.elapsed()).unwrap_or_default()
    }

    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Whether the server or the network ended the connection.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// For work that keeps several messages under way at once.
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    pub fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, PgError> {
        self.wait(self.client.query(sql, params))
    }

    /// As [`Session::query`], or nothing where no answer comes in time: then the session is of no
    /// more use, as that answer would be taken for the next one's.
    pub fn query_within(
        &self,
        limit: Duration,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Option<Result<Vec<Row>, PgError>> {
        let query = self.client.query(statement, params);
        self.wait(async { tokio::time::timeout(limit, query).await.ok() })
    }

    /// Asks what is asked only once, in one round trip: nothing is prepared, so types are given.
    pub fn query_once(
        &self,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, PgError> {
        self.wait(self.client.query_typed(sql, params))
    }

    pub fn query_opt(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, PgError> {
        self.wait(self.client.query_opt(sql, params))
    }

    pub fn query_one(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, PgError> {
        self.wait(self.client.query_one(sql, params))
    }

    pub fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, PgError> {
        self.wait(self.client.execute(sql, params))
    }

    /// Runs statements without parameters, in one message.
    pub fn run(&self, sql: &str) -> Result<(), PgError> {
        self.wait(self.client.batch_execute(sql))
    }

    /// Runs a COPY … FROM stdin with `data`, and returns how many rows it took.
    pub fn copy_in<'a>(
        &self,
        sql: &str,
        data: impl Iterator<Item = &'a [u8]>,
        tick: &mut dyn FnMut(Duration),
    ) -> Result<u64, PgError> {
        let copy = async {
            let mut sink = std::pin::pin!(self.client.copy_in::<_, Bytes>(sql).await?);
            for chunk in data {
                sink.feed(Bytes::copy_from_slice(chunk)).await?;
            }
            sink.finish().await
        };
        self.wait(ticking(copy, tick))
    }

    /// Runs a COPY … TO stdout, whose rows nobody reads.
    pub fn copy_out(&self, sql: &str, tick: &mut dyn FnMut(Duration)) -> Result<u64, PgError> {
        let copy = async {
            let mut stream = std::pin::pin!(self.client.copy_out(sql).await?);
            while let Some(chunk) = stream.next().await {
                chunk?;
            }
            Ok(0)
        };
        self.wait(ticking(copy, tick))
    }

    /// Hands over the rows of a COPY … TO stdout in binary form one by one, so that memory doesn't
    /// grow with them; each has `columns` columns.
    pub fn copy_rows(
        &self,
        sql: &str,
        columns: usize,
        doing: &'static str,
        take: &mut dyn FnMut(&Fields<'_>) -> Result<()>,
    ) -> Result<()> {
        // As bytes, whatever they are: what they mean is for the one who takes them.
        let types = vec![Type::BYTEA; columns];
        self.wait(async {
            let failed = || Error::database(doing);
            let stream = self.client.copy_out(sql).await.map_err(failed())?;
            let mut rows = std::pin::pin!(BinaryCopyOutStream::new(stream, &types));
            while let Some(row) = rows.next().await {
                let row = row.map_err(failed())?;
                let fields = (0..columns)
                    .map(|it| row.try_get(it))
                    .collect::<Result<Vec<Option<&[u8]>>, _>>()
                    .map_err(failed())?;
                take(&fields)?;
            }
            Ok(())
        })
    }

    /// Runs `work` in a transaction: committed where it succeeds, rolled back where it does not.
    pub fn transaction<T>(&self, work: impl FnOnce(&Session) -> Result<T>) -> Result<T> {
        self.run("begin").map_err(Error::database("begin a transaction"))?;
        let done = work(self).and_then(|done| {
            self.run("commit").map_err(Error::database("commit"))?;
            Ok(done)
        });
        if done.is_err() && !self.is_closed() {
            let _ = self.run("rollback");
        }
        done
    }

    /// What the server remarked since the last call.
    pub fn notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().expect("never poisoned"))
    }
}

fn read_facts(messages: &[SimpleQueryMessage]) -> (Facts, DateTime<Utc>, String) {
    let row = messages
        .iter()
        .rev()
        .find_map(|it| match it {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .expect("the facts are one row");
    let text = |name: &str| row.get(name).unwrap_or_default().to_owned();
    let number = |name: &str| row.get(name).and_then(|it| it.parse::<i32>().ok()).unwrap_or(0);
    let yes = |name: &str| row.get(name) == Some("t");
    let facts = Facts {
        database: text("database"),
        role: text("role"),
        superuser: yes("superuser"),
        server_version_num: number("server_version_num").unsigned_abs(),
        system_identifier: text("system_identifier"),
        timeline: number("timeline"),
        backend_pid: number("backend_pid"),
        in_recovery: yes("in_recovery"),
        read_only: yes("read_only"),
        encoding: text("encoding"),
    };
    let micros = row.get("now_us").and_then(|it| it.parse().ok()).unwrap_or(0);
    let now = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    (facts, now, text("mark"))
}

/// A pooler refuses start-up options that it doesn't hand on; a server knows them.
fn pooler_or(err: Error) -> Error {
    let code = match &err {
        Error::Connect { source, .. } => source.downcast_ref::<Failure>().and_then(Failure::code),
        _ => None,
    };
    if code == Some(&SqlState::PROTOCOL_VIOLATION) { refuse_pooler() } else { err }
}

fn refuse_pooler() -> Error {
    Error::refused(
        "pooler",
        "this is a connection pooler, not a server: locks and settings would leak to other clients",
        "use the server's own port",
    )
}
