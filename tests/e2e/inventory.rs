//! The schema as data: the same in every copy of a database, and it names what somebody changed.

use std::{
    fmt::Write,
    process::{Command, Stdio},
};

use migrate_core::{
    connect::{session::Session, target::Target},
    inventory::{Digest, Inventory, KIND_NAMES, diff},
};
use migrate_tests::World;

/// A database with every kind of object in it.
pub(crate) const EVERYTHING: &str = include_str!("../fixtures/inventory/everything.sql");
const CHANGES: &str = include_str!("../fixtures/inventory/changes.txt");

pub(crate) fn session(world: &World) -> Session {
    let database = Target::resolve(Some(world.url()), &|_| None).unwrap().database().unwrap();
    Session::open(&database, "migrate-tests").unwrap()
}

fn read(world: &World) -> Inventory {
    Inventory::read(&session(world), None).unwrap()
}

fn said(expected: &Inventory, found: &Inventory) -> Vec<String> {
    diff(expected, found).iter().map(ToString::to_string).collect()
}

/// Carries all of one database over to another.
fn restore(from: &World, to: &World) {
    let mut dump = Command::new("pg_dump").args(["-d", from.url()]).stdout(Stdio::piped()).spawn();
    let stdout = dump.as_mut().unwrap().stdout.take().unwrap();
    let restored = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", to.url()])
        .stdin(stdout)
        .output()
        .unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert!(dump.unwrap().wait().unwrap().success());
}

#[test]
fn a_restored_database_has_the_same_inventory_to_the_letter() {
    let (source, copy) = (World::new(), World::new());
    source.execute(EVERYTHING);
    restore(&source, &copy);
    let (expected, found) = (read(&source), read(&copy));
    assert_eq!(said(&expected, &found), Vec::<String>::new());
    assert_eq!(expected.text(), found.text());
    assert!(expected.objects().len() > 130, "{}", expected.objects().len());
    for object in expected.objects() {
        assert!(KIND_NAMES.contains(&object.kind.as_str()), "{object} is of no listed kind");
    }
}

#[test]
fn each_kind_that_is_changed_by_hand_is_named_and_nothing_else() {
    let world = World::new();
    world.execute(EVERYTHING);
    let mut before = read(&world);
    let mut wrong = String::new();
    for line in CHANGES.lines().filter(|it| !it.is_empty() && !it.starts_with('#')) {
        let (sql, expected) = line.split_once(" => ").unwrap();
        let done = world.client().batch_execute(sql);
        let after = read(&world);
        let found = done.map_or_else(
            |err| format!("{err:?}"),
            |()| match said(&before, &after) {
                none if none.is_empty() => "nothing".to_owned(),
                some => some.join(" & "),
            },
        );
        if found != expected {
            writeln!(wrong, "{sql} => {found}").unwrap();
        }
        before = after;
    }
    assert!(wrong.is_empty(), "these say something else:\n{wrong}");
}

#[test]
fn settings_of_a_role_change_nothing_in_it() {
    let world = World::new();
    world.execute(EVERYTHING);
    let expected = read(&world);
    let database = world.query("current_database()");
    for setting in [
        "timezone = 'Asia/Kolkata'",
        "datestyle = 'German'",
        "intervalstyle = 'sql_standard'",
        "extra_float_digits = -5",
        "bytea_output = 'escape'",
        "quote_all_identifiers = on",
        "search_path = app, public",
        "lc_monetary = 'C.UTF-8'",
        "standard_conforming_strings = off",
        "row_security = off",
    ] {
        world.execute(&format!("alter database {database} set {setting}"));
    }
    assert_eq!(read(&world).text(), expected.text());
}

#[test]
fn what_is_there_for_a_session_only_is_left_out() {
    let world = World::new();
    let before = read(&world);
    let mut client = world.client();
    client
        .batch_execute(
            "create temp table t (id serial primary key, a int references t);
             comment on table t is 'x'; create type pg_temp.e as enum ('a');
             create view pg_temp.v as select * from t;
             create function pg_temp.f() returns int language sql as 'select 1'",
        )
        .unwrap();
    assert_eq!(read(&world).text(), before.text());
}

#[test]
fn the_digest_of_the_server_is_that_of_the_text() {
    let world = World::new();
    world.execute("create table t (a int)");
    let digest = Digest::read(&session(&world), None).unwrap();
    let inventory = read(&world);
    assert_eq!(digest.objects, inventory.objects().len() as i64);
    assert_eq!(digest, inventory.digest());
    world.execute("alter table t alter a set default 1");
    assert_ne!(Digest::read(&session(&world), None).unwrap(), digest);
}
