//! One server for all tests of a process, and one database for each test.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use migrate_core::server::{
    account::{Account, is_root},
    programs::{Required, find},
};
use postgres::{Client, NoTls};

/// Starts the server, and takes it down once its stdin closes. That happens when this test
/// process ends, even if it is killed, so nothing is left behind.
const KEEPER: &str = r#"
    umask 077
    initdb --pgdata=data --auth=trust --username=postgres --no-sync \
        --encoding=UTF8 --locale=C >log 2>&1 || exit 1
    postgres -D data -k "$PWD" "$@" >>log 2>&1 &
    cat >/dev/null
    kill -QUIT $!; wait $!
    rm -rf "$PWD"
"#;

/// Without fsync (-F), because nobody misses this data after a power cut.
const SETTINGS: [&str; 17] = [
    "-F",
    "-clisten_addresses=",
    "-cport=5432",
    "-cfull_page_writes=off",
    "-csynchronous_commit=off",
    "-cautovacuum_naptime=1h",
    "-cmax_wal_size=1GB",
    "-ccheckpoint_timeout=1h",
    "-cmax_connections=300",
    "-cmax_prepared_transactions=20",
    "-cmax_locks_per_transaction=256",
    "-cwal_level=logical",
    "-ctrack_functions=all",
    "-ctrack_commit_timestamp=on",
    "-ctrack_io_timing=on",
    "-cclient_connection_check_interval=1s",
    "-clog_line_prefix=%m %d %a [%p] ",
];

static SERVER: LazyLock<PathBuf> = LazyLock::new(start);
static NEXT_DATABASE: AtomicU32 = AtomicU32::new(1);

/// Creates an empty database and returns how to connect to it.
pub(crate) fn new_database() -> String {
    let name = format!("test_{}", NEXT_DATABASE.fetch_add(1, Ordering::Relaxed));
    let mut admin = Client::connect(&url(&SERVER, "postgres"), NoTls).unwrap();
    admin.batch_execute(&format!("create database {name} template template0")).unwrap();
    url(&SERVER, &name)
}

fn url(socket_dir: &Path, database: &str) -> String {
    format!("host={} port=5432 user=postgres dbname={database}", socket_dir.display())
}

fn start() -> PathBuf {
    let programs = find(Required::Server, None).unwrap();
    // Not in TMPDIR: a socket's path must be short, and the server's account must reach it.
    let dir = tempfile::Builder::new().prefix("migrate-tests-").tempdir_in("/tmp").unwrap().keep();
    let mut keeper = Command::new("/bin/sh");
    keeper.args(["-c", KEEPER, "keeper"]).args(SETTINGS).current_dir(&dir).stdin(Stdio::piped());
    keeper.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
    keeper.env("PATH", format!("{}:/usr/bin:/bin", programs.bin_dir.display()));
    if is_root() {
        // PostgreSQL refuses to run as root, which is who tests are in many containers.
        let account = Account::for_folder(Path::new("/")).unwrap();
        std::os::unix::fs::chown(&dir, Some(account.uid), Some(account.gid)).unwrap();
        keeper.uid(account.uid).gid(account.gid);
    }
    // Its own process group, so that Ctrl-C ends the tests but not the one who cleans up; its
    // own outputs, so that no one waits for them to close.
    keeper.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    // The pipe must stay open as long as the process lives: forget the child.
    std::mem::forget(keeper.spawn().unwrap());
    wait_until_ready(&dir);
    dir
}

fn wait_until_ready(dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(err) = Client::connect(&url(dir, "postgres"), NoTls) {
        if Instant::now() > deadline {
            let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
            panic!("the test server does not start: {err}\n{log}");
        }
        thread::sleep(Duration::from_millis(10));
    }
}
