//! `migrate-check schema`: what each run recorded, and what it says when somebody changed the schema.

use migrate_core::{
    exit::Exit,
    fault::Point,
    record::{CheckReason, CheckStatus},
};
use migrate_tests::{Outcome, World};
use rustix::process::Signal;
use serde_json::{Value, json};

const USERS: &str =
    "-- migrate:up\ncreate table users (id int);\n-- migrate:down\ndrop table users;";

fn world() -> World {
    World::new().migration("1_users.sql", USERS)
}

fn applied() -> World {
    let world = world();
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    world
}

/// Object and message of what fails.
fn failing(outcome: &Outcome) -> Vec<(String, String)> {
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    outcome
        .of_type("check")
        .iter()
        .filter(|it| it["status"] == json!(CheckStatus::Fail))
        .map(|it| (text(&it["object"]), text(&it["message"])))
        .collect()
}

#[track_caller]
fn assert_skipped(world: &World, reason: CheckReason) {
    let outcome = world.run("migrate-check schema").expect(Exit::Ok);
    let check = outcome.one("check");
    assert_eq!((&check["status"], &check["reason"]), (&json!("skip"), &json!(reason)), "{check}");
    assert_eq!(outcome.one("check.summary")["skip"], 1);
}

#[track_caller]
fn assert_as_recorded(world: &World) {
    let outcome = world.run("migrate-check schema").expect(Exit::Ok);
    assert_eq!(outcome.one("check")["status"], "pass", "{outcome}");
}

#[test]
fn what_somebody_changed_by_hand_is_named_and_nothing_else() {
    let world = applied();
    assert_as_recorded(&world);
    world.execute("alter table users alter id type bigint; create view people as select 1 as one");
    let outcome = world.run("migrate-check schema").expect(Exit::No);
    let expected = [
        ("public.users.id", "column changed: type `integer` → `bigint`"),
        ("public.people", "view is not expected"),
    ];
    let expected = expected.map(|(object, message)| (object.to_owned(), message.to_owned()));
    assert_eq!(failing(&outcome), expected);
    assert_eq!(outcome.one("check.summary")["fail"], 1);

    let only = world.run("migrate-check schema --only view").expect(Exit::No);
    assert_eq!(failing(&only), expected[1..]);
    let none = world.run("migrate-check schema --skip view,column").expect(Exit::Ok);
    assert_eq!(none.one("check")["message"], "of the kinds that were asked for no object differs");
    let _ = world.run("migrate-check schema --only views").expect(Exit::Usage);
}

#[test]
fn without_a_recorded_schema_the_check_is_skipped() {
    let world = world();
    assert_skipped(&world, CheckReason::NotApplicable);
    // A run with nothing to do reads no schema.
    let _ = world.run("migrate-apply up --target 1").expect(Exit::Ok);
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(world.query("select count(*) from _migration_inventories"), "1");
}

#[test]
fn every_command_that_changes_what_is_applied_records_the_schema() {
    let world = world().migration(
        "2_part.sql",
        "-- migrate:up transaction:false\ncreate table a ();\nselect 1/0;",
    );
    let _ = world.run("migrate-apply baseline 1").expect(Exit::Ok);
    assert_as_recorded(&world);
    world.execute("create table users (id int)");
    let _ = world.run("migrate-apply up").expect(Exit::Partial);
    assert_as_recorded(&world);
    world.execute("create table by_hand ()");
    let resolve = "migrate-apply resolve 2 --as applied --reason 'made by hand'";
    assert!(
        world.run(resolve).expect(Exit::Ok).one("migration.resolved")["schema_sha256"].is_string()
    );
    assert_as_recorded(&world);
    let _ = world.run("migrate-apply down --target 1 --force");
    let world = applied();
    let down = world.run("migrate-apply down").expect(Exit::Ok);
    assert!(down.one("apply.finished")["schema_sha256"].is_string());
    assert_as_recorded(&world);
    let log = "select count(*) from _migration_audit_log a join _migration_inventories i
               on i.run_id = a.run_id and i.sha256 = a.details ->> 'schema_sha256'";
    assert_eq!(world.query(log), "2");
}

#[test]
fn a_run_that_died_leaves_no_inventory_that_lies() {
    for (number, point) in [Point::IntentWritten, Point::BeforeEnd].into_iter().enumerate() {
        let file = format!("2_more_{number}.sql");
        let world = applied().migration(&file, "create table more ()");
        let world = world.env("MIGRATE_FAULT", point.name());
        assert_eq!(world.run("migrate-apply up").status.code(), None, "{point:?} was not reached");
        let world = world.without_env("MIGRATE_FAULT");
        assert_skipped(&world, CheckReason::Unknown);
        let _ = world.run("migrate-apply up").expect(Exit::Ok);
        assert_as_recorded(&world);
        assert_eq!(world.query("to_regclass('more')"), "more");
    }
}

#[test]
fn a_schema_that_cannot_be_recorded_in_time_does_not_fail_the_run() {
    let world = applied().migration("2_view.sql", "create view v as select * from users");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    // Its definition cannot be printed while somebody holds the table; the next file needs neither.
    let world = world.migration("3_other.sql", "create table other ()");
    let mut client = world.client();
    let mut holder = client.transaction().unwrap();
    holder.batch_execute("lock table users").unwrap();
    let outcome = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(outcome.one("apply.finished")["schema_sha256"], Value::Null);
    assert!(outcome.stderr.contains("the schema is not recorded"), "{outcome}");
    drop(holder);
    assert_skipped(&world, CheckReason::Unknown);
    world.assert_sound();
}

#[test]
fn a_ledger_of_an_earlier_version_gets_the_table_by_its_next_run() {
    let world = applied();
    world.execute("drop table _migration_inventories");
    assert_skipped(&world, CheckReason::NotApplicable);
    assert_eq!(
        world.run("migrate-apply status").expect(Exit::Ok).one("migration")["state"],
        "applied"
    );
    let world = world.migration("2_more.sql", "create table more ()");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_as_recorded(&world);
}

#[test]
fn a_role_that_cannot_make_the_table_applies_all_the_same() {
    let world = applied();
    let role = format!("applier_{}", world.query("current_database()"));
    world.execute(&format!(
        "drop table _migration_inventories; create role {role} login;
         create schema own authorization {role};
         grant select, insert, update, delete on all tables in schema public to {role};
         grant usage on all sequences in schema public to {role}"
    ));
    let world = world.migration("2_more.sql", "create table own.more ()");
    let url = world.url().replace("user=postgres", &format!("user={role}"));
    let outcome = world.run(&format!("migrate-apply up --database-url '{url}'")).expect(Exit::Ok);
    assert!(outcome.stderr.contains("the schema is not recorded"), "{outcome}");
    assert_skipped(&world, CheckReason::NotApplicable);
}

#[test]
fn an_inventory_that_somebody_changed_is_told_from_drift() {
    let world = applied();
    world.execute("update _migration_inventories set inventory = ''; alter table users add x int");
    let outcome = world.run("migrate-check schema").expect(Exit::No);
    let [(object, message)] = &failing(&outcome)[..] else { panic!("{outcome}") };
    assert_eq!(object, "");
    assert!(message.ends_with("is not what the audit log has the hash of"), "{message}");
}

#[test]
fn any_role_reads_the_same_schema_and_only_needs_the_ledger_to_compare() {
    let world = applied();
    world.execute("create schema hidden; create table hidden.t (id int primary key)");
    let role = format!("reader_{}", world.query("current_database()"));
    world.execute(&format!("create role {role} login"));
    let dump = world.run("migrate-check schema dump").expect(Exit::Ok).stdout;
    let world = {
        let url = world.url().replace("user=postgres", &format!("user={role}"));
        world.env("DATABASE_URL", &url)
    };
    assert_eq!(world.run("migrate-check schema dump").expect(Exit::Ok).stdout, dump);
    assert_skipped(&world, CheckReason::Unknown);
    world.execute(&format!(
        "grant select on _migration_inventories, _migration_audit_log to {role}"
    ));
    let outcome = world.run("migrate-check schema").expect(Exit::No);
    let objects: Vec<String> = failing(&outcome).into_iter().map(|(object, _)| object).collect();
    assert_eq!(objects, ["hidden", "hidden.t"]);
}

#[test]
fn a_dump_in_a_file_is_what_another_database_is_compared_with() {
    let (world, other) = (applied(), applied());
    let dump = world.run("migrate-check schema dump --ledger-schema elsewhere").expect(Exit::Ok);
    let other = other.file("schema.jsonl", &dump.stdout);
    let _ = other.run("migrate-check schema --expect schema.jsonl").expect(Exit::Ok);
    other.execute("alter table users owner to pg_monitor");
    let outcome = other.run("migrate-check schema --expect schema.jsonl").expect(Exit::No);
    let said = "table changed: owner `postgres` → `pg_monitor`".to_owned();
    assert_eq!(failing(&outcome), [("public.users".to_owned(), said)]);
    let from_pipe = other.run_with_input("migrate-check schema --expect -", &dump.stdout);
    assert_eq!(failing(&from_pipe.expect(Exit::No)).len(), 1);
    let other = other.file("schema.jsonl", "no object");
    let outcome = other.run("migrate-check schema --expect schema.jsonl").expect(Exit::Usage);
    assert_eq!(outcome.one("error")["message"], "schema.jsonl:1: this is no object of a schema");
}

#[test]
fn the_ledger_is_no_part_of_the_schema() {
    let world = World::new().migration("1_users.sql", USERS);
    let before = world.run("migrate-check schema dump").expect(Exit::Ok).stdout;
    let _ = world.run("migrate-apply up --ledger-schema ledger").expect(Exit::Ok);
    let _ = world.run("migrate-apply down --ledger-schema ledger").expect(Exit::Ok);
    assert_eq!(world.run("migrate-check schema dump").expect(Exit::Ok).stdout, before);
}

#[test]
fn a_signal_ends_a_reading_that_waits_for_somebody() {
    let world = applied();
    world.execute("create view v as select * from users");
    let mut client = world.client();
    let mut holder = client.transaction().unwrap();
    holder.batch_execute("lock table users").unwrap();
    let check = world.spawn("migrate-check schema dump");
    world.wait_for("exists (select from pg_locks where not granted)");
    check.signal(Signal::TERM);
    let outcome = check.finish();
    assert_eq!(outcome.status.code(), Some(128 + 15), "{outcome}");
    drop(holder);
    let outcome = world.run("migrate-check schema --expect /dev/zero").expect(Exit::Usage);
    assert_eq!(outcome.one("error")["message"], "/dev/zero is longer than 256 MB");
}
