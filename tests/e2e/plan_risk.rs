//! What `plan` says about the statements of a migration.

use migrate_core::exit::Exit;
use migrate_tests::World;

const CHANGE: &str = "-- migrate:up\ncreate table n (a int);\ncreate index on n (a);\n\
                      alter table t add b int,\n  alter a type bigint;\n-- migrate:down\ndrop table n;\n";

#[test]
fn a_plan_says_where_a_table_is_written_anew_and_what_to_do_instead() {
    let world = World::new().migration("1_change.sql", CHANGE);
    let outcome = world.run("migrate-apply plan").expect(Exit::Ok);
    let step = &outcome.one("plan.step");
    assert_eq!(step["risk"], "high");
    let findings = step["findings"].as_array().unwrap();
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(finding["code"], "change-type-rewrite");
    assert_eq!(finding["severity"], "warning");
    assert_eq!((&finding["line"], &finding["column"]), (&4.into(), &1.into()));
    assert_eq!(
        finding["message"],
        "1_change.sql:4:1: ALTER TABLE writes all of `t` anew, unless the new type stores the old \
         values as they are; nobody can read or write meanwhile"
    );
    assert!(finding["hint"].as_str().unwrap().starts_with("add a column of the new type"));
    assert_eq!(outcome.one("plan")["risk"], "high");

    let text = world.run("migrate-apply plan --output text").expect(Exit::Ok).stdout;
    assert!(text.contains("! 1_change.sql:4:1: ALTER TABLE writes all of `t` anew"), "{text}");
}

#[test]
fn what_the_author_says_about_the_risk_stands() {
    let world = World::new().migration("1_change.sql", &format!("-- risk: low\n{CHANGE}"));
    let outcome = world.run("migrate-apply plan").expect(Exit::Ok);
    assert_eq!(outcome.one("plan.step")["risk"], "low");
    let outcome = world.run("migrate-apply status").expect(Exit::Ok);
    assert_eq!(outcome.one("migration")["risk"], "low");
}

#[test]
fn a_gate_for_the_risk_counts_what_others_have_to_wait_for() {
    let world = World::new()
        .file(
            "migrate.toml",
            "[env.x]\ndatabase_url_env = 'URL'\nrequire = { max_risk = 'medium' }",
        )
        .migration("1_t.sql", "create table t (a int); create index on t (a)")
        .migration("2_t.sql", "alter table t drop a");
    let url = world.url().to_owned();
    let world = world.env("URL", &url);
    let _ = world.run("migrate-apply up --env x --target 1").expect(Exit::Ok);
    world.execute("insert into t values (1)");
    let refused = world.run("migrate-apply up --env x").expect(Exit::Refused);
    let said = "migration 2 `t` has risk high, and max_risk is medium";
    assert_eq!(refused.one("error")["message"], said);
}
