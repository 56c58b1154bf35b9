//! `migrate-check run`: what queries in files say, and that nothing in them can write.

use std::{fs, time::Instant};

use migrate_core::exit::Exit;
use migrate_tests::{Outcome, World, source};
use serde_json::{Value, json};

const SHOP: &str = "
create table users (id bigint primary key, email text);
create table products (id bigint primary key);
create table orders (id bigint primary key, user_id bigint references users);
create sequence tickets;
insert into users values (1, 'a@example.com'), (2, 'b@example.com');
insert into orders values (1, 1), (2, 2);
";

fn shop() -> World {
    let world = World::new();
    world.execute(SHOP);
    for name in ["post-migration-tests.sql", "data-integrity-check.sql"] {
        let text = source::read(&format!("tests/fixtures/runbook/{name}"));
        fs::write(world.path(name), text).unwrap();
    }
    world
}

fn run(world: World, sql: &str) -> Outcome {
    world.file("x.sql", sql).run("migrate-check run x.sql")
}

/// The one check of a file with one query.
fn verdict(sql: &str) -> (Exit, Value) {
    let outcome = run(World::new(), sql);
    let check = outcome.one("check");
    let exit = if check["status"] == "pass" { Exit::Ok } else { Exit::No };
    (exit, outcome.expect(exit).one("check"))
}

#[test]
fn the_scripts_of_a_runbook_pass_on_a_sound_database() {
    let world = shop();
    let command = "migrate-check run post-migration-tests.sql data-integrity-check.sql";
    let outcome = world.run(command).expect(Exit::Ok);
    let names: Vec<Value> =
        outcome.of_type("check").into_iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["orphaned_orders", "data-integrity-check:17"]);
    let first = &outcome.of_type("query.row")[0];
    assert_eq!(first["values"], json!({ "table_name": "users", "row_count": 2 }));
    let ends = outcome.of_type("query.finished");
    assert_eq!(
        ends.iter().map(|it| it["rows"].as_u64().unwrap()).collect::<Vec<_>>(),
        [3, 0, 3, 1]
    );
}

#[test]
fn the_scripts_of_a_runbook_fail_on_a_damaged_database() {
    let world = shop();
    world.execute(
        "set session_replication_role = replica;
         delete from users where id = 2;
         insert into users values (3, 'a@example.com')",
    );
    let outcome = world.run("migrate-check run data-integrity-check.sql").expect(Exit::No);
    let checks = outcome.of_type("check");
    assert_eq!((&checks[0]["name"], &checks[0]["count"]), (&json!("orphaned_orders"), &json!(1)));
    assert_eq!(checks[1]["rows"], json!([{ "email": "a@example.com", "count": 2 }]));
    assert_eq!((&checks[0]["status"], &checks[1]["status"]), (&json!("fail"), &json!("fail")));
}

#[test]
fn an_answer_that_is_no_number_is_no_pass() {
    for (sql, exit, message) in [
        ("select 0 as count", Exit::Ok, "nothing is wrong"),
        ("select 1 as count where false", Exit::Ok, "nothing is wrong"),
        ("select 3 as count", Exit::No, "the count is 3"),
        ("select null::bigint as count", Exit::No, "the count is NULL, which is no answer"),
        ("select 'NaN'::float8 as count", Exit::No, "the count is NaN, which is no answer"),
        ("select 'x' as count", Exit::No, "the count is `x`, which is no answer"),
        ("select 1 / 0 as count", Exit::No, "division by zero"),
        ("select 'too dear' as violation", Exit::No, "too dear"),
        ("select id as violation from nowhere", Exit::No, "relation \"nowhere\" does not exist"),
        ("select 7 as violation from generate_series(1, 1000000)", Exit::No, "violations: 1000000"),
    ] {
        let (code, check) = verdict(sql);
        assert_eq!((code, check["message"].as_str().unwrap()), (exit, message), "{sql}");
    }
}

#[test]
fn a_query_that_never_ends_is_ended_and_does_not_pass() {
    let world =
        World::new().file("x.sql", "select 0 as count from pg_sleep(600); select 0 as count");
    let began = Instant::now();
    let outcome = world.run("migrate-check run x.sql --timeout 300ms").expect(Exit::No);
    assert!(began.elapsed().as_secs() < 20);
    let checks = outcome.of_type("check");
    assert!(checks.iter().all(|it| it["reason"] == "not_finished"), "{outcome}");
    assert_eq!(checks.len(), 2);
}

#[test]
fn only_so_many_rows_are_told() {
    let world = World::new().file("x.sql", "select n from generate_series(1, 100000) as n");
    let outcome = world.run("migrate-check run x.sql --rows 3").expect(Exit::Ok);
    assert_eq!(outcome.of_type("query.row").len(), 3);
    let end = outcome.one("query.finished");
    assert_eq!((&end["rows"], &end["told"]), (&json!(100_000), &json!(3)));
}

#[test]
fn nothing_that_a_file_says_can_write() {
    let world = shop();
    world.execute(
        "create function remove() returns bigint language plpgsql as
             'begin delete from orders; return 0; end';
         create function unlock() returns bigint language plpgsql as $$ begin
             perform set_config('transaction_read_only', 'off', false);
             delete from orders; return 0; end $$;
         create function finish() returns bigint language plpgsql as
             'begin commit; delete from orders; return 0; end'",
    );
    let before = world.dump();
    let victim = world.client();
    for sql in [
        "commit; delete from orders",
        "select 0 as count; commit; delete from orders; select 0 as count",
        "delete from orders",
        "do $$ begin delete from orders; end $$",
        "copy (select 1) to program 'touch touched'",
        "copy orders to '/tmp/orders-of-check-run'",
        "copy orders from stdin;\n9\t1\n\\.\n",
        "begin read write; delete from orders; commit",
        "set transaction read write; delete from orders",
        "set session characteristics as transaction read write; select remove() as count",
        "set default_transaction_read_only = off; select remove() as count",
        "truncate orders",
        "call nothing()",
        "create table x ()",
        "select 0 as count; drop table orders",
        "select nextval('tickets') - 1 as count",
        "select setval('tickets', 9) - 9 as count",
        "select remove() as count",
        "select unlock() as count",
        "select finish() as count",
        "with gone as (delete from orders returning 1) select 0 as count from gone",
        "select 0 as count into copied",
        "select 0 as count from orders for update",
        "explain analyze delete from orders",
        "select lo_create(4711) * 0 as count",
        "select 0 as count from pg_terminate_backend((select max(pid) from pg_stat_activity))",
        "select 0 as count, pg_reload_conf()",
        "select 0 as count, \"lo_export\"(1, '/tmp/x')",
        "prepare transaction 'x'",
        "\\! touch touched",
        "\\copy orders to 'touched'",
    ] {
        let outcome = run(World::at(world.url().to_owned()), sql);
        assert!(matches!(outcome.status.code(), Some(1 | 2)), "{sql}: {outcome}");
        let passed = outcome.of_type("check").iter().any(|it| it["status"] == "pass");
        assert!(!passed, "{sql}: {outcome}");
    }
    assert_eq!(world.dump(), before);
    assert!(!victim.is_closed());
    assert_eq!(world.query("select count(*) from pg_largeobject_metadata"), "0");
    assert!(!std::path::Path::new("/tmp/orders-of-check-run").exists());
}

#[test]
fn a_file_that_is_refused_is_refused_before_any_of_it_is_run() {
    let world = World::new()
        .file("good.sql", "select 1 as count")
        .file("bad.sql", "select 1 as count;\n\n  COMMIT;");
    let outcome = world.run("migrate-check run good.sql bad.sql").expect(Exit::Usage);
    assert_eq!(outcome.types(), ["error"]);
    let error = outcome.one("error");
    assert_eq!((&error["line"], &error["column"]), (&json!(3), &json!(3)));
}

#[test]
fn settings_of_a_file_hold_for_its_queries_only() {
    let world = World::new()
        .file("a.sql", "set search_path = aside; select count(*) - 1 as count from t")
        .file("b.sql", "select count(*) as count from t");
    world.execute(
        "create schema aside; create table aside.t (); insert into aside.t default values",
    );
    let outcome = world.run("migrate-check run a.sql b.sql").expect(Exit::No);
    let checks = outcome.of_type("check");
    assert_eq!((&checks[0]["status"], &checks[1]["status"]), (&json!("pass"), &json!("fail")));
    assert_eq!(checks[1]["sqlstate"], "42P01");
}

#[test]
fn names_are_picked_and_one_that_never_comes_is_an_error() {
    let world = World::new().file(
        "x.sql",
        "select 'a' as check_name, 1 as count union all select 'b', 0 union all select 'c', 2",
    );
    let outcome = world.run("migrate-check run x.sql --only b").expect(Exit::Ok);
    assert_eq!(outcome.one("check")["name"], "b");
    let _ = world.run("migrate-check run x.sql --skip a,c").expect(Exit::Ok);
    let _ = world.run("migrate-check run x.sql --only d").expect(Exit::Usage);
}

#[test]
fn control_characters_in_rows_stay_in_their_line() {
    let sql = r#"select E'a\n\x1b[2J"b' as "na""me", E'\u202e' as x, 1 as count"#;
    let outcome = run(World::new(), sql).expect(Exit::No);
    assert_eq!(outcome.one("check")["rows"][0]["na\"me"], "a\n\u{1b}[2J\"b");
    let world = World::new().file("x.sql", sql);
    let text = world.run("migrate-check run x.sql --output text").expect(Exit::No).stdout;
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
}

#[test]
fn the_projects_own_checks_belong_to_integrity() {
    let world = shop()
        .file("checks/orders.sql", "select count(*) as count from orders where user_id = 2")
        .file("checks/report.sql", "select 1 as one")
        .file("checks/README.md", "not a check");
    let outcome = world.run("migrate-check integrity").expect(Exit::No);
    let own: Vec<Value> = outcome
        .of_type("check")
        .into_iter()
        .filter(|it| it["group"] == "project")
        .map(|it| json!([it["name"], it["status"], it["count"]]))
        .collect();
    assert_eq!(own, [json!(["orders", "fail", 1]), json!(["report", "warn", null])]);
    let one = world.run("migrate-check integrity --only orders").expect(Exit::No);
    assert_eq!(one.of_type("check").len(), 1);
    let _ = world.run("migrate-check integrity --checks nowhere").expect(Exit::Unavailable);
}
