//! The ground that all other tests stand on.

use migrate_tests::World;

#[test]
fn every_world_has_an_empty_database_of_its_own() {
    let one = World::new();
    let other = World::new();
    one.execute("create table t ()");
    assert_eq!(one.query("to_regclass('t')"), "t");
    assert_eq!(other.query("to_regclass('t')"), "null");
}

#[test]
fn the_server_has_what_tests_need() {
    let world = World::new();
    for (setting, value) in [
        ("fsync", "off"),
        ("listen_addresses", ""),
        ("max_connections", "300"),
        ("max_prepared_transactions", "20"),
        ("wal_level", "logical"),
    ] {
        assert_eq!(world.query(&format!("current_setting('{setting}')")), value, "{setting}");
    }
}

#[test]
fn waiting_for_something_sees_what_another_session_does() {
    let world = World::new();
    std::thread::scope(|scope| {
        scope.spawn(|| world.execute("create table t ()"));
        world.wait_for("to_regclass('t') is not null");
    });
}

#[test]
fn files_lie_where_the_tools_look_for_them() {
    let world = World::new().migration("1_t.sql", "create table t ()").file("checks/a.sql", "");
    assert!(world.path("migrations/1_t.sql").is_file());
    assert!(world.path("checks/a.sql").is_file());
}
