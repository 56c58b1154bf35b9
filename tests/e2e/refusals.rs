//! Files that cannot run are refused before anything is sent, with place and remedy.

use std::{fs, os::unix::fs::PermissionsExt};

use migrate_core::exit::Exit;
use migrate_tests::{Outcome, World};

/// Refused, and the database is as empty as before: not even the ledger was made.
#[track_caller]
fn refused(world: &World, command: &str, exit: Exit) -> Outcome {
    let outcome = world.run(command).expect(exit);
    let made = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(world.query(made), "0", "{outcome}");
    let error = outcome.one("error");
    assert_eq!(error["exit_code"], exit.code(), "{outcome}");
    assert!(error["hint"].is_string(), "what to do next? {outcome}");
    outcome
}

/// A good first statement, and then `sql` from line 2 on: `up` refuses it with these words.
#[track_caller]
fn refused_sql(sql: &str, words: &str) {
    let world = World::new()
        .migration("1_good.sql", "create table good ()")
        .migration("2_t.sql", &format!("create table t (i int);\n{sql}"));
    let outcome = refused(&world, "migrate-apply up", Exit::Usage);
    let said = outcome.one("error")["message"].as_str().unwrap().to_owned();
    assert_eq!(said, format!("2_t.sql:{words}"), "{sql}");
}

#[test]
fn transaction_control_in_a_transactional_file_is_named_with_its_place() {
    let inside = |tag: &str| format!("{tag} in a migration that runs in a transaction");
    for (sql, place, tag) in [
        ("COMMIT;", "2:1", "COMMIT"),
        ("select 1;; cOmMiT /* x */ work", "2:12", "COMMIT"),
        ("/* a */ -- b\n rollback", "3:2", "ROLLBACK"),
        ("BEGIN;\nselect 1;", "2:1", "BEGIN"),
        ("begin; select 1; commit;", "2:1", "BEGIN"),
        ("start transaction", "2:1", "BEGIN"),
        ("End;", "2:1", "COMMIT"),
        ("abort;", "2:1", "ROLLBACK"),
        ("commit and chain;", "2:1", "COMMIT AND CHAIN"),
        ("rollback and chain", "2:1", "ROLLBACK AND CHAIN"),
        ("prepare transaction 'x'", "2:1", "PREPARE TRANSACTION"),
    ] {
        refused_sql(sql, &format!("{place}: {}", inside(tag)));
    }
}

#[test]
fn what_cannot_run_in_a_transaction_is_named_with_the_marker_to_use() {
    for (sql, tag) in [
        ("create index concurrently on t (i)", "CREATE INDEX CONCURRENTLY"),
        ("create unique index concurrently u on t (i); select 1", "CREATE INDEX CONCURRENTLY"),
        ("drop index concurrently u", "DROP INDEX CONCURRENTLY"),
        ("reindex table concurrently t", "REINDEX CONCURRENTLY"),
        ("vacuum t", "VACUUM"),
        ("create database other", "CREATE DATABASE"),
        ("drop database other", "DROP DATABASE"),
        ("alter system set work_mem = '1MB'", "ALTER SYSTEM"),
        ("create tablespace s location '/'", "CREATE TABLESPACE"),
        ("commit prepared 'x'", "COMMIT PREPARED"),
        ("discard all", "DISCARD ALL"),
    ] {
        refused_sql(sql, &format!("2:1: {tag} cannot run in a transaction"));
    }
    let world = World::new().migration("1_t.sql", "create table t (); vacuum");
    for command in ["migrate-apply up", "migrate-apply up --single-transaction"] {
        let outcome = refused(&world, command, Exit::Usage);
        assert!(outcome.stderr.contains("`-- migrate:up transaction:false`"), "{outcome}");
    }
}

#[test]
fn commands_of_psql_are_refused_and_never_run() {
    for (sql, words) in [
        ("\\i other.sql", r"2:1: `\i` is a command of psql, not SQL"),
        ("select 1; \\! touch ran", r"2:11: `\!` is a command of psql, not SQL"),
        ("\\copy t from 'x'", r"2:1: `\copy` is a command of psql, not SQL"),
        ("\\connect other", r"2:1: `\connect` is a command of psql, not SQL"),
        ("select 1 \\gset", r"2:10: `\gset` is a command of psql, not SQL"),
    ] {
        refused_sql(sql, words);
    }
}

#[test]
fn a_quote_that_is_never_closed_is_named_where_it_opens() {
    for (sql, words) in [
        ("select 'abc;\nselect 2;", "2:8: string is never closed"),
        ("select \"abc;\nselect 2;", "2:8: quoted name is never closed"),
        ("select $x$abc;\nselect $y$ 2;", "2:8: dollar quote is never closed"),
        ("select 1 /* /* x */ ;", "2:10: comment `/*` is never closed"),
        ("copy t from stdin;\n1\n2\n", "2:1: the rows of `COPY … FROM stdin` have no end"),
    ] {
        refused_sql(sql, words);
    }
}

#[test]
fn a_file_that_is_no_utf_8_text_is_named_with_the_byte() {
    for (bytes, words) in [
        (&b"\xff\xfes\0e\0"[..], "the text is UTF-16, from byte 0"),
        (b"select 1;\0", "NUL byte at byte 9"),
        (b"select 'x\xe9'", "the text is not UTF-8 at byte 9"),
    ] {
        let world = World::new();
        fs::write(world.path("migrations/1_t.sql"), bytes).unwrap();
        let outcome = refused(&world, "migrate-apply up", Exit::Usage);
        assert_eq!(outcome.one("error")["message"], format!("1_t.sql: {words}"));
    }
}

#[test]
fn validate_finds_what_up_would_refuse() {
    for (name, sql, words) in [
        ("1_t.sql", "select 1;\ncommit", "1_t.sql:2:1: COMMIT in a migration"),
        ("1_t.sql", "select 'abc", "1_t.sql:1:8: string is never closed"),
        ("1_t.sql", "-- migrate:up foo:bar", "1_t.sql:1:1: `foo:bar` is not an option"),
        ("1_t.sql", "-- migrate:down\nselect 1", "1_t.sql:1:1: there is no `-- migrate:up`"),
        ("1_t.sql", "-- risk: enormous\nselect 1", "1_t.sql:1:1: `enormous` is not a risk"),
        ("t.sql", "select 1", "t.sql: the name is not of the form"),
    ] {
        let world = World::new().migration(name, sql);
        let refused = refused(&world, "migrate-apply up", Exit::Usage);
        let said = refused.one("error")["message"].clone();
        assert!(said.as_str().unwrap().starts_with(words), "{refused}");
        for command in ["migrate-apply validate", "migrate-apply validate --offline"] {
            let found = world.run(command).expect(Exit::No);
            assert_eq!(found.of_type("finding")[0]["message"], said);
            assert_eq!(found.one("validation")["valid"], false);
        }
    }
}

#[test]
fn a_byte_order_mark_and_line_ends_change_neither_meaning_nor_checksum() {
    let world = World::new().migration("1_t.sql", "\u{feff}create table t ();\r\nselect 1;\r\n");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let world = world.migration("1_t.sql", "create table t ();\nselect 1;\n");
    let _ = world.run("migrate-apply status --exit-code").expect(Exit::Ok);
}

#[test]
fn two_files_of_one_version_are_refused_with_both_names() {
    let world = World::new().migration("9_a.sql", "select 1").migration("009_b.sql", "select 2");
    let outcome = refused(&world, "migrate-apply up", Exit::Usage);
    let said = outcome.one("error")["message"].as_str().unwrap().to_owned();
    assert!(said.contains("9_a.sql") && said.contains("009_b.sql"), "{said}");
}

#[test]
fn names_that_could_fool_a_terminal_or_a_shell_are_refused_and_shown_escaped() {
    for (name, shown) in [
        ("abc.sql", "abc.sql"),
        ("1.sql", "1.sql"),
        ("-1_a.sql", "-1_a.sql"),
        ("1_a\nb.sql", r"1_a\nb.sql"),
        ("1_a\u{1b}[2Jb.sql", r"1_a\u{1b}[2Jb.sql"),
        ("1_a\u{202e}b.sql", r"1_a\u{202e}b.sql"),
        ("1_it's.sql", "1_it's.sql"),
    ] {
        let world = World::new().migration(name, "select 1");
        let outcome = refused(&world, "migrate-apply up", Exit::Usage);
        assert!(outcome.stderr.starts_with(&format!("migrate-apply: {shown}: ")), "{outcome}");
        assert!(!outcome.stderr.contains(['\u{1b}', '\u{202e}']), "{outcome}");
    }
}

#[test]
fn only_regular_files_are_read() {
    let world = World::new();
    let path = world.path("migrations/1_t.sql");
    for (target, words) in [
        ("nowhere", "this is a symbolic link"),
        ("/dev/zero", "this is a symbolic link"),
        ("pipe", "this is a pipe"),
    ] {
        if target == "pipe" {
            let mode = rustix::fs::Mode::RUSR;
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        } else {
            std::os::unix::fs::symlink(target, &path).unwrap();
        }
        let outcome = refused(&world, "migrate-apply up", Exit::Usage);
        assert!(outcome.stderr.contains(words), "{outcome}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_folder_that_everybody_can_write_to_is_refused() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    let folder = world.path("migrations");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let outcome = refused(&world, "migrate-apply up", Exit::Usage);
    assert!(outcome.stderr.contains("every user of this machine can write"), "{outcome}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let world = World::new();
    for command in ["up", "status", "validate", "plan"] {
        let outcome = world.run(&format!("migrate-apply {command} --migrations nowhere"));
        let outcome = outcome.expect(Exit::Unavailable);
        assert!(outcome.stderr.contains("cannot read the migrations folder nowhere"), "{outcome}");
        assert!(outcome.stderr.contains("hint: "), "{outcome}");
    }
}

#[test]
fn a_migration_that_was_edited_renamed_or_removed_after_it_was_applied_is_refused() {
    let world = World::new()
        .migration("1_a.sql", "create table a ()")
        .migration("2_b.sql", "create table b ()");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let world = world.migration("3_c.sql", "create table c ()");
    let path = world.path("migrations/1_a.sql");
    let history = "select string_agg(version || status, ' ' order by id) from _migration_history";

    fs::write(&path, "create table a (i int)").unwrap();
    let edited = world.run("migrate-apply up").expect(Exit::Refused);
    let said = edited.one("error")["message"].as_str().unwrap().to_owned();
    assert!(
        said.starts_with("migration 1 `a` was changed after it was applied (sha256:"),
        "{said}"
    );
    assert_eq!(said.matches("sha256:").count(), 2, "{said}");

    fs::write(&path, "create table a ()").unwrap();
    fs::rename(&path, world.path("migrations/1_other.sql")).unwrap();
    let renamed = world.run("migrate-apply up").expect(Exit::Refused);
    let said = "migration 1 was applied as `a`, and its file is named `other` now";
    assert_eq!(renamed.one("error")["message"], said);

    fs::remove_file(world.path("migrations/1_other.sql")).unwrap();
    let removed = world.run("migrate-apply up").expect(Exit::Refused);
    let said = "migration 1 `a` is applied, but its file is gone";
    assert_eq!(removed.one("error")["message"], said);
    assert_eq!(world.query(history), "1applied 2applied");
    assert_eq!(world.query("to_regclass('c') is null"), "true");
}

#[test]
fn what_stands_in_place_of_the_history_must_be_a_table_of_ours() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    world.execute("create view _migration_history as select 1");
    for command in ["up", "status", "plan", "down"] {
        let outcome = world.run(&format!("migrate-apply {command}")).expect(Exit::Refused);
        assert!(outcome.stderr.contains("is not an ordinary table"), "{command}: {outcome}");
    }
    assert_eq!(world.query("to_regclass('t') is null"), "true");
}

#[test]
fn the_way_down_is_refused_where_there_is_none_or_the_file_was_changed() {
    let world = World::new()
        .migration("1_a.sql", "create table a ()")
        .migration("2_b.sql", "-- migrate:up\ncreate table b ();\n-- migrate:down\ndrop table b;");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let history = "select string_agg(version || status, ' ' order by id) from _migration_history";
    let stays = |command: &str, exit: Exit, words: &str| {
        let outcome = world.run(command).expect(exit);
        assert!(outcome.stderr.contains(words), "{command}: {outcome}");
        assert_eq!(world.query(history), "1applied 2applied", "{command}");
    };
    stays("migrate-apply down --steps 2", Exit::Refused, "migration 1 `a` has no way down");
    stays("migrate-apply down --target 7", Exit::Usage, "migration 7 is not applied");
    fs::write(world.path("migrations/2_b.sql"), "select 'edited'").unwrap();
    stays("migrate-apply down", Exit::Refused, "was changed after it was applied");

    let forced = world.run("migrate-apply down --force").expect(Exit::Ok);
    assert_eq!(forced.one("apply.started")["overrides"].as_array().unwrap().len(), 1);
    assert_eq!(world.query("to_regclass('b') is null"), "true");
    let audited = "select details->'overrides'->>0 from _migration_audit_log
                   where action = 'apply.started' order by id desc limit 1";
    assert!(world.query(audited).contains("was changed after it was applied"));
}
