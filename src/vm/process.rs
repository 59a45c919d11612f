//! A monitor as a child process: started, waited for, ended with us.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::{Handle, Signals};

use super::local::local;
use super::{Error, Origin};
use crate::base::{TOGETHER, command, shell_line};

/// A monitor that does not like its arguments ends within this time; and how often lkit looks meanwhile.
const REFUSAL: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(10);

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    program: PathBuf,
    origin: Origin,
    arguments: Vec<OsString>,
}

impl CommandLine {
    /// A program without arguments, and where it comes from.
    pub(super) fn new(program: PathBuf, origin: Origin) -> Self {
        Self { program, origin, arguments: Vec::new() }
    }

    pub(super) fn options<const N: usize>(&mut self, words: [&str; N]) {
        self.arguments.extend(words.into_iter().map(OsString::from));
    }

    pub(super) fn option(&mut self, name: &str, value: OsString) {
        self.arguments.extend([name.into(), value]);
    }

    /// An option whose value is a file of this machine.
    pub(super) fn path(&mut self, name: &str, path: &Path) {
        self.option(name, local(path).into());
    }
}

/// A program that serves a socket, such as virtiofsd, for as long as a machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The command, apart from the socket.
    pub(super) line: CommandLine,
    /// The socket.
    pub(super) socket: PathBuf,
}

impl Server {
    /// The command that serves a socket which listens already and is its standard input: a monitor that connects before
    /// the server is ready waits for it.
    pub(super) fn on_standard_input(&self) -> CommandLine {
        let mut line = self.line.clone();
        line.options(["--fd=0"]);
        line
    }

    /// The command that makes the socket itself.
    pub fn on_its_own(&self) -> CommandLine {
        let mut line = self.line.clone();
        line.path("--socket-path", &self.socket);
        line
    }

    /// Fails when the program is not there.
    ///
    /// # Errors
    /// `NotInstalled`.
    pub fn check_installed(&self) -> Result<(), Error> {
        self.line.check_installed()
    }
}

/// Where a program is: as it is named, or in a directory of the PATH.
pub fn find_program(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|program| program.is_file())
}

impl CommandLine {
    /// Fails when the program is not there, before anything is made for it.
    ///
    /// # Errors
    /// `NotInstalled`.
    pub fn check_installed(&self) -> Result<(), Error> {
        let missing = || Error::NotInstalled { program: self.program.clone(), origin: self.origin };
        find_program(&self.program).map(drop).ok_or_else(missing)
    }
}

impl fmt::Display for CommandLine {
    /// The command as a shell takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shell_line(
            [self.program.as_os_str()].into_iter().chain(self.arguments.iter().map(OsString::as_os_str)),
        ))
    }
}

/// Signals that end a machine. One that comes before the machine runs is kept, and ends it then.
pub struct EndSignals(Signals);

impl EndSignals {
    /// Catches signals from now on: before anything is made for a machine that would outlive us, such as a mount.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn catch() -> Result<Self, Error> {
        Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2]).map(Self).map_err(Error::Signals)
    }
}

/// Starts the monitor on this terminal, or with its output in `log`, and before it the servers of its shares. A signal
/// that would end us ends the monitor first, a second one kills it. When this process is killed itself, the kernel kills
/// all of them.
///
/// # Errors
/// When one cannot be started.
pub fn start(
    line: &CommandLine,
    servers: &[Server],
    log: Option<&File>,
    signals: EndSignals,
) -> Result<RunningMachine, Error> {
    let servers = servers.iter().map(serve).collect::<Result<_, _>>()?;
    let mut command = command(&line.program);
    if let Some(log) = log {
        let copy = || log.try_clone().map_err(|source| Error::Start { program: line.program.clone(), source });
        command.stdin(Stdio::null()).stdout(copy()?).stderr(copy()?);
    }
    let running = spawned(line, command)?;
    let watch = Watch::start(signals.0, Pid::from_child(&running.0));
    Ok(RunningMachine { program: line.program.clone(), running, watch, _servers: servers })
}

/// Starts a server of a share. Its socket listens when this returns, so a monitor can connect at once.
fn serve(server: &Server) -> Result<Running, Error> {
    let line = server.on_standard_input();
    let listener = UnixListener::bind(&server.socket);
    let listener = listener.map_err(|source| Error::Start { program: line.program.clone(), source })?;
    let mut command = command(&line.program);
    command.stdin(OwnedFd::from(listener));
    spawned(&line, command)
}

fn spawned(line: &CommandLine, mut command: Command) -> Result<Running, Error> {
    let program = line.program.clone();
    // This thread waits for the monitor, so it lives as long as the monitor does.
    die_with_this_thread(command.args(&line.arguments));
    command.spawn().map(Running).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::NotInstalled { program, origin: line.origin },
        _ => Error::Start { program, source },
    })
}

/// A machine that runs; it ends when this is dropped.
pub struct RunningMachine {
    program: PathBuf,
    running: Running,
    watch: Watch,
    /// They end by themselves with the machine, at the latest when they are dropped.
    _servers: Vec<Running>,
}

impl RunningMachine {
    /// Waits half a second, or until the monitor ends; whether it still runs.
    pub fn has_started(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < REFUSAL {
            if !matches!(self.running.0.try_wait(), Ok(None)) {
                return false;
            }
            thread::park_timeout(LOOK);
        }
        true
    }

    /// Waits until the guest ends.
    ///
    /// # Errors
    /// When the monitor ends with an error of its own, or was interrupted.
    pub fn wait(mut self) -> Result<(), Error> {
        let program = self.program;
        let status = match self.running.0.wait() {
            Ok(status) => status,
            Err(source) => return Err(Error::Start { program, source }),
        };
        match (self.watch.finish(), status.success()) {
            (true, _) => Err(Error::Interrupted),
            (false, true) => Ok(()),
            (false, false) => Err(Error::Ended { program, status }),
        }
    }
}

/// Has the kernel kill the child when the thread that starts it ends; PR_SET_PDEATHSIG(2const).
#[cfg(target_os = "linux")]
fn die_with_this_thread(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    let parent = rustix::process::getpid();
    let set = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // A parent that died before this sends nothing any more.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
    };
    // SAFETY: between fork and exec this makes two system calls, and neither allocates nor takes a lock.
    unsafe { command.pre_exec(set) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_this_thread(_: &mut Command) {}

/// Hands signals on to the monitor.
struct Watch {
    handle: Handle,
    thread: JoinHandle<bool>,
}

impl Watch {
    fn start(mut signals: Signals, monitor: Pid) -> Self {
        let handle = signals.handle();
        let thread = thread::spawn(move || {
            let mut first: Option<Instant> = None;
            for signal in signals.forever() {
                // Who closes a terminal sends SIGHUP twice, and does not mean to insist.
                let insists = signal != SIGHUP && first.is_some_and(|first| first.elapsed() > TOGETHER);
                // It may have ended by itself in this moment.
                let _ = kill_process(monitor, if insists { Signal::KILL } else { Signal::TERM });
                first.get_or_insert_with(Instant::now);
            }
            first.is_some()
        });
        Self { handle, thread }
    }

    /// Whether a signal came.
    fn finish(self) -> bool {
        self.handle.close();
        self.thread.join().unwrap_or(false)
    }
}

/// Ends the monitor when it is dropped early.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // It may have ended in this moment; nothing else can be done about it.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        let mut line = CommandLine::new("/bin/x".into(), Origin::Package("x"));
        line.options(["a b", "it's", "", "k=v,w"]);
        assert_eq!(line.to_string(), r"/bin/x 'a b' 'it'\''s' '' k=v,w");
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let line = CommandLine::new("/nowhere/qemu".into(), Origin::Package("qemu-system-x86"));
        let error = start(&line, &[], None, EndSignals::catch().unwrap()).err().unwrap();
        assert_eq!(error.to_string(), "`/nowhere/qemu` is not installed");
        let hint = crate::base::Fault::hint(&error).unwrap();
        assert_eq!(hint, "install it with `apt-get install qemu-system-x86`, or name another program");
    }
}
