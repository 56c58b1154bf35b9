//! `migrate-check integrity`: what breaks its own rules is found by name, and nothing else is.

use migrate_core::exit::Exit;
use migrate_tests::World;
use serde_json::{Value, json};

const SHOP: &str = "
create table users (id bigint primary key, email text not null unique);
create table orders (id bigint primary key, user_id bigint references users);
create table regions (country text, code int, primary key (country, code));
create table shops (id int primary key, country text, code int,
                    foreign key (country, code) references regions match full);
insert into users select n, n || '@example.com' from generate_series(1, 10) as n;
insert into orders select n, n from generate_series(1, 10) as n;
insert into orders values (11, null);
insert into regions values ('at', 1);
insert into shops values (1, 'at', 1), (2, null, null);
";

fn shop() -> World {
    let world = World::new();
    world.execute(SHOP);
    world
}

/// What fails, as (name, object, count).
fn failures(world: &World, flags: &str) -> Vec<(Value, Value, Value)> {
    let outcome = world.run(&format!("migrate-check integrity {flags}"));
    let failed = outcome.of_type("check").into_iter().filter(|it| it["status"] == "fail");
    failed.map(|it| (it["name"].clone(), it["object"].clone(), it["count"].clone())).collect()
}

#[test]
fn a_sound_database_passes_every_check() {
    let outcome = shop().run("migrate-check integrity").expect(Exit::Ok);
    let summary = outcome.one("check.summary");
    assert_eq!((&summary["fail"], &summary["warn"]), (&0.into(), &0.into()), "{outcome}");
    assert!(summary["pass"].as_u64().unwrap() >= 4, "{outcome}");
}

#[test]
fn orphans_are_found_behind_valid_foreign_keys_with_their_keys() {
    let world = shop();
    world.execute(
        "set session_replication_role = replica;
         insert into orders select n, n + 900 from generate_series(21, 30) as n;
         insert into shops values (3, 'at', 9), (4, 'at', null)",
    );
    let outcome = world.run("migrate-check integrity --show 2").expect(Exit::No);
    let found: Vec<Value> =
        outcome.of_type("check").into_iter().filter(|it| it["name"] == "orphans").collect();
    assert_eq!(found.len(), 2, "{outcome}");
    assert_eq!(found[0]["object"], "public.orders orders_user_id_fkey");
    assert_eq!(found[0]["count"], 10);
    let rows = json!([{ "id": "21", "user_id": "921" }, { "id": "22", "user_id": "922" }]);
    assert_eq!(found[0]["rows"], rows);
    assert_eq!(found[1]["object"], "public.shops shops_country_code_fkey");
    assert_eq!(found[1]["count"], 2);
}

#[test]
fn what_time_was_not_enough_for_is_not_passed() {
    let outcome = shop().run("migrate-check integrity --timeout 0s").expect(Exit::No);
    let checks = outcome.of_type("check");
    assert!(checks.iter().all(|it| it["status"] != "pass"), "{outcome}");
    let unfinished = checks.iter().filter(|it| it["reason"] == "not_finished").count();
    assert!(unfinished > 10, "{outcome}");
    assert_eq!(outcome.one("check.summary")["not_finished"], unfinished);
}

#[test]
fn checks_are_picked_by_name_and_an_unknown_name_is_refused() {
    let world = shop();
    let only = world.run("migrate-check integrity --only orphans").expect(Exit::Ok);
    assert_eq!(only.one("check")["message"], "foreign keys that hold for every row: 2");
    let without = world.run("migrate-check integrity --skip orphans").expect(Exit::Ok);
    assert!(without.of_type("check").iter().all(|it| it["name"] != "orphans"), "{without}");
    let unknown = world.run("migrate-check integrity --only orphan").expect(Exit::Usage);
    assert!(unknown.stderr.contains("there is no check `orphan` here"), "{unknown}");
}

#[test]
fn several_sessions_say_the_same_as_one() {
    let world = shop();
    world.execute(
        "set session_replication_role = replica;
         insert into orders values (20, 99); insert into shops values (3, 'at', 9)",
    );
    assert_eq!(failures(&world, "--jobs 4"), failures(&world, ""));
    assert_eq!(failures(&world, "").len(), 2);
}
