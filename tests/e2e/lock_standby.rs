//! A hot standby shows the locks of its primary, and gives none.

use std::{
    thread,
    time::{Duration, Instant},
};

use migrate_core::exit::Exit;
use migrate_tests::{OwnServer, World};

#[test]
fn a_standby_shows_the_lock_and_refuses_to_give_or_break_one() {
    let primary = OwnServer::start(&[]);
    let world = World::at(primary.url());
    let _ = world.run("migrate-lock acquire --ttl 10m").expect(Exit::Ok);
    let standby = primary.standby();
    let world = world.env("DATABASE_URL", &standby.url());
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        let status = world.run("migrate-lock status");
        if status.status.success() && !status.stdout.is_empty() {
            break status;
        }
        assert!(Instant::now() < deadline, "{status}");
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.one("lock")["state"], "held");
    let world = world.migration("1_t.sql", "create table t ()");
    let pending = world.run("migrate-apply status").expect(Exit::Ok);
    assert_eq!(pending.one("migration")["state"], "pending");
    for command in [
        "migrate-apply up",
        "migrate-lock acquire",
        "migrate-lock release --token 1",
        "migrate-lock break --force --reason x",
        "migrate-lock run -- true",
        "migrate-apply up --dry-run=here",
    ] {
        let refused = world.run(command).expect(Exit::Refused);
        assert!(refused.stderr.contains("standby"), "{command}: {refused}");
    }
    // A copy only reads.
    let _ = world.run("migrate-apply up --dry-run").expect(Exit::Ok);
}
