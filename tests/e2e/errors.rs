//! A statement that fails is shown with its place and all that the server said; nothing of its
//! migration stays, and the attempt is recorded.

use migrate_core::exit::Exit;
use migrate_tests::{Outcome, World};
use serde_json::Value;

const OBJECTS: &str = "select count(*) from pg_class
    where relnamespace = 'public'::regnamespace and relname !~ '^_migration'";

/// Fails with exit 6, leaves nothing, and is in history and audit log.
#[track_caller]
fn failed(world: &World, command: &str) -> Outcome {
    let before = world.query(OBJECTS);
    let outcome = world.run(command).expect(Exit::Failed);
    assert_eq!(world.query(OBJECTS), before, "{outcome}");
    let record = outcome.one("migration.failed");
    assert_eq!(record["state"], "rolled_back");
    assert!(outcome.stderr.contains("\n  state: everything of this migration was rolled back"));
    let audited = "select details from _migration_audit_log
                   where action = 'migration.failed' order by id desc limit 1";
    let audited: Value = serde_json::from_str(&world.query(audited)).unwrap();
    assert_eq!(audited["message"], record["message"], "{outcome}");
    let history = "select status || ': ' || error from _migration_history order by id desc limit 1";
    let said = record["message"].as_str().unwrap();
    assert_eq!(world.query(history), format!("failed: {said}"), "{outcome}");
    outcome
}

#[track_caller]
fn failed_sql(sql: &str) -> Outcome {
    failed(&World::new().migration("1_t.sql", sql), "migrate-apply up")
}

/// File, line and column; SQLSTATE; the line with a caret.
#[track_caller]
fn says(outcome: &Outcome, place: &str, sqlstate: &str, excerpt: &str) {
    let error = outcome.one("error");
    let at = format!("{}:{}:{}", error["file"].as_str().unwrap(), error["line"], error["column"]);
    assert_eq!((&*at, error["sqlstate"].as_str().unwrap()), (place, sqlstate), "{outcome}");
    assert!(outcome.stderr.contains(&format!("\n{excerpt}\n")), "{outcome}");
}

#[test]
fn the_place_of_an_error_counts_characters_and_not_bytes() {
    let outcome = failed_sql(
        "-- ähm 日本 🎉\nselect '日本é' as \"ü\";\n\n  select '🎉', nope\n  from (select 1) as x;",
    );
    says(&outcome, "1_t.sql:4:15", "42703", "select '🎉', nope\n             ^");
    assert_eq!(outcome.one("migration.failed")["statement"], 2);
}

#[test]
fn an_error_among_statements_that_share_messages_is_that_statement() {
    let mut sql = "create table t (i int);\n".to_owned();
    for row in 0..2000 {
        let value = if row == 1500 { "1 / 0" } else { "7" };
        sql += &format!("insert into t values ({value}); -- é\n");
    }
    let outcome = failed_sql(&sql);
    says(&outcome, "1_t.sql:1502:1", "22012", "insert into t values (1 / 0);\n^");
    assert_eq!(outcome.one("migration.failed")["statement"], 1502);

    let outcome = failed_sql(&sql.replace("1 / 0", "7 7"));
    says(
        &outcome,
        "1_t.sql:1502:25",
        "42601",
        "insert into t values (7 7);\n                        ^",
    );
}

#[test]
fn an_error_in_rows_to_copy_names_the_row() {
    let outcome = failed_sql("create table t (i int);\ncopy t from stdin;\n1\nx\n3\n\\.\n");
    says(&outcome, "1_t.sql:2:1", "22P02", "copy t from stdin;\n^");
    assert!(outcome.stderr.contains("\ncontext: COPY t, line 2, column i: \"x\"\n"), "{outcome}");
}

#[test]
fn an_error_inside_a_function_shows_where_it_was_called_and_where_it_was_raised() {
    let outcome = failed_sql(
        "create function boom() returns int language plpgsql as $$\nbegin\n  raise exception \
         'no % today', 'luck' using detail = 'a detail', hint = 'a hint', errcode = 'XX042';\n\
         end $$;\nselect 1, boom();",
    );
    says(&outcome, "1_t.sql:5:1", "XX042", "select 1, boom();\n^");
    for words in [
        ": no luck today (SQLSTATE XX042)\n",
        "\ndetail: a detail\n",
        "\nserver's hint: a hint\n",
        "\ncontext: PL/pgSQL function boom() line 3 at RAISE\n",
    ] {
        assert!(outcome.stderr.contains(words), "{words}: {outcome}");
    }
}

#[test]
fn the_driver_is_not_quoted_where_the_server_has_spoken() {
    let world = World::new().migration("1_t.sql", "select 1");
    world.execute("create role nobody_special login; revoke all on schema public from public");
    let url = world.url().replace("user=postgres", "user=nobody_special");
    let world = world.env("DATABASE_URL", &url);
    let outcome = world.run("migrate-apply up").expect(Exit::Unavailable);
    assert!(!outcome.stderr.contains("db error"), "{outcome}");
    assert!(outcome.stderr.contains("permission denied for schema public (SQLSTATE 42501)"));
    assert!(outcome.stderr.contains("hint: this role lacks a right"), "{outcome}");
}

#[test]
fn a_savepoint_may_save_a_statement_but_never_a_migration() {
    let world = World::new().migration(
        "1_t.sql",
        "create table t ();\nsavepoint a; create table u (); rollback to a; release a;",
    );
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(world.query("to_regclass('t') is not null and to_regclass('u') is null"), "true");

    let world = world.migration("2_u.sql", "create table v ();\nsavepoint a;\nselect 1 / 0;");
    let outcome = failed(&world, "migrate-apply up");
    says(&outcome, "2_u.sql:3:1", "22012", "select 1 / 0;\n^");
    let _ = world.run("migrate-apply status --exit-code").expect(Exit::No);
}

#[test]
fn an_error_that_a_file_swallows_itself_is_none_and_one_it_does_not_is_never_committed() {
    let swallowed = "do $$ begin create table x (); perform 1 / 0;
                     exception when division_by_zero then null; end $$;\ncreate table t ();";
    let world = World::new().migration("1_t.sql", swallowed);
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(world.query("to_regclass('t') is not null and to_regclass('x') is null"), "true");
    // The failing one is in the middle of what is under way at once.
    let world =
        world.migration("2_u.sql", "create table u (); create table v (); drop table w; select 2;");
    let outcome = failed(&world, "migrate-apply up");
    says(&outcome, "2_u.sql:1:39", "42P01", "drop table w;\n^");
}

#[test]
fn a_procedure_that_commits_fails_with_the_marker_to_use() {
    for sql in [
        "create table t ();\ndo $$ begin commit; end $$;",
        "create procedure p() language plpgsql as 'begin rollback; end';\ncall p();",
    ] {
        let outcome = failed_sql(sql);
        assert_eq!(outcome.one("error")["sqlstate"], "2D000");
        assert_eq!(outcome.one("error")["line"], 2);
        assert!(outcome.stderr.contains("hint: it cannot run in a transaction"), "{outcome}");
        assert!(outcome.stderr.contains("`-- migrate:up transaction:false`"), "{outcome}");
    }
}

#[test]
fn a_constraint_that_fails_at_commit_undoes_everything() {
    let outcome = failed_sql(
        "create table a (i int primary key);
         create table b (i int references a deferrable initially deferred);
         insert into b values (1);",
    );
    let error = outcome.one("error");
    assert_eq!(error["sqlstate"], "23503");
    assert!(error["message"].as_str().unwrap().contains("failed: at COMMIT: insert or update"));
    assert!(outcome.stderr.contains("\ndetail: Key (i)=(1) is not present in table \"a\".\n"));
}

#[test]
fn what_was_applied_before_a_failure_stays_and_the_next_run_goes_on_there() {
    let world = World::new()
        .migration("1_a.sql", "create table a ()")
        .migration("2_b.sql", "create table b (); select nope;")
        .migration("3_c.sql", "create table c ()");
    let outcome = world.run("migrate-apply up").expect(Exit::Failed);
    let finished = outcome.one("apply.finished");
    assert_eq!((&finished["done"], &finished["pending"]), (&1.into(), &2.into()), "{outcome}");
    let status = world.run("migrate-apply status").expect(Exit::Ok).of_type("migration");
    let states: Vec<&str> = status.iter().map(|it| it["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["applied", "failed", "pending"]);
    let world = world.migration("2_b.sql", "create table b ();");
    let outcome = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(outcome.one("apply.started")["versions"], serde_json::json!(["2", "3"]));
}

#[test]
fn no_password_in_a_statement_that_fails_is_shown_or_stored() {
    let world = World::new();
    world.execute("create table secrets (password text check (length(password) > 99), i int)");
    for sql in [
        "create role hunter login password 'hunter2' nosuch",
        "create role hunter login password $x$hunter2$x$ nosuch",
        "create role hunter login password E'hunter\\u0032' nosuch",
        "create user mapping for postgres server nope options (password 'hunter2')",
        "-- migrate:up transaction:false\ncreate subscription s connection 'host=/nowhere password=hunter2' publication p",
        "do $$ begin execute 'create role hunter password ''hunter2'' nosuch'; end $$",
        "insert into secrets (password) values ('hunter2')",
        "insert into secrets (password) values ($$hunter2$$)",
        "insert into secrets (i, password) values ('hunter2', 'x')",
        "copy secrets (password) from stdin;\nhunter2\n\\.\n",
        "copy secrets (i, password) from stdin;\nhunter2\tx\n\\.\n",
        // The error is beside the statement that has it, in the same line.
        "create role hunter_2 password 'hunter2'; select 1 / 0; -- hunter2",
    ] {
        let world = World::new().migration("1_t.sql", sql);
        world.execute("create table secrets (password text check (length(password) > 99), i int)");
        let outcome = world.run("migrate-apply -vv up");
        assert!(!outcome.status.success(), "{outcome}");
        assert!(!outcome.stderr.contains("hunter2"), "{outcome}");
        assert!(!outcome.stdout.contains("hunter2"), "{outcome}");
        for table in ["_migration_history", "_migration_audit_log", "_migration_progress"] {
            let stored = format!("select count(*) from {table} as it where it::text ~ 'hunter2'");
            assert_eq!(world.query(&stored), "0", "{sql}");
        }
    }
}

#[test]
fn a_value_that_the_server_quotes_back_is_cut() {
    let outcome = failed_sql(&format!("select '{}'::int;", "x".repeat(1_000_000)));
    assert_eq!(outcome.one("error")["sqlstate"], "22P02");
    assert!(outcome.stderr.len() < 10_000 && outcome.stdout.len() < 20_000);
}

#[test]
fn nesting_that_is_too_deep_for_the_server_is_a_plain_failure() {
    let nested = |depth| format!("select {}1{};", "(".repeat(depth), ")".repeat(depth));
    let world =
        World::new().migration("1_t.sql", &format!("create table t ();\n{}", nested(50_000)));
    let outcome = failed(&world, "migrate-apply up");
    assert_eq!(outcome.one("error")["line"], 2);
    let chained = format!("create table t ();\nselect {}1;", "1 + ".repeat(100_000));
    let outcome = failed(&world.migration("1_t.sql", &chained), "migrate-apply up");
    assert_eq!(outcome.one("error")["sqlstate"], "54001", "{outcome}");
}

#[test]
fn an_event_trigger_that_says_no_is_quoted_with_its_context() {
    let world = World::new().migration("0_first.sql", "create table first ()");
    world.execute(
        "create function boom() returns event_trigger language plpgsql as
         'begin raise exception ''no changes on fridays'' using hint = ''ask ops''; end';
         create event trigger e on ddl_command_end execute function boom()",
    );
    // It would not even let the ledger be made: nothing is.
    let refused = world.run("migrate-apply up").expect(Exit::Refused);
    assert!(refused.stderr.contains("no changes on fridays (SQLSTATE P0001)"), "{refused}");
    assert!(refused.stderr.contains("in PL/pgSQL function public.boom() line 1"), "{refused}");
    assert!(refused.stderr.contains("hint: a trigger or event trigger"), "{refused}");
    assert_eq!(world.query("to_regclass('_migration_history') is null"), "true");

    world.execute("alter event trigger e disable");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    world.execute("alter event trigger e enable");
    let world = world.migration("1_t.sql", "select 1;\ncreate table t ();");
    let outcome = failed(&world, "migrate-apply up");
    says(&outcome, "1_t.sql:2:1", "P0001", "create table t ();\n^");
    assert!(outcome.stderr.contains("\nserver's hint: ask ops\n"), "{outcome}");
    assert!(outcome.stderr.contains("\ncontext: PL/pgSQL function boom() line 1 at RAISE\n"));
}

#[test]
fn a_permission_that_lacks_in_the_middle_undoes_the_whole_file() {
    let world = World::new().migration(
        "1_t.sql",
        "create table mine.a (); create table mine.b ();\n\
         delete from theirs;\ncreate table mine.c ();",
    );
    let role = world.query("'limited_' || current_database()");
    world.execute(&format!(
        "create role {role} login; create schema mine authorization {role}; create table theirs ();
         grant all on schema public to {role}"
    ));
    let url = world.url().replace("user=postgres", &format!("user={role}"));
    let world = world.env("DATABASE_URL", &url);
    let outcome = failed(&world, "migrate-apply up");
    says(&outcome, "1_t.sql:2:1", "42501", "delete from theirs;\n^");
    let left = "select count(*) from pg_class where relnamespace = 'mine'::regnamespace";
    assert_eq!(world.query(left), "0");
}

#[test]
fn a_database_in_latin1_takes_what_it_can_hold_and_refuses_the_rest() {
    let world = World::new();
    let name = world.query("current_database() || '_latin1'");
    world.execute(&format!("create database {name} encoding 'LATIN1' template template0"));
    let database = world.query("current_database()");
    let url = world.url().replace(&format!("dbname={database}"), &format!("dbname={name}"));
    let world = world
        .env("DATABASE_URL", &url)
        .migration("1_é.sql", "create table \"é\" as select 'ü'::text as t")
        .migration("2_t.sql", "create table t ();\nselect '日本';");
    let outcome = world.run("migrate-apply up").expect(Exit::Failed);
    says(&outcome, "2_t.sql:2:1", "22P05", "select '日本';\n^");
    let rows = world.run("migrate-apply status").expect(Exit::Ok).of_type("migration");
    assert_eq!((&rows[0]["name"], &rows[0]["state"]), (&"é".into(), &"applied".into()));
    assert_eq!(rows[1]["state"], "failed");
}

#[test]
fn a_database_without_an_encoding_takes_utf_8_and_says_other_bytes_safely() {
    let world = World::new();
    let name = world.query("current_database() || '_ascii'");
    world.execute(&format!("create database {name} encoding 'SQL_ASCII' template template0"));
    let database = world.query("current_database()");
    let url = world.url().replace(&format!("dbname={database}"), &format!("dbname={name}"));
    let world = world
        .env("DATABASE_URL", &url)
        .migration("1_é.sql", "create table \"é\" as select '日本'::text as t")
        .migration(
            "2_t.sql",
            "create table t ();\n\
             do $$ begin execute convert_from('\\x64726f70207461626c6520e9ff', 'SQL_ASCII'); end $$;",
        );
    let outcome = world.run("migrate-apply up").expect(Exit::Failed);
    assert_eq!(outcome.one("error")["line"], 2, "{outcome}");
    let rows = world.run("migrate-apply status").expect(Exit::Ok).of_type("migration");
    assert_eq!((&rows[0]["name"], &rows[0]["state"]), (&"é".into(), &"applied".into()));
    assert_eq!(rows[1]["state"], "failed");
}
