//! What `postmaster.pid` says, and whether it is still true.

use std::{
    fs,
    io::ErrorKind,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::account::Account;
use crate::{
    error::{Error, Result},
    process,
};

/// No process can have this number, on no system.
const NOBODYS_PID: &str = "2147483647";
const ORPHANS_LIMIT: Duration = Duration::from_secs(10);

/// The running server of a data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Postmaster {
    pub(super) pid: Pid,
    /// Takes connections; otherwise it is starting or stopping.
    pub(super) ready: bool,
}

impl Postmaster {
    pub(super) fn of(data: &Path) -> Option<Postmaster> {
        let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        parse(&text).filter(|it| is_alive(it.pid) && works_in(it.pid, data) != Some(false))
    }

    pub(super) fn signal(self, signal: Signal) {
        // It may be gone already, which is what every signal of ours is for.
        let _ = kill_process(self.pid, signal);
    }
}

/// Also true for a process of another user; false for one that only waits to be reaped.
pub(super) fn is_alive(pid: Pid) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|it| !it.trim_start().starts_with('Z')),
        Err(_) if Path::new("/proc/self/stat").exists() => false,
        Err(_) => test_kill_process(pid) != Err(rustix::io::Errno::SRCH),
    }
}

/// Makes a data folder startable whose server died by `kill -9` or with the machine.
///
/// PostgreSQL itself refuses to start while the recorded process seems to live. After a reboot
/// that number may belong to anyone, and in a container whose first process reaps nobody the
/// dead server stays in the process table. The file is kept, as PostgreSQL finds the shared
/// memory of remaining backends by it; only the number is replaced.
pub(super) fn clear_remains(data: &Path, socket_lock: &Path, account: &Account) -> Result<()> {
    kill_orphans(data);
    if data.join("postmaster.pid").exists() {
        // As the account, so that a link put there can't make root write elsewhere.
        let script = format!(
            "sed '1s/.*/{NOBODYS_PID}/' postmaster.pid >pid.new && mv pid.new postmaster.pid"
        );
        process::run(account.command(Path::new("/bin/sh"), data).args(["-c", &script]))?;
    }
    match fs::remove_file(socket_lock) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(Error::WriteFile { path: socket_lock.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Backends outlive their killed postmaster until their statement ends, and as long as one
/// does no new server can start.
pub(super) fn kill_orphans(data: &Path) {
    let deadline = Instant::now() + ORPHANS_LIMIT;
    loop {
        let orphans = processes_in(data);
        if orphans.is_empty() || Instant::now() > deadline {
            return;
        }
        for pid in orphans {
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// PostgreSQL's processes of that data folder: all of them work in it.
fn processes_in(data: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|it| Pid::from_raw(it.file_name().to_str()?.parse().ok()?))
        .filter(|pid| works_in(*pid, data) == Some(true) && is_postgres(*pid))
        .collect()
}

/// None where the system does not tell.
fn works_in(pid: Pid, data: &Path) -> Option<bool> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok().map(|it| it == data)
}

fn is_postgres(pid: Pid) -> bool {
    fs::read_link(format!("/proc/{pid}/exe"))
        .is_ok_and(|it| it.to_string_lossy().contains("/postgres"))
}

/// Line 1 is the process, line 8 the state.
fn parse(text: &str) -> Option<Postmaster> {
    let mut lines = text.lines();
    let pid = Pid::from_raw(lines.next()?.trim().parse().ok().filter(|it| *it > 0)?)?;
    let ready = lines.nth(6).is_some_and(|it| it.trim() == "ready");
    Some(Postmaster { pid, ready })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::lchown;

    use super::*;

    const READY: &str = "4711\n/pg/data\n1763810000\n5432\n/pg/run\n\n  1 2\nready   \n";

    #[test]
    fn the_state_is_read() {
        let pid = Pid::from_raw(4711).unwrap();
        assert_eq!(parse(READY), Some(Postmaster { pid, ready: true }));
        let starting = READY.replace("ready", "starting");
        assert_eq!(parse(&starting), Some(Postmaster { pid, ready: false }));
        assert_eq!(parse("4711\n"), Some(Postmaster { pid, ready: false }));
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_number_that_now_belongs_to_another_process_is_not_the_server() {
        let data = tempfile::tempdir().unwrap();
        let account = Account::for_folder(Path::new("/")).unwrap();
        lchown(data.path(), Some(account.uid), Some(account.gid)).unwrap();
        let text = READY.replace("4711", &std::process::id().to_string());
        fs::write(data.path().join("postmaster.pid"), &text).unwrap();
        assert_eq!(Postmaster::of(data.path()), None);

        clear_remains(data.path(), &data.path().join("lock"), &account).unwrap();
        let cleared = fs::read_to_string(data.path().join("postmaster.pid")).unwrap();
        assert_eq!(cleared, READY.replace("4711", NOBODYS_PID));
    }

    #[test]
    fn a_dead_process_that_was_not_reaped_is_not_alive() {
        let mut child = crate::process::command("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_alive(pid) {
            assert!(Instant::now() < deadline, "still alive");
            thread::sleep(Duration::from_millis(1));
        }
        child.wait().unwrap();
    }
}
