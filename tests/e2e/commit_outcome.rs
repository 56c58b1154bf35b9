//! A COMMIT whose answer is lost: reported as what became of it, and never done twice.

use migrate_core::exit::Exit;
use migrate_tests::{Cut, Outcome, Proxy, World};

/// As it goes over the wire, alone in its message.
const COMMIT: &str = "commit\0";

/// The statements of the script are journalled apart from it in the second one.
fn world() -> World {
    World::new()
        .file("migrate.toml", "ledger_schema = \"ledger\"\n")
        .migration(
            "1_t.sql",
            "-- migrate:up\ncreate table t (i int);\ninsert into t values (1);\n-- migrate:down\ndrop table t;\n",
        )
        .migration(
            "2_alone.sql",
            "-- migrate:up transaction:false\ninsert into t values (2);\n\
             begin;\ninsert into t values (3);\ncommit;\n\
             create index concurrently t_i on t (i);\n\
             -- migrate:down transaction:false\ndrop index concurrently t_i;\n\
             delete from t where i > 1;\n",
        )
}

/// A world whose tools go through a proxy.
fn through_proxy() -> (World, Proxy) {
    let world = world();
    let proxy = Proxy::new(&world);
    let url = proxy.url(&world);
    (world.env("DATABASE_URL", &url), proxy)
}

/// Cuts at the nth message that holds `text`, for as long as there is such a message, and lets the
/// next run finish; returns what each run that was cut said.
fn cut_each(text: &str, cut: Cut, prepare: &[&str], command: &str) -> Vec<Outcome> {
    let undisturbed = world();
    for line in prepare.iter().chain([&command]) {
        let _ = undisturbed.run(line).expect(Exit::Ok);
    }
    let undisturbed = undisturbed.dump();
    let mut outcomes = Vec::new();
    for nth in 1.. {
        let (world, proxy) = through_proxy();
        for line in prepare {
            let _ = world.run(line).expect(Exit::Ok);
        }
        proxy.cut(text, nth, cut);
        let outcome = world.run(command);
        if !proxy.has_cut() {
            let _ = outcome.expect(Exit::Ok);
            break;
        }
        let code = outcome.status.code();
        assert!(matches!(code, Some(0 | 4 | 6 | 8)), "{text:?} {nth} {cut:?}: {outcome}");
        if code == Some(0) {
            assert_eq!(world.dump(), undisturbed, "{text:?} {nth} {cut:?}: {outcome}");
        }
        let next = world.run(command).expect(Exit::Ok);
        assert_eq!(world.dump(), undisturbed, "{text:?} {nth} {cut:?}: {outcome}\nthen {next}");
        world.assert_sound();
        outcomes.push(outcome);
    }
    assert!(outcomes.len() > 5, "{text:?} was seen only {} times", outcomes.len());
    outcomes
}

fn recovered(outcome: &Outcome) -> bool {
    outcome.records().iter().any(|it| it["commit"] == "recovered")
}

#[test]
fn what_was_committed_is_applied_although_the_answer_is_lost() {
    let (world, proxy) = through_proxy();
    let _ = world.run("migrate-lock run -- true").expect(Exit::Ok);
    // The lease, the intent, and then the migration.
    proxy.cut(COMMIT, 3, Cut::After);
    let up = world.run("migrate-apply up --target 1").expect(Exit::Ok);
    assert!(proxy.has_cut());
    assert_eq!(up.one("migration.applied")["commit"], "recovered");
    assert_eq!(up.one("apply.finished")["status"], "done");
    assert!(up.of_type("migration.failed").is_empty());
    world.assert_sound();
    assert_eq!(
        world.query("select string_agg(status, ' ') from ledger._migration_history"),
        "applied"
    );
}

#[test]
fn what_never_got_to_the_server_is_a_failure_that_changed_nothing() {
    let (world, proxy) = through_proxy();
    let _ = world.run("migrate-lock run -- true").expect(Exit::Ok);
    proxy.cut(COMMIT, 3, Cut::Before);
    let up = world.run("migrate-apply up --target 1").expect(Exit::Failed);
    assert!(proxy.has_cut());
    assert_eq!(up.one("error")["kind"], "connection_lost");
    assert_eq!(up.one("migration.failed")["state"], "rolled_back");
    assert_eq!(world.query("select to_regclass('t')"), "null");
    // Recorded once the server was there again.
    assert_eq!(world.query("select status from ledger._migration_history"), "failed");
    world.assert_sound();
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(world.query("select count(*) from t"), "3");
}

#[test]
fn every_commit_may_lose_its_answer() {
    let ups = cut_each(COMMIT, Cut::After, &[], "migrate-apply up");
    assert!(ups.iter().filter(|it| recovered(it)).count() >= 2, "{ups:?}");
    let downs =
        cut_each(COMMIT, Cut::After, &["migrate-apply up"], "migrate-apply down --target 0");
    assert!(downs.iter().filter(|it| recovered(it)).count() >= 2, "{downs:?}");
}

#[test]
fn every_commit_may_be_lost() {
    for (prepare, command) in
        [(&[][..], "migrate-apply up"), (&["migrate-apply up"], "migrate-apply down --target 0")]
    {
        let outcomes = cut_each(COMMIT, Cut::Before, prepare, command);
        assert!(!outcomes.iter().any(recovered), "{outcomes:?}");
    }
}

#[test]
fn the_connection_may_break_while_the_audit_log_is_written() {
    for cut in [Cut::Before, Cut::After] {
        let text = "_migration_audit_log in share row exclusive mode";
        let _ = cut_each(text, cut, &[], "migrate-apply up");
    }
}

#[test]
fn a_server_that_stays_away_leaves_an_unknown_outcome_which_the_next_run_resolves() {
    for (sent, cut) in [(true, Cut::AfterAndStayAway), (false, Cut::BeforeAndStayAway)] {
        let (world, proxy) = through_proxy();
        let world = world.env("MIGRATE_RECONNECT", "1s");
        let _ = world.run("migrate-lock run -- true").expect(Exit::Ok);
        proxy.cut(COMMIT, 3, cut);
        let up = world.run("migrate-apply up --target 1").expect(Exit::Unknown);
        let error = up.one("error");
        assert_eq!(error["kind"], "commit_unknown");
        let system = world.query("select system_identifier from pg_control_system()");
        assert!(error["message"].as_str().unwrap().contains(&system), "{up}");
        assert!(error["hint"].as_str().unwrap().contains("select txid_status("), "{up}");
        assert!(up.of_type("migration.applied").is_empty(), "{up}");
        assert!(up.of_type("migration.failed").is_empty(), "{up}");

        proxy.come_back();
        let next = world.run("migrate-apply up --target 1").expect(Exit::Ok);
        assert_eq!(next.of_type("migration.applied").len(), usize::from(!sent), "{next}");
        assert_eq!(world.query("select count(*) from t"), "1");
        world.assert_sound();
    }
}
