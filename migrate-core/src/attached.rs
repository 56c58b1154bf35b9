//! A command of the user that has our stdin, stdout and stderr, and runs until it wants to end.

use std::{
    fs::File,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    process::{
        Pid, Signal, WaitId, WaitIdOptions, getpgrp, kill_process, kill_process_group,
        test_kill_process_group, waitid,
    },
    termios::tcgetpgrp,
};

use crate::{
    error::{Error, Result},
    interrupt,
};

/// How often to look whether a group that was told to end is gone.
const LOOK: Duration = Duration::from_millis(20);

/// Which processes a signal for the command goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// A group of its own: all that it has started.
    Group,
    /// Our group, at a terminal: Ctrl-C and Ctrl-Z reach both of us without our help, and the
    /// command may read what is typed. Others of the group, as in a pipe, are none of ours.
    Terminal,
    /// Our group, which whoever started us signals as a whole.
    Ours,
}

/// Who else would end the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Above {
    Nobody,
    /// Another `migrate-lock run` does so, by the process group.
    Run,
}

/// The running command.
pub struct Attached {
    child: Child,
    pid: Pid,
    reach: Reach,
    ended: Receiver<()>,
}

impl Attached {
    /// Starts the command; from now on signals are for it.
    pub fn start(command: &mut Command, above: Above) -> Result<Attached> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |source| Error::Start { program: program.clone(), source };
        command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        let reach = match above {
            Above::Run => Reach::Ours,
            Above::Nobody if in_front_of_a_terminal() => Reach::Terminal,
            Above::Nobody => Reach::Group,
        };
        if reach == Reach::Group {
            command.process_group(0);
        }
        let child = command.spawn().map_err(failed)?;
        let pid = Pid::from_child(&child);
        interrupt::hand_on(Some(Box::new(move |signal| hand_on(signal, pid, reach))));
        let (end, ended) = mpsc::channel();
        // Only looks, so that the pid stays the command's own until signals end to be handed on.
        thread::Builder::new()
            .name("command".into())
            .spawn(move || {
                let looked = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                while waitid(WaitId::Pid(pid), looked).err() == Some(rustix::io::Errno::INTR) {}
                let _ = end.send(());
            })
            .map_err(failed)?;
        Ok(Attached { child, pid, reach, ended })
    }

    /// Waits for the command's end, at most for `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<u8> {
        match self.ended.recv_timeout(limit) {
            Err(RecvTimeoutError::Timeout) => None,
            _ => Some(self.reap()),
        }
    }

    /// Ends the command and all of its group: asks first, and kills what is left after `grace`.
    pub fn end(mut self, grace: Duration) -> u8 {
        let deadline = Instant::now() + grace;
        send(Signal::TERM, self.pid, self.reach);
        let ended = self.wait(grace);
        if ended.is_some() && self.reach == Reach::Group {
            while test_kill_process_group(self.pid).is_ok() && Instant::now() < deadline {
                thread::sleep(LOOK);
            }
        }
        match (ended, self.reach) {
            (Some(code), Reach::Group) => {
                let _ = kill_process_group(self.pid, Signal::KILL);
                code
            }
            (Some(code), _) => code,
            (None, _) => {
                send(Signal::KILL, self.pid, self.reach);
                self.reap()
            }
        }
    }

    fn reap(&mut self) -> u8 {
        interrupt::hand_on(None);
        // It has ended, or was killed: this does not wait for long.
        self.child.wait().map_or(u8::MAX, code)
    }
}

/// The code that a shell would show.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|it| 128 + it));
    code.and_then(|it| u8::try_from(it).ok()).unwrap_or(u8::MAX)
}

fn hand_on(signal: i32, pid: Pid, reach: Reach) {
    let Some(signal) = Signal::from_named_raw(signal) else { return };
    match reach {
        Reach::Group => send(signal, pid, reach),
        // The others come from the terminal, which sends them to the whole group.
        Reach::Terminal if signal == Signal::TERM => send(signal, pid, reach),
        Reach::Terminal | Reach::Ours => (),
    }
}

fn send(signal: Signal, pid: Pid, reach: Reach) {
    let sent = match reach {
        Reach::Group => kill_process_group(pid, signal),
        Reach::Terminal | Reach::Ours => kill_process(pid, signal),
    };
    if let Err(err) = sent {
        log::debug!("signal {} was not sent to process {pid}: {err}", signal.as_raw());
    }
}

/// Whether what is typed at a terminal is for us.
fn in_front_of_a_terminal() -> bool {
    File::open("/dev/tty").ok().and_then(|it| tcgetpgrp(it).ok()) == Some(getpgrp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_by_a_signal_has_the_code_that_a_shell_shows() {
        assert_eq!(code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
    }
}
