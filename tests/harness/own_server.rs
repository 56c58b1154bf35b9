//! A server of a test's own, to stop, to kill and to fill up.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use migrate_core::server::{
    account::{Account, is_root},
    programs::{Required, find},
};
use postgres::{Client, NoTls};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::World;

/// It is gone when this is dropped.
pub struct OwnServer {
    dir: TempDir,
    settings: Vec<&'static str>,
    postgres: Child,
}

impl OwnServer {
    pub fn start(settings: &[&'static str]) -> OwnServer {
        let dir = tempfile::Builder::new().prefix("migrate-own-").tempdir_in("/tmp").unwrap();
        let made = program(&dir, "initdb")
            .args(["--pgdata=data", "--auth=trust", "--username=postgres", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C"])
            .status();
        assert!(made.unwrap().success());
        let postgres = start(&dir, settings);
        let server = OwnServer { dir, settings: settings.to_vec(), postgres };
        server.wait_until_ready();
        server
    }

    /// A hot standby of it, with all that is in it now.
    pub fn standby(&self) -> OwnServer {
        let dir = tempfile::Builder::new().prefix("migrate-standby-").tempdir_in("/tmp").unwrap();
        let copied = program(&dir, "pg_basebackup")
            .args(["--pgdata=data", "--write-recovery-conf", "--wal-method=stream"])
            .args(["--checkpoint=fast", "--no-sync", "--dbname", &self.url()])
            .status();
        assert!(copied.unwrap().success());
        let postgres = start(&dir, &self.settings);
        let standby = OwnServer { dir, settings: self.settings.clone(), postgres };
        standby.wait_until_ready();
        standby
    }

    /// Of a standby: nothing of the primary reaches it any more.
    pub fn cut_off(&self) {
        let standby = World::at(self.url());
        standby.execute("alter system set primary_conninfo = ''");
        standby.execute("select pg_reload_conf()");
        standby.wait_for("not exists (select from pg_stat_wal_receiver)");
    }

    /// Makes a primary of a standby that has all that `primary` has written; the old one goes on.
    pub fn take_over(&self, primary: &World) {
        let end = primary.query("pg_current_wal_lsn()");
        let standby = World::at(self.url());
        standby.wait_for(&format!("pg_last_wal_replay_lsn() >= '{end}'"));
        self.promote();
    }

    /// Makes a primary of a standby as it is.
    pub fn promote(&self) {
        assert_eq!(World::at(self.url()).query("pg_promote()"), "true");
    }

    pub fn url(&self) -> String {
        format!("host={} port=5432 user=postgres dbname=postgres", self.dir.path().display())
    }

    /// INT is `pg_ctl stop -m fast`, QUIT is `-m immediate`.
    pub fn stop(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.postgres), signal).unwrap();
        self.postgres.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.postgres = start(&self.dir, &self.settings);
        self.wait_until_ready();
    }

    /// The folder with its data.
    pub fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    /// Adds checksums to its pages; it must be stopped.
    pub fn add_checksums(&self) {
        let mut program = program(&self.dir, "pg_checksums");
        let done = program.args(["--enable", "--no-sync", "-D", "data"]).status();
        assert!(done.unwrap().success());
    }

    pub fn wait_until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(err) = Client::connect(&self.url(), NoTls) {
            assert!(Instant::now() < deadline, "the server does not start: {err}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.postgres), Signal::QUIT);
        let _ = self.postgres.wait();
    }
}

fn start(dir: &TempDir, settings: &[&str]) -> Child {
    program(dir, "postgres")
        .args(["-D", "data", "-F", "-c", "listen_addresses=", "-c", "port=5432", "-k"])
        .arg(dir.path())
        .args(settings.iter().flat_map(|it| ["-c", it]))
        .spawn()
        .unwrap()
}

/// Of the same version as the tests' common server, as an account that may run it.
fn program(dir: &TempDir, name: &str) -> Command {
    // Behind links to the server's programs alone, where the others are.
    let postgres = find(Required::Server, None).unwrap().bin_dir.join("postgres");
    let mut command = Command::new(postgres.canonicalize().unwrap().with_file_name(name));
    if is_root() {
        let account = Account::for_folder(Path::new("/")).unwrap();
        std::os::unix::fs::chown(dir.path(), Some(account.uid), Some(account.gid)).unwrap();
        command.uid(account.uid).gid(account.gid);
    }
    command.current_dir(dir.path()).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}
