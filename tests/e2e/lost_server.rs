//! A server that stops, crashes, ends a session or has no room: what was under way is undone or named.

use migrate_core::exit::Exit;
use migrate_tests::{Background, OwnServer, World};
use postgres::{Client, NoTls};
use rustix::process::{Pid, Signal, kill_process};

/// Stops in its transaction until the gate is open.
const GATED: &str = "create table t (); do $$ begin
    while not exists (select from gate) loop perform pg_sleep(0.01); end loop;
end $$;";
/// Its build stops at the first row until the gate is open.
const GATED_INDEX: &str = "-- migrate:up transaction:false\ninsert into r values (1);\n\
    create index concurrently r_i on r (public.gated(i));\n";
const GATED_FUNCTION: &str = "create table gate (); create table r (i int);
    create function gated(i int) returns int immutable language plpgsql as $$ begin
        while not exists (select from public.gate) loop perform pg_sleep(0.01); end loop;
        return i;
    end $$";

/// Starts `up`, and waits until it runs a statement like `query`.
fn up_in(world: &World, query: &str) -> Background {
    let up = world.spawn("migrate-apply up");
    world.wait_for(&format!(
        "exists (select from pg_stat_activity where query ilike '{query}%' and state = 'active'
                 and application_name like 'migrate-apply/%' and datname = current_database())"
    ));
    up
}

/// A crash of the server, or an end in good order.
#[derive(Debug, Clone, Copy)]
enum End {
    Fast,
    Immediate,
    /// As the kernel does when memory runs out: the server ends all other sessions too.
    KilledSession,
}

fn end(server: &mut OwnServer, how: End, world: &World) {
    match how {
        End::Fast => server.stop(Signal::INT),
        End::Immediate => server.stop(Signal::QUIT),
        End::KilledSession => {
            let pid = world.query(
                "select pid from pg_stat_activity where application_name like 'migrate-apply/%' and state = 'active'",
            );
            kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
            server.wait_until_ready();
            return;
        }
    }
    server.start_again();
}

#[test]
fn a_server_that_stops_in_the_middle_leaves_nothing_of_a_transaction() {
    let mut server = OwnServer::start(&[]);
    for how in [End::Fast, End::Immediate, End::KilledSession] {
        let world = World::at(server.url()).migration("1_gated.sql", GATED);
        world.execute("drop schema public cascade; create schema public; create table gate ()");
        let up = up_in(&world, "do");
        end(&mut server, how, &world);
        let failed = up.finish().expect(Exit::Failed);
        assert_eq!(failed.one("error")["kind"], "connection_lost", "{how:?}");
        assert_eq!(failed.one("migration.failed")["state"], "rolled_back");
        assert_eq!(failed.one("apply.finished")["status"], "failed");
        assert_eq!(world.query("select status from _migration_history"), "failed", "{how:?}");
        assert_eq!(world.query("select to_regclass('t')"), "null");
        world.assert_sound();
        world.execute("insert into gate default values");
        let _ = world.run("migrate-apply up").expect(Exit::Ok);
        world.assert_sound();
    }
}

#[test]
fn a_server_that_stops_in_the_middle_leaves_the_rest_outside_a_transaction() {
    let mut server = OwnServer::start(&[]);
    for how in [End::Fast, End::Immediate, End::KilledSession] {
        let world = World::at(server.url()).migration("1_m.sql", GATED_INDEX);
        world.execute("drop schema public cascade; create schema public");
        world.execute(GATED_FUNCTION);
        let up = up_in(&world, "create index");
        world.wait_for("exists (select from pg_index where indrelid = 'r'::regclass)");
        end(&mut server, how, &world);
        let failed = up.finish().expect(Exit::Partial);
        let record = failed.one("migration.failed");
        assert_eq!((&record["state"], &record["statements_done"]), (&"partial".into(), &1.into()));
        world.execute("insert into gate default values");
        let _ = world.run("migrate-apply up").expect(Exit::Ok);
        assert_eq!(world.query("select count(*) from r"), "1", "{how:?}");
        assert_eq!(
            world.query("select string_agg(indisvalid::text, ' ') from pg_index where indrelid = 'r'::regclass"),
            "true"
        );
        world.assert_sound();
    }
}

#[test]
fn a_session_that_is_terminated_is_a_failure_that_is_recorded() {
    let world = World::new().migration("1_gated.sql", GATED);
    world.execute("create table gate ()");
    let up = up_in(&world, "do");
    world.execute("select pg_terminate_backend(backend_pid) from _migration_locks");
    let failed = up.finish().expect(Exit::Failed);
    assert_eq!(failed.one("error")["kind"], "connection_lost");
    assert_eq!(world.query("select status from _migration_history"), "failed");
    world.assert_sound();
}

#[test]
fn sessions_that_are_ended_again_and_again_do_not_lose_the_record_of_a_failure() {
    let world = World::new().migration("1_gated.sql", GATED);
    world.execute("create table gate ()");
    let mut up = up_in(&world, "do");
    let mut client = world.client();
    let mut ended = 0;
    // As while a server goes down: it lets a session in and ends it.
    while ended < 12 && up.is_running() {
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity
            where application_name like 'migrate-apply/%' and datname = current_database()";
        ended += client.query_one(end, &[]).unwrap().get::<_, i64>(0);
    }
    let failed = up.finish().expect(Exit::Failed);
    assert!(ended > 3, "only {ended} sessions were ended");
    assert_eq!(failed.one("error")["kind"], "connection_lost");
    assert_eq!(failed.one("migration.failed")["state"], "rolled_back");
    assert_eq!(world.query("select string_agg(status, ' ') from _migration_history"), "failed");
    let audited = "select count(*) from _migration_audit_log where action = 'migration.failed'";
    assert_eq!(world.query(audited), "1");
    world.assert_sound();
}

#[test]
fn a_waiting_run_goes_on_after_the_one_before_was_killed() {
    let world = World::new().migration("1_gated.sql", GATED);
    world.execute("create table gate ()");
    let first = up_in(&world, "do");
    let second = world.spawn("migrate-apply up");
    world.wait_for(
        "exists (select from pg_stat_activity where application_name like 'migrate-apply/%'
                 and datname = current_database() and query like '%advisory%')",
    );
    let _ = first.kill();
    world.execute("insert into gate default values");
    let _ = second.finish().expect(Exit::Ok);
    assert_eq!(world.query("select to_regclass('t')"), "t");
    world.assert_sound();
}

#[test]
fn where_connections_run_out_nothing_was_touched() {
    let server = OwnServer::start(&["max_connections=6", "superuser_reserved_connections=0"]);
    let world = World::at(server.url()).migration("1_t.sql", "create table t ()");
    let mut taken = vec![world.client()];
    let free = |taken: &mut Vec<Client>| {
        let sql =
            "select 6 - count(*)::int from pg_stat_activity where backend_type = 'client backend'";
        taken[0].query_one(sql, &[]).unwrap().get::<_, i32>(0)
    };
    while free(&mut taken) > 1 {
        taken.push(world.client());
    }
    let full = world.run("migrate-apply up").expect(Exit::Unavailable);
    assert!(full.stderr.contains("53300"), "{full}");
    assert_eq!(full.types(), ["error"]);
    let ledger = "select count(*) from pg_class where relname like '%migration%'";
    assert_eq!(taken[0].query_one(ledger, &[]).unwrap().get::<_, i64>(0), 0);
}

#[test]
fn once_it_has_begun_a_run_needs_no_other_connection() {
    let server = OwnServer::start(&["max_connections=8", "superuser_reserved_connections=0"]);
    let world = World::at(server.url()).migration("1_gated.sql", GATED);
    world.execute("create table gate ()");
    let up = up_in(&world, "do");
    let mut taken = vec![world.client()];
    while let Ok(client) = Client::connect(world.url(), NoTls) {
        taken.push(client);
    }
    taken[0].batch_execute("insert into gate default values").unwrap();
    let done = up.finish().expect(Exit::Ok);
    assert_eq!(done.one("apply.finished")["status"], "done");
}

#[test]
fn a_prepared_transaction_in_the_way_is_named() {
    let world = World::new().migration("1_t.sql", "alter table t add n int");
    world.execute("create table t ()");
    world.execute("begin; lock table t; prepare transaction 'left over'");
    let busy =
        world.run("migrate-apply up --lock-timeout 50ms --retry-budget 300ms").expect(Exit::Busy);
    assert!(busy.stderr.contains("'left over' of `postgres`"), "{busy}");
    assert!(busy.stderr.contains("holds locks on public.t"), "{busy}");
    assert!(busy.stderr.contains("rollback prepared 'left over'"), "{busy}");
    let waited = busy.of_type("lock.waited");
    assert_eq!(waited[0]["holders"][0]["state"], "prepared transaction", "{busy}");
    world.execute("rollback prepared 'left over'");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    world.assert_sound();
}
