//! Where a copy is made, and that nothing of it stays, however a run ends.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use migrate_core::{
    exit::Exit,
    server::programs::{Required, find},
};
use migrate_tests::World;
use rustix::process::Signal;

use crate::dry_run_copy::{dump, impact, lock, shop};

/// PostgreSQL's client programs, and no server's.
fn without_server(world: World) -> World {
    let programs = find(Required::Client, None).unwrap();
    let bin = world.path("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["pg_dump", "pg_restore", "psql"] {
        symlink(programs.path(name), bin.join(name)).unwrap();
    }
    world.env("MIGRATE_PG_BIN", bin.to_str().unwrap())
}

/// The copies of this database that stand beside it.
fn copies(world: &World) -> String {
    let mine = "starts_with(datname, 'migrate_scratch_'
                || (select oid from pg_database where datname = current_database()) || '_')";
    world.query(&format!("select count(*) from pg_database where {mine}"))
}

#[test]
fn without_a_server_of_its_own_the_copy_stands_beside_the_target() {
    let world = without_server(shop("1_change.sql", "alter table orders add column n int"));
    let before = dump(&world);
    let outcome = world.run("migrate-apply up --dry-run").expect(Exit::Ok);
    assert_eq!(lock(&impact(&outcome, "1", 1), "public.orders")["mode"], "AccessExclusiveLock");
    assert_eq!(dump(&world), before);
    assert_eq!(copies(&world), "0");
}

#[test]
fn a_copy_beside_the_target_cannot_change_what_they_share() {
    let world = without_server(World::new());
    let suffix = world.query("current_database()");
    for (name, sql) in [
        ("1_role.sql", format!("do $$ begin create role role_{suffix}; end $$")),
        ("1_role.sql", format!("alter database {suffix} set work_mem = '1MB'")),
        ("1_role.sql", format!("grant connect on database {suffix} to pg_monitor")),
        (
            "1_role.sql",
            format!("-- migrate:up transaction:false\ncomment on database {suffix} is 'x'"),
        ),
    ] {
        let path = world.path("migrations").join(name);
        fs::write(path, &sql).unwrap();
        let outcome = world.run("migrate-apply up --dry-run").expect(Exit::Refused);
        assert_eq!(outcome.one("error")["kind"], "changes_server", "{sql}");
    }
    assert_eq!(world.query(&format!("to_regrole('role_{suffix}')")), "null");
    assert_eq!(
        world.query("select datacl from pg_database where datname = current_database()"),
        "null"
    );
    assert_eq!(copies(&world), "0");
}

#[test]
fn without_any_place_for_a_copy_it_says_what_to_do() {
    let world = without_server(shop("1_change.sql", "select 1"));
    let role = format!("plain_{}", world.query("current_database()"));
    world.execute(&format!("create role {role} login"));
    let url = world.url().replace("user=postgres", &format!("user={role}"));
    let outcome = world
        .run(&format!("migrate-apply up --dry-run --database-url '{url}'"))
        .expect(Exit::Refused);
    let error = outcome.one("error");
    assert_eq!(error["kind"], "no_copy");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("found no PostgreSQL"), "{message}");
    assert!(message.contains(&format!("role `{role}` may not make a database")), "{message}");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("apt-get install postgresql-"), "{hint}");
    assert!(hint.contains("--dry-run=here"), "{hint}");
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "still not: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The folder of the private server that the process uses.
fn wait_for_private_server(pid: u32) -> PathBuf {
    let mut found = None;
    wait_until("the process has a private server", || {
        let folders = fs::read_dir("/tmp").unwrap().flatten().map(|it| it.path());
        found = folders
            .filter(|it| it.to_string_lossy().contains("migrate-scratch-"))
            .find(|it| used_by(pid, it));
        found.is_some()
    });
    found.unwrap()
}

/// Whether the process has the lock file of that server open.
fn used_by(pid: u32, folder: &Path) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files
        .flatten()
        .any(|it| fs::read_link(it.path()).is_ok_and(|it| it == folder.join("pg/users.lock")))
}

#[test]
fn a_signal_ends_it_and_removes_the_copy() {
    let world = shop("1_slow.sql", "select pg_sleep(60)");
    let dry = world.spawn("migrate-apply up --dry-run");
    let folder = wait_for_private_server(dry.pid());
    dry.signal(Signal::INT);
    let outcome = dry.finish().expect(Exit::Signal(2));
    assert_eq!(outcome.one("dry_run.finished")["status"], "interrupted");
    assert!(!folder.exists(), "{} is still there", folder.display());
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let world = shop("1_slow.sql", "select pg_sleep(60)");
    let dry = world.spawn("migrate-apply up --dry-run");
    let folder = wait_for_private_server(dry.pid());
    wait_until("the server runs", || folder.join("pg/data/postmaster.pid").exists());
    let _ = dry.kill();
    let world = world.migration("1_slow.sql", "select 1");
    let _ = world.run("migrate-apply up --dry-run").expect(Exit::Ok);
    // A dry run of another test may be the one that removes it.
    wait_until("the folder is gone", || !folder.exists());
}

#[test]
fn a_database_that_a_killed_run_left_is_dropped_by_the_next() {
    let world = without_server(shop("1_slow.sql", "select pg_sleep(60)"));
    let dry = world.spawn("migrate-apply up --dry-run");
    world.wait_for(
        "select exists (select from pg_stat_activity
                        where starts_with(datname, 'migrate_scratch_'
                              || (select oid from pg_database where datname = current_database()) || '_')
                          and query = 'select pg_sleep(60)')",
    );
    // The copy of a run that works is nobody else's to drop.
    let world = world.migration("1_slow.sql", "select 1");
    let _ = world.run("migrate-apply up --dry-run").expect(Exit::Ok);
    assert_eq!(copies(&world), "1");
    let _ = dry.kill();
    world.wait_for(
        "select not exists (select from pg_locks as l
                            where l.locktype = 'advisory' and l.classid = 1835624307
                              and l.database = (select oid from pg_database where datname = current_database()))",
    );
    let _ = world.run("migrate-apply up --dry-run").expect(Exit::Ok);
    assert_eq!(copies(&world), "0");
}
