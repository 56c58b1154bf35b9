//! `migrate-lock run`: a command under a lease, its code, its signals, its end.

use std::{fs, time::Duration};

use migrate_core::exit::Exit;
use migrate_tests::{Background, World};
use rustix::process::{Pid, Signal, test_kill_process};

fn actions(world: &World) -> String {
    world.query("select string_agg(action, ' ' order by id) from _migration_audit_log where id > 1")
}

/// Starts a command that says in a file that it runs, and waits for that.
fn started(world: &World, flags: &str, script: &str) -> Background {
    let background =
        world.spawn(&format!("migrate-lock run {flags} -- sh -c 'echo $$ > pid; {script}'"));
    wait_until(|| read(world, "pid").ends_with('\n'));
    background
}

fn read(world: &World, name: &str) -> String {
    fs::read_to_string(world.path(name)).unwrap_or_default()
}

#[track_caller]
fn wait_until(mut done: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(std::time::Instant::now() < deadline, "still not");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_alive(world: &World, name: &str) -> bool {
    let pid = read(world, name).trim().parse().unwrap();
    test_kill_process(Pid::from_raw(pid).unwrap()).is_ok()
}

#[test]
fn stdout_is_the_commands_own_and_its_code_is_passed_on() {
    let world = World::new();
    let outcome = world.run("migrate-lock run -- sh -c 'printf a:$MIGRATE_LOCK_TOKEN; exit 7'");
    assert_eq!(outcome.status.code(), Some(7));
    assert_eq!(outcome.stdout, "a:1");
    assert!(outcome.stderr.contains("Lock `migrate` acquired (token 1)"), "{outcome}");
    assert_eq!(actions(&world), "lock.acquired command.finished lock.released");
    assert_eq!(world.query("select count(*) from _migration_locks"), "0");
    assert_eq!(
        world.query(
            "select details ->> 'exit_code' from _migration_audit_log where action = 'command.finished'"
        ),
        "7"
    );
    let killed = world.run("migrate-lock run -- sh -c 'kill -9 $$'");
    assert_eq!(killed.status.code(), Some(137));
}

#[test]
fn the_command_reads_stdin() {
    let world = World::new();
    let outcome = world.run_with_input("migrate-lock run -- cat", "a\nb\n").expect(Exit::Ok);
    assert_eq!(outcome.stdout, "a\nb\n");
}

#[test]
fn a_command_that_cannot_start_gives_the_lease_back_and_prints_nothing() {
    let world = World::new();
    let outcome = world.run("migrate-lock run -- no-such-program").expect(Exit::Unavailable);
    assert_eq!(outcome.stdout, "");
    assert_eq!(world.query("select count(*) from _migration_locks"), "0");
    let _ = world.run("migrate-lock acquire").expect(Exit::Ok);
    assert_eq!(world.run("migrate-lock run --wait 0s -- true").expect(Exit::Busy).stdout, "");
}

#[test]
fn the_tools_inside_work_under_the_lease_and_leave_it() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    let outcome = world.run(
        "migrate-lock run -- sh -c 'migrate-apply up && migrate-lock status && migrate-apply up'",
    );
    let outcome = outcome.expect(Exit::Ok);
    assert_eq!(outcome.one("apply.started")["token"], 1);
    let row = outcome.one("lock");
    assert_eq!((&row["token"], &row["state"]), (&1.into(), &"held".into()));
    assert!(!actions(&world).contains("lock.broken"));
    assert_eq!(world.query("select count(*) from _migration_locks"), "0");
}

#[test]
fn a_run_inside_a_run_is_under_the_same_lease() {
    let world = World::new();
    let outcome = world
        .run("migrate-lock run -- migrate-lock run --wait 0s -- sh -c 'echo $MIGRATE_LOCK_TOKEN; exit 3'");
    assert_eq!(outcome.status.code(), Some(3));
    assert_eq!(outcome.stdout, "1\n");
    let other = world.run(
        "migrate-lock run -- migrate-lock run --name other -- sh -c 'echo $MIGRATE_LOCK_TOKEN'",
    );
    assert_eq!(other.expect(Exit::Ok).stdout, "3\n");
}

#[test]
fn a_lease_on_another_lock_does_not_let_an_apply_in() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    let _ = world.run("migrate-lock acquire").expect(Exit::Ok);
    let busy = world.run("migrate-lock run --name deploy -- migrate-apply up --wait 0s");
    let _ = busy.expect(Exit::Busy);
}

#[test]
fn a_token_that_is_not_in_force_is_refused_before_anything_is_done() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    let world = world.env("MIGRATE_LOCK_TOKEN", "99");
    for command in ["migrate-apply up", "migrate-lock run -- true"] {
        let refused = world.run(command).expect(Exit::Refused);
        assert!(refused.stderr.contains("not in force"), "{refused}");
    }
    let _ = world.env("MIGRATE_LOCK_TOKEN", "x").run("migrate-apply up").expect(Exit::Usage);
}

#[test]
fn a_command_that_ignores_sigterm_is_killed_with_its_children_when_the_lease_is_lost() {
    let world = World::new();
    let script = "trap : TERM; (trap \"\" TERM; echo $(exec sh -c \"echo \\$PPID\") > child; while :; do sleep 0.05; done) & while :; do sleep 0.05; done";
    let run = started(&world, "--ttl 1s --grace 300ms", script);
    wait_until(|| read(&world, "child").ends_with('\n'));
    let _ = world.run("migrate-lock break --force --reason test").expect(Exit::Ok);
    let lost = run.finish().expect(Exit::Failed);
    assert!(lost.stderr.contains("was lost"), "{lost}");
    assert_eq!(lost.stdout, "");
    wait_until(|| !is_alive(&world, "pid") && !is_alive(&world, "child"));
    assert!(actions(&world).ends_with("lock.broken lock.lost command.finished"));
}

#[test]
fn a_lease_that_was_gone_when_the_command_ended_is_told() {
    let world = World::new();
    let run = started(&world, "", "while [ ! -e go ]; do sleep 0.02; done");
    world.execute("delete from _migration_locks");
    fs::write(world.path("go"), "").unwrap();
    let lost = run.finish().expect(Exit::Failed);
    assert!(lost.stderr.contains("somebody removed it before"), "{lost}");
}

#[test]
fn signals_are_handed_on_as_often_as_they_come() {
    let world = World::new();
    let script =
        "trap \"echo int\" INT; trap \"exit 9\" TERM; echo > ready; while :; do sleep 0.02; done";
    let run = started(&world, "", script);
    wait_until(|| world.path("ready").exists());
    for _ in 0..2 {
        run.signal(Signal::INT);
        std::thread::sleep(Duration::from_millis(100));
    }
    run.signal(Signal::TERM);
    let outcome = run.finish();
    assert_eq!(outcome.status.code(), Some(9), "{outcome}");
    assert_eq!(outcome.stdout, "int\nint\n");
    assert_eq!(world.query("select count(*) from _migration_locks"), "0");
}

#[test]
fn a_run_that_was_killed_leaves_the_lock_free() {
    let world = World::new();
    let run = started(&world, "", "read x");
    let _ = run.kill();
    let next = world.run("migrate-lock run -- true").expect(Exit::Ok);
    assert!(next.stderr.contains("acquired"), "{next}");
}

#[test]
fn a_lost_connection_is_made_again_and_the_lease_kept() {
    let world = World::new();
    let run = started(&world, "--ttl 3s", "while [ ! -e go ]; do sleep 0.02; done");
    let pid = world.query("select backend_pid from _migration_locks");
    world.execute(&format!("select pg_terminate_backend({pid})"));
    world.wait_for(&format!("select backend_pid <> {pid} from _migration_locks"));
    let row = world.run("migrate-lock status").expect(Exit::Ok).one("lock");
    assert_eq!(row["state"], "held");
    fs::write(world.path("go"), "").unwrap();
    let _ = run.finish().expect(Exit::Ok);
}

#[test]
fn a_command_at_a_terminal_can_be_typed_at_and_interrupted() {
    let Ok(true) = fs::exists("/usr/bin/script") else { return };
    let world = World::new();
    let typed = world.run_with_input(
        "/usr/bin/script -qec 'migrate-lock run -- sh -c \"read x; echo got:\\$x\"' /dev/null",
        "hello\n",
    );
    assert!(typed.stdout.contains("got:hello"), "{typed}");
    let world = world.file("inner.sh", "trap 'echo int; exit 4' INT; echo > ready; read x").file(
        "outer.sh",
        "(while [ ! -e ready ]; do sleep 0.02; done; printf '\\003'; sleep 1) |
             script -qec 'migrate-lock run -- sh inner.sh' /dev/null",
    );
    let interrupted = world.run("/bin/sh outer.sh");
    assert!(interrupted.stdout.contains("int"), "{interrupted}");
}
