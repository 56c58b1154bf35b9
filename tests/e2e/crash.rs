//! Killed anywhere, and run again at once: the end is that of a run that nobody disturbed.

use std::{
    os::unix::process::ExitStatusExt,
    thread,
    time::{Duration, Instant},
};

use migrate_core::{exit::Exit, fault::Point};
use migrate_tests::{Outcome, World};

/// An orphan ends within a second or two; the rest is for a slow machine.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Of each kind: in a transaction, alone, sharing one with the journal, in a block of its own.
fn world() -> World {
    World::new()
        .file("migrate.toml", "ledger_schema = \"ledger\"\n")
        .migration(
            "1_table.sql",
            "-- migrate:up\ncreate table t (i int, said text);\ninsert into t values (1, 'first');\n\
             -- migrate:down\ndrop table t;\n",
        )
        .migration(
            "2_alone.sql",
            "-- migrate:up transaction:false\n\
             insert into t values (2, 'before');\n\
             create index concurrently t_i on t (i);\n\
             set search_path = pg_catalog;\n\
             begin;\ninsert into public.t values (2, 'block');\ncommit;\n\
             insert into public.t values (2, 'after');\n\
             -- migrate:down transaction:false\n\
             delete from t where i = 2 and said = 'after';\n\
             drop index concurrently t_i;\n\
             delete from t where i = 2;\n",
        )
        .migration(
            "3_rows.sql",
            "-- migrate:up\ninsert into t values (3, 'third');\nalter table t add n int default 7;\n\
             -- migrate:down\nalter table t drop n;\ndelete from t where i = 3;\n",
        )
}

fn was_killed(outcome: &Outcome) -> bool {
    outcome.status.signal() == Some(9)
}

/// Runs `command` until it is killed at no `point` any more, each time in a world of its own.
fn kill_at(point: Point, prepare: &[&str], command: &str, undisturbed: &str) {
    for nth in 1.. {
        let world = world();
        for line in prepare {
            let _ = world.run(line).expect(Exit::Ok);
        }
        let world = world.env("MIGRATE_FAULT", &format!("{}:{nth}", point.name()));
        let killed = world.run(command);
        let world = world.without_env("MIGRATE_FAULT");
        if !was_killed(&killed) {
            assert!(nth > 1, "{point:?} was not reached: {killed}");
            let _ = killed.expect(Exit::Ok);
            return;
        }
        let start = Instant::now();
        let next = world.run(command).expect(Exit::Ok);
        assert!(start.elapsed() < AT_ONCE, "{point:?}:{nth}: {:?}", start.elapsed());
        assert_eq!(world.dump(), undisturbed, "{point:?}:{nth}: {killed}\nthen {next}");
        world.assert_sound();
        let again = world.run(command).expect(Exit::Ok);
        assert_eq!(again.types(), ["apply.finished"], "{point:?}:{nth}: {again}");
    }
}

/// Every point, some at a time.
fn kill_everywhere(prepare: &[&str], command: &str) {
    let undisturbed = world();
    for line in prepare.iter().chain([&command]) {
        let _ = undisturbed.run(line).expect(Exit::Ok);
    }
    let undisturbed = &undisturbed.dump();
    for points in Point::APPLY.chunks(3) {
        thread::scope(|scope| {
            for &point in points {
                scope.spawn(move || kill_at(point, prepare, command, undisturbed));
            }
        });
    }
}

#[test]
fn a_run_up_that_was_killed_at_any_point_is_finished_by_the_next() {
    kill_everywhere(&[], "migrate-apply up");
}

#[test]
fn a_run_down_that_was_killed_at_any_point_is_finished_by_the_next() {
    kill_everywhere(&["migrate-apply up"], "migrate-apply down --target 0");
}

#[test]
fn a_single_transaction_that_was_killed_leaves_nothing_or_all() {
    for point in [Point::BeforeRecord, Point::BeforeCommit, Point::AfterCommit] {
        let world = World::new()
            .migration("1_t.sql", "create table t ()")
            .migration("2_u.sql", "create table u ()")
            .env("MIGRATE_FAULT", point.name());
        let killed = world.run("migrate-apply up --single-transaction");
        assert!(was_killed(&killed), "{killed}");
        world.wait_for(
            "not exists (select from pg_locks where relation::regclass::text in ('t', 'u'))",
        );
        let there = world.query("select concat(to_regclass('t'), to_regclass('u'))");
        assert_eq!(there, if point == Point::AfterCommit { "tu" } else { "" }, "{point:?}");
        let world = world.without_env("MIGRATE_FAULT");
        let _ = world.run("migrate-apply up --single-transaction").expect(Exit::Ok);
        world.assert_sound();
    }
}

/// Fifty migrations, each fifth with an index that is built concurrently.
fn fifty() -> World {
    let mut world = World::new().file("migrate.toml", "ledger_schema = \"ledger\"\n");
    for version in 1..=50 {
        let text = match version {
            1 => "create table t (i int);".to_owned(),
            it if it % 5 == 0 => format!(
                "-- migrate:up transaction:false\ninsert into t values ({it});\n\
                 create index concurrently t_{it} on t (i);\ninsert into t values ({it});\n"
            ),
            it => format!("insert into t values ({it});\ncreate table t_{it} as select {it} as i;"),
        };
        world = world.migration(&format!("{version}_v.sql"), &text);
    }
    world
}

#[test]
fn fifty_migrations_killed_at_random_moments_end_as_if_undisturbed() {
    let long = std::env::var_os("MIGRATE_TEST_LONG").is_some();
    let kills_wanted = if long { 200 } else { 12 };
    let undisturbed = fifty();
    // The tools are built before the time runs.
    let _ = undisturbed.run("migrate-apply validate");
    let start = Instant::now();
    let _ = undisturbed.run("migrate-apply up").expect(Exit::Ok);
    let whole = start.elapsed().as_micros() as u64;
    let undisturbed = undisturbed.dump();
    let mut seed = u64::from(std::process::id());
    let mut dice = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let mut kills = 0;
    while kills < kills_wanted {
        let world = fifty();
        loop {
            let mut up = world.spawn("migrate-apply up");
            // A moment, not a wait for something.
            thread::sleep(Duration::from_micros(dice() % whole));
            if !up.is_running() {
                let _ = up.finish().expect(Exit::Ok);
                break;
            }
            let _ = up.kill();
            kills += 1;
        }
        let start = Instant::now();
        let _ = world.run("migrate-apply up").expect(Exit::Ok);
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        assert_eq!(world.dump(), undisturbed);
        world.assert_sound();
    }
}

#[test]
fn of_twenty_runs_at_once_one_applies_and_none_fails() {
    let world = World::new()
        .migration("1_t.sql", "create table t (); select pg_sleep(0.3)")
        .migration("2_u.sql", "create table u ()");
    let _ = world.run("migrate-lock run -- true").expect(Exit::Ok);
    let runs: Vec<_> = (0..20).map(|_| world.spawn("migrate-apply up")).collect();
    let outcomes: Vec<_> = runs.into_iter().map(|it| it.finish().expect(Exit::Ok)).collect();
    let applied: usize = outcomes.iter().map(|it| it.of_type("migration.applied").len()).sum();
    assert_eq!(applied, 2);
    assert!(!outcomes.iter().any(|it| it.stderr.contains("error")), "{outcomes:?}");
    world.assert_sound();
}
