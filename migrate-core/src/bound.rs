//! A program that works for us for long: it ends when we do, and what it says is read as it comes.

use std::{
    env,
    ffi::OsString,
    io::{self, BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process, kill_process_group, set_parent_process_death_signal,
};

use crate::{
    error::{Error, Result},
    process,
};

/// The first argument of a tool that is to become another program.
const BECOME: &str = "--become-bound";
/// How often to look whether the program has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How long a program that was told to end may take.
const GRACE: Duration = Duration::from_secs(5);
/// A line longer than this is cut: it is read by people.
const LONGEST_LINE: usize = 8 * 1024;

/// A started program; it is ended when this is dropped.
#[derive(Debug)]
pub struct Bound {
    name: String,
    child: Child,
    lines: Receiver<String>,
    ended: Option<ExitStatus>,
}

impl Bound {
    /// Starts `command` in a process group of its own, so that Ctrl-C is for us alone.
    ///
    /// Must be called by a thread that lives as long as the program shall: the system ends it with
    /// the thread that started it. To ask the system for that, a program has to say so itself
    /// before it becomes the one that is wanted: this one's own executable does.
    pub fn start(command: &Command) -> Result<Bound> {
        let name = command.get_program().to_string_lossy().into_owned();
        let failed = |source| Error::Start { program: name.clone(), source };
        let mut bound = process::command(env::current_exe().map_err(failed)?);
        bound.args([BECOME, &getpid().as_raw_nonzero().to_string()]);
        bound.arg(command.get_program()).args(command.get_args());
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => bound.env(variable, value),
                None => bound.env_remove(variable),
            };
        }
        // What it says is ours to read, whatever the user's language is.
        bound.env("LC_ALL", "C").env_remove("LANGUAGE");
        bound.stdout(Stdio::null()).process_group(0);
        let mut child = bound.spawn().map_err(failed)?;
        let stderr = child.stderr.take().expect("it is piped");
        let (said, lines) = mpsc::channel();
        thread::Builder::new()
            .name("stderr".into())
            .spawn(move || {
                let mut stderr = BufReader::new(stderr);
                while let Ok(Some(line)) = read_line(&mut stderr) {
                    if said.send(line).is_err() {
                        break;
                    }
                }
            })
            .map_err(failed)?;
        Ok(Bound { name, child, lines, ended: None })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end, at most for `limit`; hands each line of stderr over meanwhile.
    pub fn wait(
        &mut self,
        limit: Duration,
        take: &mut dyn FnMut(String),
    ) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        while self.ended.is_none() {
            self.ended = self
                .child
                .try_wait()
                .map_err(|source| Error::Start { program: self.name.clone(), source })?;
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left.min(LOOK)) {
                Ok(line) => take(line),
                Err(RecvTimeoutError::Timeout) => (),
                // It has closed its stderr, and is about to end.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(left.min(LOOK)),
            }
            if left.is_zero() {
                break;
            }
        }
        if self.ended.is_some() {
            // Its own children may keep stderr open for a moment longer.
            while let Ok(line) = self.lines.recv_timeout(LOOK) {
                take(line);
            }
        }
        Ok(self.ended)
    }

    /// Asks it to end, which pg_dump and pg_restore hand on to their workers and to the server;
    /// kills what is left of it.
    pub fn end(&mut self) {
        if self.ended.is_some() {
            return;
        }
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::TERM);
        let ended = self.wait(GRACE, &mut drop);
        let _ = kill_process_group(pid, Signal::KILL);
        if !matches!(ended, Ok(Some(_))) {
            self.ended = self.child.wait().ok();
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.end();
    }
}

/// The next line, cut where it is too long; none at the end.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let buffer = match input.fill_buf() {
            Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if buffer.is_empty() {
            let text = String::from_utf8_lossy(&line).into_owned();
            return Ok((!line.is_empty()).then_some(text));
        }
        let end = buffer.iter().position(|&it| it == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        line.extend_from_slice(&part[..part.len().min(LONGEST_LINE.saturating_sub(line.len()))]);
        let used = end.map_or(buffer.len(), |it| it + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
        }
    }
}

/// Becomes the program that [`Bound::start`] wanted, if this process was started for that; returns
/// only where that is impossible.
pub(crate) fn become_what_was_wanted() -> Option<io::Error> {
    let mut args = env::args_os().skip(1);
    if args.next()? != BECOME {
        return None;
    }
    become_program(args).err()
}

fn become_program(mut args: impl Iterator<Item = OsString>) -> io::Result<()> {
    let wrong = || io::Error::other("this is no command of a user");
    let parent = args.next().and_then(|it| it.to_str()?.parse().ok()).ok_or_else(wrong)?;
    let program = args.next().ok_or_else(wrong)?;
    // TERM, not KILL: it ends its workers, and cancels what they do on the server.
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // Whoever wanted it may have died before the line above.
    if getppid().map(|it| it.as_raw_nonzero().get()) != Some(parent) {
        return Err(io::Error::other("whoever started this has ended"));
    }
    let mut command = process::command(program);
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    Err(command.args(args).exec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_and_long_ones_cut() {
        let text = format!("a\n\n{}\nlast", "x".repeat(100_000));
        let mut input = BufReader::with_capacity(100, text.as_bytes());
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut input).unwrap() {
            lines.push(line);
        }
        let long = "x".repeat(LONGEST_LINE);
        assert_eq!(lines, ["a", "", &long, "last"]);
    }
}
