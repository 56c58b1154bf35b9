//! Hosts in turn, the server's role, refusals in words, notices, cancelling.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use migrate_core::{connect::open::Security, exit::Exit};
use tokio_postgres::error::SqlState;

use crate::{
    assert_tells, connect, failure, notices, open, run, security,
    server::{SERVERS, dsn},
    settings, text,
};

pub(crate) fn local(dir: &Path, port: u16) -> String {
    format!("host={} port={port} user=postgres dbname=postgres", dir.display())
}

fn good(more: &str) -> String {
    format!("{} {more}", local(&SERVERS.dir, SERVERS.port("good")))
}

#[test]
fn a_unix_socket_needs_no_tls_whatever_the_mode_says() {
    assert_eq!(security(&good("sslmode=verify-full")), Security::Local);
}

#[test]
fn the_user_that_the_server_runs_as_can_be_required() {
    let owner = std::fs::metadata(SERVERS.dir.join("good/PG_VERSION")).unwrap();
    let uid = nix::unistd::Uid::from_raw(std::os::unix::fs::MetadataExt::uid(&owner));
    let name = nix::unistd::User::from_uid(uid).unwrap().unwrap().name;
    assert_eq!(security(&good(&format!("requirepeer={name}"))), Security::Local);
    assert_tells(&failure(&good("requirepeer=daemon")), &["does not run as `daemon`"]);
}

#[test]
fn the_next_host_is_tried_when_one_does_not_answer() {
    let port = SERVERS.port("good");
    let seen = connect(&format!(
        "host=/nowhere,127.0.0.1,127.0.0.1 port=1,1,{port} user=anyone dbname=postgres"
    ));
    assert_eq!(seen.unwrap().server, format!("127.0.0.1:{port}"));
    let text = failure("host=/nowhere,127.0.0.1 port=1,1 user=u dbname=d");
    assert_tells(
        &text,
        &[
            "cannot connect to /nowhere:1,127.0.0.1:1/d as u: there is no socket /nowhere/.s.PGSQL.1; \
             then: connection to 127.0.0.1:1 refused",
            "listening on port 1?",
        ],
    );
}

#[test]
fn the_next_host_is_not_tried_after_a_refusal() {
    let (good, plain) = (SERVERS.port("good"), SERVERS.port("plain"));
    let text = failure(&format!(
        "host=127.0.0.1,127.0.0.1 port={good},{plain} user=anyone dbname=missing"
    ));
    assert_tells(&text, &["database \"missing\" does not exist [3D000]"]);
    assert!(!text.contains("then:"), "{text}");
}

#[test]
fn only_a_server_in_the_wanted_role_will_do() {
    for (role, answer) in [
        ("any", None),
        ("primary", None),
        ("read-write", None),
        ("prefer-standby", None),
        ("standby", Some("the server is not a standby")),
        ("read-only", Some("the server is not read-only")),
    ] {
        let dsn = good(&format!("target_session_attrs={role}"));
        match answer {
            None => assert_eq!(security(&dsn), Security::Local),
            Some(words) => assert_tells(&failure(&dsn), &[words, "target_session_attrs"]),
        }
    }
    let read_only =
        good("target_session_attrs=read-only options='-c default_transaction_read_only=on'");
    assert_eq!(security(&read_only), Security::Local);
}

#[test]
fn refusals_say_what_to_do_and_never_the_password() {
    for (dsn, words) in [
        (dsn("good", "scram", "password=hunter3"), ["[28P01]", "the password is wrong"]),
        (dsn("good", "scram", ""), ["password missing", "PGPASSWORD"]),
        (dsn("good", "shut_out", "password=hunter3"), ["[28000]", "pg_hba.conf"]),
        (good("user=crowded password=hunter3"), ["[53300]", "raise max_connections"]),
        (good("dbname=missing password=hunter3"), ["[3D000]", "createdb"]),
        (good("user=nobody_here password=hunter3"), ["[28000]", "the role does not exist"]),
    ] {
        let err = connect(&dsn).unwrap_err();
        assert_eq!(err.exit(), Exit::Unavailable);
        assert_tells(&text(&err), &words);
        assert!(!format!("{} {err:?}", text(&err)).contains("hunter3"));
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up_on() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let start = Instant::now();
    let text = failure(&format!("host=127.0.0.1 port={port} connect_timeout=1 user=u"));
    assert_tells(&text, &["no answer within 1 s"]);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn something_that_is_not_postgresql_is_called_that() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(b"HTTP/1.1 400\r\n");
        }
    });
    let text = failure(&format!("host=127.0.0.1 port={port} user=u sslmode=require"));
    assert_tells(&text, &["is it PostgreSQL that answers"]);
}

/// Says to everyone that it is starting up, in the words of PostgreSQL.
fn starting_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1000]);
            let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
            let _ = stream.write_all(&[b"E", &length[..], fields].concat());
        }
    });
    port
}

#[test]
fn a_server_that_is_starting_up_is_passed_over() {
    let (starting, plain) = (starting_server(), SERVERS.port("plain"));
    let common = "user=anyone dbname=postgres sslmode=disable";
    let text = failure(&format!("host=127.0.0.1 port={starting} {common}"));
    assert_tells(&text, &["FATAL: the database system is starting up [57P03]", "try again soon"]);
    let both = format!("host=127.0.0.1,127.0.0.1 port={starting},{plain} {common}");
    assert_eq!(security(&both), Security::Plain);
}

#[test]
fn notices_reach_the_hook() {
    let (seen, hook) = notices();
    run(async {
        let opened = open(&settings(&good("")).unwrap(), hook).await.unwrap();
        tokio::spawn(opened.driver);
        opened.client.batch_execute("do $$ begin raise notice 'hello'; end $$").await.unwrap();
    });
    assert_eq!(*seen.lock().unwrap(), ["hello"]);
}

#[test]
fn a_statement_is_cancelled_from_another_thread_over_tls_and_without() {
    let secure = format!("sslmode=verify-full sslrootcert={}", SERVERS.file("ca.crt"));
    for dsn in [good(""), dsn("good", "tls_only", &secure), dsn("plain", "anyone", "")] {
        run(async {
            let opened = open(&settings(&dsn).unwrap(), |_| {}).await.unwrap();
            tokio::spawn(opened.driver);
            let cancel = opened.cancel.clone();
            let over = Arc::new(AtomicBool::new(false));
            let still = Arc::clone(&over);
            let other = thread::spawn(move || {
                // Too early a request finds nothing to cancel: ask until it is over.
                while !still.load(Ordering::Relaxed) {
                    run(cancel.cancel()).unwrap();
                    thread::sleep(Duration::from_millis(50));
                }
            });
            let err = opened.client.batch_execute("select pg_sleep(20)").await.unwrap_err();
            assert_eq!(err.code(), Some(&SqlState::QUERY_CANCELED), "{dsn}");
            over.store(true, Ordering::Relaxed);
            other.join().unwrap();
        });
    }
}
