//! Records in pipes: what is read is checked to its end first, and what cannot be written stops
//! no work.

use migrate_core::exit::Exit;
use migrate_tests::World;

const HISTORY: &str =
    "select string_agg(version || status, ' ' order by id) from _migration_history";

fn two_tables() -> World {
    World::new().migration("1_a.sql", "create table a ()").migration("2_b.sql", "create table b ()")
}

/// Not even the ledger is there.
#[track_caller]
fn is_untouched(world: &World) {
    let made = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(world.query(made), "0");
}

#[test]
fn a_plan_is_applied_through_a_pipe_and_nothing_else_is() {
    let world = two_tables();
    let outcome = world
        .shell("migrate-apply plan --target 1 | tee plan | migrate-apply up --plan -")
        .expect(Exit::Ok);
    assert_eq!(world.query(HISTORY), "1applied");
    let hash = &outcome.one("apply.started")["plan_hash"];
    assert!(std::fs::read_to_string(world.path("plan")).unwrap().contains(hash.as_str().unwrap()));
    // The head has moved, so the same plan is another story.
    let moved = world.run("migrate-apply up --plan plan").expect(Exit::Refused);
    assert_eq!(moved.one("error")["kind"], "plan_moved");
    let _ = world.shell("migrate-apply plan | migrate-apply up --plan -").expect(Exit::Ok);
    assert_eq!(world.query(HISTORY), "1applied 2applied");
    let again = world.shell("migrate-apply plan | migrate-apply up --plan -").expect(Exit::Ok);
    assert_eq!(again.one("apply.finished")["status"], "nothing_to_do");
}

#[test]
fn a_plan_does_not_hold_for_files_that_moved_or_for_another_database() {
    let world = two_tables();
    let plan = world.run("migrate-apply plan").expect(Exit::Ok).stdout;
    let world = world.migration("2_b.sql", "create table b (i int)");
    let moved = world.run_with_input("migrate-apply up --plan -", &plan).expect(Exit::Refused);
    assert_eq!(moved.one("error")["kind"], "plan_moved");
    is_untouched(&world);
    let other = two_tables();
    let moved = other.run_with_input("migrate-apply up --plan -", &plan).expect(Exit::Refused);
    assert_eq!(moved.one("error")["kind"], "plan_moved");
    is_untouched(&other);
}

#[test]
fn a_plan_whose_head_moved_while_it_waited_for_the_lock_is_refused() {
    let both = "-- migrate:up\ncreate table a ();\n-- migrate:down\ndrop table a;";
    let world = two_tables().migration("1_a.sql", both);
    let _ = world.run("migrate-apply up --steps 1").expect(Exit::Ok);
    let _ = world.shell("migrate-apply plan > plan").expect(Exit::Ok);
    let token = &world.run("migrate-lock acquire").expect(Exit::Ok).one("lock.acquired")["token"];
    let up = world.spawn("migrate-apply up --plan plan");
    world.wait_for(
        "exists (select from pg_stat_activity where query like '%pg_%advisory_%lock%'
                 and pid <> pg_backend_pid() and datname = current_database())",
    );
    let world = world.env("MIGRATE_LOCK_TOKEN", &token.to_string());
    let _ = world.run("migrate-apply down").expect(Exit::Ok);
    let _ = world.run(&format!("migrate-lock release --token {token}")).expect(Exit::Ok);
    let moved = up.finish().expect(Exit::Refused);
    assert_eq!(moved.one("error")["kind"], "plan_moved");
    assert_eq!(world.query(HISTORY), "1rolled_back 1applied");
}

#[test]
fn a_failure_upstream_or_an_input_without_the_record_is_refused() {
    let world = two_tables();
    for (upstream, kind) in [
        ("migrate-apply plan --target 99", "upstream_failed"),
        ("migrate-apply plan --migrations nowhere", "upstream_failed"),
        ("migrate-apply nonsense", "upstream_failed"),
        ("false", "input_missing"),
        ("migrate-apply status", "input_missing"),
        ("migrate-apply plan | head -1", "input_missing"),
    ] {
        let outcome = world.shell(&format!("{upstream} | migrate-apply up --plan -"));
        let outcome = outcome.expect(Exit::Refused);
        assert_eq!(outcome.one("error")["kind"], kind, "{upstream}: {outcome}");
        is_untouched(&world);
    }
    let proof = world.run("migrate-apply up --require-backup -").expect(Exit::Refused);
    assert_eq!(proof.one("error")["kind"], "input_missing");
    is_untouched(&world);
}

#[test]
fn a_proof_of_a_backup_of_another_database_is_refused() {
    let world = two_tables();
    let proof = |database: &str| {
        let system = world.query("(select system_identifier from pg_control_system())");
        format!(
            "{{\"v\":1,\"type\":\"backup.verified\",\"system_identifier\":\"{system}\",\
             \"database\":\"{database}\"}}\n"
        )
    };
    let command = "migrate-apply up --require-backup -";
    let other = world.run_with_input(command, &proof("postgres")).expect(Exit::Refused);
    assert_eq!(other.one("error")["kind"], "backup_of_another_database");
    is_untouched(&world);
    let ours = proof(&world.query("current_database()"));
    let _ = world.run_with_input(command, &ours).expect(Exit::Ok);
}

#[test]
fn a_line_that_is_no_record_is_named_by_its_number() {
    let world = two_tables();
    let deep = "[".repeat(100_000);
    for (line, input) in [
        (1, "{\"type\":\"plan\""),
        (1, "{\"type\":\"plan\",\"plan_hash\":1e400}"),
        (1, "\u{feff}{\"type\":\"x\"}"),
        (1, "{\"type\":\"x\"} and more"),
        (1, "null"),
        (1, "\0"),
        (1, &deep),
        (2, "{\"type\":\"x\"}\n{}"),
        (3, "{\"type\":\"x\"}\r\n\n[\"type\"]\n"),
    ] {
        let outcome = world.run_with_input("migrate-apply up --plan -", input).expect(Exit::Usage);
        let said = outcome.one("error")["message"].as_str().unwrap().to_owned();
        assert_eq!(said, format!("stdin, line {line}: this is no record"), "{outcome}");
        is_untouched(&world);
    }
    let cut = "{\"type\":\"plan\",\"plan_hash\":\"sha256:1\"}";
    let outcome = world.run_with_input("migrate-apply up --plan -", cut).expect(Exit::Usage);
    assert!(outcome.stderr.contains("the `plan` record cannot be read"), "{outcome}");
    is_untouched(&world);
}

#[test]
fn a_line_or_a_stream_without_an_end_takes_no_memory() {
    let world = two_tables();
    // The shell's limit is in KiB: half of what the input would take.
    for (input, exit) in [
        ("head -c 400000000 /dev/zero | tr '\\0' a", Exit::Usage),
        ("yes '{\"type\":\"x\"}' | head -n 500000", Exit::Refused),
    ] {
        let script = format!("ulimit -v 200000; {input} | migrate-apply up --plan -");
        let outcome = world.shell(&script).expect(exit);
        assert_eq!(outcome.one("error")["exit_code"], exit.code(), "{outcome}");
        is_untouched(&world);
    }
}

#[test]
fn work_goes_on_to_its_end_when_nobody_reads_of_it() {
    for reader in [
        "migrate-apply up | head -n 1",
        "migrate-apply up | true",
        "migrate-apply up >&-",
        "migrate-apply up > /dev/full",
        "migrate-apply up > /dev/full 2> /dev/full",
        "migrate-apply up 2>&-",
    ] {
        let world = two_tables().migration("3_c.sql", "-- nothing");
        let _ = world.shell(reader).expect(Exit::Ok);
        // The last one of a pipe may end first.
        world.wait_for("to_regclass('_migration_audit_log') is not null");
        world.wait_for("exists (select from _migration_audit_log where action = 'apply.finished')");
        assert_eq!(world.query(HISTORY), "1applied 2applied 3applied", "{reader}");
        let last = "select action from _migration_audit_log order by id desc limit 1";
        assert_eq!(world.query(last), "apply.finished", "{reader}");
    }
}

#[test]
fn a_job_whose_reader_has_gone_says_so_and_keeps_its_code() {
    let world = two_tables().migration("3_c.sql", "select nope");
    let outcome = world.run_with_closed_stdout("migrate-apply up").expect(Exit::Failed);
    assert!(outcome.stderr.contains("the work is done, but its output was lost"), "{outcome}");
    assert_eq!(world.query(HISTORY), "1applied 2applied 3failed");
}

#[test]
fn a_listing_that_is_lost_is_not_done_but_one_that_nobody_wants_is() {
    let world = two_tables();
    for command in ["status", "status --output text", "plan", "validate", "schema"] {
        let full = world.shell(&format!("migrate-apply {command} > /dev/full"));
        let full = full.expect(Exit::Unavailable);
        assert!(full.stderr.contains("cannot write the output: No space left"), "{full}");
        let _ = world.run_with_closed_stdout(&format!("migrate-apply {command}")).expect(Exit::Ok);
    }
}

#[test]
fn an_error_that_cannot_be_said_keeps_its_code() {
    let world = two_tables();
    for (command, exit) in [
        ("migrate-apply up --target 99", Exit::Usage),
        ("migrate-apply nonsense", Exit::Usage),
        ("migrate-apply up --migrations nowhere", Exit::Unavailable),
    ] {
        let _ = world.shell(&format!("{command} > /dev/full 2> /dev/full")).expect(exit);
        let _ = world.shell(&format!("{command} >&- 2>&-")).expect(exit);
    }
    is_untouched(&world);
}

#[test]
fn a_slow_reader_gets_every_record() {
    let statements: String = (0..2000).map(|row| format!("select {row};\n")).collect();
    let world = World::new().migration("1_t.sql", &statements);
    let outcome = world
        .shell("migrate-apply up | while read -r line; do printf '%s\\n' \"$line\"; done")
        .expect(Exit::Ok);
    assert_eq!(outcome.of_type("statement.done").len(), 2000);
    assert_eq!(outcome.types().last().unwrap(), "apply.finished");
}
