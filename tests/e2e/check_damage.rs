//! `migrate-check` on servers with broken files, and among people who would like to be run as us.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
};

use migrate_core::exit::Exit;
use migrate_tests::{Outcome, OwnServer, World};
use rustix::process::Signal;
use serde_json::{Value, json};

fn failures(outcome: &Outcome) -> Vec<(String, String, Value)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    outcome
        .of_type("check")
        .iter()
        .filter(|it| it["status"] == "fail")
        .map(|it| (text(&it["name"]), text(&it["object"]), it["reason"].clone()))
        .collect()
}

/// Writes over a part of a page, as a bad disk does.
fn spoil(server: &OwnServer, file: &str, at: u64) {
    let mut file = File::options().write(true).open(server.data().join(file)).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[0xa5; 64]).unwrap();
}

#[test]
fn damaged_files_are_found_and_the_other_checks_go_on() {
    let mut server = OwnServer::start(&["autovacuum=off"]);
    let world = World::at(server.url());
    world.execute(
        "create extension amcheck;
         create table heap (id int primary key, note text);
         create table tree (id int primary key, note text);
         create table sound (id int primary key, tree_id int references tree);
         insert into heap select n, repeat('x', 100) from generate_series(1, 1000) as n;
         insert into tree select n, 'y' from generate_series(1, 5000) as n;
         set session_replication_role = replica;
         insert into sound values (1, 99999)",
    );
    let path = |name: &str| world.query(&format!("select pg_relation_filepath('{name}')"));
    let (heap, tree) = (path("heap"), path("tree_pkey"));
    server.stop(Signal::INT);
    server.add_checksums();
    spoil(&server, &heap, 2 * 8192 + 4000);
    spoil(&server, &tree, 3 * 8192 + 4000);
    server.start_again();
    let outcome = world.run("migrate-check integrity").expect(Exit::No);
    let found = failures(&outcome);
    for (name, object) in [
        ("unreadable_tables", "public.heap"),
        ("duplicate_keys", "public.heap_pkey"),
        ("damaged_tables", "public.heap"),
        ("broken_btrees", "public.tree_pkey"),
    ] {
        let it = (name.to_owned(), object.to_owned(), json!("damage"));
        assert!(found.contains(&it), "{name} {object}: {found:?}");
    }
    let orphan = ("orphans".to_owned(), "public.sound sound_tree_id_fkey".to_owned(), Value::Null);
    assert!(found.contains(&orphan), "{found:?}");
    assert!(!found.iter().any(|it| it.1 == "public.sound" || it.1 == "public.tree"), "{found:?}");
    // The server has counted them.
    world.wait_for(
        "(select checksum_failures > 0 from pg_stat_database where datname = current_database())",
    );
    let counted = world.run("migrate-check integrity --only checksum_failures").expect(Exit::No);
    assert_eq!(failures(&counted)[0].1, "postgres");
}

#[test]
fn what_concerns_the_whole_server_is_found() {
    let server = OwnServer::start(&["autovacuum=off"]);
    let world = World::at(server.url());
    world.execute("create database half_gone");
    world.execute(
        "update pg_database set datconnlimit = -2 where datname = 'half_gone';
         update pg_database
         set datfrozenxid = ((txid_current() - 1300000000) & 4294967295)::text::xid,
             datminmxid = ((txid_current() - 900000000) & 4294967295)::text::xid
         where datname = 'half_gone'",
    );
    let flags = "--only wraparound,half_dropped_databases";
    let outcome = world.run(&format!("migrate-check integrity {flags}")).expect(Exit::No);
    let said: Vec<Value> = outcome
        .of_type("check")
        .iter()
        .map(|it| json!([it["name"], it["status"], it["object"]]))
        .collect();
    assert_eq!(
        said,
        [
            json!(["wraparound", "warn", "half_gone"]),
            json!(["wraparound", "fail", "half_gone"]),
            json!(["half_dropped_databases", "warn", "half_gone"]),
        ]
    );
}

/// Everything by these names raises an error when it is run as a superuser.
const TRAPS: &str = r#"
create function public.trap() returns boolean language plpgsql as $$
begin
    if (select rolsuper from pg_catalog.pg_roles where rolname operator(pg_catalog.=) current_user) then
        raise exception 'the trap was run as %', current_user;
    end if;
    return true;
end $$;
create schema evil;
create function evil.format(text, text, text) returns text language plpgsql as 'begin perform public.trap(); return $1; end';
create function evil.format(text, name, name) returns text language plpgsql as 'begin perform public.trap(); return $1; end';
create function evil.quote_ident(name) returns text language plpgsql as 'begin perform public.trap(); return $1; end';
create function evil.lower(varchar) returns text language plpgsql as 'begin perform public.trap(); return $1; end';
create function evil.count(name) returns bigint language plpgsql as 'begin perform public.trap(); return 0; end';
create function evil.equal(name, text) returns boolean language plpgsql as 'begin return public.trap(); end';
create operator evil.= (leftarg = name, rightarg = text, function = evil.equal);
create function evil.equal(varchar, varchar) returns boolean language plpgsql as 'begin return public.trap(); end';
create operator evil.= (leftarg = varchar, rightarg = varchar, function = evil.equal);
create table evil.pg_class (oid oid, relname name);
create view evil.pg_constraint as select public.trap();
create view evil.pg_stat_activity as select public.trap();
create type public.mood as enum ('calm', 'angry');
create function evil.mood_text(public.mood) returns text language plpgsql as 'begin perform public.trap(); return ''x''; end';
create cast (public.mood as text) with function evil.mood_text(public.mood) as assignment;
create function evil.mood_json(public.mood) returns json language plpgsql as 'begin perform public.trap(); return ''1''; end';
create cast (public.mood as json) with function evil.mood_json(public.mood);
create function evil.shape(text) returns text immutable language plpgsql as 'begin perform public.trap(); return $1; end';
create table public.moods (mood public.mood primary key, name varchar(20) unique);
create table public.people (id int primary key, mood public.mood, name varchar(20));
create unique index people_shape on public.people (evil.shape(name));
insert into public.moods values ('calm', 'c');
insert into public.people values (1, 'calm', 'nobody'), (2, 'angry', 'c');
alter table public.people add foreign key (mood) references public.moods not valid;
alter table public.people add foreign key (name) references public.moods (name) not valid;
"#;

#[test]
fn nobody_is_run_in_our_name() {
    let world = World::new();
    let database = world.query("current_database()");
    world.execute(&format!(
        "create role mallory_{database}; grant create on database {database} to mallory_{database};
         grant all on schema public to mallory_{database}; create extension amcheck"
    ));
    world.execute(&format!("set role mallory_{database}; {TRAPS}"));
    // As hostile as a role's own settings can be.
    world.execute(&format!(
        "alter role postgres in database {database} set search_path = evil, public, pg_catalog"
    ));
    for command in ["integrity --deep", "health", "activity", "preflight", "baseline save"] {
        let outcome = world.run(&format!("migrate-check {command}"));
        assert!(!outcome.stdout.contains("trap") && !outcome.stderr.contains("trap"), "{outcome}");
        assert!(matches!(outcome.status.code(), Some(0 | 1)), "{outcome}");
    }
    let orphans = world.run("migrate-check integrity --only orphans").expect(Exit::No);
    let rows: Vec<Value> =
        orphans.of_type("check").iter().map(|it| it["rows"][0].clone()).collect();
    assert_eq!(
        rows,
        [json!({ "id": "2", "mood": "angry" }), json!({ "id": "1", "name": "nobody" })],
        "{orphans}"
    );
    // Of an index that calls what belongs to others it is said that it was not looked at.
    let duplicates = world.run("migrate-check integrity --only duplicate_keys").expect(Exit::Ok);
    let left = duplicates.of_type("check").into_iter().find(|it| it["status"] == "skip").unwrap();
    assert_eq!(
        (&left["object"], &left["reason"]),
        (&json!("public.people_shape"), &json!("not_looked_at"))
    );
    world.execute(&format!(
        "drop owned by mallory_{database} cascade; drop role mallory_{database}"
    ));
}

#[test]
fn names_that_would_steer_a_terminal_stay_names() {
    let world = World::new();
    world.execute(
        "create table U&\"a\\001b[2J\\000a\\202e\"\"b\" (id int primary key, refers int);
         alter table U&\"a\\001b[2J\\000a\\202e\"\"b\" add constraint U&\"\\001b]0;x\\0007\" foreign key (refers)
             references U&\"a\\001b[2J\\000a\\202e\"\"b\";
         set session_replication_role = replica;
         insert into U&\"a\\001b[2J\\000a\\202e\"\"b\" values (1, 7)",
    );
    let outcome = world.run("migrate-check integrity").expect(Exit::No);
    let object = failures(&outcome)[0].1.clone();
    assert_eq!(object, "public.\"a\u{1b}[2J\n\u{202e}\"\"b\" \"\u{1b}]0;x\u{7}\"");
    let text = world.run("migrate-check integrity --output text").expect(Exit::No).stdout;
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{text:?}");
    assert!(text.contains("\\u{1b}[2J\\n"), "{text}");
}

#[test]
fn large_things_are_left_out_and_said_until_they_are_asked_for() {
    let world = World::new();
    let database = world.query("current_database()");
    world.execute("create extension amcheck; create table t (id int primary key); insert into t values (1), (2)");
    world.execute(&format!("alter database {database} set migrate.large = 4096"));
    let outcome = world.run("migrate-check integrity --only duplicate_keys").expect(Exit::Ok);
    let checks = outcome.of_type("check");
    let left = checks.iter().find(|it| it["reason"] == "not_looked_at").unwrap();
    assert_eq!(
        left["message"],
        "not looked at: larger than 4096 bytes; ask for it with --deep (public.t_pkey)"
    );
    let all = world.run("migrate-check integrity --deep --only duplicate_keys").expect(Exit::Ok);
    assert_eq!(all.one("check")["message"], "unique indexes whose tables have no key twice: 1");
}

#[test]
fn a_signal_ends_what_the_server_is_doing_for_us() {
    let world = World::new();
    world.execute("create table t (id int primary key)");
    let mut holder = world.client();
    holder.batch_execute("begin; lock table t").unwrap();
    let check = world.spawn("migrate-check integrity --only duplicate_keys");
    world.wait_for("exists (select from pg_locks where not granted and relation = 't'::regclass)");
    check.signal(Signal::INT);
    let outcome = check.finish().expect(Exit::Signal(2));
    assert_eq!(outcome.one("error")["kind"], "interrupted");
    assert!(outcome.of_type("check.summary").is_empty(), "{outcome}");
    world.wait_for("not exists (select from pg_stat_activity where application_name like 'migrate-check%' and datname = current_database())");
}

#[test]
fn a_table_that_somebody_has_locked_is_not_passed() {
    let world = World::new();
    world.execute(
        "create table t (id int primary key); create table u (id int primary key references t)",
    );
    let mut holder = world.client();
    holder.batch_execute("begin; lock table t").unwrap();
    let outcome =
        world.run("migrate-check integrity --only orphans --timeout 500ms").expect(Exit::No);
    assert_eq!(outcome.one("check")["reason"], "not_finished");
    holder.batch_execute("rollback").unwrap();
    let _ = world.run("migrate-check integrity --only orphans --timeout 10s").expect(Exit::Ok);
}
