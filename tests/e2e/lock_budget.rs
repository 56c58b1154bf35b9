//! What `up` says of those that it waits for, and what they lose by it: nothing that lasts.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use migrate_core::exit::Exit;
use migrate_tests::World;

const QUEUED: &str = "exists (select from pg_locks where relation = 't'::regclass and not granted)";

#[test]
fn behind_an_idle_reader_nobody_waits_for_a_second_and_the_column_comes_at_its_end() {
    let world = World::new().migration("1_t.sql", "alter table t add column note text");
    world.execute("create table t (id int)");
    let mut reader = world.client();
    reader.batch_execute("set application_name = 'report'; begin").unwrap();
    reader.batch_execute("select from t").unwrap();
    let up = world.spawn("migrate-apply up");
    let done = AtomicBool::new(false);
    let (longest, ended) = thread::scope(|scope| {
        let application = scope.spawn(|| {
            let mut client = world.client();
            let mut longest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let began = Instant::now();
                client.batch_execute("select from t; insert into t (id) values (1)").unwrap();
                longest = longest.max(began.elapsed());
            }
            longest
        });
        // Some tries long.
        let reading = Instant::now();
        while reading.elapsed() < Duration::from_secs(3) {
            world.wait_for(QUEUED);
            world.wait_for(&format!("not {QUEUED}"));
        }
        reader.batch_execute("commit").unwrap();
        let ended = Instant::now();
        world.wait_for("exists (select from _migration_history)");
        let ended = ended.elapsed();
        done.store(true, Ordering::Relaxed);
        (application.join().unwrap(), ended)
    });
    let outcome = up.finish().expect(Exit::Ok);
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    assert!(ended < Duration::from_secs(1), "{ended:?}");
    let waited = &outcome.of_type("lock.waited")[0];
    assert_eq!(waited["waiting_for"], "public.t", "{waited}");
    assert_eq!((&waited["version"], &waited["statement"]), (&"1".into(), &1.into()), "{waited}");
    let holder = &waited["holders"][0];
    assert_eq!(holder["application"], "report", "{waited}");
    assert_eq!(holder["user"], "postgres");
    assert_eq!(holder["state"], "idle in transaction");
    assert_eq!(holder["query"], "select from t");
    assert!(holder["age_ms"].as_i64().unwrap() > 0, "{waited}");
    assert!(outcome.stderr.contains("report, idle in transaction"), "{outcome}");
}

#[test]
fn a_run_that_stays_busy_names_the_holder_in_its_last_words_and_counts_the_queue() {
    let world = World::new().migration("1_t.sql", "alter table t add column note text");
    world.execute("create table t (id int)");
    let mut reader = world.client();
    reader.batch_execute("set application_name = 'report'; begin; select from t").unwrap();
    let pid: i32 = reader.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    let up = world.spawn("migrate-apply up --lock-timeout 1s --retry-budget 100ms");
    world.wait_for(QUEUED);
    let busy = thread::scope(|scope| {
        // These come behind the ALTER TABLE.
        for _ in 0..3 {
            scope.spawn(|| world.execute("select from t"));
        }
        up.finish().expect(Exit::Busy)
    });
    assert_eq!(busy.one("lock.waited")["queue"], 3, "{busy}");
    let error = busy.one("error");
    assert_eq!(error["kind"], "locks_busy");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&format!("process {pid}")), "{busy}");
    assert!(message.contains("report, idle in transaction"), "{busy}");
    assert!(message.ends_with("(SQLSTATE 55P03)"), "{busy}");
    let failed = busy.one("migration.failed");
    assert_eq!(failed["state"], "rolled_back");
}

#[test]
fn a_holders_query_that_may_hold_a_password_is_not_shown_and_a_long_one_is_cut() {
    let world = World::new().migration("1_t.sql", "alter table t add column note text");
    world.execute("create table t (id int)");
    let up = "migrate-apply up --lock-timeout 200ms --retry-budget 100ms";
    let mut reader = world.client();
    reader.batch_execute("begin; lock table t; select 'password hunter2'").unwrap();
    let busy = world.run(up).expect(Exit::Busy);
    assert!(!busy.stdout.contains("hunter2") && !busy.stderr.contains("hunter2"), "{busy}");
    let long = format!("rollback; begin; lock table t; select '{}'", "x".repeat(5000));
    reader.batch_execute(&long).unwrap();
    let busy = world.run(up).expect(Exit::Busy);
    let waited = &busy.of_type("lock.waited")[0];
    let query = waited["holders"][0]["query"].as_str().unwrap();
    assert!(query.ends_with('…') && query.chars().count() == 201, "{busy}");
}

#[test]
fn an_index_is_built_concurrently_only_when_older_transactions_have_ended() {
    let world = World::new().migration("1_i.sql", "create index concurrently i on t (id)");
    world.execute("create table t (id int)");
    let mut writer = world.client();
    writer
        .batch_execute("set application_name = 'importer'; begin; insert into t values (1)")
        .unwrap();
    let age = "(select clock_timestamp() - xact_start > '1 second' from pg_stat_activity
                where application_name = 'importer' and datname = current_database())";
    world.wait_for(age);
    let up = world.spawn("migrate-apply up");
    world.wait_for(
        "exists (select from pg_stat_activity where query like '%would hold up%'
                 and datname = current_database() and pid <> pg_backend_pid())",
    );
    assert_eq!(world.query("to_regclass('i') is null"), "true");
    writer.batch_execute("commit").unwrap();
    let outcome = up.finish().expect(Exit::Ok);
    let waited = outcome.one("lock.waited");
    assert_eq!(waited["holders"][0]["application"], "importer", "{waited}");
    assert!(outcome.stderr.contains("importer, idle in transaction"), "{outcome}");
    assert_eq!(
        world.query("select indisvalid from pg_index where indexrelid = 'i'::regclass"),
        "true"
    );
}

#[test]
fn an_index_that_cannot_be_begun_within_the_budget_is_busy_and_nothing_is_there() {
    let world = World::new().migration("1_i.sql", "create index concurrently i on t (id)");
    world.execute("create table t (id int)");
    let mut writer = world.client();
    writer
        .batch_execute("set application_name = 'importer'; begin; insert into t values (1)")
        .unwrap();
    world.wait_for(
        "(select clock_timestamp() - xact_start > '1 second' from pg_stat_activity
          where application_name = 'importer' and datname = current_database())",
    );
    let busy = world.run("migrate-apply up --retry-budget 300ms").expect(Exit::Busy);
    let error = busy.one("error");
    assert_eq!(error["kind"], "locks_busy", "{busy}");
    assert!(error["message"].as_str().unwrap().contains("importer"), "{busy}");
    assert_eq!(world.query("to_regclass('i') is null"), "true");
    writer.batch_execute("commit").unwrap();
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
}
