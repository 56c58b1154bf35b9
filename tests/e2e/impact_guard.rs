//! Whoever is blocked by a migration gets free again: it is cancelled, undone, and tried later.

use std::{
    thread,
    time::{Duration, Instant},
};

use migrate_core::exit::Exit;
use migrate_tests::World;

/// Takes the lock and then works on.
const LONG: &str = "alter table t add column note text;\nselect pg_sleep(30);";
const LOCKED: &str = "exists (select from pg_locks where relation = 't'::regclass and granted
                              and mode = 'AccessExclusiveLock')";

/// Reads `t` under a name, and returns how long it took.
fn read(world: &World, application: &str) -> Duration {
    let mut client = world.client();
    client.batch_execute(&format!("set application_name = '{application}'")).unwrap();
    let began = Instant::now();
    client.batch_execute("select from t").unwrap();
    began.elapsed()
}

#[test]
fn a_migration_that_blocks_a_reader_is_cancelled_in_time_and_leaves_nothing() {
    let world = World::new().migration("1_t.sql", LONG);
    world.execute("create table t (id int)");
    let up = world.spawn("migrate-apply up --block-limit 500ms --retry-budget 1s");
    world.wait_for(LOCKED);
    let (long, short) = thread::scope(|scope| {
        let first = scope.spawn(|| read(&world, "shop"));
        world.wait_for(
            "exists (select from pg_locks where relation = 't'::regclass and not granted)",
        );
        let second = read(&world, "admin");
        (first.join().unwrap(), second)
    });
    assert!(long >= Duration::from_millis(450) && long < Duration::from_millis(750), "{long:?}");
    assert!(short < Duration::from_millis(750), "{short:?}");
    let busy = up.finish().expect(Exit::Busy);
    let yielded = busy.one("migration.yielded");
    let victim = &yielded["victims"][0];
    assert_eq!(victim["application"], "shop", "{yielded}");
    assert_eq!(victim["user"], "postgres");
    assert_eq!(victim["query"], "select from t");
    assert!(victim["waited_ms"].as_u64().unwrap() >= 500, "{yielded}");
    assert_eq!((&yielded["statement"], &yielded["block_limit_ms"]), (&2.into(), &500.into()));
    assert!(yielded["retry_in_ms"].is_null(), "the budget is over: {yielded}");
    let error = busy.one("error");
    assert_eq!(error["kind"], "others_blocked");
    assert!(error["message"].as_str().unwrap().contains("shop"), "{error}");
    assert!(busy.stderr.contains("--block-limit"), "{busy}");
    assert_eq!(busy.one("migration.failed")["state"], "rolled_back");
    assert_eq!(world.query("select count(*) from _migration_history"), "0");
    let audited = world.query(
        "select details -> 'victims' from _migration_audit_log where action = 'migration.yielded'",
    );
    let audited: serde_json::Value = serde_json::from_str(&audited).unwrap();
    assert_eq!(audited, yielded["victims"]);
    world.assert_sound();
    let columns = "select count(*) from pg_attribute where attrelid = 't'::regclass and attnum > 0";
    assert_eq!(world.query(columns), "1");
}

#[test]
fn the_last_try_comes_at_the_end_of_the_budget_and_not_before_others_had_their_time() {
    let world = World::new().migration("1_t.sql", LONG);
    world.execute("create table t (id int)");
    let began = Instant::now();
    let mut up = world.spawn("migrate-apply up --block-limit 500ms --retry-budget 2s");
    let (mut waits, mut last) = (Vec::new(), Instant::now());
    while up.is_running() {
        let waited = read(&world, "shop");
        if waited > Duration::from_millis(300) {
            waits.push((last.elapsed() - waited, waited));
            last = Instant::now();
        }
    }
    let took = began.elapsed();
    let busy = up.finish().expect(Exit::Busy);
    assert_eq!(busy.one("error")["kind"], "others_blocked", "{busy}");
    assert_eq!(busy.of_type("migration.yielded").len(), 2, "{busy}");
    assert_eq!(waits.len(), 2, "{waits:?}");
    assert!(waits[1..].iter().all(|(free, _)| *free > Duration::from_millis(450)), "{waits:?}");
    assert!(took > Duration::from_millis(1900) && took < Duration::from_secs(6), "{took:?}");
}

#[test]
fn whoever_gave_way_comes_back_later_and_is_applied() {
    // A sequence goes on although its transaction is rolled back: only the first try is long.
    let world = World::new().migration(
        "1_t.sql",
        "alter table t add column note text;
         select case when nextval('tries') = 1 then pg_sleep(30) end;",
    );
    world.execute("create table t (id int); create sequence tries");
    let up = world.spawn("migrate-apply up --block-limit 200ms");
    world.wait_for(LOCKED);
    let waited = read(&world, "shop");
    assert!(waited < Duration::from_millis(450), "{waited:?}");
    let outcome = up.finish().expect(Exit::Ok);
    assert_eq!(outcome.one("migration.applied")["retries"], 1);
    assert!(outcome.one("migration.yielded")["retry_in_ms"].as_u64().unwrap() >= 500, "{outcome}");
    assert!(outcome.stderr.contains("rolled back, trying again in"), "{outcome}");
}

#[test]
fn a_limit_of_the_environment_holds_and_down_keeps_it_too() {
    let world = World::new()
        .file("migrate.toml", "[env.x]\nblock_limit = \"300ms\"\nretry_budget = \"400ms\"\n")
        .migration("1_t.sql", "-- migrate:up\n-- migrate:down\nlock table t; select pg_sleep(30);");
    world.execute("create table t (id int)");
    let _ = world.run("migrate-apply up --env x").expect(Exit::Ok);
    let down = world.spawn("migrate-apply down --env x");
    world.wait_for(LOCKED);
    let waited = read(&world, "shop");
    assert!(waited < Duration::from_millis(550), "{waited:?}");
    let busy = down.finish().expect(Exit::Busy);
    let yielded = busy.one("migration.yielded");
    assert_eq!((&yielded["direction"], &yielded["block_limit_ms"]), (&"down".into(), &300.into()));
    assert_eq!(world.query("select status from _migration_history"), "applied");
}

#[test]
fn who_waits_for_a_row_is_a_victim_like_any_other() {
    let world = World::new().migration("1_t.sql", "update t set id = 2;\nselect pg_sleep(30);");
    world.execute("create table t (id int); insert into t values (1)");
    let up = world.spawn("migrate-apply up --block-limit 200ms --retry-budget 100ms");
    world.wait_for(
        "exists (select from pg_stat_activity where query like '%pg_sleep(30)%'
                 and datname = current_database() and pid <> pg_backend_pid())",
    );
    world.execute("update t set id = 3");
    assert_eq!(up.finish().expect(Exit::Busy).one("error")["kind"], "others_blocked");
    assert_eq!(world.query("select id from t"), "3");
}

#[test]
fn who_wants_the_lease_of_a_run_waits_on_purpose() {
    let world = World::new().migration("1_t.sql", "create table t (); select pg_sleep(2);");
    let up = world.spawn("migrate-apply up --block-limit 200ms");
    world.wait_for(
        "exists (select from pg_stat_activity where query like '%pg_sleep(2)%'
                 and datname = current_database() and pid <> pg_backend_pid())",
    );
    world.execute("delete from _migration_locks");
    assert_eq!(world.query("to_regclass('t') is not null"), "true", "the thief came first");
    let ended = up.finish();
    assert_eq!(ended.of_type("migration.yielded"), Vec::<serde_json::Value>::new(), "{ended}");
}

#[test]
fn an_index_that_is_built_concurrently_gives_way_and_leaves_no_invalid_one() {
    let world = World::new().migration("1_i.sql", "create unique index concurrently i on t (id)");
    world.execute("create table t (id int); insert into t values (1)");
    // Holds its build up in the last wait, but is young when the build begins.
    let mut reader = world.client();
    let up = {
        let mut old = world.client();
        old.batch_execute("begin; lock table t in share row exclusive mode").unwrap();
        let up = world.spawn("migrate-apply up --block-limit 300ms --retry-budget 400ms");
        world.wait_for(
            "exists (select from pg_locks where relation = 't'::regclass and not granted)",
        );
        reader.batch_execute("begin isolation level repeatable read; select 1").unwrap();
        old.batch_execute("commit").unwrap();
        up
    };
    world.wait_for("to_regclass('i') is not null");
    // Another ALTER TABLE waits for the build.
    let began = Instant::now();
    world.execute("alter table t add column note text");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let busy = up.finish().expect(Exit::Busy);
    assert_eq!(busy.one("error")["kind"], "others_blocked", "{busy}");
    assert!(busy.stderr.contains("running: drop index concurrently"), "{busy}");
    assert_eq!(world.query("to_regclass('i') is null"), "true");
    reader.batch_execute("commit").unwrap();
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(
        world.query("select indisvalid from pg_index where indexrelid = 'i'::regclass"),
        "true"
    );
}

#[test]
fn a_block_limit_below_the_time_of_a_look_is_refused() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    let refused = world.run("migrate-apply up --block-limit 10ms").expect(Exit::Usage);
    assert!(refused.stderr.contains("a block limit is at least 100ms"), "{refused}");
}
