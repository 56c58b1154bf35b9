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
pub(crate) const BACK: &str = "
    truncate _migration_audit_log;
    insert into _migration_audit_log select * from saved.log";

/// The hash that row `r` should have.
pub(crate) const HASH: &str = "sha256('migrate-audit/v1'::bytea || int8send(r.id) || r.prev_hash
    || int8send(octet_length(convert_to(r.canonical, 'UTF8'))::bigint) || convert_to(r.canonical, 'UTF8'))";

/// A ledger with twelve rows or more: two migrations, one that failed, some notes.
pub(crate) fn world() -> World {
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

pub(crate) fn tamper(world: &World, sql: &str) {
    world.execute(&AS_SUPERUSER.replace("{}", sql));
}

pub(crate) fn verify(world: &World) -> Outcome {
    world.run("migrate-audit verify")
}

#[track_caller]
pub(crate) fn damaged(outcome: Outcome) -> Value {
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

pub(crate) fn rows(world: &World) -> i64 {
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
