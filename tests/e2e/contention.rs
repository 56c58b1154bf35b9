//! Locks that others hold: short tries, bounded retries, and nobody waits for long behind us.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use migrate_core::exit::Exit;
use migrate_tests::World;

const HISTORY: &str =
    "select string_agg(version || status, ' ' order by id) from _migration_history";

#[test]
fn behind_a_long_reader_up_gives_way_again_and_again_and_is_busy_in_the_end() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let world = world.migration("2_t.sql", "create table u ();\nalter table t add i int;");
    let mut reader = world.client();
    reader.batch_execute("begin; select from t").unwrap();
    let (done, reads) = (AtomicBool::new(false), AtomicU32::new(0));
    let outcome = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // One that had to wait until the long reader ends would fail here.
                let mut other = world.client();
                other.batch_execute("set statement_timeout = '5s'").unwrap();
                while !done.load(Ordering::Relaxed) {
                    other.batch_execute("select from t").unwrap();
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let outcome = world.run("migrate-apply up --lock-timeout 100ms --retry-budget 2s");
        done.store(true, Ordering::Relaxed);
        outcome
    });
    let outcome = outcome.expect(Exit::Busy);
    assert!(reads.load(Ordering::Relaxed) > 4);
    assert!(outcome.of_type("lock.waited").len() >= 2, "{outcome}");
    let error = outcome.one("error");
    assert_eq!((&error["kind"], &error["sqlstate"]), (&"locks_busy".into(), &"55P03".into()));
    assert_eq!((&error["line"], &error["column"]), (&2.into(), &1.into()));
    assert!(outcome.stderr.contains("state: nothing of this migration was done"), "{outcome}");
    assert_eq!(world.query(HISTORY), "1applied");
    assert_eq!(world.query("to_regclass('u') is null"), "true");

    reader.batch_execute("commit").unwrap();
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(world.query(HISTORY), "1applied 2applied");
}

#[test]
fn a_lock_that_comes_free_in_time_costs_a_retry_and_nothing_else() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let world = world.migration("2_t.sql", "alter table t add i int");
    let mut reader = world.client();
    reader.batch_execute("begin; select from t").unwrap();
    let up = world.spawn("migrate-apply up --lock-timeout 50ms");
    world.wait_for("exists (select from pg_locks where relation = 't'::regclass and not granted)");
    // It steps back: the queue is empty again while the reader still reads.
    world.wait_for(
        "not exists (select from pg_locks where relation = 't'::regclass and not granted)",
    );
    reader.batch_execute("commit").unwrap();
    let applied = up.finish().expect(Exit::Ok).one("migration.applied");
    assert!(applied["retries"].as_u64().unwrap() >= 1, "{applied}");
}

#[test]
fn a_file_that_is_replaced_while_up_waits_is_applied_as_it_was_read() {
    let world = World::new()
        .migration("1_t.sql", "lock table gate")
        .migration("2_t.sql", "create table read_first ()");
    world.execute("create table gate ()");
    let mut gate = world.client();
    gate.batch_execute("begin; lock table gate").unwrap();
    let up = world.spawn("migrate-apply up");
    world.wait_for(
        "exists (select from pg_locks where relation = 'gate'::regclass and not granted)",
    );
    let world = world.migration("2_t.sql", "create table replaced ()");
    gate.batch_execute("commit").unwrap();
    let outcome = up.finish().expect(Exit::Ok);
    assert_eq!(world.query("to_regclass('read_first') is not null"), "true");
    assert_eq!(world.query("to_regclass('replaced') is null"), "true");
    let checksum = outcome.of_type("migration.applied")[1]["checksum"].clone();
    let stored = world.query("select checksum from _migration_history where version = '2'");
    assert_eq!(checksum, stored);
    let _ = world.run("migrate-apply up").expect(Exit::Refused);
}

#[test]
fn behind_a_prepared_transaction_up_is_busy_and_changes_nothing() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let world = world.migration("2_t.sql", "create table u ();\nalter table t add i int;");
    let gid = world.query("'left_by_' || current_database()");
    world.execute(&format!("begin; lock table t; prepare transaction '{gid}'"));
    let up = "migrate-apply up --lock-timeout 50ms --retry-budget 500ms";
    let busy = world.run(up).expect(Exit::Busy);
    assert_eq!(busy.one("error")["kind"], "locks_busy");
    assert_eq!(world.query("to_regclass('u') is null"), "true");
    world.execute(&format!("rollback prepared '{gid}'"));
    let _ = world.run(up).expect(Exit::Ok);
}

#[test]
fn the_victim_of_a_deadlock_tries_again() {
    let world = World::new().migration("1_t.sql", "create table a (); create table b ();");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let world = world.migration("2_t.sql", "alter table a add i int; alter table b add i int;");
    let mut application = world.client();
    application.batch_execute("set deadlock_timeout = '1h'; begin; lock table b").unwrap();
    let up = world.spawn("migrate-apply up --lock-timeout 1m");
    world.wait_for("exists (select from pg_locks where relation = 'b'::regclass and not granted)");
    // Now each waits for the other; only `up` looks for a deadlock.
    application.batch_execute("lock table a; commit").unwrap();
    let outcome = up.finish().expect(Exit::Ok);
    assert_eq!(outcome.one("migration.applied")["retries"], 1);
    assert!(outcome.stderr.contains("deadlock detected; rolled back, trying again"), "{outcome}");
}

#[test]
fn a_serialization_failure_is_tried_again_as_long_as_the_budget_lasts() {
    // A sequence goes on although its transaction is rolled back.
    let world = World::new().migration(
        "1_t.sql",
        "create table t ();
         do $$ begin
           if nextval('tries') <= 2 then
             raise exception 'not yet' using errcode = '40001';
           end if;
         end $$;",
    );
    world.execute("create sequence tries");
    let outcome = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(outcome.one("migration.applied")["retries"], 2);
    assert_eq!(world.query("select last_value from tries"), "3");

    let world = world.migration("2_t.sql", "do $$ begin raise sqlstate '40001'; end $$");
    let busy = world.run("migrate-apply up --retry-budget 300ms").expect(Exit::Busy);
    assert_eq!(busy.one("error")["sqlstate"], "40001");
    assert_eq!(world.query(HISTORY), "1applied");
}

#[test]
fn a_lock_timeout_that_would_mean_for_ever_is_refused() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    for timeout in ["0s", "10us", "100days"] {
        let refused = world.run(&format!("migrate-apply up --lock-timeout {timeout}"));
        let refused = refused.expect(Exit::Usage);
        assert!(refused.stderr.contains("between 1ms and 24days"), "{refused}");
    }
    let world = world.file("migrate.toml", "[env.x]\nlock_timeout = \"0s\"\n");
    let refused = world.run("migrate-apply up --env x").expect(Exit::Usage);
    assert!(refused.stderr.contains("migrate.toml:2: a lock timeout lies between"), "{refused}");
    assert_eq!(world.query("to_regclass('_migration_locks') is null"), "true");
}

#[test]
fn a_lock_table_that_is_full_fails_the_migration_and_says_which_setting_to_raise() {
    let world = World::new();
    fs_open_to_all(&world);
    let world = world.env("DATABASE_URL", "embedded:private");
    let _ = world.run("migrate-apply status").expect(Exit::Ok);
    let conf = world.path("private/data/postgresql.auto.conf");
    std::fs::write(conf, "max_locks_per_transaction = 10\nmax_connections = 10\n").unwrap();
    let tables: String = (0..3000).map(|n| format!("create table t{n} ();\n")).collect();
    let world = world.migration("1_t.sql", &tables);
    let failed = world.run("migrate-apply up").expect(Exit::Failed);
    assert_eq!(failed.one("error")["sqlstate"], "53200");
    assert!(failed.stderr.contains("max_locks_per_transaction"), "{failed}");
    let status = world.run("migrate-apply status").expect(Exit::Ok);
    assert_eq!(status.one("migration")["state"], "failed");
}

/// The private server runs as another account than root.
fn fs_open_to_all(world: &World) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(world.path("."), std::fs::Permissions::from_mode(0o711)).unwrap();
}
