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
    let mut command = Command::new(find(Required::Server, None).unwrap().bin_dir.join(name));
    if is_root() {
        let account = Account::for_folder(Path::new("/")).unwrap();
        std::os::unix::fs::chown(dir.path(), Some(account.uid), Some(account.gid)).unwrap();
        command.uid(account.uid).gid(account.gid);
    }
    command.current_dir(dir.path()).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}
