//! `migrate-check preflight`: each line of the checklist, on a server that is ready and on one that is not.

use std::time::Instant;

use migrate_core::exit::Exit;
use migrate_tests::{Outcome, OwnServer, World};
use serde_json::{Value, json};

/// The tests' server does without fsync, and standbys' slots may come and go beside us.
const FLAGS: &str = "--skip harmful_settings,replication_slots,disk_space";

fn shop() -> World {
    let world = World::new()
        .migration("1_users.sql", "-- migrate:up\ncreate table users (id bigint primary key);\n-- migrate:down\ndrop table users;")
        .migration("2_orders.sql", "-- migrate:up\ncreate table orders (id bigint primary key);\n-- migrate:down\ndrop table orders;");
    let _ = world.run("migrate-apply up --target 1").expect(Exit::Ok);
    world
}

/// Appends to the audit log as another tool would.
fn log(world: &World, action: &str, details: &Value) {
    let mut details = details.clone();
    details["database"] = world.query("current_database()").into();
    details["system_identifier"] =
        world.query("select system_identifier from pg_control_system()").into();
    let sql = "insert into _migration_audit_log
                   (id, timestamp, actor, action, details, canonical, prev_hash, hash)
               select max(id) + 1, clock_timestamp(), current_user, $1, $2::text::jsonb, '',
                      sha256(max(id)::text::bytea), sha256((max(id) + 1)::text::bytea)
               from _migration_audit_log";
    world.client().execute(sql, &[&action, &details.to_string()]).unwrap();
}

fn check(outcome: &Outcome, name: &str) -> Value {
    let found = outcome.of_type("check").into_iter().find(|it| it["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {outcome}"))
}

/// Status and message of one check.
fn said(world: &World, name: &str) -> (String, String) {
    let outcome = world.run(&format!("migrate-check preflight --only {name}"));
    let check = check(&outcome, name);
    let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("message"))
}

#[track_caller]
fn assert_said(world: &World, name: &str, status: &str, words: &str) {
    let (found, message) = said(world, name);
    assert_eq!(found, status, "{name}: {message}");
    assert!(message.contains(words), "{name}: {message}");
}

fn plan_hash(world: &World) -> String {
    let plan = world.run("migrate-apply plan").expect(Exit::Ok).one("plan");
    plan["plan_hash"].as_str().unwrap().to_owned()
}

#[test]
fn a_database_that_is_ready_passes_every_line() {
    let world = shop();
    let now = world.query("to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");
    log(
        &world,
        "backup.verified",
        &json!({ "backup_id": "b1", "level": "read", "created_at": now }),
    );
    log(&world, "rehearsal", &json!({ "plan_hash": plan_hash(&world), "status": "pass" }));
    let outcome = world.run(&format!("migrate-check preflight {FLAGS}")).expect(Exit::Ok);
    let rest: Vec<Value> = outcome
        .of_type("check")
        .into_iter()
        .filter(|it| it["status"] != "pass")
        .map(|it| it["name"].clone())
        .collect();
    assert_eq!(rest, ["approvals"], "{outcome}");
    assert_eq!(check(&outcome, "pending")["message"], "1 migration is pending and valid");
    assert_eq!(check(&outcome, "backup")["object"], "b1");
}

#[test]
fn a_backup_is_asked_for_by_age_and_level() {
    let world = shop();
    assert_said(&world, "backup", "fail", "no backup of this database is known");
    let at = |ago: &str| {
        world.query(&format!("to_char(now() at time zone 'UTC' - '{ago}'::interval, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"))
    };
    let other = json!({ "backup_id": "b0", "level": "read", "created_at": at("1h") });
    log(&world, "backup.verified", &other);
    world.execute("alter table _migration_audit_log disable trigger all");
    world.execute("update _migration_audit_log set details = details || '{\"database\": \"another\"}' where action = 'backup.verified'");
    assert_said(&world, "backup", "fail", "no backup of this database is known");
    log(&world, "backup.created", &json!({ "backup_id": "b1", "created_at": at("2h") }));
    assert_said(&world, "backup", "warn", "never verified");
    log(
        &world,
        "backup.verified",
        &json!({ "backup_id": "b1", "level": "checksum", "created_at": at("2h") }),
    );
    assert_said(&world, "backup", "pass", "verified to level checksum");
    let world = world.file(
        "migrate.toml",
        "[env.production.require]\nbackup = { max_age = \"1h\", verified = \"restore\" }",
    );
    let strict =
        world.run("migrate-check preflight --env production --only backup").expect(Exit::No);
    let message = check(&strict, "backup")["message"].as_str().unwrap().to_owned();
    assert!(message.ends_with("wanted is level restore"), "{message}");
    log(&world, "backup.damaged", &json!({ "backup_id": "b1" }));
    assert_said(&world, "backup", "fail", "no backup of this database is known");
}

#[test]
fn pending_migrations_are_looked_at_by_migrate_apply() {
    let world = shop();
    assert_said(&world, "pending", "pass", "1 migration is pending and valid");
    let world = world.migration("1_users.sql", "create table other ()");
    assert_said(&world, "pending", "fail", "was changed or renamed after it was applied");
    assert_said(&world, "rehearsal", "skip", "unknown: ");
    let world = world.migration("1_users.sql", "select '");
    assert_said(&world, "pending", "fail", "is never closed");
}

#[test]
fn rehearsal_and_approvals_are_of_the_plan_as_it_is_now() {
    let world =
        shop().file("migrate.toml", "[env.production.require]\napprovals = 2\nrehearsal = true");
    let world = world.env("MIGRATE_ENV", "production");
    assert_said(&world, "rehearsal", "fail", "was not rehearsed");
    assert_said(&world, "approvals", "fail", "0 of 2: approved by nobody");
    let hash = plan_hash(&world);
    log(&world, "rehearsal", &json!({ "plan_hash": hash, "status": "fail" }));
    assert_said(&world, "rehearsal", "fail", "did not go well");
    log(&world, "rehearsal", &json!({ "plan_hash": hash, "status": "pass" }));
    assert_said(&world, "rehearsal", "pass", "rehearsed at");
    for name in ["ann", "ann"] {
        log(&world, "plan.approved", &json!({ "plan_hash": hash, "approver": name }));
    }
    assert_said(&world, "approvals", "fail", "1 of 2: approved by ann");
    log(&world, "plan.approved", &json!({ "plan_hash": hash, "approver": "bob" }));
    assert_said(&world, "approvals", "pass", "approved by ann, bob");
    let world = world.migration("3_more.sql", "create table more ()");
    assert_said(&world, "rehearsal", "fail", "was not rehearsed");
    assert_said(&world, "approvals", "fail", "0 of 2");
    let _ = world.run("migrate-apply up").expect(Exit::Refused);
}

#[test]
fn who_holds_the_lock_is_named_unless_it_is_held_for_us() {
    let world = shop();
    let held = "migrate-lock run -- migrate-check preflight --only lock";
    let inside = world.run(held).expect(Exit::Ok);
    assert_eq!(check(&inside, "lock")["status"], "pass");
    let _ = world.run("migrate-lock acquire --reason 'manual work'").expect(Exit::Ok);
    assert_said(&world, "lock", "fail", "manual work");
}

#[test]
fn what_would_hold_a_migration_up_is_found() {
    let world = shop();
    world
        .execute("create table t (n int check (n > 0)); alter table t add check (n < 9) not valid");
    assert_said(&world, "not_valid_constraints", "fail", "is not validated");
    assert_said(&world, "running_dumps", "pass", "no dump");
    let dump = World::at(format!("{} application_name=pg_dump", world.url()));
    let _session = dump.client();
    assert_said(&world, "running_dumps", "fail", "pg_dump of postgres");
    let database = world.query("current_database()");
    world.execute(&format!("alter database {database} set zero_damaged_pages = on"));
    let outcome = world.run("migrate-check preflight --only harmful_settings").expect(Exit::No);
    let objects: Vec<Value> =
        outcome.of_type("check").iter().map(|it| it["object"].clone()).collect();
    assert!(objects.contains(&json!(format!("all roles in {database}"))), "{outcome}");
    assert!(objects.contains(&json!("server")), "fsync is off on it: {outcome}");
}

#[test]
fn what_somebody_changed_by_hand_is_named() {
    let world = shop();
    assert_said(&world, "drift", "pass", "objects are as in run");
    world.execute("alter table users add column note text");
    let outcome = world.run("migrate-check preflight --only drift").expect(Exit::No);
    let it = check(&outcome, "drift");
    assert_eq!((&it["status"], &it["group"]), (&json!("fail"), &json!("preflight")));
    assert!(it["object"].as_str().unwrap().contains("note"), "{it}");
}

#[test]
fn a_standby_is_no_place_for_a_migration() {
    let primary = OwnServer::start(&[]);
    World::at(primary.url()).execute("create table t (n int primary key)");
    let second = primary.standby();
    let standby = World::at(second.url());
    assert_said(&standby, "writable", "fail", "this is a standby");
}

#[test]
fn the_room_on_the_disks_is_known_only_where_it_is_proven() {
    let world = shop();
    let here = world.run("migrate-check preflight --only disk_space");
    let it = check(&here, "disk_space");
    assert!(it["message"].as_str().unwrap().contains("% free"), "{it}");
    // A role that may not know where the data is.
    let database = world.query("current_database()");
    world.execute(&format!("create role deployer_{database} login"));
    let blind =
        World::at(world.url().replace("user=postgres", &format!("user=deployer_{database}")));
    let outcome = blind.run("migrate-check preflight").expect(Exit::No);
    world.execute(&format!("drop role deployer_{database}"));
    for name in ["disk_space", "long_transactions", "replication_lag", "urgent_vacuums"] {
        let it = check(&outcome, name);
        assert_eq!((&it["status"], &it["reason"]), (&json!("skip"), &json!("unknown")), "{it}");
    }
    for name in ["backup", "lock"] {
        assert_eq!(check(&outcome, name)["reason"], "unknown", "{outcome}");
    }
}

#[test]
fn the_checklist_is_answered_at_once() {
    let world = shop();
    let fastest = (0..5)
        .map(|_| {
            let began = Instant::now();
            let _ = world.run("migrate-check preflight");
            began.elapsed().as_millis()
        })
        .min();
    // 300 ms on a machine at rest, by a release build.
    assert!(fastest < Some(1_000), "{fastest:?} ms");
}
