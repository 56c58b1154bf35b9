//! `migrate-audit verify`, tested by mutation: whatever is done to the log is found, and named.

use migrate_core::exit::Exit;
use migrate_tests::{Outcome, World};
use serde_json::Value;

/// Runs `{}` past the triggers, as a superuser can, and hides that.
const AS_SUPERUSER: &str = "
    alter table _migration_audit_log disable trigger user;
    {};
    alter table _migration_audit_log enable always trigger _migration_audit_append_only;
    alter table _migration_audit_log enable always trigger _migration_audit_archive_only;";

/// Brings the log back to what it was.
const BACK: &str = "
    truncate _migration_audit_log;
    insert into _migration_audit_log select * from saved.log";

/// The hash that row `r` should have.
const HASH: &str = "sha256('migrate-audit/v1'::bytea || int8send(r.id) || r.prev_hash
    || int8send(octet_length(convert_to(r.canonical, 'UTF8'))::bigint) || convert_to(r.canonical, 'UTF8'))";

/// A ledger with twelve rows or more: two migrations, one that failed, some notes.
fn world() -> World {
    let world = World::new()
        .migration("1_a.sql", "-- migrate:up\ncreate table a ();\n-- migrate:down\ndrop table a;")
        .migration("2_b.sql", "create table b ()");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    for text in ["one", "two", "three", "four", "five"] {
        let _ = world
            .run(&format!("migrate-audit note '{text} \"quoted\", | ümlaut'"))
            .expect(Exit::Ok);
    }
    world.execute("create schema saved; create table saved.log as table _migration_audit_log");
    world
}

fn tamper(world: &World, sql: &str) {
    world.execute(&AS_SUPERUSER.replace("{}", sql));
}

fn verify(world: &World) -> Outcome {
    world.run("migrate-audit verify")
}

#[track_caller]
fn damaged(outcome: Outcome) -> Value {
    outcome.expect(Exit::No).one("audit.damaged")
}

/// What `sql` does is found as `damage` at row `id`, and gone when it is undone.
#[track_caller]
fn found(world: &World, sql: &str, damage: &str, id: i64, column: Option<&str>) -> Value {
    tamper(world, sql);
    let said = damaged(verify(world));
    assert_eq!((&said["damage"], &said["id"]), (&damage.into(), &id.into()), "{sql}\n{said:#}");
    assert_eq!(said["column"].as_str(), column, "{sql}\n{said:#}");
    let seen = world.query(
        "select count(*) filter (where problem is not null) > 0 or count(*) = 0 from _migration_audit_chain",
    );
    assert_eq!(seen, "true", "the view does not see: {sql}");
    tamper(world, BACK);
    let _ = verify(world).expect(Exit::Ok);
    said
}

fn rows(world: &World) -> i64 {
    world.query("select count(*) from _migration_audit_log").parse().unwrap()
}

#[test]
fn a_log_that_nobody_touched_holds_and_its_head_is_an_anchor() {
    let world = world();
    let before = world.query("select count(*) from _migration_audit_log");
    let verified = verify(&world).expect(Exit::Ok).one("audit.verified");
    assert_eq!(verified["rows"].to_string(), before);
    assert_eq!(verified["history_rows"], 2);
    assert_eq!(
        world.query("select count(*) from _migration_audit_log"),
        before,
        "it writes nothing"
    );
    let problems = "select count(*) from _migration_audit_chain where problem is not null";
    assert_eq!(world.query(problems), "0");
    let (id, hash) = (&verified["head_id"], verified["head_hash"].as_str().unwrap());
    let _ = world.run("migrate-audit note later").expect(Exit::Ok);
    for anchor in [hash.to_owned(), format!("{id}:{hash}")] {
        let again = world.run(&format!("migrate-audit verify --anchor {anchor}")).expect(Exit::Ok);
        let again = again.one("audit.verified");
        assert_eq!((&again["anchors"], &again["anchored_id"]), (&1.into(), id));
    }
}

#[test]
fn an_edit_of_each_column_is_found_by_its_name() {
    let world = world();
    for (column, value) in [
        ("id", "id + 1000"),
        ("timestamp", "timestamp + interval '1 microsecond'"),
        ("actor", "'mallory'"),
        ("action", "'audit.noticed'"),
        ("subject", "'9'"),
        ("run_id", "'r'"),
        ("details", "jsonb_set(details, '{text}', '\"other\"')"),
        ("canonical", "replace(canonical, 'quoted', 'edited')"),
        ("prev_hash", "sha256('x')"),
        ("hash", "sha256('x')"),
    ] {
        let sql = format!(
            "update _migration_audit_log set {column} = {value} where action = 'audit.noted' and id = 10"
        );
        found(&world, &sql, "edited", 10, Some(column));
    }
}

#[test]
fn an_edit_of_the_last_and_of_the_first_row_is_found() {
    let world = world();
    let last = rows(&world);
    for (column, value) in [
        ("id", "id + 1000"),
        ("actor", "'mallory'"),
        ("canonical", "replace(canonical, 'quoted', 'edited')"),
        ("prev_hash", "sha256('x')"),
    ] {
        let sql = format!("update _migration_audit_log set {column} = {value} where id = {last}");
        found(&world, &sql, "edited", last, Some(column));
    }
    for (column, value) in [("id", "1000"), ("details", "'{}'"), ("hash", "sha256('x')")] {
        let sql = format!("update _migration_audit_log set {column} = {value} where id = 1");
        found(&world, &sql, "edited", 1, Some(column));
    }
}

#[test]
fn a_row_that_was_changed_with_its_text_and_hashed_anew_does_not_fit_the_next_one() {
    let world = world();
    let sql = format!(
        "update _migration_audit_log r set canonical = replace(canonical, 'quoted', 'edited'),
         details = replace(details::text, 'quoted', 'edited')::jsonb where id = 9;
         update _migration_audit_log r set hash = {HASH} where id = 9"
    );
    found(&world, &sql, "edited", 9, None);
}

#[test]
fn deleted_rows_are_found_wherever_they_were() {
    let world = world();
    let delete = |which: &str| format!("delete from _migration_audit_log where id {which}");
    found(&world, &delete("= 8"), "deleted", 8, None);
    let many = found(&world, &delete("between 4 and 7"), "deleted", 4, None);
    assert_eq!(many["message"], "rows 4 to 7 are missing, 4 in all");
    found(&world, &delete("= 1"), "genesis", 1, None);
    let renumbered = "delete from _migration_audit_log where id = 8;
                      update _migration_audit_log set id = -id where id > 8;
                      update _migration_audit_log set id = -id - 1 where id < 0";
    found(&world, renumbered, "deleted", 8, None);
}

#[test]
fn swapped_rows_are_found_with_both_numbers() {
    let world = world();
    let swap = |one: i64, two: i64| {
        format!(
            "update _migration_audit_log set id = -id where id in ({one}, {two});
             update _migration_audit_log set id = {one} + {two} + id where id < 0"
        )
    };
    let said = found(&world, &swap(8, 10), "swapped", 8, None);
    assert_eq!(said["message"], "rows 8 and 10 have changed places");
    found(&world, &swap(8, 9), "swapped", 8, None);
    let contents = "
        update _migration_audit_log r
        set canonical = o.canonical, details = o.details, timestamp = o.timestamp
        from _migration_audit_log o
        where r.id in (8, 10) and o.id = 18 - r.id";
    let said = found(&world, contents, "swapped", 8, None);
    assert_eq!(said["message"], "rows 8 and 10 have changed their content");
}

#[test]
fn inserted_rows_are_found_at_the_end_in_the_middle_and_in_front() {
    let world = world();
    let last = rows(&world);
    let insert = |id: &str, prev: &str| {
        format!(
            "insert into _migration_audit_log
             select {id}, timestamp, actor, action, subject, run_id, details,
                    replace(canonical, 'T', 'T'), {prev}, sha256('forged')
             from (select id, timestamp, actor, 'audit.noted' as action, subject, run_id,
                          '{{\"v\": 1, \"text\": \"forged\"}}'::jsonb as details,
                          json_build_object('timestamp', to_char(timestamp, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
                                            'actor', actor, 'action', 'audit.noted', 'subject', subject,
                                            'run_id', run_id,
                                            'details', '{{\"v\": 1, \"text\": \"forged\"}}'::json)::text as canonical
                   from saved.log where id = {last}) as forged"
        )
    };
    world.execute("set timezone = 'UTC'");
    let next = (last + 1).to_string();
    let head = format!("(select hash from saved.log where id = {last})");
    found(&world, &insert(&next, &head), "inserted", last + 1, None);
    found(&world, &insert(&next, "sha256('x')"), "inserted", last + 1, None);
    found(&world, &insert("0", "sha256('x')"), "inserted", 0, None);
    let middle = format!(
        "update _migration_audit_log set id = -id where id >= 8;
         update _migration_audit_log set id = -id + 1 where id < 0; {}",
        insert("8", "sha256('x')")
    );
    found(&world, &middle, "inserted", 8, None);
}

#[test]
fn a_copy_of_a_row_is_found_under_its_own_number_or_another() {
    let world = world();
    let last = rows(&world);
    let copy = format!(
        "insert into _migration_audit_log
         select {last} + 1, timestamp, actor, action, subject, run_id, details, canonical, sha256('a'), sha256('b')
         from _migration_audit_log where id = 9"
    );
    let said = found(&world, &copy, "duplicated", last + 1, None);
    assert_eq!(said["message"], format!("row {} is a copy of row 9", last + 1));
    world.execute(
        "alter table _migration_audit_log drop constraint _migration_audit_log_pkey,
         drop constraint _migration_audit_log_prev_hash_key, drop constraint _migration_audit_log_hash_key",
    );
    tamper(&world, "insert into _migration_audit_log select * from saved.log where id = 9");
    let said = damaged(verify(&world));
    assert_eq!((&said["damage"], &said["id"]), (&"duplicated".into(), &9.into()), "{said:#}");
    let others = said["others"].to_string();
    assert_eq!(others.matches("\"unprotected\"").count(), 3, "the keys are gone: {others}");
}

#[test]
fn an_emptied_or_dropped_log_is_truncated() {
    let world = world();
    tamper(&world, "truncate _migration_audit_log");
    let said = damaged(verify(&world));
    assert_eq!((&said["damage"], &said["id"]), (&"truncated".into(), &Value::Null));
    assert_eq!(world.query("select count(*) from _migration_audit_chain"), "0");
    world.execute("drop table _migration_audit_log cascade");
    assert_eq!(damaged(verify(&world))["damage"], "truncated");
}

#[test]
fn a_log_that_was_dropped_and_made_again_does_not_fit_the_history() {
    let world = world();
    world.execute("drop table _migration_audit_log cascade");
    let _ = world.run("migrate-audit note 'all is new'").expect(Exit::Ok);
    let said = damaged(verify(&world));
    assert_eq!(said["damage"], "history");
    assert!(said["message"].as_str().unwrap().contains("the log has no such event"), "{said}");
}

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
    world.execute("create table saved.history as table _migration_history");
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
             insert into _migration_history overriding system value select * from saved.history",
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
