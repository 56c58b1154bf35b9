//! `migrate-check health` and `activity`: what the server does, in numbers, verdicts and trees.

use std::{collections::BTreeSet, time::Instant};

use migrate_core::exit::Exit;
use migrate_tests::{OwnServer, World};
use serde_json::{Value, json};

/// Status and object of one check.
fn checks(world: &World, command: &str, name: &str) -> Vec<(String, String)> {
    let outcome = world.run(&format!("migrate-check {command} --only {name}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    outcome.of_type("check").iter().map(|it| (text(&it["status"]), text(&it["object"]))).collect()
}

#[test]
fn a_server_at_rest_is_healthy_and_told_in_numbers() {
    let world = World::new().migration("1_t.sql", "create table t (n int)");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let database = world.query("current_database()");
    let outcome = world.run("migrate-check health").expect(Exit::Ok);
    let metrics = outcome.of_type("metric");
    let value = |name: &str| {
        let metric = metrics.iter().find(|it| it["name"] == name);
        metric.unwrap_or_else(|| panic!("no {name}: {outcome}"))["value"].as_f64()
    };
    assert!(value("migrate_database_size_bytes").unwrap() > 1_000_000.0);
    assert_eq!(value("migrate_migrations"), Some(1.0));
    assert_eq!(value("migrate_in_recovery"), Some(0.0));
    assert_eq!(metrics[0]["labels"], json!({ "database": database }));
    assert_eq!(outcome.one("check.summary")["fail"], 0);
}

#[test]
fn prometheus_gets_what_its_rules_ask_for() {
    let world = World::new();
    world.execute("select pg_create_physical_replication_slot('a\"b\\c') where false");
    let page = world.run("migrate-check health --output prometheus").expect(Exit::Ok).stdout;
    let mut declared = BTreeSet::new();
    let (mut help, mut kind) = (String::new(), String::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').unwrap();
            assert!(text.ends_with('.'), "{line}");
            assert!(declared.insert(name.to_owned()), "{name} is declared twice");
            help = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, type_name) = rest.split_once(' ').unwrap();
            assert_eq!(name, help, "TYPE stands behind HELP");
            type_name.clone_into(&mut kind);
            assert_eq!(fault(name, type_name), None, "{name}");
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            assert_eq!(name, help, "samples stand below their HELP");
            // A third word would be a time, which the textfile collector refuses.
            let value = line.rsplit_once("} ").unwrap().1;
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(page.ends_with('\n'));
    assert!(declared.len() > 20, "{page}");
    assert!(declared.contains("migrate_check_status"));
}

/// By the rules of `promtool check metrics`.
fn fault(name: &str, kind: &str) -> Option<&'static str> {
    let abbreviated = ["_ms", "_secs", "_kb", "_mb", "_milliseconds", "_minutes", "_percent"];
    let suffixes = ["_count", "_sum", "_bucket", "_info"];
    if !name.chars().all(|it| it.is_ascii_lowercase() || it == '_') {
        Some("a name is lower case words")
    } else if (kind == "counter") != name.ends_with("_total") {
        Some("counters, and only they, end in _total")
    } else if abbreviated.iter().any(|it| name.contains(it)) {
        Some("units are base units, written out")
    } else if suffixes.iter().any(|it| name.ends_with(it)) {
        Some("this end belongs to histograms")
    } else {
        None
    }
}

#[test]
fn a_command_without_metrics_has_nothing_for_prometheus() {
    let world = World::new();
    let outcome = world.run("migrate-check list --output prometheus").expect(Exit::Usage);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.contains("has no metrics")), ("", true));
    // An error is no sample.
    let unreachable = world.env("DATABASE_URL", "host=/nowhere");
    let outcome = unreachable.run("migrate-check health --output prometheus");
    assert_eq!(outcome.expect(Exit::Unavailable).stdout, "");
}

#[test]
fn what_goes_wrong_on_a_server_is_found_by_name() {
    let world = World::new();
    let database = world.query("current_database()");
    let set = |setting: &str| world.execute(&format!("alter database {database} set {setting}"));
    world.execute("create table t (n int)");
    for limit in ["transaction_limit", "idle_limit", "prepared_limit", "wait_limit"] {
        set(&format!("migrate.{limit} = 0"));
    }
    // A transaction that does nothing and holds a lock, and somebody who waits for it.
    let mut holder = world.client();
    holder.batch_execute("begin; lock table t").unwrap();
    let pid: i32 = holder.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    let fail = |object: String| ("fail".to_owned(), object);
    let found = checks(&world, "health", "long_transactions");
    assert_eq!(found, [fail(format!("process {pid}"))]);
    let mut waiter = world.client();
    let waiting: i32 = waiter.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    let cancel = waiter.cancel_token();
    std::thread::scope(|scope| {
        scope.spawn(|| waiter.batch_execute("select count(*) from t"));
        world.wait_for(&format!(
            "exists (select from pg_locks where pid = {waiting} and not granted
                     and clock_timestamp() - waitstart > '1.1 s')"
        ));
        let blocked = checks(&world, "health", "blocked_sessions");
        let activity = world.run("migrate-check activity --blocked").expect(Exit::Ok);
        cancel.cancel_query(postgres::NoTls).unwrap();
        assert_eq!(blocked, [fail(format!("process {waiting}"))]);
        let rows = activity.of_type("activity");
        let tree: Vec<_> =
            rows.iter().map(|it| json!([it["pid"], it["depth"], it["blocks"]])).collect();
        assert_eq!(tree, [json!([pid, 0, 1]), json!([waiting, 1, 0])]);
        assert_eq!(rows[1]["lock"], "AccessShareLock on public.t");
        assert_eq!(rows[1]["blocked_by"], json!([pid]));
        assert_eq!(rows[0]["state"], "idle in transaction");
        assert_eq!(rows[1]["query"], "select count(*) from t");
    });
    holder
        .batch_execute("commit; begin; insert into t values (1); prepare transaction 'it''s \x1b'")
        .unwrap();
    let found = checks(&world, "health", "prepared_transactions");
    world.execute("rollback prepared 'it''s \x1b'");
    assert_eq!(found, [fail("'it''s \x1b'".to_owned())]);
    world.execute(&format!("alter database {database} connection limit 2"));
    let _one = world.client();
    let full = checks(&world, "health", "connections_left");
    world.execute(&format!("alter database {database} connection limit -1"));
    assert_eq!(full, [fail(format!("database {database}"))]);
}

#[test]
fn a_prepared_transaction_in_the_way_has_no_process_and_is_seen() {
    let world = World::new();
    world.execute("create table t (n int)");
    world.execute("begin; lock table t; prepare transaction 'forgotten'");
    let mut waiter = world.client();
    let cancel = waiter.cancel_token();
    std::thread::scope(|scope| {
        scope.spawn(|| waiter.batch_execute("select from t"));
        world.wait_for(
            "exists (select from pg_locks where not granted and relation = 't'::regclass)",
        );
        let activity = world.run("migrate-check activity --blocked").expect(Exit::Ok);
        let text = world.run("migrate-check activity --blocked --output text").expect(Exit::Ok);
        cancel.cancel_query(postgres::NoTls).unwrap();
        world.execute("rollback prepared 'forgotten'");
        let rows = activity.of_type("activity");
        assert_eq!((&rows[0]["pid"], &rows[0]["state"]), (&json!(0), &json!("prepared")));
        assert_eq!(rows[0]["query"], "PREPARE TRANSACTION 'forgotten'");
        assert!(text.stdout.contains("held by 0"), "{text}");
    });
}

#[test]
fn a_role_that_may_not_see_others_gets_unknown_and_no_pass() {
    let world = World::new();
    let database = world.query("current_database()");
    world.execute(&format!("create role blind_{database} login"));
    let mut other = world.client();
    other.batch_execute("begin").unwrap();
    let blind = World::at(world.url().replace("user=postgres", &format!("user=blind_{database}")));
    let outcome = blind.run("migrate-check health").expect(Exit::Ok);
    for name in ["long_transactions", "replication_lag"] {
        let check = outcome.of_type("check").into_iter().find(|it| it["name"] == name).unwrap();
        let said = (&check["status"], &check["reason"]);
        assert_eq!(said, (&json!("skip"), &json!("unknown")), "{check}");
        assert!(check["message"].as_str().unwrap().starts_with("unknown: it needs"), "{check}");
    }
    let metrics = outcome.of_type("metric");
    let age = metrics.iter().find(|it| it["name"] == "migrate_oldest_transaction_age_seconds");
    assert_eq!(age.unwrap()["value"], Value::Null);
    let page = blind.run("migrate-check health --output prometheus").expect(Exit::Ok).stdout;
    assert!(!page.contains("\nmigrate_oldest_transaction_age_seconds"), "{page}");
    assert!(page.contains("name=\"long_transactions\"} -1"), "{page}");
    let states = blind.run("migrate-check activity").expect(Exit::Ok);
    assert!(states.of_type("activity").iter().all(|it| it["state"] == "unknown"), "{states}");
    world.execute(&format!("grant pg_monitor to blind_{database}"));
    let outcome = blind.run("migrate-check health").expect(Exit::Ok);
    assert_eq!(outcome.one("check.summary")["unknown"], 0, "{outcome}");
    world.execute(&format!("drop role blind_{database}"));
}

#[test]
fn a_standby_and_what_it_lacks_are_seen_from_both_ends() {
    let primary = OwnServer::start(&[]);
    let world = World::at(primary.url());
    world.execute("create table t as select generate_series(1, 100) as n");
    world.execute("select pg_create_physical_replication_slot('nobody', true)");
    let standby = primary.standby();
    let there = World::at(standby.url());
    let outcome = there.run("migrate-check health").expect(Exit::Ok);
    let recovery =
        outcome.of_type("metric").into_iter().find(|it| it["name"] == "migrate_in_recovery");
    assert_eq!(recovery.unwrap()["value"], 1.0);
    let _ = there.run("migrate-check integrity --skip missing_primary_keys").expect(Exit::Ok);
    let slots = checks(&world, "health", "replication_slots");
    assert_eq!(slots, [("warn".to_owned(), "nobody".to_owned())]);
    // The standby gets the log and does not replay it.
    there.execute("select pg_wal_replay_pause()");
    world.execute("alter database postgres set migrate.lag_bytes = 64000");
    world.execute("insert into t select generate_series(1, 10000)");
    world.wait_for(
        "(select pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) > 64000 from pg_stat_replication)",
    );
    let lag = checks(&world, "health", "replication_lag");
    assert_eq!(lag[0].0, "fail", "{lag:?}");
    assert!(lag[0].1.starts_with("standby walreceiver"), "{lag:?}");
}

#[test]
fn the_state_of_the_server_is_told_at_once() {
    let world = World::new();
    let _ = world.run("migrate-check health");
    for command in ["health", "activity"] {
        let fastest = (0..5)
            .map(|_| {
                let began = Instant::now();
                let _ = world.run(&format!("migrate-check {command}"));
                began.elapsed().as_millis()
            })
            .min();
        // 300 ms on a machine at rest, by a release build.
        assert!(fastest < Some(1_000), "{command}: {fastest:?} ms");
    }
}
