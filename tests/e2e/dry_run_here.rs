//! `--dry-run=here`: for real on the target, in one transaction that is rolled back.

use migrate_core::exit::Exit;
use migrate_tests::World;
use rustix::process::Signal;

use crate::dry_run_copy::{dump, impact, lock, shop, table};

#[test]
fn everything_is_rolled_back_and_the_ledger_is_not_made() {
    let world = shop("1_change.sql", "insert into orders values (0); drop table customers cascade")
        .migration("2_more.sql", "alter table orders add column note text");
    let before = dump(&world);
    let outcome = world.run("migrate-apply up --dry-run=here").expect(Exit::Ok);
    assert_eq!(dump(&world), before);
    assert_eq!(world.query("to_regclass('_migration_history')"), "null");
    assert_eq!(world.query("select count(*) from orders"), "1000");
    let finished = outcome.one("dry_run.finished");
    assert_eq!(finished["status"], "done");
    assert_eq!(finished["place"], "here");
    assert_eq!((&finished["migrations"], &finished["statements"]), (&2.into(), &3.into()));
    assert!(finished["not_undone"].to_string().contains("sequences"), "{finished}");
    assert_eq!(outcome.of_type("migration.applied").len(), 0);
}

#[test]
fn the_ledger_that_is_there_stays_as_it_is() {
    let world = shop("1_change.sql", "select 1");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let world = world.migration("2_more.sql", "create table more ()");
    let ledger = "select concat((select array_agg(h) from _migration_history as h),
                                (select array_agg(a) from _migration_audit_log as a),
                                (select array_agg(l) from _migration_locks as l))";
    let before = world.query(ledger);
    let _ = world.run("migrate-apply up --dry-run=here").expect(Exit::Ok);
    assert_eq!(world.query(ledger), before);
}

#[test]
fn locks_times_and_scans_are_those_of_the_real_rows() {
    let world = shop(
        "1_change.sql",
        "alter table orders alter column total type bigint;
         create index on orders (total);
         select count(*) from orders;
         select pg_sleep(0.2)",
    );
    let outcome = world.run("migrate-apply up --dry-run=here").expect(Exit::Ok);
    let change = impact(&outcome, "1", 1);
    assert_eq!(lock(&change, "public.orders")["mode"], "AccessExclusiveLock");
    assert_eq!(change["rewritten"][0]["table"], "public.orders");
    let index = impact(&outcome, "1", 2);
    assert_eq!(index["scanned"][0]["table"], "public.orders");
    assert_eq!(impact(&outcome, "1", 3)["scanned"][0]["table"], "public.orders");
    assert_eq!(outcome.of_type("statement.done")[2]["rows"], 1);
    let orders = table(&outcome, "public.orders");
    assert!(orders["held_ms"].as_u64().unwrap() >= 200, "until the end: {orders}");
    assert_eq!(orders["blocks"][0], "reads");
}

#[test]
fn what_cannot_be_rolled_back_is_refused_before_anything_is_sent() {
    let world = shop("1_first.sql", "create table first ()").migration(
        "2_index.sql",
        "-- migrate:up transaction:false\ncreate index concurrently on orders (total)",
    );
    let outcome = world.run("migrate-apply up --dry-run=here").expect(Exit::Usage);
    let message = outcome.one("error")["message"].to_string();
    assert!(message.contains("migration 2 `index` runs outside a transaction"), "{message}");
    assert_eq!(outcome.types(), ["error"]);
    let _ = world.run("migrate-apply up --dry-run=here --target 1").expect(Exit::Ok);
}

#[test]
fn a_procedure_cannot_commit_what_it_did() {
    let world = shop(
        "1_commit.sql",
        "create procedure sneak() language plpgsql as $$ begin drop table customers cascade; commit; end $$;
         call sneak()",
    );
    let before = dump(&world);
    let outcome = world.run("migrate-apply up --dry-run=here").expect(Exit::Failed);
    assert_eq!(outcome.one("error")["sqlstate"], "2D000");
    assert_eq!(outcome.one("dry_run.finished")["status"], "failed");
    assert_eq!(dump(&world), before);
}

#[test]
fn a_deferred_constraint_is_checked_as_at_commit() {
    let world = shop(
        "1_deferred.sql",
        "create table parents (id int primary key);
         create table children (parent int references parents deferrable initially deferred);
         insert into children values (1)",
    );
    let outcome = world.run("migrate-apply up --dry-run=here").expect(Exit::Failed);
    let error = outcome.one("error");
    assert_eq!(error["sqlstate"], "23503");
    assert!(error["message"].as_str().unwrap().contains("at COMMIT: "), "{error}");
}

#[test]
fn a_lock_that_is_not_free_is_given_up_in_time_and_nothing_stays() {
    let world = shop("1_change.sql", "create table more (); alter table orders add column n int");
    let mut client = world.client();
    let mut holder = client.transaction().unwrap();
    holder.batch_execute("lock table orders in row exclusive mode").unwrap();
    let outcome = world
        .run("migrate-apply up --dry-run=here --lock-timeout 20ms --retry-budget 200ms")
        .expect(Exit::Busy);
    assert!(!outcome.of_type("lock.waited").is_empty(), "{outcome}");
    assert_eq!(outcome.one("error")["kind"], "locks_busy");
    holder.rollback().unwrap();
    assert_eq!(world.query("to_regclass('more')"), "null");
}

#[test]
fn it_keeps_other_runs_away_and_waits_for_them() {
    let world = shop("1_slow.sql", "create table slow (); select pg_sleep(60)");
    let dry = world.spawn("migrate-apply up --dry-run=here");
    world.wait_for(
        "select exists (select from pg_stat_activity
                        where datname = current_database() and query like '%pg_sleep(60)%'
                          and application_name like 'migrate-apply/%' and state = 'active')",
    );
    let _ = world.run("migrate-apply up --wait 50ms").expect(Exit::Busy);
    dry.signal(Signal::INT);
    let outcome = dry.finish().expect(Exit::Signal(2));
    assert_eq!(outcome.one("dry_run.finished")["status"], "interrupted");
    assert_eq!(world.query("to_regclass('slow')"), "null");

    let acquired = world.run("migrate-lock acquire").expect(Exit::Ok);
    let busy = world.run("migrate-apply up --dry-run=here --wait 50ms").expect(Exit::Busy);
    assert_eq!(busy.one("error")["kind"], "lock_held");
    let token = acquired.one("lock.acquired")["token"].to_string();
    let held = world.env("MIGRATE_LOCK_TOKEN", &token).migration("1_slow.sql", "select 1");
    let _ = held.run("migrate-apply up --dry-run=here").expect(Exit::Ok);
}

#[test]
fn a_killed_run_is_rolled_back_by_the_server() {
    let world = shop("1_slow.sql", "drop table customers cascade; select pg_sleep(60)");
    let working = "select exists (select from pg_stat_activity
                                  where datname = current_database() and query like '%pg_sleep(60)%'
                                    and application_name like 'migrate-apply/%')";
    let dry = world.spawn("migrate-apply up --dry-run=here");
    world.wait_for(working);
    let _ = dry.kill();
    world.wait_for(&working.replace("select exists", "select not exists"));
    assert_eq!(world.query("to_regclass('customers') is not null"), "true");
}

#[test]
fn a_database_that_cannot_be_written_is_refused() {
    let world = shop("1_change.sql", "create table more ()");
    world.execute(
        "do $$ begin execute format(
        'alter database %I set default_transaction_read_only = on', current_database()); end $$",
    );
    let outcome = world.run("migrate-apply up --dry-run=here").expect(Exit::Refused);
    assert_eq!(outcome.one("error")["kind"], "read_only");
}

#[test]
fn the_way_down_is_tried_too() {
    let world = shop(
        "1_more.sql",
        "-- migrate:up\ncreate table more ();\n-- migrate:down\ndrop table more;\nselect 1 / 0;",
    );
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let outcome = world.run("migrate-apply down --dry-run=here").expect(Exit::Failed);
    assert_eq!(outcome.one("error")["line"], 5);
    assert_eq!(outcome.one("dry_run.finished")["direction"], "down");
    assert_eq!(world.query("to_regclass('more') is not null"), "true");
    assert_eq!(world.query("select status from _migration_history"), "applied");
}

#[test]
fn a_dry_run_here_gives_way_to_those_who_wait_for_it() {
    let world = World::new().migration("1_t.sql", "lock table t;\nselect pg_sleep(30);");
    world.execute("create table t ()");
    let dry =
        world.spawn("migrate-apply up --dry-run=here --block-limit 200ms --retry-budget 100ms");
    world.wait_for(
        "exists (select from pg_locks where relation = 't'::regclass and granted
                 and mode = 'AccessExclusiveLock')",
    );
    world.execute("set statement_timeout = '5s'; select from t");
    let busy = dry.finish().expect(Exit::Busy);
    assert_eq!(busy.one("error")["kind"], "others_blocked");
    assert_eq!(busy.one("migration.yielded")["statement"], 2, "{busy}");
}
