//! CONCURRENTLY statements that are interrupted at each of their waits: the next run finishes them.

use migrate_core::exit::Exit;
use migrate_tests::{Background, World};
use postgres::Client;

/// How a run ends before its time.
#[derive(Debug, Clone, Copy)]
enum End {
    /// kill -9 of the tool; its backend sees that within a second, or when it would answer.
    Killed,
    /// pg_terminate_backend of its session.
    Terminated,
}

const ENDS: [End; 2] = [End::Killed, End::Terminated];

fn world(sql: &str, table: &str) -> World {
    let sql = format!("-- migrate:up transaction:false\n{sql};\n");
    let world = World::new().migration("1_m.sql", &sql);
    world.execute(table);
    // The tools are there: whoever is in the way must not be old when `up` looks for such.
    let _ = world.run("migrate-apply status").expect(Exit::Ok);
    world
}

const TABLE: &str = "create table t as select i from generate_series(1, 1000) as i";

/// Starts a transaction that a CONCURRENTLY statement waits for.
fn holder(world: &World, sql: &str) -> Client {
    let mut client = world.client();
    client.batch_execute(sql).unwrap();
    client
}

const WRITER: &str = "begin; lock table t in row exclusive mode";
const SNAPSHOT: &str = "begin isolation level repeatable read; select 1";

/// Ends a run that waits in a statement like `query`, and what is left of it on the server.
fn end(world: &World, up: Background, end: End, query: &str) {
    let session = format!(
        "from pg_stat_activity where query ilike '{query}%' and datname = current_database()
         and pid <> pg_backend_pid()"
    );
    match end {
        End::Killed => drop(up.kill()),
        End::Terminated => {
            world.execute(&format!("select pg_terminate_backend(pid) {session}"));
            let ended = up.finish();
            assert_ne!(ended.status.code(), Some(0), "{ended}");
        }
    }
    world.wait_for(&format!("not exists (select {session})"));
}

fn waits(query: &str) -> String {
    format!(
        "exists (select from pg_stat_activity where query ilike '{query}%' and wait_event_type = 'Lock'
                 and datname = current_database() and pid <> pg_backend_pid())"
    )
}

#[track_caller]
fn assert_finished(world: &World, how: &str) {
    let done = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(done.of_type("migration.applied").len(), 1, "{how}: {done}");
    let invalid = "select count(*) from pg_index where not indisvalid or not indisready";
    assert_eq!(world.query(invalid), "0", "{how}");
    world.assert_sound();
}

/// The phases in which CREATE INDEX CONCURRENTLY waits, and REINDEX does too.
const PHASES: [&str; 3] = [
    "waiting for writers before build",
    "waiting for writers before validation",
    "waiting for old snapshots",
];

/// Leads a build into a phase, by transactions that are younger than its start: older ones it
/// would not even begin before.
fn lead_into(world: &World, up_to: usize, command_line: &str, query: &str) -> (Background, Client) {
    let first = holder(world, WRITER);
    let up = world.spawn(command_line);
    world.wait_for(&waits(query));
    let mut held = first;
    for phase in &PHASES[1..=up_to] {
        let next = holder(world, if phase.contains("snapshots") { SNAPSHOT } else { WRITER });
        held.batch_execute("commit").unwrap();
        held = next;
        world.wait_for(&format!(
            "exists (select from pg_stat_progress_create_index where phase = '{phase}'
                     and datname = current_database())"
        ));
    }
    (up, held)
}

#[test]
fn an_index_whose_build_is_interrupted_in_any_of_its_waits_is_built_by_the_next_run() {
    for unique in ["", "unique "] {
        let statement = format!("create {unique}index concurrently");
        for how in ENDS {
            for (at, phase) in PHASES.iter().enumerate() {
                let world = world(&format!("{statement} t_i on t (i)"), TABLE);
                let (up, held) = lead_into(&world, at, "migrate-apply up", &statement);
                end(&world, up, how, &statement);
                drop(held);
                assert_finished(&world, &format!("{statement} {how:?} {phase}"));
                let valid = "select indisvalid from pg_index where indexrelid = 't_i'::regclass";
                assert_eq!(world.query(valid), "true");
            }
        }
    }
}

#[test]
fn an_index_whose_build_is_interrupted_while_it_reads_the_table_is_built_by_the_next_run() {
    for how in ENDS {
        let statement = "create index concurrently";
        let world = world(
            &format!("{statement} t_i on t (slow(i))"),
            &format!(
                "{TABLE}; create sequence reads; create function slow(i int) returns int
                 language plpgsql immutable as
                 'begin
                      if i = 500 and nextval(''reads'') = 1 then perform pg_sleep(30); end if;
                      return i;
                  end'"
            ),
        );
        let up = world.spawn("migrate-apply up");
        world.wait_for("(select is_called from reads)");
        end(&world, up, how, statement);
        assert_finished(&world, &format!("{how:?}"));
    }
}

#[test]
fn a_reindex_that_is_interrupted_leaves_one_valid_index() {
    for how in ENDS {
        for at in 0..PHASES.len() {
            let statement = "reindex index concurrently";
            let world = world(
                &format!("{statement} t_i"),
                &format!("{TABLE}; create unique index t_i on t (i)"),
            );
            let (up, held) = lead_into(&world, at, "migrate-apply up", statement);
            end(&world, up, how, statement);
            drop(held);
            assert_finished(&world, &format!("{how:?} {at}"));
            let names = "select string_agg(indexrelid::regclass::text, ' ') from pg_index
                         where indrelid = 't'::regclass";
            assert_eq!(world.query(names), "t_i");
        }
    }
}

#[test]
fn a_drop_that_is_interrupted_is_finished() {
    for how in ENDS {
        let statement = "drop index concurrently";
        let world =
            world(&format!("{statement} t_i"), &format!("{TABLE}; create index t_i on t (i)"));
        let held = holder(&world, "begin; lock table t in access share mode");
        let up = world.spawn("migrate-apply up");
        world.wait_for(&waits(statement));
        end(&world, up, how, statement);
        drop(held);
        assert_finished(&world, &format!("{how:?}"));
        assert_eq!(world.query("to_regclass('t_i')"), "null");
    }
}

#[test]
fn a_detach_that_is_interrupted_is_finalized() {
    for how in ENDS {
        let statement = "alter table p detach partition t concurrently";
        let world = world(
            statement,
            "create table p (i int) partition by range (i);
             create table t partition of p for values from (0) to (10)",
        );
        let held = holder(&world, "begin; lock table p in access share mode");
        let up = world.spawn("migrate-apply up");
        world.wait_for(&waits(statement));
        end(&world, up, how, statement);
        drop(held);
        assert_finished(&world, &format!("{how:?}"));
        assert_eq!(world.query("select count(*) from pg_inherits"), "0");
        assert_eq!(world.query("to_regclass('t')"), "t");
    }
}
