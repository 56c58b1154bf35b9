//! `embedded:DIR` with real programs: many users, and every way to die.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use migrate_core::{
    exit::Exit,
    process::{self, Running},
    server::{
        account::is_root,
        embedded::Embedded,
        programs::{self, Required},
    },
};
use postgres::{Client, NoTls};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

/// A place that the server's account can reach.
fn place() -> (TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let dir = temp.path().join("pg");
    (temp, dir)
}

fn connect(dsn: &str) -> Client {
    Client::connect(dsn, NoTls).unwrap()
}

fn value(dsn: &str, sql: &str) -> String {
    connect(dsn).query_one(&format!("select ({sql})::text"), &[]).unwrap().get(0)
}

fn server_pid(dir: &Path) -> Option<Pid> {
    let text = fs::read_to_string(dir.join("data/postmaster.pid")).ok()?;
    Pid::from_raw(text.lines().next()?.parse().ok()?)
}

/// False also for one that only waits to be reaped.
fn runs(pid: Pid) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "still not: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Another process that uses the server until its stdin closes.
fn start_user(dir: &Path) -> Running {
    let mut command = process::command(std::env::current_exe().unwrap());
    command.args(["--exact", "a_user", "--ignored", "--nocapture"]).env("EMBEDDED_TEST_DIR", dir);
    process::spawn(process::in_own_group(&mut command).stdin(Stdio::piped())).unwrap()
}

fn wait_for_dsn(user: &mut Running) -> String {
    let mut lines = BufReader::new(user.stdout().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|it| it.starts_with("dsn ")).unwrap();
    // The rest must be read, or the other process would meet a closed pipe.
    thread::spawn(move || lines.for_each(drop));
    line.trim_start_matches("dsn ").to_owned()
}

#[test]
#[ignore = "the other process of the tests below"]
fn a_user() {
    let Some(dir) = std::env::var_os("EMBEDDED_TEST_DIR") else { return };
    let server = Embedded::start(Path::new(&dir)).unwrap();
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\ndsn {}", server.dsn()).unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn the_server_stops_after_its_last_user_and_keeps_the_data() {
    let (_temp, dir) = place();
    let first = Embedded::start(&dir).unwrap();
    connect(&first.dsn()).batch_execute("create table t as select 42 as n").unwrap();
    let pid = server_pid(&dir).unwrap();

    let second = Embedded::start(&dir).unwrap();
    drop(first);
    assert_eq!(value(&second.dsn(), "select n from t"), "42");
    drop(second);
    assert_eq!(server_pid(&dir), None);
    assert!(!runs(pid), "the server still runs");

    let again = Embedded::start(&dir).unwrap();
    assert_eq!(value(&again.dsn(), "select n from t"), "42");
}

#[test]
fn many_processes_and_threads_share_one_server() {
    let (_temp, dir) = place();
    let mut users: Vec<Running> = (0..6).map(|_| start_user(&dir)).collect();
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let server = Embedded::start(&dir).unwrap();
                    assert_eq!(value(&server.dsn(), "select 1"), "1");
                }
            });
        }
    });
    for user in &mut users {
        assert_eq!(value(&wait_for_dsn(user), "select 1"), "1");
    }
    let pid = server_pid(&dir).unwrap();
    for user in users {
        user.finish().unwrap();
    }
    assert!(!runs(pid), "the server still runs");
}

#[test]
fn the_server_of_a_killed_user_is_taken_over() {
    let (_temp, dir) = place();
    let mut user = start_user(&dir);
    let dsn = wait_for_dsn(&mut user);
    connect(&dsn).batch_execute("create table t ()").unwrap();
    let pid = server_pid(&dir).unwrap();
    drop(user); // kill -9

    let next = Embedded::start(&dir).unwrap();
    assert_eq!(server_pid(&dir), Some(pid));
    assert_eq!(value(&next.dsn(), "select to_regclass('t')"), "t");
    drop(next);
    assert!(!runs(pid), "the server still runs");
}

#[test]
fn interrupting_one_user_leaves_the_server_to_the_others() {
    let (_temp, dir) = place();
    let mut user = start_user(&dir);
    let dsn = wait_for_dsn(&mut user);
    let other = Embedded::start(&dir).unwrap();
    let group = Pid::from_raw(user.id().cast_signed()).unwrap();
    kill_process_group(group, Signal::INT).unwrap();
    user.finish().unwrap_err();
    assert_eq!(value(&dsn, "select 1"), "1");
    drop(other);
}

#[test]
fn a_killed_server_starts_again_while_a_backend_is_still_busy() {
    let (_temp, dir) = place();
    let user = Embedded::start(&dir).unwrap();
    connect(&user.dsn()).batch_execute("create table t as select 42 as n").unwrap();
    let mut busy = connect(&user.dsn());
    let busy = thread::spawn(move || busy.batch_execute("do 'begin loop end loop; end'"));
    let working = "select count(*) = 1 from pg_stat_activity \
                   where query like 'do %'";
    wait_until("busy", || value(&user.dsn(), working) == "true");
    kill_process(server_pid(&dir).unwrap(), Signal::KILL).unwrap();

    let next = Embedded::start(&dir).unwrap();
    assert_eq!(value(&next.dsn(), "select n from t"), "42");
    busy.join().unwrap().unwrap_err();
}

#[test]
fn leaving_a_killed_server_ends_its_busy_backends() {
    let (_temp, dir) = place();
    let user = Embedded::start(&dir).unwrap();
    let mut busy = connect(&user.dsn());
    let pid: i32 = busy.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    let busy = thread::spawn(move || busy.batch_execute("do 'begin loop end loop; end'"));
    let working = format!("select state = 'active' from pg_stat_activity where pid = {pid}");
    wait_until("busy", || value(&user.dsn(), &working) == "true");
    kill_process(server_pid(&dir).unwrap(), Signal::KILL).unwrap();

    drop(user);
    assert!(!runs(Pid::from_raw(pid).unwrap()), "the backend still runs");
    busy.join().unwrap().unwrap_err();
}

#[test]
fn a_killed_first_start_is_done_again() {
    let half_made = |dir: &Path| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter(|it| it.file_name().to_string_lossy().starts_with("data.new-")).count()
    };
    let (_temp, dir) = place();
    let user = start_user(&dir);
    wait_until("initdb at work", || half_made(&dir) == 1);
    drop(user); // kill -9, while initdb goes on by itself

    let next = Embedded::start(&dir).unwrap();
    assert_eq!(value(&next.dsn(), "select 1"), "1");
    drop(next);
    let _next = Embedded::start(&dir).unwrap();
    wait_until("nothing left", || half_made(&dir) == 0);
}

#[test]
fn the_record_of_a_dead_server_whose_number_another_process_has_is_no_obstacle() {
    let (_temp, dir) = place();
    let server = Embedded::start(&dir).unwrap();
    let record = fs::read_to_string(dir.join("data/postmaster.pid")).unwrap();
    let lock = fs::read_to_string(dir.join("run/.s.PGSQL.5432.lock")).unwrap();
    let pid = server_pid(&dir).unwrap().to_string();
    drop(server);

    let mut sleeper = process::command("sleep");
    let sleeper = process::spawn(sleeper.arg("60")).unwrap();
    let other = sleeper.id().to_string();
    fs::write(dir.join("data/postmaster.pid"), record.replace(&pid, &other)).unwrap();
    fs::write(dir.join("run/.s.PGSQL.5432.lock"), lock.replace(&pid, &other)).unwrap();
    let next = Embedded::start(&dir).unwrap();
    assert_eq!(value(&next.dsn(), "select 1"), "1");
}

#[test]
fn a_folder_that_the_servers_account_cannot_reach_is_named_before_anything_starts() {
    if !is_root() {
        return;
    }
    let (temp, dir) = place();
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let err = Embedded::start(&dir).unwrap_err();
    let blocking = fs::canonicalize(temp.path()).unwrap();
    let words = format!("who may not enter {} and", blocking.display());
    assert!(err.to_string().contains(&words), "{err}");
    assert!(err.hint().unwrap().contains("/var/lib"), "{err:?}");
    assert_eq!(err.exit(), Exit::Unavailable);
    assert!(!dir.exists());
}

#[test]
fn data_of_another_major_version_is_refused_naming_both() {
    let (_temp, dir) = place();
    drop(Embedded::start(&dir).unwrap());
    fs::write(dir.join("data/PG_VERSION"), "8\n").unwrap();
    let err = Embedded::start(&dir).unwrap_err().to_string();
    let installed = programs::find(Required::Server, None).unwrap().version;
    let words = format!("written by PostgreSQL 8, and PostgreSQL {installed} is installed");
    assert!(err.contains(&words), "{err}");
}

#[test]
fn data_behind_a_symbolic_link_is_refused() {
    let (temp, dir) = place();
    drop(Embedded::start(&dir).unwrap());
    fs::rename(dir.join("data"), temp.path().join("elsewhere")).unwrap();
    symlink(temp.path().join("elsewhere"), dir.join("data")).unwrap();
    let err = Embedded::start(&dir).unwrap_err().to_string();
    assert!(err.ends_with("/pg/data is not a folder"), "{err}");
}

#[test]
fn a_server_that_does_not_start_says_what_its_log_says() {
    let (_temp, dir) = place();
    drop(Embedded::start(&dir).unwrap());
    fs::write(dir.join("data/postgresql.auto.conf"), "shared_buffers = 'lots'\n").unwrap();
    let err = Embedded::start(&dir).unwrap_err().to_string();
    assert!(err.contains("the server did not start: "), "{err}");
    assert!(err.contains("invalid value for parameter \"shared_buffers\""), "{err}");
}

#[test]
fn psql_finds_it_in_folders_with_any_name() {
    let psql = programs::find(Required::Client, None).unwrap().path("psql");
    let long = "x".repeat(100);
    for name in ["it's a, folder", r"back\slash", long.as_str()] {
        let (temp, _) = place();
        let server = Embedded::start(&temp.path().join(name)).unwrap();
        let mut psql = process::command(&psql);
        psql.arg(server.dsn()).args(["-Atc", "show server_encoding"]);
        assert_eq!(process::run(&mut psql).unwrap().stdout, b"UTF8\n");
        assert_eq!(value(&server.dsn(), "select 1"), "1");
    }
}
