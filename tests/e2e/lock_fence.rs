//! Whatever happens to a lease, nobody works beside its owner and an owner who lost it changes nothing.

use migrate_core::exit::Exit;
use migrate_tests::{Background, World};
use rustix::process::Signal;

/// Waits until the test opens the gate; each look has a snapshot of its own.
const GATE: &str = "do $$ begin
    while not exists (select from gate) loop perform pg_sleep(0.01); end loop;
end $$;";

/// A migration that stops in its transaction until the gate is opened.
fn gated() -> World {
    gated_with("")
}

fn gated_with(first: &str) -> World {
    let sql = format!("{first} insert into applied values ('1'); {GATE}");
    let world = World::new().migration("1_gated.sql", &sql);
    world.execute("create table gate (); create table applied (version text)");
    world
}

/// A migration outside a transaction that stops until the gate is opened.
fn gated_alone() -> World {
    let sql = "-- migrate:up transaction:false\ncall wait_for_gate();\n";
    let world = World::new().migration("1_gated.sql", sql);
    world.execute(
        "create table gate (); create table applied (version text);
         create procedure wait_for_gate() language plpgsql as $p$
         begin
             while not exists (select from public.gate) loop
                 commit;
                 perform pg_sleep(0.01);
             end loop;
             insert into public.applied values ('1');
         end $p$",
    );
    world
}

fn open_gate(world: &World) {
    world.execute("insert into gate default values");
}

/// Starts `up`, and waits until it is in the gate.
fn up(world: &World) -> Background {
    let up = world.spawn("migrate-apply up");
    world.wait_for(
        "exists (select from pg_stat_activity
                 where application_name like 'migrate-apply/%' and datname = current_database()
                   and state = 'active' and query like '%gate%')",
    );
    up
}

fn work_pid(world: &World) -> i32 {
    world.query("select backend_pid from _migration_locks").parse().unwrap()
}

fn applied(world: &World) -> String {
    world.query("select count(*) from applied")
}

fn expire(world: &World) {
    world.execute(
        "update _migration_locks set expires_at = clock_timestamp() - interval '1 second'",
    );
}

#[test]
fn every_thief_waits_while_the_owners_transaction_lives() {
    let world = gated().env("MIGRATE_LEASE_TTL", "1m");
    let owner = up(&world);
    for theft in [
        "update _migration_locks set token = 999",
        "insert into _migration_locks select (jsonb_populate_record(l, '{\"token\": 999}')).* from _migration_locks l
         on conflict (lock_name) do update set token = excluded.token",
        "delete from _migration_locks",
        "delete from _migration_locks where expires_at < now() + interval '1 year'",
        "truncate _migration_locks",
        "drop table _migration_locks",
    ] {
        let err = world
            .client()
            .batch_execute(&format!("set lock_timeout = '100ms'; {theft}"))
            .unwrap_err();
        assert_eq!(err.code().map(|it| it.code()), Some("55P03"), "{theft}");
    }
    let busy = world.run("migrate-lock break --force --reason x").expect(Exit::Busy);
    assert!(busy.stderr.contains(&format!("process {}", work_pid(&world))), "{busy}");
    open_gate(&world);
    let _ = owner.finish().expect(Exit::Ok);
    assert_eq!(applied(&world), "1");
}

#[test]
fn the_runbooks_delete_during_a_transaction_never_lets_two_in() {
    let world = gated();
    let owner = up(&world);
    expire(&world);
    std::thread::scope(|scope| {
        let delete = scope.spawn(|| {
            world.client().execute("delete from _migration_locks where expires_at < now()", &[])
        });
        world.wait_for("exists (select from pg_stat_activity where query like 'delete from _migration_locks%' and wait_event_type = 'Lock')");
        let _ = world.run("migrate-apply up --wait 0s").expect(Exit::Busy);
        open_gate(&world);
        let owner = owner.finish();
        let _ = delete.join().unwrap();
        match owner.status.code() {
            Some(0) => (),
            // Committed, and fenced when it wanted to go on.
            Some(6) => assert!(owner.stderr.contains("was lost"), "{owner}"),
            _ => panic!("{owner}"),
        }
    });
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(applied(&world), "1");
}

#[test]
fn an_owner_that_was_stopped_beyond_its_lease_cannot_go_on_after_a_thief() {
    let world = gated().env("MIGRATE_LEASE_TTL", "1s");
    let owner = up(&world);
    owner.signal(Signal::STOP);
    world.wait_for("select expires_at < clock_timestamp() from _migration_locks");
    let row = world.run("migrate-lock status").expect(Exit::Ok).one("lock");
    assert_eq!(row["state"], "orphaned");
    let _ = world.run("migrate-apply up --wait 0s").expect(Exit::Busy);
    let orphan = world.run("migrate-lock break --expired").expect(Exit::Busy);
    assert_eq!(orphan.one("error")["kind"], "orphan");
    assert_eq!(orphan.one("lock")["backend_pid"], work_pid(&world));
    assert!(!orphan.one("lock")["backend_start"].is_null());
    assert!(orphan.stderr.contains("query began"), "{orphan}");
    let pid = work_pid(&world);
    let broken = world.run("migrate-lock break --expired --kill-orphan").expect(Exit::Ok);
    assert_eq!(broken.one("lock.broken")["terminated"], serde_json::json!([pid]));
    open_gate(&world);
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    owner.signal(Signal::CONT);
    let _ = owner.finish().expect(Exit::Failed);
    assert_eq!(applied(&world), "1");
}

#[test]
fn an_owner_outside_a_transaction_ends_once_its_lease_was_taken() {
    let world = gated_alone().env("MIGRATE_LEASE_TTL", "2s");
    let owner = up(&world);
    let broken = world.run("migrate-lock break --force --reason test").expect(Exit::Ok);
    let lost = owner.finish().expect(Exit::Failed);
    assert!(lost.stderr.contains("somebody else took or removed it"), "{lost}");
    assert_eq!(lost.one("error")["kind"], "lease_lost");
    assert!(broken.stderr.contains("still works"), "{broken}");
    // The heartbeat never makes the row again.
    assert_eq!(world.query("select count(*) from _migration_locks"), "0");
    assert_eq!(applied(&world), "0");
}

#[test]
fn a_session_that_works_without_a_lease_is_shown() {
    let world = gated_alone().env("MIGRATE_LEASE_TTL", "1m");
    let owner = up(&world);
    let pid = work_pid(&world);
    world.execute("delete from _migration_locks");
    let row = world.run("migrate-lock status").expect(Exit::Ok).one("lock");
    assert_eq!((&row["state"], &row["token"]), (&"held".into(), &serde_json::Value::Null));
    assert_eq!(row["advisory_pid"], pid);
    let table = world.run("migrate-lock status --output text").expect(Exit::Ok).stdout;
    assert!(table.contains("works without a lease"), "{table}");
    let _ = world.run("migrate-apply up --wait 0s").expect(Exit::Busy);
    let _ = world
        .run("migrate-lock break --force --kill-orphan --reason 'row was deleted'")
        .expect(Exit::Ok);
    let _ = owner.finish();
    assert_eq!(world.run("migrate-lock status").expect(Exit::Ok).stdout, "");
}

#[test]
fn the_heartbeat_connects_again_while_the_work_goes_on() {
    let world = gated().env("MIGRATE_LEASE_TTL", "2s");
    let owner = up(&world);
    let ended = world.query(
        "select bool_and(pg_terminate_backend(pid)) from pg_stat_activity
         where application_name like 'migrate-apply/%' and datname = current_database()
           and pid <> (select backend_pid from _migration_locks)",
    );
    assert_eq!(ended, "true");
    world.execute("create table mark as select clock_timestamp() as at");
    world.wait_for("select renewed_at > (select at from mark) from _migration_locks");
    open_gate(&world);
    let done = owner.finish().expect(Exit::Ok);
    assert!(done.stderr.contains("cannot renew the lease, trying again"), "{done}");
}

#[test]
fn the_lease_of_a_killed_work_session_is_given_back() {
    let world = gated();
    let owner = up(&world);
    world.execute(&format!("select pg_terminate_backend({})", work_pid(&world)));
    let _ = owner.finish().expect(Exit::Failed);
    open_gate(&world);
    let _ = world.run("migrate-apply up --wait 0s").expect(Exit::Ok);
    assert_eq!(applied(&world), "1");
}

#[test]
fn after_kill_9_an_orphan_keeps_the_lock_until_it_is_ended() {
    let world = gated_with("set client_connection_check_interval = 0;");
    let owner = up(&world);
    let pid = work_pid(&world);
    let _ = owner.kill();
    let busy = world.run("migrate-apply up --wait 0s").expect(Exit::Busy);
    assert!(busy.stderr.contains(&format!("process {pid} since 2")), "{busy}");
    assert!(busy.stderr.contains("active for"), "{busy}");
    // In force still: not touched.
    assert_eq!(world.run("migrate-lock break --expired --kill-orphan").expect(Exit::Ok).stdout, "");
    expire(&world);
    let _ = world.run("migrate-lock break --expired").expect(Exit::Busy);
    let broken = world.run("migrate-lock break --expired --kill-orphan").expect(Exit::Ok);
    assert_eq!(broken.one("lock.broken")["terminated"], serde_json::json!([pid]));
    open_gate(&world);
    let _ = world.run("migrate-apply up --wait 0s").expect(Exit::Ok);
    assert_eq!(applied(&world), "1");
}

#[test]
fn after_kill_9_the_next_run_just_works() {
    let world = gated();
    let owner = up(&world);
    let _ = owner.kill();
    open_gate(&world);
    let next = world.run("migrate-apply up").expect(Exit::Ok);
    assert!(next.one("lock.acquired")["took_over"].is_number());
    assert_eq!(applied(&world), "1");
}

#[test]
fn a_session_that_only_got_the_same_pid_is_not_ended() {
    let world = World::new();
    let _ = world.run("migrate-lock acquire").expect(Exit::Ok);
    let mut bystander = world.client();
    bystander.batch_execute("set application_name = 'migrate-apply/other'").unwrap();
    let pid: i32 = bystander.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    world.execute(&format!(
        "update _migration_locks set backend_pid = {pid}, backend_start = now() - interval '1 day',
                expires_at = now() - interval '1 second'"
    ));
    let broken = world.run("migrate-lock break --expired --kill-orphan").expect(Exit::Ok);
    assert!(broken.one("lock.broken").get("terminated").is_none());
    bystander.batch_execute("select 1").unwrap();
}

#[test]
fn a_session_that_is_not_ours_is_not_ended() {
    let world = World::new();
    let _ = world.run("migrate-lock acquire").expect(Exit::Ok);
    let mut bystander = world.client();
    let pid: i32 = bystander.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    world.execute(&format!(
        "update _migration_locks set backend_pid = {pid}, expires_at = now() - interval '1 second',
                backend_start = (select backend_start from pg_stat_activity where pid = {pid})"
    ));
    let left = world.run("migrate-lock break --expired --kill-orphan").expect(Exit::Busy);
    assert!(left.stderr.contains("not ended"), "{left}");
    bystander.batch_execute("select 1").unwrap();
}

#[test]
fn fifty_waiters_neither_delay_nor_deadlock_an_index_built_concurrently() {
    let world = World::new().migration(
        "1_index.sql",
        "-- migrate:up transaction:false\ncreate index concurrently t_i on t (i);\n",
    );
    world.execute("create table t as select i from generate_series(1, 1000) as i");
    let mut reader = world.client();
    reader.batch_execute("begin isolation level repeatable read; select count(*) from t").unwrap();
    let owner = world.spawn("migrate-apply up");
    world.wait_for("exists (select from pg_stat_activity where query ilike '%index concurrently%' and wait_event_type = 'Lock' and datname = current_database())");
    let waiters: Vec<_> =
        (0..50).map(|_| world.spawn("migrate-lock run --wait 3s -- true")).collect();
    world.wait_for("(select count(*) from pg_stat_activity where application_name = 'migrate-lock/run' and datname = current_database()) > 40");
    let start = std::time::Instant::now();
    reader.batch_execute("commit").unwrap();
    let done = owner.finish().expect(Exit::Ok);
    assert!(start.elapsed().as_secs() < 5, "{:?}: {done}", start.elapsed());
    assert_eq!(
        world.query("select indisvalid from pg_index where indexrelid = 't_i'::regclass"),
        "true"
    );
    for waiter in waiters {
        let outcome = waiter.finish();
        assert!(matches!(outcome.status.code(), Some(0 | 3)), "{outcome}");
        assert!(!outcome.stderr.contains("40P01"), "{outcome}");
    }
}

#[test]
fn many_heartbeats_during_a_transaction_do_it_no_harm() {
    let world = gated().env("MIGRATE_LEASE_TTL", "600ms");
    let owner = up(&world);
    world.wait_for("select renewed_at > acquired_at + interval '2 seconds' from _migration_locks");
    open_gate(&world);
    let _ = owner.finish().expect(Exit::Ok);
    assert_eq!(applied(&world), "1");
}

#[test]
fn a_transaction_that_has_the_row_is_named() {
    let world = World::new();
    let _ = world.run("migrate-lock acquire").expect(Exit::Ok);
    let mut human = world.client();
    human.batch_execute("begin; delete from _migration_locks").unwrap();
    let pid: i32 = human.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    let busy = world.run("migrate-lock acquire --wait 0s").expect(Exit::Busy);
    assert!(busy.stderr.contains(&format!("process {pid} ")), "{busy}");
    human.batch_execute("commit").unwrap();
    let _ = world.run("migrate-lock acquire --wait 0s").expect(Exit::Ok);
}
