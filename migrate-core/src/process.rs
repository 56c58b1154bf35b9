//! The only place that starts programs.

use std::{
    ffi::OsStr,
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    error::{Error, Result},
    interrupt,
};

/// More than this of a program's stderr is of no use in a message.
const KEPT_STDERR_BYTES: usize = 16 * 1024;
const QUOTED_LINES: usize = 10;
/// How often a signal is looked for while a program works.
const LOOK: Duration = Duration::from_millis(50);

/// A program to be described further, then given to [`run`] or [`spawn`].
#[expect(clippy::disallowed_methods, reason = "the one place that may")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a program that ended well has written.
#[derive(Debug)]
pub struct Output {
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// Runs to the end. A program that does not end with 0 is an error that quotes its stderr.
pub fn run(command: &mut Command) -> Result<Output> {
    spawn(command)?.finish()
}

/// Runs to the end, however that is: the status is for the caller to judge. A signal that ends us
/// is handed on, and the program cleans up first.
pub fn run_to_end(command: &mut Command) -> Result<(ExitStatus, Output)> {
    let mut running = spawn(command)?;
    let pid = rustix::process::Pid::from_child(&running.child);
    let (done, watched) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = watched.recv_timeout(LOOK) {
                if interrupt::received().is_some() {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                    break;
                }
            }
        });
        let ended = running.wait();
        drop(done);
        ended.map_err(|source| running.cannot_run(source))
    })
}

/// As [`run`], with a text to read on stdin.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Result<Output> {
    let mut running = spawn(command.stdin(Stdio::piped()))?;
    let stdin = running.stdin();
    thread::scope(|scope| {
        // Beside the reading, because both pipes can be full at the same time. A program that
        // does not want all of its input says so by its exit status.
        scope.spawn(move || stdin.map(|mut it| it.write_all(input)));
        running.finish()
    })
}

/// Starts a program whose stdin and stdout the caller may take over.
pub fn spawn(command: &mut Command) -> Result<Running> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child =
        command.spawn().map_err(|source| Error::Start { program: name.clone(), source })?;
    let stderr = child.stderr.take().map(|it| thread::spawn(move || read_end(it)));
    Ok(Running { name, child, stderr })
}

/// Keeps the terminal's Ctrl-C away: who started the program decides when it ends.
pub fn in_own_group(command: &mut Command) -> &mut Command {
    command.process_group(0)
}

/// A started program. It is killed when this is dropped before [`Running::finish`].
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The program's stdin, if it was set to `Stdio::piped()` and not taken before.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The program's stdout, if it was not set to anything else and not taken before.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Reads what is left of stdout and waits for the end.
    pub fn finish(mut self) -> Result<Output> {
        let (status, output) = self.wait().map_err(|source| self.cannot_run(source))?;
        if status.success() {
            return Ok(output);
        }
        let stderr = last_lines(&output.stderr, QUOTED_LINES);
        Err(Error::Program { program: self.name.clone(), status: status.to_string(), stderr })
    }

    fn wait(&mut self) -> io::Result<(ExitStatus, Output)> {
        drop(self.stdin());
        let mut stdout = Vec::new();
        if let Some(mut pipe) = self.stdout() {
            pipe.read_to_end(&mut stdout)?;
        }
        let status = self.child.wait()?;
        let stderr = self.stderr.take().and_then(|it| it.join().ok()).unwrap_or_default();
        Ok((status, Output { stdout, stderr }))
    }

    fn cannot_run(&self, source: io::Error) -> Error {
        Error::Start { program: self.name.clone(), source }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both do nothing for a program that was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a text, for a message about what went wrong.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Reads to the end so that the program never blocks, and keeps the last part.
fn read_end(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stderr.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => kept.extend_from_slice(&buffer[..count]),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        let surplus = kept.len().saturating_sub(KEPT_STDERR_BYTES);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = command("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failure_quotes_the_last_lines_of_stderr() {
        let err = run(&mut shell("seq 1 100000 >&2; echo disk full >&2; exit 3")).unwrap_err();
        let message = err.to_string();
        assert!(message.starts_with("`sh` failed with exit status: 3: 99992\n"), "{message}");
        assert!(message.ends_with("100000\ndisk full"), "{message}");
    }

    #[test]
    fn input_and_output_larger_than_a_pipe_pass_through() {
        let input = vec![b'x'; 1 << 20];
        assert_eq!(run_with_input(&mut command("cat"), &input).unwrap().stdout, input);
    }

    #[test]
    fn a_program_that_ignores_its_input_is_no_error() {
        let input = vec![b'x'; 1 << 20];
        assert_eq!(run_with_input(&mut shell("echo ok"), &input).unwrap().stdout, b"ok\n");
    }

    #[test]
    fn a_missing_program_is_named() {
        let err = run(&mut command("no-such-program")).unwrap_err();
        assert_eq!(err.to_string(), "cannot run `no-such-program`");
    }

    #[test]
    fn a_dropped_program_is_killed() {
        let running = spawn(command("sleep").arg("60")).unwrap();
        let pid = running.id();
        drop(running);
        assert!(run(&mut shell(&format!("kill -0 {pid}"))).is_err());
    }
}
