//! Workers that are stopped, killed and robbed at random: no version is ever applied twice.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use migrate_core::exit::Exit;
use migrate_tests::World;
use rustix::process::Signal;

const WORKERS: usize = 4;

/// Small numbers that differ from thread to thread and from call to call.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "how hard it was is worth knowing")]
fn no_version_is_applied_twice_whatever_happens_to_workers_and_their_lease() {
    let seconds = std::env::var("MIGRATE_STRESS_SECONDS").map_or(8, |it| it.parse().unwrap());
    let count = seconds * 20;
    let mut world = World::new().env("MIGRATE_LEASE_TTL", "200ms");
    world.execute("create table applied (version text)");
    // Makes the ledger, and builds the tools before the time runs.
    let _ = world.run("migrate-lock run -- true").expect(Exit::Ok);
    // The history's own key would hide a hole in the fence.
    world.execute("drop index _migration_history_once");
    for version in 1..=count {
        // Without its advisory lock a worker has nothing but the fence.
        let sql = format!(
            "insert into applied values ('{version}'); select pg_advisory_unlock_all(); select pg_sleep(0.03);"
        );
        world = world.migration(&format!("{version}_v.sql"), &sql);
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let over = AtomicBool::new(false);
    let (world, over) = (&world, &over);
    let stolen = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..WORKERS).map(|seed| scope.spawn(move || work(world, seed as u64, over))).collect();
        let thief = scope.spawn(move || steal(world, over));
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        over.store(true, Ordering::SeqCst);
        for worker in workers {
            worker.join().unwrap();
        }
        thief.join().unwrap()
    });
    let fenced =
        world.query("select count(*) from _migration_audit_log where action = 'lock.acquired'");
    let early = world.query("select count(*) from applied");
    let _ = world.run("migrate-apply up --wait 5s").expect(Exit::Ok);
    let twice = world.query(
        "select coalesce(string_agg(version, ' '), 'none') from
         (select version from applied group by version having count(*) > 1) as twice",
    );
    assert_eq!(twice, "none");
    assert_eq!(world.query("select count(*) from applied"), count.to_string());
    assert_eq!(
        world.query("select count(*) from _migration_history where status = 'applied'"),
        count.to_string()
    );
    // A stress that met no theft would prove nothing.
    assert!(stolen > 0, "nothing was stolen; {fenced} leases, {early} of {count} applied");
    println!("{stolen} thefts, {fenced} leases, {early} of {count} applied under stress");
}

/// Runs `up` again and again, stops it at random, and kills it now and then.
fn work(world: &World, seed: u64, over: &AtomicBool) {
    let mut dice = Dice(seed + 1);
    while !over.load(Ordering::SeqCst) {
        let mut up = world.spawn("migrate-apply up --wait 300ms -q");
        while up.is_running() && !over.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20 + dice.roll(150)));
            if dice.roll(3) == 0 && up.is_running() {
                up.signal(Signal::STOP);
                thread::sleep(Duration::from_millis(dice.roll(600)));
                up.signal(Signal::CONT);
            }
            if dice.roll(15) == 0 {
                let _ = up.kill();
                up = world.spawn("migrate-apply up --wait 300ms -q");
            }
        }
        let outcome = up.finish();
        assert!(!matches!(outcome.status.code(), Some(2 | 7 | 8 | 101)), "{outcome}");
    }
}

/// Takes the row by every means of SQL, and counts how often that went through.
fn steal(world: &World, over: &AtomicBool) -> u64 {
    let mut dice = Dice(77);
    let mut client = world.client();
    client.batch_execute("set lock_timeout = '300ms'").unwrap();
    let mut stolen = 0;
    while !over.load(Ordering::SeqCst) {
        let theft = [
            "delete from _migration_locks",
            "delete from _migration_locks where expires_at < now()",
            "update _migration_locks set token = nextval('_migration_locks_token_seq')",
            "update _migration_locks set expires_at = now() - interval '1 hour', backend_pid = null",
        ][dice.roll(4) as usize];
        // Fails where the owner's transaction outlasts our patience.
        stolen += client.execute(theft, &[]).unwrap_or(0);
        thread::sleep(Duration::from_millis(dice.roll(400)));
    }
    stolen
}
