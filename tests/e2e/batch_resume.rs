//! Batched changes that are killed, in each other's way or edited: every row is changed once.

use std::{
    os::unix::process::ExitStatusExt,
    thread,
    time::{Duration, Instant},
};

use migrate_core::{exit::Exit, fault::Point};
use migrate_tests::{OwnServer, World};
use postgres::NoTls;

const ROWS: u32 = 5000;
const EACH_ONCE: &str = "select min(n) || ' ' || max(n) || ' ' || count(*) from t";

/// Of several columns in the key, and a statement on each side; small ranges, so that there are many.
fn world(rows: u32) -> World {
    World::new()
        .file("migrate.toml", "ledger_schema = \"ledger\"\n")
        .migration(
            "1_table.sql",
            &format!(
                "create table t (a int, b text, n int not null default 0, primary key (a, b));\n\
                 insert into t select i / 7, i::text from generate_series(1, {rows}) as i;\n\
                 create table log (said text);\n"
            ),
        )
        .migration(
            "2_batch.sql",
            "-- migrate:up\n\
             insert into log values ('before');\n\
             -- migrate:batch table=t key=a,b size=10\n\
             update t set n = n + 1 where {batch};\n\
             insert into log values ('after');\n\
             -- migrate:down\n\
             -- migrate:batch table=t key=a,b size=10\n\
             update t set n = n - 1 where {batch};\n\
             delete from log;\n",
        )
}

#[track_caller]
fn assert_done(world: &World, rows: u32) {
    assert_eq!(world.query(EACH_ONCE), format!("1 1 {rows}"));
    assert_eq!(world.query("select string_agg(said, ' ') from log"), "before after");
    world.assert_sound();
}

#[test]
fn a_batch_that_was_killed_at_any_point_is_finished_by_the_next_run() {
    for point in [Point::StatementRun, Point::BeforeCommit, Point::AfterCommit, Point::BeforeFinish]
    {
        for nth in 1.. {
            let world = world(100).env("MIGRATE_FAULT", &format!("{}:{nth}", point.name()));
            let killed = world.run("migrate-apply up");
            let world = world.without_env("MIGRATE_FAULT");
            if killed.status.signal() != Some(9) {
                assert!(nth > 1, "{point:?} was not reached: {killed}");
                break;
            }
            let _ = world.run("migrate-apply up").expect(Exit::Ok);
            assert_done(&world, 100);
        }
    }
}

#[test]
fn a_batch_that_was_killed_at_random_moments_changes_every_row_once() {
    let long = std::env::var_os("MIGRATE_TEST_LONG").is_some();
    let (worlds, kills) = if long { (10, 10) } else { (2, 5) };
    let mut seed = u64::from(std::process::id());
    let mut dice = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    for _ in 0..worlds {
        let world = world(ROWS);
        let _ = world.run("migrate-apply up --steps 1").expect(Exit::Ok);
        // So that ranges stay small enough to be killed between and in.
        world.execute(
            "create function slow() returns trigger language plpgsql as
             'begin perform pg_sleep(0.0002); return new; end';
             create trigger slow before update on t for each row execute function slow()",
        );
        let mut killed = 0;
        while killed < kills {
            let mut up = world.spawn("migrate-apply up");
            // A moment, not a wait for something.
            thread::sleep(Duration::from_millis(100 + dice() % 400));
            if !up.is_running() {
                let _ = up.finish().expect(Exit::Ok);
                break;
            }
            let _ = up.kill();
            killed += 1;
        }
        assert!(killed > 1, "it was over before it was killed");
        let _ = world.run("migrate-apply up").expect(Exit::Ok);
        assert_done(&world, ROWS);
    }
}

#[test]
fn a_batched_way_down_that_was_killed_is_finished_by_the_next() {
    let world = world(100);
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let world = world.env("MIGRATE_FAULT", "after_commit:2");
    assert_eq!(world.run("migrate-apply down").status.signal(), Some(9));
    let world = world.without_env("MIGRATE_FAULT");
    let _ = world.run("migrate-apply down").expect(Exit::Ok);
    assert_eq!(world.query(EACH_ONCE), "0 0 100");
    assert_eq!(world.query("select count(*) from log"), "0");
    world.assert_sound();
}

/// A world that was killed after its second range.
fn killed() -> World {
    let world = world(100).env("MIGRATE_FAULT", "after_commit:3");
    assert_eq!(world.run("migrate-apply up").status.signal(), Some(9));
    world.without_env("MIGRATE_FAULT")
}

#[test]
fn a_batch_that_was_edited_half_way_is_refused() {
    for (was, is) in [("n + 1", "n + 2"), ("key=a,b size", "key=b,a size")] {
        let world = killed();
        let half = world.query("select sum(n) from t");
        assert!(!["0", "100"].contains(&half.as_str()), "{half}");
        let file = std::fs::read_to_string(world.path("migrations/2_batch.sql")).unwrap();
        let world = world.migration("2_batch.sql", &file.replacen(was, is, 1));
        let outcome = world.run("migrate-apply up").expect(Exit::Refused);
        assert_eq!(outcome.one("error")["kind"], "edited_after_checkpoint", "{outcome}");
        assert_eq!(world.query("select sum(n) from t"), half);
        let world = world.migration("2_batch.sql", &file.replacen("size=10", "size=50", 1));
        let _ = world.run("migrate-apply up").expect(Exit::Ok);
        assert_done(&world, 100);
    }
}

#[test]
fn a_ledger_of_an_earlier_version_is_read_and_upgraded() {
    let world = world(100);
    let _ = world.run("migrate-apply up --steps 1").expect(Exit::Ok);
    world.execute("alter table ledger._migration_progress drop column checkpoint");
    let _ = world.run("migrate-apply status").expect(Exit::Ok);
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_done(&world, 100);
}

#[test]
fn a_range_waits_for_a_row_of_the_application_and_only_that_range_is_tried_again() {
    let world = world(100);
    let _ = world.run("migrate-apply up --steps 1").expect(Exit::Ok);
    let mut client = postgres::Client::connect(world.url(), NoTls).unwrap();
    let mut application = client.transaction().unwrap();
    application.execute("select from t where a = 10 and b = '72' for update", &[]).unwrap();
    let up = world.spawn("migrate-apply up --lock-timeout 50ms");
    let waiting = "exists (select from pg_locks where not granted)";
    // Twice: it came back to the row.
    for _ in 0..2 {
        world.wait_for(waiting);
        world.wait_for(&format!("not {waiting}"));
    }
    application.commit().unwrap();
    let outcome = up.finish().expect(Exit::Ok);
    assert!(outcome.stderr.contains("rolled back, trying again"), "{outcome}");
    assert_eq!(outcome.of_type("lock.waited")[0]["statement"], 2, "{outcome}");
    assert_done(&world, 100);
}

#[test]
fn a_range_that_blocks_the_application_for_too_long_is_cancelled_and_done_smaller() {
    let world = world(0);
    let _ = world.run("migrate-apply up --steps 1").expect(Exit::Ok);
    // Only the first try of the row in the middle takes long.
    world.execute(
        "insert into t select i / 7, i::text from generate_series(1, 100) as i;
         create sequence tries;
         create function slow() returns trigger language plpgsql as
         'begin
              if old.b = ''50'' and nextval(''tries'') = 1 then perform pg_sleep(30); end if;
              return new;
          end';
         create trigger slow before update on t for each row execute function slow()",
    );
    let up = world.spawn("migrate-apply up --block-limit 300ms");
    world.wait_for("(select is_called from tries)");
    let mut application = world.client();
    let start = Instant::now();
    application.execute("update t set n = n where a = 7 and b = '49'", &[]).unwrap();
    assert!(start.elapsed() < Duration::from_millis(550), "{:?}", start.elapsed());
    let outcome = up.finish().expect(Exit::Ok);
    let yielded = outcome.one("migration.yielded");
    assert_eq!(yielded["statement"], 2, "{outcome}");
    assert_eq!(yielded["victims"].as_array().unwrap().len(), 1, "{outcome}");
    assert_done(&world, 100);
}

#[test]
fn a_range_that_others_wait_for_ends_and_the_next_one_is_smaller() {
    let world = world(0);
    let _ = world.run("migrate-apply up --steps 1").expect(Exit::Ok);
    world.execute(
        "insert into t select i / 7, i::text from generate_series(1, 2000) as i;
         create function slow() returns trigger language plpgsql as
         'begin perform pg_sleep(0.001); return new; end';
         create trigger slow before update on t for each row execute function slow();
         create table waited (n int)",
    );
    let size = "(checkpoint ->> 'size')::int";
    let checkpoint = |what: &str| {
        format!("select {what} from ledger._migration_progress where checkpoint is not null")
    };
    let mut up = world.spawn("migrate-apply up");
    world.wait_for(&format!("coalesce(({}), false)", checkpoint(&format!("{size} > 100"))));
    let mut largest = 0;
    let mut smaller = false;
    let mut application = world.client();
    while up.is_running() {
        // Waits for whatever range is under way: each holds a lock on the table.
        application.batch_execute("begin; lock table t in share mode; commit").unwrap();
        let now: i32 = world.query(&checkpoint(size)).parse().unwrap();
        smaller |= now < largest;
        largest = largest.max(now);
    }
    let _ = up.finish().expect(Exit::Ok);
    assert!(smaller, "ranges only grew, up to {largest}");
    assert_done(&world, 2000);
}

#[test]
fn a_range_that_never_gets_its_rows_ends_the_run_part_way() {
    let world = world(100);
    let _ = world.run("migrate-apply up --steps 1").expect(Exit::Ok);
    let mut client = postgres::Client::connect(world.url(), NoTls).unwrap();
    let mut application = client.transaction().unwrap();
    application.execute("select from t where a = 10 and b = '72' for update", &[]).unwrap();
    let start = Instant::now();
    let outcome = world
        .run("migrate-apply up --lock-timeout 50ms --retry-budget 500ms")
        .expect(Exit::Partial);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(outcome.one("migration.failed")["sqlstate"], "55P03", "{outcome}");
    assert!(outcome.stderr.contains("are done and recorded"), "{outcome}");
    application.commit().unwrap();
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_done(&world, 100);
}

#[test]
fn a_signal_stops_between_rows_and_says_how_far_it_came() {
    let world = world(ROWS);
    let _ = world.run("migrate-apply up --steps 1").expect(Exit::Ok);
    world.execute(
        "create function slow() returns trigger language plpgsql as
         'begin perform pg_sleep(0.001); return new; end';
         create trigger slow before update on t for each row execute function slow()",
    );
    let up = world.spawn("migrate-apply up");
    world.wait_for(
        "exists (select from ledger._migration_progress where (checkpoint ->> 'ranges')::int > 2)",
    );
    up.signal(rustix::process::Signal::TERM);
    let outcome = up.finish().expect(Exit::Signal(15));
    assert!(outcome.stderr.contains("of statement 2 are done, and recorded"), "{outcome}");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_done(&world, ROWS);
}

#[test]
fn progress_says_how_many_rows_are_done_and_how_long_the_rest_takes() {
    let world = world(ROWS);
    let _ = world.run("migrate-apply up --steps 1").expect(Exit::Ok);
    world.execute(
        "create function slow() returns trigger language plpgsql as
         'begin perform pg_sleep(0.001); return new; end';
         create trigger slow before update on t for each row execute function slow();
         analyze t",
    );
    let outcome = world.run("migrate-apply up").expect(Exit::Ok);
    let said = outcome.of_type("migration.progress");
    // The last one may come when nothing is left.
    let first = said.first().unwrap();
    let message = first["message"].as_str().unwrap();
    assert!(message.contains("UPDATE, ") && message.contains("elapsed, about "), "{outcome}");
    assert!(message.ends_with(" %"), "{outcome}");
    assert_eq!(first["rows_total"], ROWS, "{outcome}");
    assert!(first["rows"].as_u64().unwrap() < u64::from(ROWS), "{first}");
    assert!(first["eta_ms"].as_u64().unwrap() > 0, "{first}");
    assert!(outcome.stderr.contains("PROGRESS 2 statement 2 of 3: UPDATE, "), "{outcome}");
}

#[test]
fn a_batch_waits_for_a_standby_that_has_fallen_behind() {
    let server = OwnServer::start(&[]);
    let world = World::at(server.url()).env("MIGRATE_BATCH_LAG", "1s").migration(
        "1_table.sql",
        "create table t (id int primary key, n int not null default 0);
         insert into t select generate_series(1, 4000);
         create function slow() returns trigger language plpgsql as
         'begin perform pg_sleep(0.001); return new; end';
         create trigger slow before update on t for each row execute function slow()",
    );
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let standby = server.standby();
    world.wait_for("exists (select from pg_stat_replication where state = 'streaming')");
    let mut client = postgres::Client::connect(&standby.url(), NoTls).unwrap();
    client.batch_execute("select pg_wal_replay_pause()").unwrap();
    let world = world.migration(
        "2_batch.sql",
        "-- migrate:batch table=t key=id size=10\nupdate t set n = n + 1 where {batch};",
    );
    let up = world.spawn("migrate-apply up");
    // It asks once a second how far the standby is, does nothing else, and has said so.
    world.wait_for(
        "exists (select from pg_stat_activity where application_name like 'migrate-apply/%'
                 and state = 'idle' and query like '%pg_stat_replication%'
                 and clock_timestamp() - backend_start > '4 s'
                 and clock_timestamp() - state_change > '500 ms')",
    );
    assert_ne!(world.query("select count(*) from t where n = 0"), "0");
    client.batch_execute("select pg_wal_replay_resume()").unwrap();
    let outcome = up.finish().expect(Exit::Ok);
    assert!(outcome.stderr.contains("is more than 1s behind"), "{outcome}");
    assert_eq!(world.query(EACH_ONCE), "1 1 4000");
}
