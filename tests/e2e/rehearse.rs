//! `migrate-check rehearse`: what is pending, tried on a copy, and the evidence that it leaves.

use migrate_core::exit::Exit;
use migrate_tests::{Outcome, OwnServer, World};
use rustix::process::Signal;
use serde_json::{Value, json};

const USERS: &str = "-- migrate:up\ncreate table users (id bigint primary key, name text, old text);\n\
                     -- migrate:down\ndrop table users;";
const CHANGE: &str = "-- migrate:up\nalter table users drop column old;\n\
                      create table notes (id bigint primary key);\n\
                      -- migrate:down\ndrop table notes; alter table users add column old text;";
const INDEX: &str = "-- migrate:up transaction:false\ncreate index concurrently i on users (name);\n\
                     -- migrate:down transaction:false\ndrop index concurrently i;";

/// One migration is applied and two are pending.
fn world() -> World {
    let world = World::new().migration("1_users.sql", USERS);
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    world.migration("2_change.sql", CHANGE).migration("3_index.sql", INDEX)
}

fn statuses(outcome: &Outcome) -> Vec<String> {
    outcome
        .of_type("check")
        .iter()
        .map(|it| format!("{} {}", it["name"].as_str().unwrap(), it["status"].as_str().unwrap()))
        .collect()
}

#[test]
fn a_rehearsal_goes_up_down_and_up_on_a_copy_and_leaves_evidence_for_the_plan() {
    let world = world();
    let before = world.run("migrate-check schema dump").expect(Exit::Ok).stdout;
    let plan = world.run("migrate-apply plan").expect(Exit::Ok).one("plan");
    let outcome = world.run("migrate-check rehearse").expect(Exit::Ok);
    assert_eq!(
        statuses(&outcome),
        [
            "dry_run pass",
            "up pass",
            "queries skip",
            "integrity pass",
            "down pass",
            "schema_after_down pass",
            "up_again pass",
            "schema_after_up pass"
        ]
    );
    let rehearsal = outcome.one("rehearsal");
    assert_eq!(rehearsal["plan_hash"], plan["plan_hash"]);
    assert_eq!(rehearsal["versions"], json!(["2", "3"]));
    assert_eq!((&rehearsal["passed"], &rehearsal["reversible"]), (&json!(true), &json!(true)));
    assert_eq!(rehearsal["objects_changed"], 3);
    let statements = rehearsal["statements"].as_array().unwrap();
    assert_eq!(statements[0]["locks"][0]["mode"], "AccessExclusiveLock");
    assert_eq!(statements.last().unwrap()["locks"][0]["mode"], "ShareUpdateExclusiveLock");

    let audited = world.query(
        "select details from _migration_audit_log where action = 'rehearsal' and subject = details ->> 'plan_hash'",
    );
    let audited: Value = serde_json::from_str(&audited).unwrap();
    assert_eq!(audited["statements"], rehearsal["statements"]);
    world.assert_sound();
    assert_eq!(world.run("migrate-check schema dump").expect(Exit::Ok).stdout, before);
    let _ = world.run("migrate-apply status --exit-code").expect(Exit::No);
}

#[test]
fn a_way_back_that_leaves_something_is_named_by_the_object() {
    let world = world();
    let world = world.migration(
        "4_more.sql",
        "-- migrate:up\nalter table users add a int, alter name set not null;\n\
         -- migrate:down\nalter table users drop a;",
    );
    let outcome = world.run("migrate-check rehearse").expect(Exit::No);
    let failing: Vec<Value> =
        outcome.of_type("check").into_iter().filter(|it| it["status"] == "fail").collect();
    let [check] = &failing[..] else { panic!("{outcome}") };
    assert_eq!(
        (&check["name"], &check["object"]),
        (&json!("schema_after_down"), &json!("public.users.name"))
    );
    assert_eq!(check["message"], "column changed: not null none → yes");
    let rehearsal = outcome.one("rehearsal");
    assert_eq!(rehearsal["failed"], json!(["schema_after_down"]));
    assert_eq!((&rehearsal["passed"], &rehearsal["reversible"]), (&json!(false), &json!(false)));
}

#[test]
fn without_a_way_back_it_says_so_and_passes() {
    let world = World::new().migration("1_t.sql", "create table t (id int primary key)");
    let outcome = world.run("migrate-check rehearse").expect(Exit::Ok);
    assert!(statuses(&outcome).contains(&"down skip".to_owned()), "{outcome}");
    let rehearsal = outcome.one("rehearsal");
    assert_eq!((&rehearsal["passed"], &rehearsal["reversible"]), (&json!(true), &json!(false)));
    // The ledger was made for the evidence, and nothing else was.
    assert_eq!(
        world.query("select count(*) from _migration_audit_log where action = 'rehearsal'"),
        "1"
    );
    assert_eq!(world.query("to_regclass('t')"), "null");
    world.assert_sound();
}

#[test]
fn a_migration_that_fails_is_named_with_its_place() {
    let world = world().migration("4_bad.sql", "alter table users\n  add column name text");
    let outcome = world.run("migrate-check rehearse").expect(Exit::No);
    assert_eq!(statuses(&outcome), ["dry_run fail", "up fail"]);
    let check = &outcome.of_type("check")[1];
    assert_eq!((&check["file"], &check["sqlstate"]), (&json!("4_bad.sql"), &json!("42701")));
    assert_eq!(outcome.one("rehearsal")["passed"], false);
    let world = world.migration("4_bad.sql", "select 'never closed");
    let outcome = world.run("migrate-check rehearse").expect(Exit::Refused);
    assert_eq!(outcome.one("error")["kind"], "no_plan");
}

#[test]
fn what_the_application_runs_is_prepared_before_and_after() {
    let world = world().file(
        "queries.sql",
        "select old from users where id = $1;\nselect name from users;\nbegin;\n\
         insert into users (id, old) values ($1, $2);\nselect 1 from nowhere;",
    );
    let outcome = world.run("migrate-check rehearse --queries queries.sql").expect(Exit::No);
    let rehearsal = outcome.one("rehearsal");
    assert_eq!(rehearsal["queries"], json!({"checked": 3, "broken": 2, "not_checkable": 2}));
    let broken: Vec<Value> = outcome
        .of_type("check")
        .into_iter()
        .filter(|it| it["name"] == "queries")
        .map(|it| it["message"].clone())
        .collect();
    assert_eq!(
        broken,
        [
            "column \"old\" does not exist: select old from users where id = $1",
            "column \"old\" of relation \"users\" does not exist: insert into users (id, old) values ($1, $2)",
        ]
    );
    let _ = world.run("migrate-check rehearse --queries nowhere.sql").expect(Exit::Unavailable);
}

#[test]
fn the_application_s_statements_are_those_that_the_server_saw() {
    let server = OwnServer::start(&["shared_preload_libraries=pg_stat_statements"]);
    let world = World::at(server.url()).migration("1_users.sql", USERS);
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    world.execute("create extension pg_stat_statements");
    let mut client = world.client();
    for _ in 0..3 {
        client.batch_execute("select old from users where name = 'x'").unwrap();
    }
    let world = world.migration("2_change.sql", CHANGE);
    let outcome = world.run("migrate-check rehearse").expect(Exit::No);
    let checks = outcome.of_type("check");
    let broken = checks.iter().find(|it| it["status"] == "fail").unwrap();
    assert_eq!(
        broken["message"],
        "column \"old\" does not exist: select old from users where name = $1"
    );
    assert_eq!(broken["count"], 3);
}

#[test]
fn with_nothing_pending_there_is_nothing_to_rehearse() {
    let world = World::new().migration("1_users.sql", USERS);
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let outcome = world.run("migrate-check rehearse").expect(Exit::Ok);
    assert_eq!(statuses(&outcome), ["plan skip"]);
    assert_eq!(outcome.of_type("rehearsal"), Vec::<Value>::new());
}

#[test]
fn on_a_standby_it_answers_and_leaves_no_evidence() {
    let server = OwnServer::start(&[]);
    let world = World::at(server.url()).migration("1_users.sql", USERS);
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let standby = server.standby();
    let world = world.migration("2_change.sql", CHANGE).env("DATABASE_URL", &standby.url());
    let outcome = world.run("migrate-check rehearse").expect(Exit::Ok);
    assert!(outcome.stderr.contains("the rehearsal is not in the audit log"), "{outcome}");
    assert_eq!(outcome.one("rehearsal")["passed"], true);
}

#[test]
fn a_signal_ends_it_and_the_copy_goes() {
    let world = world().migration("4_slow.sql", "select pg_sleep(60)");
    let mut rehearse = world.spawn("migrate-check rehearse");
    // The copies are private servers: the target only sees who reads it.
    world.wait_for(
        "exists (select from pg_stat_activity where application_name like 'migrate-check/rehearse%')",
    );
    assert!(rehearse.is_running());
    rehearse.signal(Signal::TERM);
    let outcome = rehearse.finish();
    assert_eq!(outcome.status.code(), Some(128 + 15), "{outcome}");
    assert_eq!(
        world.query("select count(*) from _migration_audit_log where action = 'rehearsal'"),
        "0"
    );
    world.assert_sound();
}
