//! `--dry-run`: on a throwaway copy without rows, with what each statement would do to the target.

use migrate_core::{
    exit::Exit,
    server::programs::{Required, find},
};
use migrate_tests::{Outcome, World};
use serde_json::Value;

/// A database with rows, which no migration has made, and one migration.
pub(crate) fn shop(name: &str, sql: &str) -> World {
    let world = World::new().migration(name, sql);
    world.execute(
        "create table customers (id int primary key);
         create table orders (total int);
         insert into orders select generate_series(1, 1000);
         analyze orders",
    );
    world
}

/// The whole database as pg_dump sees it.
pub(crate) fn dump(world: &World) -> String {
    let programs = find(Required::Client, None).unwrap();
    let output =
        std::process::Command::new(programs.path("pg_dump")).arg(world.url()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // Newer versions of pg_dump write a random word there.
    text.lines().filter(|it| !it.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

/// What a statement of a migration did.
#[track_caller]
pub(crate) fn impact(outcome: &Outcome, version: &str, statement: u64) -> Value {
    let found = outcome
        .of_type("statement.done")
        .into_iter()
        .find(|it| it["version"] == version && it["statement"] == statement);
    found.unwrap_or_else(|| panic!("{version} has no statement {statement}: {outcome}"))["impact"]
        .take()
}

/// The strongest lock on a table among those that a statement took.
#[track_caller]
pub(crate) fn lock(impact: &Value, table: &str) -> Value {
    let locks = impact["locks"].as_array().unwrap();
    let found = locks.iter().find(|it| it["table"] == table);
    found.unwrap_or_else(|| panic!("no lock on {table}: {impact}")).clone()
}

/// A table in the summary.
#[track_caller]
pub(crate) fn table(outcome: &Outcome, name: &str) -> Value {
    let finished = outcome.one("dry_run.finished");
    let tables = finished["tables"].as_array().unwrap();
    let found = tables.iter().find(|it| it["table"] == name);
    found.unwrap_or_else(|| panic!("no table {name}: {finished}")).clone()
}

#[test]
fn the_target_is_only_read() {
    let world = shop("1_change.sql", "drop table orders; create table more ()");
    let before = dump(&world);
    let outcome = world.run("migrate-apply up --dry-run").expect(Exit::Ok);
    assert_eq!(dump(&world), before);
    assert_eq!(outcome.types().first().unwrap(), "apply.started");
    assert_eq!(outcome.one("apply.started")["dry_run"], "copy");
    let finished = outcome.one("dry_run.finished");
    assert_eq!((&finished["place"], &finished["status"]), (&"copy".into(), &"done".into()));
    assert_eq!(outcome.of_type("migration.applied").len(), 0);
    assert_eq!(world.query("to_regclass('_migration_history')"), "null");
}

#[test]
fn locks_rewrites_and_sizes_are_told_of_each_statement() {
    let world = shop(
        "1_change.sql",
        "alter table orders alter column total type bigint;
         alter table orders add column customer int;
         alter table orders add foreign key (customer) references customers;
         create index on orders (total);
         create table more (id int references customers);
         update orders set total = 0",
    );
    let outcome = world.run("migrate-apply up --dry-run=copy").expect(Exit::Ok);
    let bytes: i64 = world.query("pg_total_relation_size('orders')").parse().unwrap();

    let change = impact(&outcome, "1", 1);
    let exclusive = lock(&change, "public.orders");
    assert_eq!(exclusive["mode"], "AccessExclusiveLock");
    assert_eq!(exclusive["blocks"][0], "reads");
    assert_eq!(exclusive["blocks"][1], "writes");
    let rewritten = &change["rewritten"][0];
    assert_eq!(rewritten["table"], "public.orders");
    assert_eq!(rewritten["bytes"], bytes);
    assert_eq!(rewritten["rows_estimate"], 1000);

    let add_column = impact(&outcome, "1", 2);
    assert_eq!(add_column["rewritten"].as_array().unwrap().len(), 0, "{add_column}");

    let foreign_key = impact(&outcome, "1", 3);
    for name in ["public.orders", "public.customers"] {
        let lock = lock(&foreign_key, name);
        assert_eq!(lock["mode"], "ShareRowExclusiveLock");
        assert_eq!(lock["blocks"][0], "writes");
    }

    let index = impact(&outcome, "1", 4);
    assert_eq!(index["scanned"][0]["table"], "public.orders");
    assert_eq!(index["scanned"][0]["rows_estimate"], 1000);

    let create = impact(&outcome, "1", 5);
    assert!(!create.to_string().contains("more"), "it is not on the target: {create}");
    let update = impact(&outcome, "1", 6);
    assert_eq!(update["scanned"].as_array().unwrap().len(), 0, "{update}");

    let orders = table(&outcome, "public.orders");
    assert_eq!(orders["mode"], "AccessExclusiveLock");
    assert_eq!((&orders["rewritten"], &orders["scanned"]), (&true.into(), &true.into()));
    assert_eq!(table(&outcome, "public.customers")["mode"], "ShareRowExclusiveLock");
}

#[test]
fn an_index_alone_takes_a_lock_that_lets_reads_go_on() {
    let world = shop("1_index.sql", "create index on orders (total)");
    let outcome = world.run("migrate-apply up --dry-run").expect(Exit::Ok);
    let lock = lock(&impact(&outcome, "1", 1), "public.orders");
    assert_eq!(lock["mode"], "ShareLock");
    assert_eq!(lock["blocks"], serde_json::json!(["writes", "vacuum", "schema changes"]));
}

#[test]
fn what_runs_outside_a_transaction_is_run_so_and_its_locks_are_seen() {
    let world = shop(
        "1_outside.sql",
        "-- migrate:up transaction:false
         create index concurrently orders_total on orders (total);
         vacuum full orders;
         begin;
         drop table customers;
         commit;
         reindex index concurrently orders_total;
         create subscription s connection 'host=/nowhere' publication p;
         insert into orders values (7)",
    );
    let outcome = world.run("migrate-apply up --dry-run").expect(Exit::Ok);
    let index = impact(&outcome, "1", 1);
    assert_eq!(index["outside_transaction"], true);
    assert_eq!(lock(&index, "public.orders")["mode"], "ShareUpdateExclusiveLock");
    let vacuum = impact(&outcome, "1", 2);
    assert_eq!(lock(&vacuum, "public.orders")["mode"], "AccessExclusiveLock");
    assert_eq!(vacuum["rewritten"][0]["table"], "public.orders");
    let drop = impact(&outcome, "1", 4);
    assert_eq!(lock(&drop, "public.customers")["mode"], "AccessExclusiveLock");
    let subscription = impact(&outcome, "1", 7);
    assert!(subscription["skipped"].as_str().unwrap().contains("must not subscribe"));
    assert_eq!(impact(&outcome, "1", 8)["outside_transaction"], Value::Null);
    assert_eq!(world.query("select count(*) from orders"), "1000");
}

#[test]
fn emptying_a_table_is_neither_rewriting_nor_scanning() {
    let world = shop("1_empty.sql", "truncate orders");
    let outcome = world.run("migrate-apply up --dry-run").expect(Exit::Ok);
    let orders = table(&outcome, "public.orders");
    assert_eq!(orders["mode"], "AccessExclusiveLock");
    assert_eq!((&orders["rewritten"], &orders["scanned"]), (&false.into(), &false.into()));
}

#[test]
fn a_migration_that_stopped_half_way_goes_on_in_the_copy() {
    let head = "-- migrate:up transaction:false\ncreate table first ();\n";
    let world = World::new().migration("1_half.sql", &format!("{head}select 1 / 0;"));
    let _ = world.run("migrate-apply up").expect(Exit::Partial);
    let world = world.migration("1_half.sql", &format!("{head}create table second ();"));
    let outcome = world.run("migrate-apply up --dry-run").expect(Exit::Ok);
    assert_eq!(outcome.one("migration.started")["resumed_at"], 2);
    assert_eq!(outcome.one("statement.done")["statement"], 2);
}

#[test]
fn materialized_views_are_filled_and_what_may_not_be_read_is_named() {
    let world = shop(
        "1_refresh.sql",
        "-- migrate:up transaction:false
         refresh materialized view concurrently counted",
    );
    let role = format!("narrow_{}", world.query("current_database()"));
    world.execute(&format!(
        "create materialized view counted as select count(*) as n from orders;
         create unique index on counted (n);
         create role {role} login;
         grant select on orders to {role};
         alter materialized view counted owner to {role}"
    ));
    let url = world.url().replace("user=postgres", &format!("user={role}"));
    let outcome =
        world.run(&format!("migrate-apply up --dry-run --database-url '{url}'")).expect(Exit::Ok);
    let notes = outcome.one("dry_run.finished")["notes"].to_string();
    assert!(notes.contains(&format!("role `{role}` may not read: public.customers")), "{notes}");
}

#[test]
fn a_statement_that_fails_is_said_as_in_a_real_run() {
    let sql = "create table more ();\nalter table orders\n  add column total int;";
    let world = shop("1_change.sql", sql);
    let dry = world.run("migrate-apply up --dry-run").expect(Exit::Failed);
    let real = world.run("migrate-apply up").expect(Exit::Failed);
    for field in ["kind", "message", "file", "line", "column", "sqlstate"] {
        assert_eq!(dry.one("error")[field], real.one("error")[field], "{field}");
    }
    assert!(dry.stderr.contains("this was a dry run: the target is as before"), "{dry}");
    assert_eq!(dry.one("dry_run.finished")["status"], "failed");
}

#[test]
fn migrations_see_each_other_in_the_copy_and_the_way_down_is_tried_too() {
    let world = World::new()
        .migration("1_a.sql", "-- migrate:up\ncreate table a ();\n-- migrate:down\ndrop table a;")
        .migration("2_b.sql", "alter table a add column n int");
    let _ = world.run("migrate-apply up --dry-run").expect(Exit::Ok);
    let _ = world.run("migrate-apply up --dry-run --single-transaction").expect(Exit::Ok);
    let one = world.run("migrate-apply up --dry-run --steps 1").expect(Exit::Ok);
    assert_eq!(one.one("dry_run.finished")["migrations"], 1);
    let plan = world.run("migrate-apply plan --target 1").expect(Exit::Ok).stdout;
    let planned = world.run_with_input("migrate-apply up --dry-run --plan -", &plan);
    assert_eq!(planned.expect(Exit::Ok).one("dry_run.finished")["migrations"], 1);

    let _ = world.run("migrate-apply up --target 1").expect(Exit::Ok);
    let down = world.run("migrate-apply down --dry-run").expect(Exit::Ok);
    assert_eq!(lock(&impact(&down, "1", 1), "public.a")["mode"], "AccessExclusiveLock");
    assert_eq!(world.query("to_regclass('a') is not null"), "true");
}

#[test]
fn nothing_pending_is_nothing_to_try() {
    let world = World::new().migration("1_a.sql", "create table a ()");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    for dry in ["up --dry-run", "up --dry-run=here"] {
        let outcome = world.run(&format!("migrate-apply {dry}")).expect(Exit::Ok);
        assert_eq!(outcome.one("apply.finished")["status"], "nothing_to_do");
    }
}

#[test]
fn roles_settings_privileges_and_extensions_are_those_of_the_target() {
    let world = World::new();
    let suffix = world.query("current_database()");
    let (owner, reader) = (format!("owner_{suffix}"), format!("reader_{suffix}"));
    world.execute(&format!(
        "create role {reader};
         create role {owner} login;
         grant {reader} to {owner};
         create schema app authorization {owner};
         create extension citext;
         create extension pg_trgm;
         create table app.names (name citext);
         alter table app.names owner to {owner};
         grant usage on schema app to {reader};
         grant select on app.names to {reader};
         grant create on database {suffix} to {owner};
         alter database {suffix} set work_mem = '7MB';
         alter role {owner} set search_path = app, public;
         alter role {owner} in database {suffix} set timezone = 'Asia/Tokyo'"
    ));
    let world = world
        .migration(
            "1_names.sql",
            &format!(
                "alter table names add column n int;
                 create index on names using gin ((name::text) gin_trgm_ops);
                 grant insert on names to {reader};
                 create schema more;
                 select 1 / (current_setting('work_mem') = '7MB')::int;
                 select 1 / (current_setting('timezone') = 'Asia/Tokyo')::int;
                 select 1 / (current_user = '{owner}')::int;
                 select 1 / (current_database() = '{suffix}')::int;
                 set role {reader};
                 select * from names"
            ),
        )
        .migration("2_denied.sql", "create role more");
    let url = world.url().replace("user=postgres", &format!("user={owner}"));
    let outcome = world
        .run(&format!("migrate-apply up --dry-run --target 1 --database-url '{url}'"))
        .expect(Exit::Ok);
    assert_eq!(lock(&impact(&outcome, "1", 1), "app.names")["mode"], "AccessExclusiveLock");
    let denied = world
        .run(&format!("migrate-apply up --dry-run --database-url '{url}'"))
        .expect(Exit::Failed);
    assert_eq!(denied.one("error")["sqlstate"], "42501");
}

#[test]
fn a_copy_reaches_no_other_server() {
    let world = World::new();
    let suffix = world.query("current_database()");
    world.execute("create table real (n int)");
    world.execute(&format!(
        "create extension postgres_fdw;
         create server self foreign data wrapper postgres_fdw
             options (host '{}', dbname '{suffix}');
         create user mapping for current_user server self options (user 'postgres');
         create foreign table far (n int) server self options (table_name 'real')",
        world.query("current_setting('unix_socket_directories')")
    ));
    world.execute("insert into far values (1)");
    let world = world.migration("1_far.sql", "insert into far values (2)");
    let outcome = world.run("migrate-apply up --dry-run").expect(Exit::Failed);
    let message = outcome.one("error")["message"].to_string();
    assert!(message.contains("has no handler"), "{message}");
    assert_eq!(world.query("select count(*) from real"), "1");
}
