//! A signal ends a run in good order: what it left is said and recorded, and the lock is free.

use migrate_core::exit::Exit;
use migrate_tests::{Background, Outcome, World};
use rustix::process::Signal;

const SIGNALS: [(Signal, i32); 3] = [(Signal::INT, 2), (Signal::TERM, 15), (Signal::HUP, 1)];

/// Starts `up`, and waits until `condition` holds for a session of it.
fn up_until(world: &World, condition: &str) -> Background {
    let up = world.spawn("migrate-apply up");
    world.wait_for(&format!(
        "exists (select from pg_stat_activity
                 where application_name like 'migrate-apply/%' and datname = current_database()
                   and {condition})"
    ));
    up
}

fn expect_signal(outcome: &Outcome, number: i32) {
    assert_eq!(outcome.status.code(), Some(128 + number), "{outcome}");
    let error = outcome.one("error");
    assert_eq!(error["kind"], "interrupted");
    assert_eq!(error["exit_code"], 128 + number);
}

/// Nothing is held or under way, and the log has no run without an end.
fn assert_in_order(world: &World) {
    world.assert_sound();
    let last = world.query("select action from _migration_audit_log order by id desc limit 1");
    assert_eq!(last, "apply.finished");
}

#[test]
fn a_signal_during_a_statement_rolls_its_migration_back() {
    for (signal, number) in SIGNALS {
        let world = World::new()
            .migration("1_t.sql", "create table t ()")
            .migration("2_long.sql", "create table u (); select pg_sleep(60)");
        let up = up_until(&world, "query like '%pg_sleep%' and state = 'active'");
        up.signal(signal);
        let interrupted = up.finish();
        expect_signal(&interrupted, number);
        let said = interrupted.one("error")["message"].as_str().unwrap().to_owned();
        assert!(said.contains("nothing of migration 2 was done"), "{said}");
        assert_eq!(interrupted.one("migration.failed")["state"], "rolled_back");
        let finished = interrupted.one("apply.finished");
        assert_eq!((&finished["status"], &finished["done"]), (&"interrupted".into(), &1.into()));
        assert_eq!(world.query("select concat(to_regclass('t'), to_regclass('u'))"), "t");
        assert_in_order(&world);
    }
}

#[test]
fn a_second_signal_ends_at_once_and_says_what_is_left() {
    // It waits for the lock on the audit log when it wants to record the first signal.
    let world = World::new().migration("1_long.sql", "create table t (); select pg_sleep(60)");
    let up = up_until(&world, "query like '%pg_sleep%' and state = 'active'");
    let mut other = world.client();
    other.batch_execute("begin; lock table _migration_audit_log in exclusive mode").unwrap();
    up.signal(Signal::INT);
    world.wait_for(
        "exists (select from pg_locks where relation = '_migration_audit_log'::regclass and not granted)",
    );
    up.signal(Signal::TERM);
    let ended = up.finish();
    assert_eq!(ended.status.code(), Some(128 + 15), "{ended}");
    assert!(ended.stderr.contains("rolled back by the server"), "{ended}");
    other.batch_execute("rollback").unwrap();
    assert_eq!(world.query("select to_regclass('t')"), "null");
    let world = world.migration("1_long.sql", "create table t ()");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    world.assert_sound();
}

#[test]
fn a_signal_while_it_waits_for_the_lock_changes_nothing() {
    for (signal, number) in SIGNALS {
        let world = World::new().migration("1_t.sql", "create table t ()");
        let token = world.run("migrate-lock acquire").expect(Exit::Ok).one("lock.acquired");
        let up = up_until(&world, "state = 'idle' and query like '%advisory%'");
        up.signal(signal);
        let interrupted = up.finish();
        expect_signal(&interrupted, number);
        assert_eq!(interrupted.types(), ["error"]);
        let _ =
            world.run(&format!("migrate-lock release --token {}", token["token"])).expect(Exit::Ok);
        let _ = world.run("migrate-apply up").expect(Exit::Ok);
        world.assert_sound();
    }
}

#[test]
fn a_signal_while_it_waits_for_a_table_is_not_another_try() {
    let world = World::new().migration("1_t.sql", "alter table t add n int");
    world.execute("create table t ()");
    let mut reader = world.client();
    reader.batch_execute("begin; select * from t").unwrap();
    let up = up_until(&world, "wait_event_type = 'Lock' and query like 'alter%'");
    up.signal(Signal::TERM);
    expect_signal(&up.finish(), 15);
    assert_in_order(&world);
}

#[test]
fn a_signal_while_an_index_is_built_concurrently_names_what_is_left() {
    for (signal, number) in SIGNALS {
        let world = World::new().migration(
            "1_m.sql",
            "-- migrate:up transaction:false\ninsert into t values (1);\ncreate index concurrently t_i on t (i);\n",
        );
        world.execute("create table t (i int)");
        let mut reader = world.client();
        reader.batch_execute("begin isolation level repeatable read; select * from t").unwrap();
        let up = up_until(&world, "query like 'create index%' and wait_event_type = 'Lock'");
        up.signal(signal);
        let interrupted = up.finish();
        expect_signal(&interrupted, number);
        let failed = interrupted.one("migration.failed");
        assert_eq!((&failed["state"], &failed["statements_done"]), (&"partial".into(), &1.into()));
        assert_eq!(failed["leftovers"][0]["repair"], "drop index concurrently public.t_i");
        let said = interrupted.one("error")["message"].as_str().unwrap().to_owned();
        assert!(said.contains("1 of 2 statements of migration 1 are done"), "{said}");
        reader.batch_execute("commit").unwrap();
        let _ = world.run("migrate-apply up").expect(Exit::Ok);
        assert_eq!(world.query("select count(*) from t"), "1");
        assert_in_order(&world);
    }
}

#[test]
fn a_signal_between_statements_ends_before_the_next_one() {
    let mut text = String::from("create table t (i int);\n");
    for number in 0..3000 {
        text += &format!(
            "do $$ begin insert into t values ({number}); perform pg_sleep(0.01); end $$;\n"
        );
    }
    let world = World::new().migration("1_many.sql", &text);
    let up = up_until(&world, "query like 'do $$%'");
    up.signal(Signal::INT);
    expect_signal(&up.finish(), 2);
    assert_eq!(world.query("select to_regclass('t')"), "null");
    assert_in_order(&world);
}
