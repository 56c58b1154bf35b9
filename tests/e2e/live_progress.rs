//! What is said of a migration while it takes long: how far it is, whom it waits for, who waits for it.

use std::thread;

use migrate_core::exit::Exit;
use migrate_tests::World;

#[test]
fn who_holds_the_lock_is_said_while_up_waits_for_it() {
    let world = World::new().migration("1_t.sql", "alter table t add column note text");
    world.execute("create table t (id int)");
    let mut reader = world.client();
    reader.batch_execute("set application_name = 'report'; begin").unwrap();
    reader.batch_execute("select from t").unwrap();
    let up = world.run("migrate-apply up --lock-timeout 4s --retry-budget 1ms").expect(Exit::Busy);
    let progress = &up.of_type("migration.progress")[0];
    assert_eq!(progress["holders"][0]["application"], "report", "{progress}");
    let message = progress["message"].as_str().unwrap();
    assert!(message.contains("waiting for the lock on public.t held by process"), "{message}");
    assert!(message.contains("report, idle in transaction"), "{message}");
    assert!(message.ends_with("(select from t)"), "{message}");
    assert!(up.stderr.contains("PROGRESS 1 statement 1 of 1: ALTER TABLE"), "{up}");
}

#[test]
fn how_many_wait_for_a_migration_is_said_while_it_goes_on() {
    let world = World::new().migration("1_t.sql", "lock table t;\nselect pg_sleep(4);");
    world.execute("create table t (id int)");
    let up = world.spawn("migrate-apply up --block-limit 1m");
    world.wait_for(
        "exists (select from pg_locks where relation = 't'::regclass and granted
                 and mode = 'AccessExclusiveLock')",
    );
    let outcome = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| world.execute("select from t"));
        }
        up.finish().expect(Exit::Ok)
    });
    let progress = outcome.of_type("migration.progress");
    let last = &progress[progress.len() - 1];
    assert_eq!(last["blocked"], 2, "{last}");
    assert!(last["message"].as_str().unwrap().ends_with(", 2 blocked by it"), "{last}");
}

#[test]
fn an_index_build_says_its_phase_and_how_far_it_is() {
    // Slow enough to be seen: each row takes a moment.
    let world = World::new().migration("1_i.sql", "create index i on t (slow(id))");
    world.execute(
        "create table t (id int, filler text);
         insert into t select n, repeat('x', 1000) from generate_series(1, 400) as n;
         create function slow(n int) returns int language sql immutable
         begin atomic select n from pg_sleep(0.01); end;",
    );
    let outcome = world.run("migrate-apply up").expect(Exit::Ok);
    let progress = &outcome.of_type("migration.progress")[0];
    assert_eq!(progress["phase"], "building index: scanning table", "{outcome}");
    assert_eq!(progress["work_unit"], "blocks");
    let (done, total) = (progress["work_done"].as_u64(), progress["work_total"].as_u64().unwrap());
    assert!(done.unwrap() > 0 && done.unwrap() <= total, "{progress}");
    let expected = format!("building index: scanning table: {} of {total} blocks", done.unwrap());
    assert!(progress["message"].as_str().unwrap().contains(&expected), "{progress}");
}

#[test]
fn a_copy_says_how_many_bytes_it_has_read() {
    let world = World::new();
    world.execute(
        "create table t (id int);
         create function slow() returns trigger language plpgsql as
         $$ begin perform pg_sleep(0.01); return new; end $$;
         create trigger slow before insert on t for each row execute function slow()",
    );
    let rows: String = (0..400).map(|n| format!("{n}\n")).collect();
    let world = world.migration("1_t.sql", &format!("copy t from stdin;\n{rows}\\.\n"));
    let outcome = world.run("migrate-apply up").expect(Exit::Ok);
    let progress = &outcome.of_type("migration.progress")[0];
    assert_eq!((&progress["phase"], &progress["work_unit"]), (&"copying".into(), &"bytes".into()));
    assert!(progress["work_done"].as_u64().unwrap() > 0, "{progress}");
}

#[test]
fn an_earlier_run_of_the_same_file_says_how_long_it_may_take() {
    let sql = "-- migrate:up\nselect pg_sleep(2.5);\n-- migrate:down\n";
    let world = World::new().migration("1_t.sql", sql);
    let first = world.run("migrate-apply up").expect(Exit::Ok);
    assert!(first.one("migration.progress")["earlier_ms"].is_null(), "{first}");
    let took = &first.one("migration.applied")["execution_ms"];
    let _ = world.run("migrate-apply down").expect(Exit::Ok);
    let second = world.run("migrate-apply up").expect(Exit::Ok);
    let progress = second.one("migration.progress");
    assert_eq!(&progress["earlier_ms"], took, "{second}");
    let message = progress["message"].as_str().unwrap();
    assert!(message.contains(" elapsed, an earlier run took 2."), "{message}");
    let _ = world.run("migrate-apply down").expect(Exit::Ok);
    let world = world.migration("1_t.sql", &sql.replace("2.5", "2.4"));
    let edited = world.run("migrate-apply up").expect(Exit::Ok);
    assert!(edited.one("migration.progress")["earlier_ms"].is_null(), "{edited}");
}
