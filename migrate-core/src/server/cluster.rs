//! The server itself: making its data, starting it, stopping it. The caller holds the lock.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use super::{
    folder::Folder,
    postmaster::{Postmaster, clear_remains, is_alive, kill_orphans},
    programs::{self, Programs, Required},
};
use crate::{
    error::{Error, Result},
    process,
};

/// The recovery after a crash can take long; a normal start is done in 100 ms.
const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);
const QUOTED_LOG_LINES: usize = 10;

/// The shortest question of PostgreSQL's protocol; the answer is one byte, and is not logged.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

const SETTINGS: [&str; 6] = [
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    "logging_collector=off",
    "log_checkpoints=off",
    "max_connections=100",
];

/// Goes on when the caller ends, in a process group that the terminal's Ctrl-C does not reach.
/// It is no child of ours, because a dead child would look alive until we ended.
const LAUNCH: &str = r#"umask 077; log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!"#;

/// Apple's systems have no C.UTF-8.
const LOCALE: &str = if cfg!(target_os = "macos") { "C" } else { "C.UTF-8" };

/// What its data is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Keep,
    /// Nothing waits for the disk.
    ThrowAway {
        major: u32,
    },
}

impl Purpose {
    /// In a copy, `postgres` may be a role like any other.
    pub(super) fn superuser(self) -> &'static str {
        match self {
            Purpose::Keep => "postgres",
            Purpose::ThrowAway { .. } => "migrate_scratch",
        }
    }
}

#[derive(Debug)]
pub(super) struct Cluster {
    folder: Folder,
    pub(super) purpose: Purpose,
    pub(super) socket_folder: PathBuf,
}

impl Cluster {
    pub(super) fn new(folder: Folder, purpose: Purpose) -> Cluster {
        Cluster { socket_folder: folder.socket_folder(), folder, purpose }
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Returns once the server takes connections, whatever state it was left in.
    pub(super) fn start(&self) -> Result<()> {
        self.folder.account.private_folder(&self.socket_folder)?;
        let old_log_bytes = fs::metadata(self.log()).map_or(0, |it| it.len());
        let deadline = Instant::now() + START_LIMIT;
        let mut launched = None;
        while Instant::now() < deadline {
            match Postmaster::of(&self.data()) {
                Some(it) if it.ready && self.answers() => return Ok(()),
                // Starting; or stopping, when the last user was killed while it waited for that.
                Some(_) => {}
                None => match launched {
                    None => launched = Some(self.launch()?),
                    Some(pid) if is_alive(pid) => {}
                    Some(_) => return Err(self.start_failed("did not start", old_log_bytes)),
                },
            }
            thread::sleep(PAUSE);
        }
        Err(self.start_failed("takes no connections", old_log_bytes))
    }

    /// Rolls back what is still connected, and waits for the end.
    pub(super) fn stop(&self) -> Result<()> {
        // First fast, then without a checkpoint: the next start recovers.
        for signal in [Signal::INT, Signal::QUIT] {
            let Some(server) = Postmaster::of(&self.data()) else { break };
            server.signal(signal);
            let deadline = Instant::now() + STOP_LIMIT;
            while is_alive(server.pid) && Instant::now() < deadline {
                thread::sleep(PAUSE);
            }
        }
        match Postmaster::of(&self.data()) {
            None => {
                kill_orphans(&self.data());
                Ok(())
            }
            Some(server) => Err(self.error(&format!("process {} does not stop", server.pid), None)),
        }
    }

    /// A server that is just dying still has its record, and even its socket.
    fn answers(&self) -> bool {
        let ask = || -> io::Result<()> {
            let mut socket = UnixStream::connect(self.socket_folder.join(".s.PGSQL.5432"))?;
            socket.set_read_timeout(Some(ANSWER_LIMIT))?;
            socket.write_all(&SSL_REQUEST)?;
            socket.read_exact(&mut [0])
        };
        ask().is_ok()
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn launch(&self) -> Result<Pid> {
        let programs = self.prepare_data()?;
        let socket_lock = self.socket_folder.join(".s.PGSQL.5432.lock");
        clear_remains(&self.data(), &socket_lock, &self.folder.account)?;

        let mut launch = self.command(Path::new("/bin/sh"));
        launch.args(["-c", LAUNCH, "sh"]).arg(self.log());
        launch.arg(programs.path("postgres")).arg("-D").arg(self.data());
        launch.arg("-k").arg(&self.socket_folder);
        launch.args(SETTINGS.iter().flat_map(|it| ["-c", it]));
        if self.purpose != Purpose::Keep {
            launch.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
            // A statement of a dry run may lock all tables at once.
            launch.args(["-c", "max_locks_per_transaction=1024"]);
        }
        let output = process::run(process::in_own_group(&mut launch))?;
        let pid = String::from_utf8_lossy(&output.stdout).trim().parse().ok();
        pid.and_then(Pid::from_raw).ok_or_else(|| self.error("the server did not start", None))
    }

    /// Data that is there decides which version's programs to run.
    fn prepare_data(&self) -> Result<Programs> {
        if fs::symlink_metadata(self.data()).is_err() {
            let major = match self.purpose {
                Purpose::Keep => None,
                Purpose::ThrowAway { major } => Some(major),
            };
            let programs = self.programs(major)?;
            self.make_data(&programs)?;
            return Ok(programs);
        }
        self.folder.account.check_own_folder(&self.data())?;
        let path = self.data().join("PG_VERSION");
        let major = fs::read_to_string(&path)
            .map_err(|source| Error::ReadFile { path: path.clone(), source })?;
        self.programs(major.trim().split('.').next().and_then(|it| it.parse().ok()))
    }

    fn programs(&self, major: Option<u32>) -> Result<Programs> {
        let programs = programs::find(Required::Server, major).map_err(|err| {
            let others = programs::installed(Required::Server);
            match (major, others.first()) {
                (Some(major), Some(other)) => self.error(
                    &format!(
                        "the data was written by PostgreSQL {major}, and PostgreSQL {} is \
                         installed",
                        other.version
                    ),
                    err.hint(),
                ),
                _ => err,
            }
        })?;
        self.folder.account.check_reach(&programs.path("postgres"))?;
        Ok(programs)
    }

    /// Made elsewhere and renamed, so that what a killed run left is never taken for data. A
    /// new name each time, because a killed run's initdb may still be writing.
    fn make_data(&self, programs: &Programs) -> Result<()> {
        self.remove_half_made();
        let new = self.folder.join(&format!("data.new-{:08x}", fastrand::u32(..)));
        let mut initdb = self.command(&programs.path("initdb"));
        initdb.args(["--auth=trust", "--encoding=UTF8"]);
        initdb.arg(format!("--username={}", self.purpose.superuser()));
        initdb.arg(format!("--locale={LOCALE}")).arg("--no-instructions").arg("-D").arg(&new);
        if self.purpose != Purpose::Keep {
            initdb.arg("--no-sync");
        }
        process::run(process::in_own_group(&mut initdb)).map_err(|err| match err {
            Error::Program { stderr, .. } => {
                self.error(&format!("cannot make a database: {stderr}"), disk_hint(&stderr))
            }
            other => other,
        })?;
        let write_error = |source| Error::WriteFile { path: self.data(), source };
        fs::rename(&new, self.data()).map_err(write_error)?;
        fs::File::open(&self.folder.path).and_then(|it| it.sync_all()).map_err(write_error)
    }

    fn remove_half_made(&self) {
        let Ok(entries) = fs::read_dir(&self.folder.path) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with("data.new-") {
                // If it can't be removed now, the next start tries again.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn command(&self, program: &Path) -> Command {
        self.folder.account.command(program, &self.folder.path)
    }

    fn start_failed(&self, what: &str, old_log_bytes: u64) -> Error {
        let log = fs::read(self.log()).unwrap_or_default();
        let new = log.get(usize::try_from(old_log_bytes).unwrap_or(0)..).unwrap_or(&log);
        let text = process::last_lines(&String::from_utf8_lossy(new), QUOTED_LOG_LINES);
        let hint = disk_hint(&text).unwrap_or(format!("see {}", self.log().display()));
        self.error(&format!("the server {what}: {text}"), Some(hint))
    }

    fn error(&self, message: &str, hint: Option<String>) -> Error {
        Error::Embedded { message: format!("{}: {message}", self.folder.path.display()), hint }
    }
}

fn disk_hint(text: &str) -> Option<String> {
    let full = ["No space left on device", "Disk quota exceeded"];
    full.iter().any(|it| text.contains(it)).then(|| "free space on that disk".to_owned())
}
