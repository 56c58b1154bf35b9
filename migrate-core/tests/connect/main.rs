//! Connections to real servers: with and without TLS, good and bad certificates, cancelling.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod open;
mod server;
mod tls;

use std::{
    error::Error as _,
    sync::{Arc, Mutex},
};

use migrate_core::{
    connect::{
        open::{Opened, Security, open},
        settings::Settings,
    },
    error::{Error, Result},
};

/// What a connection turned out to be, asked of the server itself.
#[derive(Debug, PartialEq)]
struct Seen {
    user: String,
    tls: bool,
    security: Security,
    server: String,
}

fn settings(dsn: &str) -> Result<Settings> {
    settings_with(dsn, &[])
}

/// No variable of the real environment counts, and there is no home.
fn settings_with(dsn: &str, env: &[(&str, &str)]) -> Result<Settings> {
    Settings::resolve(Some(dsn), &|name| {
        let given = env.iter().find(|(variable, _)| *variable == name);
        given.map(|(_, value)| (*value).to_owned()).or((name == "HOME").then(|| "/none".to_owned()))
    })
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn connect(dsn: &str) -> Result<Seen> {
    see(&settings(dsn)?)
}

fn see(settings: &Settings) -> Result<Seen> {
    run(async {
        let Opened { client, driver, security, server, .. } = open(settings, |_| {}).await?;
        tokio::spawn(driver);
        let row = client
            .query_one(
                "select current_user::text, ssl from pg_stat_ssl where pid = pg_backend_pid()",
                &[],
            )
            .await
            .unwrap();
        Ok(Seen { user: row.get(0), tls: row.get(1), security, server })
    })
}

fn security(dsn: &str) -> Security {
    let seen = connect(dsn).unwrap_or_else(|err| panic!("{dsn}: {}", text(&err)));
    assert_eq!(
        seen.tls,
        !matches!(seen.security, Security::Local | Security::Plain),
        "{dsn}: the server sees it otherwise"
    );
    seen.security
}

/// The chain as it is printed, then the hint.
fn failure(dsn: &str) -> String {
    match connect(dsn) {
        Ok(seen) => panic!("{dsn}: {seen:?}"),
        Err(err) => text(&err),
    }
}

fn text(err: &Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        text = format!("{text}: {err}");
        cause = err.source();
    }
    format!("{text}\n{}", err.hint().unwrap_or_default())
}

#[track_caller]
fn assert_tells(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

fn notices() -> (Arc<Mutex<Vec<String>>>, impl FnMut(tokio_postgres::error::DbError) + Send) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    (seen, move |notice| sink.lock().unwrap().push(notice.message().to_owned()))
}
