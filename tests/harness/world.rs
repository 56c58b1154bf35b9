//! A test's own world: an empty folder, an empty database, and the tools.

use std::{
    fs,
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use postgres::{Client, NoTls};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{command_line::words, outcome::Outcome, server};

/// The folder of the freshly built tools. Cargo does not build the binaries of other
/// packages for a test, and a stale one would test yesterday's code. Always debug builds:
/// only these have fault points.
static TOOLS: LazyLock<PathBuf> = LazyLock::new(|| {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--workspace", "--bins"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status();
    assert!(status.unwrap().success());
    let test_exe = std::env::current_exe().unwrap();
    test_exe.ancestors().nth(3).unwrap().join("debug")
});

pub struct World {
    dir: TempDir,
    url: String,
    env: Vec<(String, String)>,
}

impl World {
    #[expect(clippy::new_without_default, reason = "starts a server")]
    pub fn new() -> World {
        World::at(server::new_database())
    }

    /// On another server than the tests' common one.
    pub fn at(url: String) -> World {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("migrations")).unwrap();
        World { dir, url, env: Vec::new() }
    }

    /// Writes a migration.
    pub fn migration(self, name: &str, content: &str) -> World {
        self.file(&format!("migrations/{name}"), content)
    }

    /// Writes any file, with its folders.
    pub fn file(self, name: &str, content: &str) -> World {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn env(mut self, name: &str, value: &str) -> World {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without_env(mut self, name: &str) -> World {
        self.env.retain(|(it, _)| it != name);
        self
    }

    /// In libpq's keyword form, as the tools get it in DATABASE_URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.url, NoTls).unwrap()
    }

    /// One value as text, for short assertions on the database.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        let row = self.client().query_one(&format!("select ({sql})::text"), &[]);
        let value: Option<String> = row.unwrap_or_else(|err| panic!("{sql}: {err:?}")).get(0);
        value.unwrap_or_else(|| "null".to_owned())
    }

    /// Runs statements that a test needs as given.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        self.client().batch_execute(sql).unwrap_or_else(|err| panic!("{sql}: {err:?}"));
    }

    /// Asks until the answer is true, for at most ten seconds.
    #[track_caller]
    pub fn wait_for(&self, sql: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.query(sql) != "true" {
            assert!(Instant::now() < deadline, "still not true: {sql}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs `migrate-apply up` and the like in a clean environment.
    #[must_use]
    pub fn run(&self, command_line: &str) -> Outcome {
        self.start(self.command(command_line)).finish()
    }

    /// As in `migrate-apply plan | migrate-apply up --plan -`, with the records of the first.
    #[must_use]
    pub fn run_with_input(&self, command_line: &str, input: &str) -> Outcome {
        let mut command = self.command(command_line);
        command.stdin(Stdio::piped());
        let mut background = self.start(command);
        let mut stdin = background.child().stdin.take().unwrap();
        thread::scope(|scope| {
            // A tool may end before it has read everything.
            scope.spawn(move || stdin.write_all(input.as_bytes()));
            background.finish()
        })
    }

    /// As in `migrate-backup import < FILE`.
    #[must_use]
    pub fn run_with_file(&self, command_line: &str, file: &str) -> Outcome {
        let mut command = self.command(command_line);
        command.stdin(fs::File::open(self.path(file)).unwrap());
        self.start(command).finish()
    }

    /// Runs a tool whose reader has gone away, as in `migrate-apply up | true`.
    #[must_use]
    pub fn run_with_closed_stdout(&self, command_line: &str) -> Outcome {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = self.command(command_line);
        command.stdout(writer);
        self.start(command).finish()
    }

    /// Runs a line of shell, as in `migrate-apply plan | migrate-apply up --plan -`.
    #[must_use]
    pub fn shell(&self, script: &str) -> Outcome {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        self.start(self.set_up(command)).finish()
    }

    /// Starts a tool that goes on while the test does something else.
    pub fn spawn(&self, command_line: &str) -> Background {
        self.start(self.command(command_line))
    }

    fn start(&self, mut command: Command) -> Background {
        // Its own group, so that a signal can be sent to it with its children, as Ctrl-C does.
        Background { child: Some(command.process_group(0).spawn().unwrap()) }
    }

    fn command(&self, command_line: &str) -> Command {
        let words = words(command_line);
        let mut command = Command::new(TOOLS.join(&words[0]));
        command.args(&words[1..]);
        self.set_up(command)
    }

    fn set_up(&self, mut command: Command) -> Command {
        command
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", path_with(&TOOLS))
            .env("HOME", self.dir.path())
            .env("DATABASE_URL", &self.url)
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// The tools first: `rehearse` runs `migrate-apply`, and must get the fresh one.
fn path_with(tools: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(tools.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).unwrap()
}

/// A running tool. It is killed if the test ends without waiting for it.
pub struct Background {
    child: Option<Child>,
}

impl Background {
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child().try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// As `kill -9` does: nothing is cleaned up.
    #[must_use]
    pub fn kill(mut self) -> Outcome {
        self.child().kill().unwrap();
        self.finish()
    }

    /// Waits for its end.
    #[must_use]
    pub fn finish(mut self) -> Outcome {
        Outcome::new(self.child.take().unwrap().wait_with_output().unwrap())
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().unwrap()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
