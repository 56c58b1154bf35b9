//! What `migrate-audit verify` compares the log with: anchors, what guards it, the history, the clock.

use migrate_core::exit::Exit;
use migrate_tests::World;
use serde_json::{Value, json};

use crate::audit_verify::{BACK, HASH, damaged, rows, tamper, verify, world};
use crate::gates::append;

#[test]
fn a_tail_that_was_cut_off_or_hashed_anew_is_found_by_an_anchor() {
    let world = world();
    let head = verify(&world).expect(Exit::Ok).one("audit.verified");
    let last = head["head_id"].as_i64().unwrap();
    let hash = head["head_hash"].as_str().unwrap().to_owned();
    let numbered = format!("migrate-audit verify --anchor {last}:{hash}");
    let loose = format!("migrate-audit verify --anchor {hash}");
    for gone in 1..3 {
        tamper(&world, &format!("delete from _migration_audit_log where id = {}", last + 1 - gone));
        let _ = verify(&world).expect(Exit::Ok);
        let said = damaged(world.run(&numbered));
        assert_eq!(said["damage"], "truncated", "{said}");
        assert_eq!(said["id"], last + 1 - gone);
        assert_eq!(damaged(world.run(&loose))["damage"], "truncated");
    }
    tamper(&world, BACK);
    // A forger who computes the whole tail anew.
    let sql = format!(
        "update _migration_audit_log set canonical = replace(canonical, 'quoted', 'forged'),
                details = replace(details::text, 'quoted', 'forged')::jsonb where id >= 9;
         do $$ declare i bigint; begin
           for i in 9..{last} loop
             update _migration_audit_log r set prev_hash = b.hash from _migration_audit_log b
             where r.id = i and b.id = i - 1;
             update _migration_audit_log r set hash = {HASH} where id = i;
           end loop; end $$"
    );
    tamper(&world, &sql);
    let _ = verify(&world).expect(Exit::Ok);
    let said = damaged(world.run(&numbered));
    assert_eq!((&said["damage"], &said["id"]), (&"recomputed".into(), &last.into()), "{said}");
    let _ = world.run(&loose).expect(Exit::No);
}

#[test]
fn what_guards_the_log_and_is_gone_is_found() {
    let world = world();
    let again =
        include_str!("../../migrate-core/sql/audit_create.sql").replace("{ledger}", "public");
    for (sql, words) in [
        ("disable trigger _migration_audit_append_only", "is disabled, or doesn't fire always"),
        ("disable trigger all", "is disabled, or doesn't fire always"),
        ("enable trigger _migration_audit_append_only", "is disabled, or doesn't fire always"),
        ("enable replica trigger _migration_audit_append_only", "is disabled"),
    ] {
        world.execute(&format!("alter table _migration_audit_log {sql}"));
        let said = damaged(verify(&world));
        assert_eq!(said["damage"], "unprotected", "{said}");
        assert!(said["message"].as_str().unwrap().contains(words), "{said}");
        world.execute(&again);
    }
    for (sql, words) in [
        ("drop trigger _migration_audit_append_only on _migration_audit_log", "is gone"),
        (
            "create or replace function _migration_audit_refuse() returns trigger language plpgsql
             as 'begin return new; end'",
            "the function `_migration_audit_refuse` was changed",
        ),
        ("alter table _migration_audit_log enable row level security", "row security is on"),
        ("create rule r as on update to _migration_audit_log do instead nothing", "a rule stands"),
    ] {
        world.execute(sql);
        let said = damaged(verify(&world));
        assert_eq!(said["damage"], "unprotected", "{said}");
        assert!(said["message"].as_str().unwrap().contains(words), "{said}");
        world.execute("alter table _migration_audit_log disable row level security");
        world.execute("drop rule if exists r on _migration_audit_log");
        world.execute(&again);
    }
    let _ = verify(&world).expect(Exit::Ok);
}

#[test]
fn the_history_is_compared_with_the_log_in_both_directions() {
    let world = world();
    world.execute(
        "create table saved.history as table _migration_history;
         create table saved.scripts as table _migration_scripts",
    );
    for (sql, words) in [
        (
            "delete from _migration_scripts; delete from _migration_history where version = '1'",
            "the history has no such row",
        ),
        (
            "update _migration_history set status = 'rolled_back' where version = '2'",
            "is `rolled_back`, but",
        ),
        (
            "update _migration_history set checksum = 'sha256:00' where version = '2'",
            "column `checksum`",
        ),
        ("update _migration_history set name = 'c' where version = '2'", "column `name`"),
        (
            "update _migration_history set applied_by = 'mallory' where version = '2'",
            "column `applied_by`",
        ),
        (
            "update _migration_history set execution_ms = 77777 where version = '2'",
            "column `execution_ms`",
        ),
        (
            "update _migration_history set finished_at = finished_at - interval '1 day' where version = '2'",
            "column `finished_at`",
        ),
        (
            "update _migration_history set run_id = 'x' where version = '2'",
            "the history has no such row",
        ),
        (
            "update _migration_history set version = '3' where version = '2'",
            "the history has no such row",
        ),
        ("update _migration_scripts set down_sql = 'drop table b'", "column `down_sql`"),
        ("update _migration_scripts set down_checksum = 'sha256:00'", "column `down_checksum`"),
        ("update _migration_scripts set transactional = false", "column `transactional`"),
        ("delete from _migration_scripts", "column `down_checksum`"),
        (
            "insert into _migration_history (version, name, direction, checksum, status, run_id)
             values ('7', 'forged', 'up', 'sha256:00', 'applied', 'r')",
            "the log has no such event",
        ),
        (
            "insert into _migration_history (version, name, direction, checksum, status, run_id)
             values ('7', 'forged', 'up', 'sha256:00', 'failed', 'r')",
            "the log has no such event",
        ),
    ] {
        world.execute(sql);
        let said = damaged(verify(&world));
        assert_eq!(said["damage"], "history", "{sql}: {said}");
        assert!(said["message"].as_str().unwrap().contains(words), "{sql}: {said}");
        world.execute(
            "delete from _migration_scripts; delete from _migration_history;
             insert into _migration_history overriding system value select * from saved.history;
             insert into _migration_scripts select * from saved.scripts",
        );
        let _ = verify(&world).expect(Exit::Ok);
    }
}

#[test]
fn every_way_in_which_a_migration_can_end_leaves_a_history_that_fits_the_log() {
    let world = world()
        .migration("3_c.sql", "select 1 / 0")
        .migration("4_d.sql", "-- migrate:up transaction:false\nselect 1;\nselect 1 / 0;");
    let _ = world.run("migrate-apply down --target 1").expect(Exit::Refused);
    let _ = world.run("migrate-apply up").expect(Exit::Failed);
    let _ = verify(&world).expect(Exit::Ok);
    let world = world.migration("3_c.sql", "-- migrate:up\nselect 1;\n-- migrate:down\nselect 2;");
    let _ = world.run("migrate-apply up").expect(Exit::Partial);
    let _ = verify(&world).expect(Exit::Ok);
    let _ = world.run("migrate-apply resolve 4 --as applied --reason checked").expect(Exit::Ok);
    let _ = verify(&world).expect(Exit::Ok);
    let world =
        world.migration("5_e.sql", "-- migrate:up transaction:false\nselect 1;\nselect 1 / 0;");
    let _ = world.run("migrate-apply up").expect(Exit::Partial);
    let _ = world.run("migrate-apply resolve 5 --as pending --reason undone").expect(Exit::Ok);
    let _ = verify(&world).expect(Exit::Ok);
    let world = world.migration(
        "5_e.sql",
        "-- migrate:up transaction:false\nselect 1;\n-- migrate:down\nselect 1;",
    );
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let _ = world.run("migrate-apply down").expect(Exit::Ok);
    let _ = verify(&world).expect(Exit::Ok);
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let world = world.migration("6_f.sql", "create table f ()");
    let _ = world.run("migrate-apply baseline 6").expect(Exit::Ok);
    let verified = verify(&world).expect(Exit::Ok).one("audit.verified");
    assert!(verified["history_rows"].as_u64().unwrap() > 7, "{verified}");
}

#[test]
fn a_form_that_this_version_does_not_know_is_refused_and_never_called_sound() {
    let world = world();
    let last = rows(&world);
    let later = format!(
        "update _migration_audit_log r set canonical = replace(canonical, '\"v\":1', '\"v\":9'),
                details = replace(details::text, '\"v\": 1', '\"v\": 9')::jsonb where id = {last};
         update _migration_audit_log r set hash = {HASH} where id = {last}"
    );
    tamper(&world, &later);
    let outcome = verify(&world).expect(Exit::Refused);
    assert_eq!(outcome.one("error")["kind"], "unknown_format", "{outcome}");
    tamper(&world, BACK);
    world.execute("alter table _migration_audit_log add column algorithm text");
    assert_eq!(verify(&world).expect(Exit::Refused).one("error")["kind"], "unknown_format");
}

#[test]
fn a_clock_that_was_set_back_is_a_warning_and_no_damage() {
    let world = world();
    let last = rows(&world);
    // As a server whose clock was set back would have written it.
    let sql = format!(
        "update _migration_audit_log r
         set timestamp = '2001-02-03 04:05:06.000007Z', canonical = regexp_replace(canonical,
             '\"timestamp\":\"[^\"]*\"', '\"timestamp\":\"2001-02-03T04:05:06.000007Z\"')
         where id = {last};
         update _migration_audit_log r set hash = {HASH} where id = {last}"
    );
    tamper(&world, &sql);
    let verified = verify(&world).expect(Exit::Ok).one("audit.verified");
    let warning = verified["warnings"][0].as_str().unwrap();
    assert!(warning.contains("the time goes back 1 times"), "{warning}");
}

#[test]
fn texts_that_could_be_taken_for_something_else_do_not_confuse_the_chain() {
    let world = world();
    for text in ["a|b\",\"c\\", "line\nend", "😀 e\u{301} \u{e9}", "\u{1b}[2J\u{202e}"] {
        let _ = world.run(&format!("migrate-audit note '{text}'")).expect(Exit::Ok);
    }
    let long = "x".repeat(60_000);
    let _ = world.run(&format!("migrate-audit note {long}")).expect(Exit::Ok);
    for setting in
        ["timezone = 'Asia/Kathmandu'", "datestyle = 'German'", "bytea_output = 'escape'"]
    {
        world.execute(&format!(
            "alter role postgres in database {} set {setting}",
            world.query("current_database()")
        ));
    }
    let _ = verify(&world).expect(Exit::Ok);
}

#[test]
fn where_there_is_no_ledger_verify_says_so_and_a_listing_is_empty() {
    let world = World::new();
    let refused = verify(&world).expect(Exit::Refused);
    assert_eq!(refused.one("error")["kind"], "no_ledger");
    for command in ["log", "history", "export"] {
        let empty = world.run(&format!("migrate-audit {command}")).expect(Exit::Ok);
        assert_eq!(empty.stdout, "", "{command}");
        assert!(empty.stderr.contains("there is no audit log in schema `public` yet"), "{empty}");
    }
    assert_eq!(
        world.query("select count(*) from pg_class where relname like '\\_migration%'"),
        "0"
    );
}

#[test]
fn heads_that_were_kept_in_a_local_file_are_anchors() {
    let world = World::new()
        .file("migrate.toml", "anchors = 'anchors.jsonl'\n")
        .migration("1_a.sql", "create table a ()");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let _ = world.run("migrate-audit note one").expect(Exit::Ok);
    let kept = std::fs::read_to_string(world.path("anchors.jsonl")).unwrap();
    assert_eq!(kept.lines().count(), 2, "{kept}");
    let head = "select id || ':' || encode(hash, 'hex') from _migration_audit_log order by id desc limit 1";
    let last: Value = serde_json::from_str(kept.lines().last().unwrap()).unwrap();
    assert_eq!(format!("{}:{}", last["id"], last["hash"].as_str().unwrap()), world.query(head));
    let verified = verify(&world).expect(Exit::Ok).one("audit.verified");
    assert_eq!((&verified["anchors"], &verified["anchored_id"]), (&2.into(), &last["id"]));
    tamper(&world, "delete from _migration_audit_log where action = 'audit.noted'");
    assert_eq!(damaged(verify(&world))["damage"], "truncated");
    // The file of another database says nothing about this one.
    let other = World::new()
        .file("migrate.toml", "anchors = 'anchors.jsonl'\n")
        .file("anchors.jsonl", &kept);
    let _ = other.run("migrate-audit note one").expect(Exit::Ok);
    assert_eq!(verify(&other).expect(Exit::Ok).one("audit.verified")["anchors"], 1);
    let other = other.file("anchors.jsonl", "half a li");
    assert!(
        verify(&other)
            .expect(Exit::Usage)
            .stderr
            .contains("anchors.jsonl, line 1: this is no anchor")
    );
    // What is done is done, whether or not its head can be kept.
    let nowhere = other.file("migrate.toml", "anchors = 'no/such/folder/anchors'\n");
    let noted = nowhere.run("migrate-audit note two").expect(Exit::Ok);
    assert!(noted.stderr.contains("was not kept in"), "{noted}");
}

#[test]
fn a_restore_to_an_older_backup_is_no_damage_and_what_came_after_it_is_judged_again() {
    let world = world();
    // As a swap does: the history is that of the backup, newer rows of the log are carried over.
    world.execute("delete from _migration_history where version = '2'");
    let _ = verify(&world).expect(Exit::No);
    append(&world, "backup.restored", json!({ "backup_id": "b" }));
    let _ = verify(&world).expect(Exit::Ok);
    let _ = world.run("migrate-apply up").expect(Exit::Failed);
    world.execute("drop table b");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let _ = verify(&world).expect(Exit::Ok);
    world.execute("delete from _migration_history where version = '2' and status = 'applied'");
    let _ = verify(&world).expect(Exit::No);
}
