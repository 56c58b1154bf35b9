//! `up` and what goes with it: which migrations, in what order, all or nothing, and who may look.

use std::fs;

use migrate_core::exit::Exit;
use migrate_tests::{Outcome, World};
use serde_json::json;

const HISTORY: &str =
    "select string_agg(version || status, ' ' order by id) from _migration_history";

fn three_tables() -> World {
    World::new()
        .migration("1_a.sql", "create table a ()")
        .migration("2_b.sql", "create table b ()")
        .migration("10_c.sql", "create table c ()")
}

#[track_caller]
fn states(outcome: &Outcome) -> String {
    let rows = outcome.of_type("migration");
    let state = |it: &serde_json::Value| format!("{}{}", it["version"], it["state"]);
    rows.iter().map(state).collect::<Vec<_>>().join(" ").replace('"', "")
}

#[test]
fn target_and_steps_bound_what_is_applied() {
    let world = three_tables();
    let _ = world.run("migrate-apply up --steps 1").expect(Exit::Ok);
    assert_eq!(world.query(HISTORY), "1applied");
    let _ = world.run("migrate-apply up --target 2").expect(Exit::Ok);
    assert_eq!(world.query(HISTORY), "1applied 2applied");
    let again = world.run("migrate-apply up --target 2").expect(Exit::Ok);
    assert_eq!(again.one("apply.finished")["status"], "nothing_to_do");
    let unknown = world.run("migrate-apply up --target 3").expect(Exit::Usage);
    assert_eq!(unknown.one("error")["message"], "there is no migration 3");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(world.query(HISTORY), "1applied 2applied 10applied");
}

#[test]
fn a_migration_older_than_the_newest_applied_needs_a_flag_which_is_audited() {
    let world = three_tables();
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let world = world.migration("3_late.sql", "create table late ()");
    let refused = world.run("migrate-apply up").expect(Exit::Refused);
    let said = "migration 3 `late` is older than 10, which is applied";
    assert_eq!(refused.one("error")["message"], said);
    assert_eq!(
        states(&world.run("migrate-apply status")),
        "1applied 2applied 3out_of_order 10applied"
    );
    let _ = world.run("migrate-apply validate").expect(Exit::No);
    let applied = world.run("migrate-apply up --allow-out-of-order").expect(Exit::Ok);
    assert_eq!(applied.one("apply.started")["overrides"], json!(["allow-out-of-order"]));
    assert_eq!(world.query(HISTORY), "1applied 2applied 10applied 3applied");
}

#[test]
fn a_requirement_that_no_file_can_meet_is_found_before_up_refuses_it() {
    for requires in ["4", "3", "10"] {
        let sql = format!("-- requires: 1, {requires}\ncreate table d ()");
        let world = three_tables().migration("3_d.sql", &sql);
        let said = format!("3_d.sql requires {requires}, and no file before it has that version");
        for validate in ["migrate-apply validate", "migrate-apply validate --offline"] {
            let findings = world.run(validate).expect(Exit::No).of_type("finding");
            let found = findings.iter().any(|it| it["message"] == said);
            assert!(found, "{requires}: {findings:?}");
        }
        let refused = world.run("migrate-apply up").expect(Exit::Refused);
        assert_eq!(refused.one("error")["kind"], "requirement_missing");
    }
    let world = three_tables().migration("3_d.sql", "-- requires: 1, 2\ncreate table d ()");
    let _ = world.run("migrate-apply validate").expect(Exit::Ok);
}

#[test]
fn a_single_transaction_applies_all_or_nothing() {
    let world = three_tables().migration("11_d.sql", "create table d (); select nope");
    let failed = world.run("migrate-apply up --single-transaction").expect(Exit::Failed);
    assert_eq!(failed.one("migration.failed")["version"], "11");
    assert_eq!(failed.one("apply.finished")["done"], 0);
    assert!(failed.of_type("migration.applied").is_empty(), "what is said has happened");
    assert_eq!(world.query("coalesce(to_regclass('a'), to_regclass('c')) is null"), "true");
    assert_eq!(states(&world.run("migrate-apply status")), "1pending 2pending 10pending 11failed");

    let world = world.migration("11_d.sql", "create table d ()");
    let applied = world.run("migrate-apply up --single-transaction").expect(Exit::Ok);
    assert_eq!(applied.of_type("migration.applied").len(), 4);
    let transactions = "select count(distinct xmin::text) from _migration_history
                        where status = 'applied'";
    assert_eq!(world.query(transactions), "1");

    let world = world
        .migration("12_e.sql", "create table e ()")
        .migration("13_f.sql", "-- migrate:up transaction:false\ncreate table f ()");
    let refused = world.run("migrate-apply up --single-transaction").expect(Exit::Usage);
    let said = "migration 13 `f` runs outside a transaction and cannot be part of one";
    assert_eq!(refused.one("error")["message"], said);
    assert_eq!(world.query("to_regclass('e') is null"), "true");
}

#[test]
fn a_file_without_a_statement_is_recorded_with_a_warning() {
    let world = World::new()
        .migration("1_empty.sql", "")
        .migration("2_comment.sql", "-- nothing\n/* here */;;")
        .migration("3_t.sql", "-- migrate:up\ncreate table t ();\n-- migrate:down\n-- by hand");
    let up = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(
        up.stderr,
        "warn: 1_empty.sql holds no statement for `up`: it is recorded, and nothing was changed\n\
         warn: 2_comment.sql holds no statement for `up`: it is recorded, and nothing was changed\n"
    );
    let applied = up.of_type("migration.applied");
    assert_eq!(applied[0]["warning"], "1_empty.sql holds no statement for `up`");
    assert!(applied[2].get("warning").is_none(), "{up}");
    let audited = "select string_agg(details->>'warning', ',') from _migration_audit_log";
    assert!(world.query(audited).contains("2_comment.sql"));
    let down = world.run("migrate-apply down").expect(Exit::Ok);
    assert!(down.stderr.contains("3_t.sql holds no statement for `down`"), "{down}");
    let validated = world.run("migrate-apply validate").expect(Exit::Ok);
    let codes: Vec<_> = validated.of_type("finding").iter().map(|it| it["code"].clone()).collect();
    assert_eq!(codes.iter().filter(|it| **it == "empty").count(), 3, "{validated}");
}

#[test]
fn status_needs_no_tables_and_only_the_right_to_read() {
    let world = three_tables();
    let status = world.run("migrate-apply status").expect(Exit::Ok);
    assert_eq!(states(&status), "1pending 2pending 10pending");
    for command in ["status --verbose", "validate", "plan", "down"] {
        let _ = world.run(&format!("migrate-apply {command}")).expect(Exit::Ok);
    }
    assert_eq!(world.query("to_regclass('_migration_history') is null"), "true");

    let _ = world.run("migrate-apply up --target 2").expect(Exit::Ok);
    let role = world.query("'reader_' || current_database()");
    world.execute(&format!(
        "create role {role} login; grant select on all tables in schema public to {role}"
    ));
    let url = world.url().replace("user=postgres", &format!("user={role}"));
    let before = world.query("select max(id) from _migration_audit_log");
    let world = world.env("DATABASE_URL", &url);
    for command in ["status", "status --verbose"] {
        let status = world.run(&format!("migrate-apply {command}")).expect(Exit::Ok);
        assert_eq!(states(&status), "1applied 2applied 10pending");
    }
    let _ = world.run("migrate-apply status --exit-code").expect(Exit::No);
    let _ = world.run("migrate-apply plan").expect(Exit::Ok);
    let _ = world.run("migrate-apply validate").expect(Exit::Ok);
    let refused = world.run("migrate-apply up");
    assert!(!refused.status.success(), "{refused}");
    assert_eq!(world.query("select max(id) from _migration_audit_log"), before);
    assert_eq!(world.query(HISTORY), "1applied 2applied");
}

#[test]
fn resolve_decides_what_a_failed_migration_is_and_says_why_in_the_audit_log() {
    let world = three_tables().migration("2_b.sql", "select nope");
    let _ = world.run("migrate-apply up").expect(Exit::Failed);
    let _ = world.run("migrate-apply resolve 1 --as pending --reason x").expect(Exit::Refused);
    let _ = world.run("migrate-apply resolve 77 --as pending --reason x").expect(Exit::Usage);
    let _ = world.run("migrate-apply resolve 2 --as applied --reason ' '").expect(Exit::Usage);
    let resolved = world.run("migrate-apply resolve 2 --as applied --reason 'made by hand'");
    let record = resolved.expect(Exit::Ok).one("migration.resolved");
    assert_eq!((&record["previous_status"], &record["as"]), (&json!("failed"), &json!("applied")));
    assert_eq!(states(&world.run("migrate-apply status")), "1applied 2applied 10pending");
    let reason = "select details->>'reason' from _migration_audit_log
                  where action = 'migration.resolved'";
    assert_eq!(world.query(reason), "made by hand");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);

    let world = three_tables().migration("2_b.sql", "select nope");
    let _ = world.run("migrate-apply up").expect(Exit::Failed);
    let _ = world.run("migrate-apply resolve 2 --as pending --reason again").expect(Exit::Ok);
    assert_eq!(states(&world.run("migrate-apply status")), "1applied 2pending 10pending");
    assert_eq!(world.query("select count(*) from _migration_locks"), "0");
}

#[test]
fn down_sql_that_was_changed_in_the_database_is_refused_whatever_made_it_applied() {
    let half = "-- migrate:up transaction:false\ncreate table a ();\nselect 1 / 0;\n\
                -- migrate:down\ndrop table a;";
    let whole = "-- migrate:up\ncreate table a ();\n-- migrate:down\ndrop table a;";
    for (sql, applied_by) in [
        (whole, "migrate-apply up"),
        (whole, "migrate-apply baseline 1"),
        (half, "migrate-apply up || migrate-apply resolve 1 --as applied --reason checked"),
    ] {
        let world = World::new().migration("1_a.sql", sql);
        world.execute("create table precious ()");
        let _ = world.shell(applied_by).expect(Exit::Ok);
        let kept = world.query("select down_checksum from _migration_scripts");
        let audited = "select details ->> 'down_checksum' from _migration_audit_log
                       where details ? 'down_checksum' order by id desc limit 1";
        assert_eq!(world.query(audited), kept, "{applied_by}");
        world.execute(
            "update _migration_scripts set down_sql = 'drop table precious', down_checksum =
             'sha256:' || encode(sha256('drop table precious'), 'hex')",
        );
        for down in ["migrate-apply down", "migrate-apply down --force"] {
            let refused = world.run(down).expect(Exit::Refused);
            assert_eq!(refused.one("error")["kind"], "down_sql_tampered", "{applied_by}");
        }
        assert_eq!(world.query("to_regclass('precious') is not null"), "true");
    }
}

#[test]
fn a_baseline_records_without_running_and_up_goes_on_behind_it() {
    let world = three_tables();
    let _ = world.run("migrate-apply baseline 5").expect(Exit::Usage);
    let baseline = world.run("migrate-apply baseline 2").expect(Exit::Ok);
    assert_eq!(baseline.of_type("migration.baselined").len(), 2);
    assert_eq!(world.query("coalesce(to_regclass('a'), to_regclass('b')) is null"), "true");
    let up = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(up.one("apply.started")["versions"], json!(["10"]));
    assert_eq!(world.query(HISTORY), "1applied 2applied 10applied");
    let again = world.run("migrate-apply baseline 2").expect(Exit::Ok);
    assert!(again.stderr.contains("is recorded already"), "{again}");
}

#[test]
fn a_baseline_takes_what_failed_and_refuses_what_is_done_in_part() {
    let world = three_tables();
    world.execute("create table a ()");
    let _ = world.run("migrate-apply up").expect(Exit::Failed);
    let baseline = world.run("migrate-apply baseline 1").expect(Exit::Ok);
    assert_eq!(baseline.one("migration.baselined")["version"], "1");
    assert_eq!(states(&world.run("migrate-apply status")), "1applied 2pending 10pending");

    let half = "-- migrate:up transaction:false\ncreate table b ();\nselect 1 / 0;";
    let world = world.migration("2_b.sql", half);
    let _ = world.run("migrate-apply up").expect(Exit::Partial);
    let refused = world.run("migrate-apply baseline 2").expect(Exit::Refused);
    assert_eq!(refused.one("error")["message"], "migration 2 `b` is done in part");
    assert_eq!(states(&world.run("migrate-apply status")), "1applied 2failed 10pending");
    assert_eq!(world.query("select count(*) from _migration_locks"), "0");
}

#[test]
fn a_baseline_takes_files_that_could_not_be_run_here() {
    let world = three_tables().migration(
        "2_b.sql",
        "-- migrate:up\n\\i other.sql\n-- migrate:down\nselect 'never closed",
    );
    let baseline = world.run("migrate-apply baseline 2").expect(Exit::Ok);
    assert!(
        baseline.stderr.contains("warn: 2_b.sql:2:1: `\\i` is a command of psql"),
        "{baseline}"
    );
    assert!(baseline.stderr.contains("warn: 2_b.sql:4:8: string is never closed"), "{baseline}");
    assert_eq!(states(&world.run("migrate-apply status")), "1applied 2applied 10pending");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    // The way down is kept as it is, and refused when it is wanted.
    let _ = world.run("migrate-apply down").expect(Exit::Refused);
    let _ = world.run("migrate-apply resolve 10 --as pending --reason x").expect(Exit::Refused);
}

#[test]
fn new_makes_a_file_that_goes_on_as_the_folder_does() {
    let world = three_tables();
    let made = world.run("migrate-apply new 'Add Users'").expect(Exit::Ok);
    assert_eq!(made.one("migration.created")["file"], "migrations/11_add_users.sql");
    let text = fs::read_to_string(world.path("migrations/11_add_users.sql")).unwrap();
    assert!(text.contains("-- migrate:up\n") && text.contains("-- migrate:down\n"), "{text}");
    let _ = world.run("migrate-apply validate").expect(Exit::Ok);
    for bad in ["../x", "a/b", "'a\nb'"] {
        let _ = world.run(&format!("migrate-apply new {bad}")).expect(Exit::Usage);
    }
    assert_eq!(fs::read_dir(world.path("migrations")).unwrap().count(), 4);
    assert!(!world.path("x.sql").exists());
}

#[test]
fn an_event_trigger_that_makes_tables_and_writes_rows_works_beside_the_ledger() {
    let world = three_tables();
    world.execute(
        "create table changes (tag text);
         create function note() returns event_trigger language plpgsql
         set search_path = public as $$ begin
             create table if not exists made_by_trigger (i int);
             insert into changes values (tg_tag);
         end $$;
         create event trigger note on ddl_command_end when tag in ('ALTER TABLE', 'CREATE INDEX')
         execute function note()",
    );
    let world = world.migration("11_d.sql", "alter table a add i int");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(world.query(HISTORY), "1applied 2applied 10applied 11applied");
    assert_eq!(world.query("select count(*) > 0 from changes"), "true");
    let _ = world.run("migrate-apply status --exit-code").expect(Exit::Ok);
}

#[test]
fn names_of_any_kind_are_quoted_or_refused_before_the_server_would_cut_them() {
    let weird = "we\"ird'; drop schema public cascade; -- 🎉 \\ \n日本";
    let world = World::new().migration("1_日本 [é] 🎉.sql", "create table \"a\nb\" ()");
    let role = world.query("'o''hara \"x\" ' || current_database()");
    let quoted = world.query(&format!("quote_ident($x${role}$x$)"));
    world.execute(&format!(
        "create role {quoted} superuser login; create schema other authorization {quoted}"
    ));
    let escaped = role.replace('\'', "\\'");
    let url = world.url().replace("user=postgres", &format!("user='{escaped}'"));
    let world = world.env("DATABASE_URL", &url).env("MIGRATE_LEDGER_SCHEMA", weird);
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let status = world.run("migrate-apply status --verbose --exit-code").expect(Exit::Ok);
    let row = status.one("migration");
    assert_eq!((&row["name"], &row["applied_by"]), (&json!("日本 [é] 🎉"), &json!(role)));
    assert_eq!(world.query("to_regnamespace('public') is not null"), "true");

    for schema in ["x".repeat(64), "é".repeat(32), String::from(" ").repeat(70)] {
        let refused = world.run(&format!("migrate-apply up --ledger-schema '{schema}'"));
        let refused = refused.expect(Exit::Usage);
        assert!(refused.stderr.contains("a name has 1 to 63 bytes"), "{refused}");
    }
}
