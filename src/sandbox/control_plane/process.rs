//! A process that cannot outlive us.
//!
//! A shell in a process group of its own stands between us and the process. It reads orders from a
//! pipe that we keep open: the end of the pipe means that we are gone, by whatever cause, and then
//! it kills the process and removes the folder. Its own process group keeps a ctrl-C meant for us
//! from reaching either of them.

use std::{
    ffi::OsString,
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// `$1`: the log. `$2`: what to remove when we are gone. The rest: the program.
///
/// An order is the name of a signal, and is answered by a line once the signal is sent. The reader of
/// orders ignores TERM once the pipe has ended, so that its exit status tells the shell which of the
/// two, process or pipe, ended first; and it ignores PIPE, since its answer may find nobody.
const GUARD: &str = r#"
log=$1 orphaned=$2
shift 2
exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- &
process=$!
echo "$process"
{
    trap '' PIPE
    while read -r signal <&3; do
        kill -s "$signal" "$process"
        echo sent
    done
    trap '' TERM
    kill -s KILL "$process"
    exit 3
} &
orders=$!
exec 3<&- >/dev/null
wait "$process"
kill "$orders"
wait "$orders"
if [ $? -eq 3 ] && [ -n "$orphaned" ]; then rm -rf "$orphaned"; fi
"#;

/// What to run, and where it writes.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Program {
    pub(in crate::sandbox) binary: PathBuf,
    pub(in crate::sandbox) arguments: Vec<String>,
    /// Beside `PATH`, which is the only variable that is handed on.
    pub(in crate::sandbox) environment: Vec<(String, OsString)>,
    pub(in crate::sandbox) log: PathBuf,
}

/// A running program; dropping it ends it.
#[derive(Debug)]
pub(in crate::sandbox) struct Process {
    program: Program,
    guard: Child,
    orders: Option<ChildStdin>,
    answers: Option<BufReader<ChildStdout>>,
    pid: u32,
}

/// An order in the words of `kill`.
#[derive(Debug, Clone, Copy)]
pub(in crate::sandbox) enum Signal {
    Stop,
    Continue,
    Terminate,
    Kill,
}

impl Process {
    /// Starts `program`; if we are killed, `orphaned` is removed as well.
    pub(in crate::sandbox) fn start(program: Program, orphaned: Option<&Path>) -> io::Result<Self> {
        let path = std::env::var_os("PATH").map(|path| (OsString::from("PATH"), path));
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&program.log)
            .arg(orphaned.unwrap_or(Path::new("")))
            .arg(&program.binary)
            .args(&program.arguments)
            .env_clear()
            .envs(path)
            .envs(program.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let orders = guard.stdin.take();
        let answers = guard.stdout.take().map(BufReader::new);
        let mut process = Self {
            program,
            guard,
            orders,
            answers,
            pid: 0,
        };
        process.pid = process.answer()?.parse().map_err(io::Error::other)?;
        Ok(process)
    }

    pub(in crate::sandbox) fn program(&self) -> &Program {
        &self.program
    }

    pub(in crate::sandbox) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the process has ended by itself.
    pub(in crate::sandbox) fn has_ended(&mut self) -> bool {
        !matches!(self.guard.try_wait(), Ok(None))
    }

    /// Returns once the signal is sent.
    pub(in crate::sandbox) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        let Some(orders) = &mut self.orders else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        orders.write_all(match signal {
            Signal::Stop => b"STOP\n",
            Signal::Continue => b"CONT\n",
            Signal::Terminate => b"TERM\n",
            Signal::Kill => b"KILL\n",
        })?;
        self.answer().map(drop)
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if let Some(answers) = &mut self.answers {
            answers.read_line(&mut line)?;
        }
        match line.strip_suffix('\n') {
            Some(answer) => Ok(answer.to_owned()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Whether a stop has reached every thread: until then, one may still answer a request. Where
    /// there is no `/proc`, the signal alone has to do.
    pub(in crate::sandbox) fn is_paused(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.pid)) else {
            return true;
        };
        threads.flatten().all(|thread| {
            let status = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The name before the state may itself contain parentheses.
            status
                .rsplit_once(") ")
                .is_none_or(|(_, state)| state.starts_with('T'))
        })
    }

    /// Ends the process, even a paused one, and waits until it is gone.
    pub(in crate::sandbox) fn end(&mut self) {
        // An error means that it is gone already. The pipe is closed after the guard is gone:
        // closed before, it would tell the guard that we are gone.
        _ = self.signal(Signal::Kill);
        _ = self.guard.wait();
        self.orders = None;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &Path) -> Program {
        Program {
            binary: "sleep".into(),
            arguments: vec!["600".to_owned()],
            environment: Vec::new(),
            log: folder.join("log"),
        }
    }

    fn is_alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn dropping_ends_the_process_and_leaves_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(sleeper(folder.path()), Some(folder.path())).unwrap();
        let pid = process.pid();
        assert!(is_alive(pid));
        drop(process);
        assert!(!is_alive(pid));
        assert!(folder.path().exists());
    }

    #[test]
    fn a_paused_process_can_be_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(sleeper(folder.path()), None).unwrap();
        assert!(!process.is_paused());
        process.signal(Signal::Stop).unwrap();
        let pid = process.pid();
        process.end();
        assert!(!is_alive(pid));
        assert!(process.signal(Signal::Continue).is_err());
    }

    #[test]
    fn the_end_of_the_pipe_ends_the_process_and_removes_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(sleeper(folder.path()), Some(folder.path())).unwrap();
        let pid = process.pid();
        process.orders = None;
        process.guard.wait().unwrap();
        assert!(!is_alive(pid));
        assert!(!folder.path().exists());
    }

    #[test]
    fn a_process_that_ends_by_itself_is_noticed_and_its_log_stays() {
        let folder = tempfile::tempdir().unwrap();
        let program = Program {
            binary: "/nowhere".into(),
            ..sleeper(folder.path())
        };
        let mut process = Process::start(program, Some(folder.path())).unwrap();
        assert!(process.guard.wait().is_ok());
        assert!(process.has_ended());
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert!(log.contains("/nowhere"), "{log}");
    }
}
