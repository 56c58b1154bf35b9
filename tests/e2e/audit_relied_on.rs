//! What other tools read from the audit log doesn't fall silent where the log was changed.

use migrate_core::exit::Exit;
use migrate_tests::World;

fn world() -> World {
    let world = World::new()
        .migration("1_a.sql", "-- migrate:up\ncreate table a ();\n-- migrate:down\ndrop table a;");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    world
}

#[test]
fn the_way_down_is_refused_where_somebody_changed_how_it_runs() {
    let world = world();
    world.execute("update _migration_scripts set transactional = false");
    let refused = world.run("migrate-apply down").expect(Exit::Refused);
    assert_eq!(refused.one("error")["kind"], "down_sql_tampered");
    world.execute("update _migration_scripts set transactional = true");
    let _ = world.run("migrate-apply down").expect(Exit::Ok);
}

#[test]
fn the_way_down_needs_force_where_the_log_has_lost_what_it_said_of_it() {
    let world = world();
    world.execute(
        "alter table _migration_audit_log disable trigger user; truncate _migration_audit_log",
    );
    let refused = world.run("migrate-apply down").expect(Exit::Refused);
    assert_eq!(refused.one("error")["kind"], "needs_force");
    assert!(refused.stderr.contains("the audit log has lost what it said"), "{refused}");
    let _ = world.run("migrate-apply down --force").expect(Exit::Ok);
}

#[test]
fn no_password_of_a_role_gets_into_log_records_or_export() {
    let secret = "hunter2-Zq9";
    let world = World::new()
        .migration(
            "1_role.sql",
            &format!("create role r_{secret_name} password '{secret}'", secret_name = "x"),
        )
        .migration("2_bad.sql", &format!("alter role nobody_of_that_name password '{secret}'"))
        .migration(
            "3_slow.sql",
            &format!(
                "create table t (); alter role r_x password '{secret}' valid until 'nonsense'"
            ),
        );
    let mut said = String::new();
    for command in [
        "migrate-apply plan",
        "migrate-apply up",
        "migrate-apply up --steps 1",
        "migrate-audit log",
        "migrate-audit export",
        "migrate-audit history",
        "migrate-audit verify",
    ] {
        let outcome = world.run(command);
        said += &outcome.stdout;
        said += &outcome.stderr;
    }
    world.execute("drop role r_x");
    assert!(said.contains("migration.failed") && said.contains("migration.applied"), "{said}");
    assert!(!said.contains(secret), "{said}");
    let stored = "select count(*) from _migration_audit_log where canonical like '%hunter2%' or details::text like '%hunter2%'";
    assert_eq!(world.query(stored), "0");
    assert_eq!(
        world.query("select count(*) from _migration_history where error like '%hunter2%'"),
        "0"
    );
}
