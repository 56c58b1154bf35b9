//! `migrate-check lint`, and the same verdict in `plan`, `validate` and `status`.

use migrate_core::exit::Exit;
use migrate_tests::{Outcome, World};
use serde_json::{Value, json};

/// Names and states of the findings, without the one a file.
fn found(outcome: &Outcome) -> Vec<(String, String)> {
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    outcome
        .of_type("check")
        .iter()
        .filter(|it| it["name"] != "file")
        .map(|it| (text(&it["name"]), text(&it["status"])))
        .collect()
}

#[track_caller]
fn has(outcome: &Outcome, code: &str, status: &str) {
    let found = found(outcome);
    let wanted = (code.to_owned(), status.to_owned());
    assert!(found.contains(&wanted), "{code} {status}: {found:?}");
}

/// The advice of the runbook that does harm, word by word.
#[test]
fn what_is_wrong_in_the_runbook_is_found() {
    let world = World::new().without_env("DATABASE_URL");
    for (sql, codes, status) in [
        (
            "DO $$ DECLARE batch_size INTEGER := 10000; offset_val INTEGER := 0; BEGIN LOOP
             UPDATE large_table SET new_column = calculated_value WHERE id > offset_val
             ORDER BY id LIMIT batch_size; EXIT WHEN NOT FOUND;
             offset_val := offset_val + batch_size; COMMIT; END LOOP; END $$;",
            &["update-order-limit", "commit-in-do"][..],
            "fail",
        ),
        (
            "DO $$ BEGIN LOOP UPDATE t SET a = 1 WHERE id > 1; EXIT; END LOOP; END $$;",
            &["batch-in-do"],
            "warn",
        ),
        (
            "CREATE TABLE critical_table_new (LIKE critical_table INCLUDING ALL);
             INSERT INTO critical_table_new SELECT * FROM critical_table;
             DROP TABLE critical_table;
             ALTER TABLE critical_table_new RENAME TO critical_table;",
            &["table-swap"],
            "fail",
        ),
        ("-- migrate:up transaction:false\nVACUUM FULL", &["vacuum-full-cluster"], "fail"),
        ("DELETE FROM _migration_locks WHERE expires_at < NOW()", &["ledger-touched"], "fail"),
        (
            "ALTER TABLE high_traffic_table ALTER COLUMN new_field SET NOT NULL",
            &["set-not-null"],
            "fail",
        ),
    ] {
        let outcome = world.run_with_input("migrate-check lint --offline -", sql);
        let outcome = outcome.expect(if status == "fail" { Exit::No } else { Exit::Ok });
        codes.iter().for_each(|code| has(&outcome, code, status));
    }
}

#[test]
fn a_finding_says_the_danger_the_safe_way_and_the_place() {
    let world = World::new()
        .migration("1_t.sql", "-- migrate:up\n\n  create index on orders (a);\n-- migrate:down");
    let outcome = world.run("migrate-check lint migrations --offline").expect(Exit::Ok);
    let checks = outcome.of_type("check");
    assert_eq!(checks[0]["name"], "create-index-not-concurrent");
    assert_eq!(checks[0]["object"], "orders");
    assert_eq!(checks[0]["risk"], "medium");
    assert_eq!((&checks[0]["file"], &checks[0]["line"]), (&json!("migrations/1_t.sql"), &json!(3)));
    assert_eq!(
        checks[0]["message"],
        "migrations/1_t.sql:3:3: CREATE INDEX reads all of `orders`; nobody can write meanwhile"
    );
    assert_eq!(checks[0]["hint"], "CREATE INDEX CONCURRENTLY, outside a transaction");
    assert_eq!(checks[1]["message"], "risk medium");
    assert_eq!(outcome.one("check.summary")["group"], "lint");
}

#[test]
fn without_a_database_it_works_and_with_one_that_is_away_it_says_so() {
    let world = World::new().migration("1_t.sql", "alter table t alter a set not null");
    let world = world.without_env("DATABASE_URL");
    let outcome = world.run("migrate-check lint").expect(Exit::No);
    assert_eq!(outcome.stderr, "");
    let outcome =
        world.run("migrate-check lint --database-url 'host=/nowhere user=x'").expect(Exit::No);
    assert!(outcome.stderr.contains("not weighed by the size of tables"), "{outcome}");
    let _ = world.run("migrate-check lint nowhere.sql").expect(Exit::Unavailable);
}

#[test]
fn a_danger_weighs_as_much_as_its_table_in_every_command() {
    let world = World::new()
        .migration("1_big.sql", "alter table big alter a set not null")
        .migration("2_small.sql", "alter table small alter a set not null")
        .migration("3_empty.sql", "alter table empty alter a set not null");
    world.execute(
        "create table big (a int, b text); create table small (a int); create table empty (a int);
         insert into big select n, repeat('x', 1000) from generate_series(1, 25000) as n;
         insert into small values (1);
         create view v as select * from big; analyze",
    );
    let expected = ["high", "medium", "low"];
    let lint = world.run("migrate-check lint").expect(Exit::No);
    let risks =
        |rows: &[Value]| -> Vec<Value> { rows.iter().map(|it| it["risk"].clone()).collect() };
    let files: Vec<Value> =
        lint.of_type("check").into_iter().filter(|it| it["name"] == "file").collect();
    assert_eq!(risks(&files), expected);
    let plan = world.run("migrate-apply plan").expect(Exit::Ok);
    assert_eq!(risks(&plan.of_type("plan.step")), expected);
    let status = world.run("migrate-apply status").expect(Exit::Ok);
    assert_eq!(risks(&status.of_type("migration")), expected);
    let validate = world.run("migrate-apply validate").expect(Exit::Ok);
    assert_eq!(risks(validate.one("validation")["pending"].as_array().unwrap()), expected);
    let dangers: Vec<Value> = validate.of_type("finding");
    let dangers = dangers.iter().filter(|it| it["severity"] == "warning").collect::<Vec<_>>();
    assert_eq!((dangers.len(), &dangers[0]["code"]), (1, &json!("set-not-null")));

    let big = &lint.of_type("check")[0];
    assert_eq!(big["status"], "fail");
    let message = big["message"].as_str().unwrap();
    assert!(message.contains("; 25.0 k rows, "), "{message}");
    assert!(message.contains("1 views and foreign keys depend on it: about "), "{message}");
    assert!(big["estimate_ms"].as_u64().unwrap() > 100);
    let offline = world.run("migrate-check lint --offline").expect(Exit::No);
    let offline: Vec<Value> =
        offline.of_type("check").into_iter().filter(|it| it["name"] == "file").collect();
    assert_eq!(risks(&offline), ["high", "high", "high"]);
}

#[test]
fn an_index_a_partition_and_a_name_by_the_search_path_have_their_table_s_size() {
    let world = World::new().migration(
        "1_t.sql",
        "reindex index app.i; alter table p alter a set not null; create index on found (a)",
    );
    let database = world.query("current_database()");
    world.execute(&format!(
        "create schema app; alter database {database} set search_path = app, public;
         create table app.found (a int); create index i on app.found (a);
         create table p (a int) partition by list (a);
         create table p1 partition of p for values in (1);
         insert into app.found select generate_series(1, 3000); insert into p values (1)"
    ));
    let outcome = world.run("migrate-check lint");
    let message = |code: &str| {
        let checks = outcome.of_type("check");
        let found = checks.iter().find(|it| it["name"] == code).unwrap();
        found["message"].as_str().unwrap().to_owned()
    };
    assert!(message("reindex").contains(" k rows, "), "{}", message("reindex"));
    assert!(message("set-not-null").contains(", 1 partitions"), "{}", message("set-not-null"));
    let index = message("create-index-not-concurrent");
    assert!(index.contains(" k rows, "), "{index}");
}

#[test]
fn a_finding_can_be_taken_on_with_a_reason() {
    let world = World::new().without_env("DATABASE_URL").migration(
        "1_t.sql",
        "-- migrate:allow drop-column nothing reads it\n-- migrate:up\nalter table t drop a;\n\
         -- migrate:allow changing-column-type checked on a copy\nalter table t alter b type bigint;\n\
         alter table t alter c type bigint;\n",
    );
    let outcome = world.run("migrate-check lint").expect(Exit::No);
    let expected =
        [("drop-column", "skip"), ("change-type-rewrite", "skip"), ("change-type-rewrite", "fail")];
    assert_eq!(
        found(&outcome),
        expected.map(|(code, status)| (code.to_owned(), status.to_owned()))
    );
    let message = outcome.of_type("check")[0]["message"].as_str().unwrap().to_owned();
    assert!(message.ends_with(" (allowed: nothing reads it)"), "{message}");

    let world = world.migration("1_t.sql", "-- migrate:allow drop-colum typo\nselect 1");
    let outcome = world.run("migrate-check lint").expect(Exit::Ok);
    has(&outcome, "allow-unused", "warn");
    let world = world.migration("1_t.sql", "-- migrate:allow drop-column\nselect 1");
    let outcome = world.run("migrate-check lint").expect(Exit::Usage);
    assert_eq!(
        outcome.one("error")["message"],
        "1_t.sql:1:1: an allowance needs a rule and a reason"
    );
}

#[test]
fn a_file_that_cannot_be_read_fails_and_hides_no_other() {
    let world = World::new().without_env("DATABASE_URL");
    let world = world
        .file("a.sql", "select 'never closed")
        .file("b.sql", "create index concurrently i on t (a); select 1")
        .file("c.sql", "drop table t");
    let outcome = world.run("migrate-check lint a.sql b.sql c.sql").expect(Exit::No);
    let found = found(&outcome);
    assert_eq!(found.iter().filter(|(_, status)| status == "fail").count(), 3, "{found:?}");
    has(&outcome, "drop-table", "fail");
}

#[test]
fn what_is_applied_is_not_judged_again() {
    let world = World::new().migration("1_t.sql", "create table t (a int); drop table if exists u");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let world = world.migration("2_t.sql", "alter table t drop a cascade");
    world.execute("insert into t values (1)");
    let outcome = world.run("migrate-apply validate").expect(Exit::Ok);
    let codes: Vec<Value> =
        outcome.of_type("finding").iter().map(|it| it["code"].clone()).collect();
    assert_eq!(codes, ["irreversible", "cascade", "drop-column"]);
    assert_eq!(outcome.one("validation")["warnings"], 2);
}

#[test]
fn what_would_fail_makes_validate_fail() {
    let world =
        World::new().migration("1_t.sql", "update t set a = 1 where a > 0 order by a limit 5");
    let outcome = world.run("migrate-apply validate").expect(Exit::No);
    let codes: Vec<Value> =
        outcome.of_type("finding").iter().map(|it| it["code"].clone()).collect();
    assert_eq!(codes, ["irreversible", "update-order-limit"]);
}

#[test]
fn functions_that_stand_in_the_way_of_ours_are_not_called() {
    let world = World::new().migration("1_t.sql", "alter table t alter a set not null");
    let database = world.query("current_database()");
    world.execute(&format!(
        "create table t (a int); insert into t values (1);
         create schema evil;
         create function evil.to_regclass(text) returns regclass language plpgsql
             as $$ begin raise 'hijacked'; end $$;
         create function evil.unnest(text[]) returns setof text language plpgsql
             as $$ begin raise 'hijacked'; end $$;
         create function evil.oideq(oid, oid) returns boolean language plpgsql
             as $$ begin raise 'hijacked'; end $$;
         create operator evil.= (leftarg = oid, rightarg = oid, function = evil.oideq);
         create function evil.format_type(oid, integer) returns text language plpgsql
             as $$ begin raise 'hijacked'; end $$;
         alter database {database} set search_path = evil, pg_catalog, public"
    ));
    let outcome = world.run("migrate-check lint").expect(Exit::Ok);
    let message = outcome.of_type("check")[0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("; 82 rows, "), "{message}");
    let dump = world.run("migrate-check schema dump").expect(Exit::Ok).stdout;
    assert!(dump.contains("evil.format_type"), "{dump}");
}
