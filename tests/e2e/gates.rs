//! The gates of `up`: refused until the evidence is there, with what lacks and what brings it.

use chrono::{DateTime, TimeDelta, Utc};
use migrate_core::exit::Exit;
use migrate_tests::{Outcome, World};
use serde_json::{Value, json};

const TOML: &str = r#"
[env.production.require]
backup = { max_age = "1h", verified = "checksum" }
approvals = 2
rehearsal = true
max_risk = "high"
"#;

const APPEND: &str = include_str!("../../migrate-core/sql/audit_append.sql");

fn world() -> World {
    World::new()
        .file("migrate.toml", TOML)
        .migration(
            "1_a.sql",
            "-- author: Ann <ann@shop.example>\n-- migrate:up\ncreate table a ();",
        )
        .env("MIGRATE_ENV", "production")
}

/// Appends a row as the tools do.
pub(crate) fn append(world: &World, action: &str, details: Value) {
    let mut client = world.client();
    let mut transaction = client.transaction().unwrap();
    transaction
        .batch_execute("lock table _migration_audit_log in share row exclusive mode")
        .unwrap();
    let now: DateTime<Utc> = transaction.query_one("select clock_timestamp()", &[]).unwrap().get(0);
    let mut said = json!({ "v": 1, "at": now, "tool": "migrate-x", "type": action });
    said.as_object_mut().unwrap().extend(details.as_object().unwrap().clone());
    let none: Option<&str> = None;
    let canonical = json!({ "timestamp": now, "actor": "postgres", "action": action, "subject": none,
                            "run_id": none, "details": said });
    let sql = APPEND.replace("{ledger}", "public");
    transaction
        .execute(&sql, &[&now, &"postgres", &action, &none, &none, &canonical.to_string()])
        .unwrap();
    transaction.commit().unwrap();
}

/// A backup of this very database.
fn backup(world: &World, level: &str, ago: TimeDelta) -> Value {
    let system = world.query("select system_identifier from pg_control_system()");
    json!({ "backup_id": "20260310T090000Z-0a1b2c", "level": level, "system_identifier": system,
            "database": world.query("current_database()"), "created_at": now(world) - ago })
}

fn now(world: &World) -> DateTime<Utc> {
    world.client().query_one("select clock_timestamp()", &[]).unwrap().get(0)
}

fn plan_hash(world: &World) -> String {
    let plan = world.run("migrate-apply plan").expect(Exit::Ok).one("plan");
    plan["plan_hash"].as_str().unwrap().to_owned()
}

/// The gates that `up` finds closed; each is a record with what lacks.
#[track_caller]
fn refused(world: &World) -> (Vec<String>, Outcome) {
    let outcome = world.run("migrate-apply up").expect(Exit::Refused);
    let error = outcome.one("error");
    assert_eq!(error["kind"], "gate", "{outcome}");
    assert!(error["hint"].as_str().unwrap().contains("--override REASON"), "{outcome}");
    assert_eq!(world.query("to_regclass('a') is null"), "true");
    let failed = outcome.of_type("gate").into_iter().filter(|it| it["status"] == "fail");
    let names = failed.map(|it| it["name"].as_str().unwrap().to_owned()).collect();
    (names, outcome)
}

#[test]
fn up_is_refused_until_backup_rehearsal_and_two_approvals_are_there_and_goes_through_after() {
    let world = world();
    let (names, outcome) = refused(&world);
    assert_eq!(names, ["backup", "rehearsal", "approvals"]);
    let made = "select count(*) from pg_class where relname like '\\_migration%'";
    assert_eq!(world.query(made), "0", "who is refused changes nothing: {outcome}");
    let hash = plan_hash(&world);
    let commands: Vec<Value> =
        outcome.of_type("gate").iter().filter_map(|it| it.get("command").cloned()).collect();
    let approve = format!("migrate-audit approve {hash}");
    assert_eq!(
        commands,
        [
            "migrate-backup create | migrate-backup verify - --level checksum",
            "migrate-check rehearse",
            &approve
        ]
    );
    for command in &commands {
        assert!(outcome.stderr.contains(command.as_str().unwrap()), "{outcome}");
    }

    let _ = world.run(&format!("{approve} --as bob")).expect(Exit::Ok);
    append(&world, "backup.created", backup(&world, "", TimeDelta::minutes(2)));
    let (names, outcome) = refused(&world);
    assert_eq!(names, ["backup", "rehearsal", "approvals"], "made, but not verified");
    let approvals = &outcome.of_type("gate")[3];
    assert_eq!(
        approvals["message"],
        "1 of 2 approvals of this plan: bob (stated by role postgres)"
    );

    append(&world, "backup.verified", backup(&world, "checksum", TimeDelta::minutes(2)));
    append(&world, "rehearsal", json!({ "plan_hash": hash, "status": "pass" }));
    assert_eq!(refused(&world).0, ["approvals"]);
    let piped = world
        .shell("migrate-apply plan | migrate-audit approve - --as cid@shop.example")
        .expect(Exit::Ok);
    assert_eq!(piped.one("plan.approved")["plan_hash"], hash);

    let outcome = world.run("migrate-apply up").expect(Exit::Ok);
    let passed: Vec<Value> =
        outcome.of_type("gate").iter().map(|it| it["status"].clone()).collect();
    assert_eq!(passed, ["pass"; 4]);
    assert_eq!(outcome.one("apply.started")["plan_hash"], hash);
    let order = outcome.types();
    let at = |name: &str| order.iter().position(|it| it == name).unwrap();
    assert!(at("lock.acquired") < at("gate") && at("gate") < at("apply.started"), "{order:?}");
    assert_eq!(world.query("to_regclass('a') is not null"), "true");
    let _ = world.run("migrate-audit verify").expect(Exit::Ok);
}

#[test]
fn one_changed_byte_of_a_migration_brings_the_refusal_back() {
    let world = world();
    let hash = plan_hash(&world);
    for name in ["bob", "cid"] {
        let _ = world.run(&format!("migrate-audit approve {hash} --as {name}")).expect(Exit::Ok);
    }
    append(&world, "backup.verified", backup(&world, "restore", TimeDelta::zero()));
    append(&world, "rehearsal", json!({ "plan_hash": hash, "status": "pass" }));
    let world = world.migration(
        "1_a.sql",
        "-- author: Ann <ann@shop.example>\n-- migrate:up\ncreate table a () ;",
    );
    assert_eq!(refused(&world).0, ["rehearsal", "approvals"]);
    let world = world.migration(
        "1_a.sql",
        "-- author: Ann <ann@shop.example>\n-- migrate:up\ncreate table a ();",
    );
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
}

#[test]
fn a_backup_that_is_old_damaged_of_another_database_or_not_proven_enough_does_not_count() {
    let world = world();
    let _ = world.run("migrate-audit note begin").expect(Exit::Ok);
    let gate = |words: &str| {
        let outcome = refused(&world).1;
        let backup = outcome.of_type("gate").into_iter().find(|it| it["name"] == "backup").unwrap();
        assert_eq!(backup["status"], if words.is_empty() { "pass" } else { "fail" }, "{backup}");
        assert!(backup["message"].as_str().unwrap().contains(words), "{backup}");
    };
    gate("there is no backup of this database, verified to level checksum");
    let mut other = backup(&world, "restore", TimeDelta::minutes(1));
    other["database"] = "other".into();
    append(&world, "backup.verified", other);
    gate("there is no backup");
    append(&world, "backup.verified", backup(&world, "checksum", TimeDelta::minutes(61)));
    gate("1h 1m old, and max_age is 1h");
    append(&world, "backup.verified", backup(&world, "read", TimeDelta::minutes(1)));
    gate("");
    append(&world, "backup.damaged", backup(&world, "checksum", TimeDelta::minutes(1)));
    gate("there is no backup");
}

#[test]
fn the_proof_of_a_backup_may_come_by_a_pipe() {
    let world = world().file(
        "migrate.toml",
        "[env.production.require]\nbackup = { max_age = '1h', verified = 'read' }",
    );
    let line = |level: &str| {
        let mut record = backup(&world, level, TimeDelta::minutes(1));
        record["type"] = "backup.verified".into();
        record.to_string()
    };
    let up = "migrate-apply up --require-backup -";
    let _ = world.run_with_input(up, &line("checksum")).expect(Exit::Refused);
    let _ = world.run_with_input(up, &line("read")).expect(Exit::Ok);
}

#[test]
fn one_person_counts_once_and_the_author_is_refused() {
    let world = world();
    let hash = plan_hash(&world);
    let approve = |name: &str| {
        world.run(&format!("migrate-audit approve {hash} --as '{name}'")).expect(Exit::Ok)
    };
    for name in ["bob", "Bob", "Bob <bob@shop.example>"] {
        let _ = approve(name);
    }
    let _ = approve("ann");
    let outcome = refused(&world).1;
    let said = outcome.of_type("gate").pop().unwrap()["message"].as_str().unwrap().to_owned();
    assert!(said.starts_with("1 of 2 approvals of this plan: "), "{said}");
    assert!(said.ends_with("; ann does not count: an author of it"), "{said}");
    let own =
        world.shell("migrate-apply plan | migrate-audit approve - --as ann").expect(Exit::Refused);
    assert_eq!(own.one("error")["kind"], "own_work");
    let step = world.run("migrate-apply plan").expect(Exit::Ok).one("plan.step");
    assert_eq!(step["author"], "Ann <ann@shop.example>");
}

#[test]
fn an_approval_keeps_the_rules_of_pipes() {
    let world = world();
    for (input, exit) in [
        ("", Exit::Refused),
        ("{\"type\":\"plan.step\"}\n", Exit::Refused),
        ("{\"type\":\"error\",\"message\":\"x\"}\n", Exit::Refused),
        ("nonsense\n", Exit::Usage),
        ("{\"type\":\"plan\"}\n", Exit::Usage),
    ] {
        let _ = world.run_with_input("migrate-audit approve -", input).expect(exit);
    }
    let plan = world.run("migrate-apply plan").expect(Exit::Ok).stdout;
    let elsewhere = plan.replace("\"database\":\"", "\"database\":\"not_");
    let refused = world.run_with_input("migrate-audit approve -", &elsewhere).expect(Exit::Refused);
    assert_eq!(refused.one("error")["kind"], "plan_of_another_database");
    for wrong in ["sha256:12", "x", "''"] {
        let _ = world.run(&format!("migrate-audit approve {wrong}")).expect(Exit::Usage);
    }
    let _ = world
        .run(&format!("migrate-audit approve {} --as ''", plan_hash(&world)))
        .expect(Exit::Usage);
    assert_eq!(world.query("to_regclass('_migration_audit_log') is null"), "true");
    let by_role = world
        .run_with_input("migrate-audit approve -", &plan)
        .expect(Exit::Ok)
        .one("plan.approved");
    assert_eq!(
        (&by_role["approver"], &by_role["identity"]),
        (&"postgres".into(), &"database".into())
    );
}

#[test]
fn a_plan_is_approved_by_a_signature_that_up_checks_again() {
    let toml = "allowed_signers = 'signers'\n[env.production.require]\napprovals = 1\napproved_by = 'signature'\n";
    let world = world().file("migrate.toml", toml);
    let hash = plan_hash(&world);
    let made = world.shell(&format!(
        "for name in bob eve; do ssh-keygen -q -t ed25519 -N '' -C $name -f $name; done
         echo \"bob@shop.example $(cut -d' ' -f1,2 bob.pub)\" > signers
         echo {hash} | ssh-keygen -q -Y sign -n migrate-plan -f bob > bob.sig
         echo {hash} | ssh-keygen -q -Y sign -n migrate-plan -f eve > eve.sig
         echo {hash} | ssh-keygen -q -Y sign -n file -f bob > other.sig
         echo sha256:00 | ssh-keygen -q -Y sign -n migrate-plan -f bob > plan.sig"
    ));
    assert!(made.status.success(), "{made}");
    let approve = |flags: &str| world.run(&format!("migrate-audit approve {hash} {flags}"));
    for wrong in ["eve.sig", "other.sig", "plan.sig", "signers"] {
        let refused = approve(&format!("--signature {wrong}")).expect(Exit::Refused);
        assert_eq!(refused.one("error")["kind"], "signature", "{wrong}");
    }
    let _ = approve("--signature bob.sig --as eve").expect(Exit::Refused);
    let _ = approve("--as bob@shop.example").expect(Exit::Ok);
    assert_eq!(refused(&world).0, ["approvals"], "a name alone is not enough");
    let approved = approve("--signature bob.sig").expect(Exit::Ok).one("plan.approved");
    assert_eq!(
        (&approved["approver"], &approved["identity"]),
        (&"bob@shop.example".into(), &"signature".into())
    );
    assert!(approved["fingerprint"].as_str().unwrap().starts_with("SHA256:"), "{approved}");
    // Whoever left since then does not count any more.
    let signers = std::fs::read_to_string(world.path("signers")).unwrap();
    std::fs::write(world.path("signers"), signers.replace("bob@", "cid@")).unwrap();
    assert_eq!(refused(&world).0, ["approvals"]);
    std::fs::write(world.path("signers"), signers).unwrap();
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
}

#[test]
fn an_override_needs_a_reason_and_is_evidence_itself() {
    let world = world();
    for empty in ["''", "'  '"] {
        let _ = world.run(&format!("migrate-apply up --override {empty}")).expect(Exit::Usage);
    }
    let outcome = world.run("migrate-apply up --override 'the shop is down'").expect(Exit::Ok);
    let statuses: Vec<Value> =
        outcome.of_type("gate").iter().map(|it| it["status"].clone()).collect();
    assert_eq!(statuses, ["pass", "overridden", "overridden", "overridden"]);
    let said = "override backup, rehearsal, approvals: the shop is down";
    assert_eq!(outcome.one("apply.started")["overrides"], json!([said]));
    let audited = "select details -> 'overrides' ->> 0 from _migration_audit_log where action = 'apply.started'";
    assert_eq!(world.query(audited), said);
}

#[test]
fn what_is_tried_on_a_copy_needs_no_gate_and_on_the_target_it_does() {
    let world = world();
    let _ = world.run("migrate-apply up --dry-run=copy").expect(Exit::Ok);
    let _ = world.run("migrate-apply up --dry-run=here").expect(Exit::Refused);
}

#[test]
fn a_rehearsal_that_failed_after_one_that_passed_closes_the_gate() {
    let world = world().file("migrate.toml", "[env.production.require]\nrehearsal = true");
    let _ = world.run("migrate-audit note begin").expect(Exit::Ok);
    let hash = plan_hash(&world);
    for (status, open) in [("pass", true), ("fail", false), ("pass", true)] {
        append(&world, "rehearsal", json!({ "plan_hash": hash, "status": status }));
        let gate = world.run("migrate-apply up --dry-run=here");
        assert_eq!(gate.status.code(), Some(if open { 0 } else { 5 }), "{gate}");
    }
}

#[test]
fn preflight_is_the_verdict_of_migrate_check_and_closed_without_it() {
    let world = world().file("migrate.toml", "[env.production.require]\npreflight = true");
    let tool = |lines: &str, code: u8| {
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = preflight ] || exit 2\ncat <<'X'\n{lines}\nX\nexit {code}\n"
        );
        std::fs::write(world.path("migrate-check"), script).unwrap();
        let made = world.shell("mkdir -p bin && cp \"$(command -v migrate-apply)\" bin && chmod 755 migrate-check && mv migrate-check bin");
        assert!(made.status.success(), "{made}");
        world.shell("PATH=\"$PWD/bin:$PATH\" bin/migrate-apply up")
    };
    let fails = r#"{"type":"check","name":"disk_space","status":"fail","message":"2 GB left"}"#;
    let refused = tool(fails, 1).expect(Exit::Refused);
    let gate = refused.one("gate");
    assert_eq!(
        (&gate["name"], &gate["message"]),
        (&"preflight".into(), &"disk_space: 2 GB left".into())
    );
    let broken = tool("", 4).expect(Exit::Refused);
    assert!(broken.stderr.contains("migrate-check"), "{broken}");
    let _ = tool(r#"{"type":"check","name":"disk_space","status":"pass","message":"ok"}"#, 0)
        .expect(Exit::Ok);
}

#[test]
fn a_ledger_of_one_environment_is_not_judged_by_the_gates_of_another() {
    let toml = "[env.production.require]\napprovals = 1\n[env.staging]\n";
    let world = world().file("migrate.toml", toml);
    let _ = world.run("migrate-audit note 'made under production'").expect(Exit::Ok);
    let staging = "migrate-apply up --env staging";
    let refused = world.run(staging).expect(Exit::Refused);
    assert_eq!(refused.one("error")["kind"], "environment_mismatch");
    let overridden = world.run(&format!("{staging} --override 'it was renamed'")).expect(Exit::Ok);
    assert_eq!(
        overridden.one("apply.started")["overrides"],
        json!(["override environment: it was renamed"])
    );
}

#[test]
fn a_copy_of_a_ledger_in_another_database_has_the_gates_of_its_new_environment() {
    let toml = "[env.production.require]\napprovals = 1\n[env.staging]\n";
    let world = world().file("migrate.toml", toml);
    let _ = world.run("migrate-audit note 'made under production'").expect(Exit::Ok);
    let name = world.query("current_database()");
    let admin = World::at(world.url().replace(&name, "postgres"));
    admin.execute(&format!("create database {name}_copy template {name}"));
    let copy = world.url().replace(&name, &format!("{name}_copy"));
    let outcome = world.run(&format!("migrate-apply up --env staging --database-url '{copy}'"));
    assert!(outcome.status.success(), "{outcome}");
}

#[test]
fn a_log_that_was_emptied_opens_no_gate() {
    let world = world();
    let _ = world.run("migrate-audit note 'made under production'").expect(Exit::Ok);
    world.execute(
        "alter table _migration_audit_log disable trigger user; truncate _migration_audit_log",
    );
    assert_eq!(refused(&world).0, ["backup", "rehearsal", "approvals"]);
    let world = world.without_env("MIGRATE_ENV");
    let refused = world.run("migrate-apply up").expect(Exit::Refused);
    assert_eq!(refused.one("error")["kind"], "audit_log_damaged");
}

#[test]
fn a_plan_that_stopped_part_way_is_finished_under_its_approvals_and_a_changed_rest_is_not() {
    let world = World::new()
        .file("migrate.toml", "[env.production.require]\napprovals = 1\n")
        .env("MIGRATE_ENV", "production")
        .migration("1_a.sql", "create table t ()")
        .migration("2_b.sql", "create table a ()")
        .migration("3_c.sql", "alter table held add column c int")
        .migration("4_d.sql", "create table d ()");
    world.execute("create table held ()");
    let _ = world.shell("migrate-apply plan | migrate-audit approve - --as bob").expect(Exit::Ok);
    let mut client = world.client();
    let mut holder = client.transaction().unwrap();
    holder.batch_execute("lock table held").unwrap();
    let up = "migrate-apply up --lock-timeout 20ms --retry-budget 50ms";
    let first = world.run(up).expect(Exit::Busy);
    let second = world.run(up).expect(Exit::Busy);
    assert_eq!(second.one("apply.started")["plan_hash"], first.one("apply.started")["plan_hash"]);
    drop(holder);
    let world = world.migration("4_d.sql", "create table d (i int)");
    let _ = world.run(up).expect(Exit::Refused);
    let world =
        world.migration("4_d.sql", "create table d ()").migration("5_e.sql", "create table e ()");
    let _ = world.run(up).expect(Exit::Refused);
    std::fs::remove_file(world.path("migrations/5_e.sql")).unwrap();
    let _ = world.run("migrate-apply up --steps 1").expect(Exit::Refused);
    let _ = world.run(up).expect(Exit::Ok);
    let _ = world.run("migrate-audit verify").expect(Exit::Ok);
}
