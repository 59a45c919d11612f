//! A monitor as a child process: started, waited for, ended with us.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::{Handle, Signals};

use super::Error;
use super::local::local;
use crate::base::steers;

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    program: PathBuf,
    package: &'static str,
    arguments: Vec<OsString>,
}

impl CommandLine {
    /// A program without arguments, and the package it comes in.
    pub(super) fn new(program: PathBuf, package: &'static str) -> Self {
        Self { program, package, arguments: Vec::new() }
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
        let missing = || Error::NotInstalled { program: self.program.clone(), package: self.package };
        find_program(&self.program).map(drop).ok_or_else(missing)
    }
}

/// Words as a shell takes them for one command.
pub fn shell_line<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> String {
    words.into_iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for CommandLine {
    /// The command as a shell takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shell_line(
            [self.program.as_os_str()].into_iter().chain(self.arguments.iter().map(OsString::as_os_str)),
        ))
    }
}

/// A word for a POSIX shell; quoted only where it must be.
fn quoted(word: &OsStr) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./,:=+@%".contains(&b);
    match word.to_str() {
        Some(text) if !text.is_empty() && text.bytes().all(is_plain) => text.to_owned(),
        Some(text) if !text.contains(steers) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => dollar_quoted(word.as_bytes()),
    }
}

/// A word between `$'` and `'` (POSIX.1-2024, section 2.2.4), for bytes that a terminal does not show as they are.
fn dollar_quoted(word: &[u8]) -> String {
    let escaped = word.iter().map(|byte| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        // Of exactly three digits, so that no digit that follows is taken for one of them.
        _ => format!("\\{byte:03o}"),
    });
    format!("$'{}'", escaped.collect::<String>())
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

/// Runs the monitor on this terminal until its guest ends. A signal that would end us ends the monitor first, a second
/// one kills it. When this process is killed itself, the kernel kills the monitor.
///
/// # Errors
/// When it cannot be started, ends with an error of its own, or was interrupted.
pub fn run(line: &CommandLine, signals: EndSignals) -> Result<(), Error> {
    let program = || line.program.clone();
    let failed = |source| Error::Start { program: program(), source };
    let mut command = Command::new(&line.program);
    // This thread waits for the monitor, so it lives as long as the monitor does.
    die_with_this_thread(command.args(&line.arguments));
    let started = command.spawn();
    let child = started.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::NotInstalled { program: program(), package: line.package },
        _ => failed(source),
    })?;
    let mut running = Running(child);
    let watch = Watch::start(signals.0, Pid::from_child(&running.0));
    let status = running.0.wait().map_err(failed)?;
    match (watch.finish(), status.success()) {
        (true, _) => Err(Error::Interrupted),
        (false, true) => Ok(()),
        (false, false) => Err(Error::Ended { program: program(), status }),
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
        let thread = std::thread::spawn(move || {
            let mut came = false;
            for signal in signals.forever() {
                // Who closes a terminal sends SIGHUP twice, and does not mean to insist.
                let insists = came && signal != SIGHUP;
                // It may have ended by itself in this moment.
                let _ = kill_process(monitor, if insists { Signal::KILL } else { Signal::TERM });
                came = true;
            }
            came
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
        let mut line = CommandLine::new("/bin/x".into(), "x");
        line.options(["a b", "it's", "", "k=v,w"]);
        assert_eq!(line.to_string(), r"/bin/x 'a b' 'it'\''s' '' k=v,w");
    }

    #[test]
    fn words_that_steer_a_terminal_or_are_no_text_are_quoted_byte_by_byte() {
        let rows: [(&[u8], &str); 3] = [
            (b"a\x1b[2J7'\\\n", r"$'a\033[2J7\'\\\012'"),
            (b"x\xff,", r"$'x\377,'"),
            ("\u{202e}".as_bytes(), r"$'\342\200\256'"),
        ];
        for (word, shown) in rows {
            assert_eq!(quoted(OsStr::from_bytes(word)), shown);
        }
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let line = CommandLine::new("/nowhere/qemu".into(), "qemu-system-x86");
        let error = run(&line, EndSignals::catch().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "`/nowhere/qemu` is not installed");
        let hint = crate::base::Fault::hint(&error).unwrap();
        assert_eq!(hint, "install it with `apt-get install qemu-system-x86`, or name another program");
    }
}
