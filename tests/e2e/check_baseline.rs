//! `migrate-check baseline`: what has become worse since a migration, on a server that counts.

use migrate_core::exit::Exit;
use migrate_tests::{OwnServer, World};
use serde_json::{Value, json};

const SHOP: &str = "
create extension pg_stat_statements;
create table orders (id bigint primary key, user_id bigint, note text);
create index orders_user on orders (user_id);
insert into orders select n, n, 'x' from generate_series(1, 20000) as n;
analyze orders;
";
const LOOKUP: &str = "select count(*) from orders where user_id = 77";

fn checks(world: &World, flags: &str, exit: Exit) -> Vec<(String, String, String)> {
    let outcome = world.run(&format!("migrate-check baseline compare {flags}")).expect(exit);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    outcome
        .of_type("check")
        .iter()
        .map(|it| (text(&it["name"]), text(&it["status"]), text(&it["object"])))
        .collect()
}

#[test]
fn what_a_migration_made_slower_or_larger_is_told_afterwards() {
    let server = OwnServer::start(&[
        "shared_preload_libraries=pg_stat_statements",
        "max_parallel_workers_per_gather=0",
    ]);
    let world = World::at(server.url());
    world.execute(SHOP);
    let mut application = world.client();
    let mut work =
        |times: usize, sql: &str| (0..times).for_each(|_| application.batch_execute(sql).unwrap());
    work(50, LOOKUP);
    // The server counts what a session did a little later.
    world.wait_for("(select idx_scan >= 50 from pg_stat_user_tables)");
    let saved = world.run("migrate-check baseline save").expect(Exit::Ok).one("baseline.saved");
    assert_eq!((&saved["file"], &saved["tables"]), (&json!("baseline.json"), &json!(1)));
    assert!(saved["statements"].as_u64().unwrap() > 0, "{saved}");
    // Nothing was changed.
    work(20, LOOKUP);
    let calm = checks(&world, "", Exit::Ok);
    assert!(calm.iter().all(|it| it.1 == "pass" || it.1 == "skip"), "{calm:?}");
    // An index goes, another comes that nobody needs, and the table is written anew.
    world.execute(
        "drop index orders_user; create index orders_note on orders (note);
         update orders set note = repeat(id::text, 200)",
    );
    work(40, LOOKUP);
    world.wait_for("(select seq_scan >= 40 from pg_stat_user_tables)");
    let found = checks(&world, "", Exit::No);
    let has = |name: &str, status: &str, object: &str| {
        let is = |it: &(String, String, String)| {
            it.0 == name && it.1 == status && it.2.starts_with(object)
        };
        assert!(found.iter().any(is), "{name} {status} {object}: {found:?}");
    };
    has("sequential_scans", "fail", "public.orders");
    has("unused_new_indexes", "warn", "public.orders_note");
    has("table_growth", "warn", "public.orders");
    has("mean_time", "fail", "statement ");
}

#[test]
fn a_file_is_not_replaced_and_a_wrong_one_is_refused() {
    let world = World::new();
    let _ = world.run("migrate-check baseline save").expect(Exit::Ok);
    let again = world.run("migrate-check baseline save").expect(Exit::Usage);
    assert!(again.stderr.contains("baseline.json is there already"), "{again}");
    let _ = world.run("migrate-check baseline save --force").expect(Exit::Ok);
    let skipped = checks(&world, "--only mean_time", Exit::Ok);
    assert_eq!(skipped[0].1, "skip", "no pg_stat_statements here");
    let world = world.file("x.json", "{\"v\": 1}").file("y.json", "not JSON");
    for file in ["x.json", "y.json"] {
        let refused = world.run(&format!("migrate-check baseline compare {file}"));
        assert!(refused.expect(Exit::Usage).stderr.contains("is no baseline"));
    }
    let _ = world.run("migrate-check baseline compare nowhere.json").expect(Exit::Unavailable);
    let other = World::new()
        .file("other.json", &std::fs::read_to_string(world.path("baseline.json")).unwrap());
    let refused = other.run("migrate-check baseline compare other.json").expect(Exit::Usage);
    assert!(refused.stderr.contains("the baseline is of database"), "{refused}");
}
