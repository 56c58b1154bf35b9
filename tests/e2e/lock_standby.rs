//! A hot standby shows the locks of its primary, and gives none.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use migrate_core::{
    exit::Exit,
    server::{
        account::{Account, is_root},
        programs::{Required, find},
    },
};
use migrate_tests::World;
use rustix::process::{Pid, Signal, kill_process};

/// A standby of the tests' server, which is gone when this is dropped.
struct Standby {
    dir: tempfile::TempDir,
    postgres: Child,
}

impl Standby {
    fn of(world: &World) -> Standby {
        let dir = tempfile::Builder::new().prefix("migrate-standby-").tempdir_in("/tmp").unwrap();
        let programs = find(Required::Server, None).unwrap().bin_dir.clone();
        let as_account = |program: &Path| {
            let mut command = Command::new(program);
            if is_root() {
                let account = Account::for_folder(Path::new("/")).unwrap();
                std::os::unix::fs::chown(dir.path(), Some(account.uid), Some(account.gid)).unwrap();
                command.uid(account.uid).gid(account.gid);
            }
            command.current_dir(dir.path()).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let copied = as_account(&programs.join("pg_basebackup"))
            .args([
                "-D",
                "data",
                "-R",
                "-X",
                "stream",
                "-c",
                "fast",
                "--no-sync",
                "-d",
                world.url(),
            ])
            .status();
        assert!(copied.unwrap().success());
        let postgres = as_account(&programs.join("postgres"))
            .args(["-D", "data", "-F", "-c", "port=5433", "-c", "listen_addresses="])
            .args(["-c", "max_connections=300", "-c", "max_prepared_transactions=20"])
            .args(["-c", "max_locks_per_transaction=256", "-c", "wal_level=logical"])
            .args(["-c", "track_commit_timestamp=on", "-k"])
            .arg(dir.path())
            .spawn()
            .unwrap();
        Standby { dir, postgres }
    }

    fn url(&self, world: &World) -> String {
        let database = world.query("current_database()");
        format!("host={} port=5433 user=postgres dbname={database}", self.dir.path().display())
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.postgres), Signal::QUIT);
        let _ = self.postgres.wait();
    }
}

#[test]
fn a_standby_shows_the_lock_and_refuses_to_give_or_break_one() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    if !find(Required::Server, None).unwrap().bin_dir.join("pg_basebackup").exists() {
        return;
    }
    let _ = world.run("migrate-lock acquire --ttl 10m").expect(Exit::Ok);
    let standby = Standby::of(&world);
    let url = standby.url(&world);
    let world = world.env("DATABASE_URL", &url);
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
    } // A copy only reads.
    let _ = world.run("migrate-apply up --dry-run").expect(Exit::Ok);
}
