//! A script as a process group of its own: its output in a log, its time limited, nothing of it left behind.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::header::Labels;
use crate::base::command;
use crate::cli::report::Failure;

/// How long a script that has to end may clean up.
const GRACE: Duration = Duration::from_secs(5);
/// What a script ends with that cancels its test.
const CANCELLED: i32 = 253;

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With 0.
    Passed,
    /// With [`CANCELLED`].
    Cancelled,
    /// With another code, or by a signal.
    Failed(Option<i32>),
    /// It took longer than the limit.
    TimedOut,
    /// A signal to lkit ended it.
    Interrupted,
}

/// What scripts find in their environment, and how they are run.
#[derive(Debug)]
pub struct Surroundings {
    /// The folder of all tests.
    pub project: PathBuf,
    /// The folder of logs.
    pub results: PathBuf,
    pub labels: Labels,
    /// Whether the shell prints every command.
    pub traces: bool,
    /// How long a script may take; by default as long as it likes.
    pub limit: Option<Duration>,
}

/// What happens while a script runs.
enum Event {
    Ended,
    Signal,
}

/// Runs scripts, one after the other.
pub struct Runner {
    surroundings: Surroundings,
    happens: Sender<Event>,
    happened: Receiver<Event>,
}

impl Runner {
    /// Catches signals from now on.
    ///
    /// # Errors
    /// When the system refuses that, or the folder of logs cannot be made.
    pub fn new(mut surroundings: Surroundings) -> Result<Self, Failure> {
        let cannot = |error| Failure::io(format!("cannot make `{}`", surroundings.results.display()), &error);
        fs::create_dir_all(&surroundings.results).map_err(cannot)?;
        // Scripts have other working directories.
        let results = fs::canonicalize(&surroundings.results).map_err(cannot)?;
        surroundings.results = results;
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]);
        let mut signals = signals.map_err(|error| Failure::io("cannot catch signals", &error))?;
        let (happens, happened) = channel();
        let told = happens.clone();
        std::thread::spawn(move || {
            // Nobody is left to tell when the runner has gone.
            signals.forever().take_while(|_| told.send(Event::Signal).is_ok()).for_each(drop);
        });
        Ok(Self { surroundings, happens, happened })
    }

    /// The log of what has this name.
    pub fn log(&self, name: &str) -> PathBuf {
        self.surroundings.results.join(format!("{}.log", name.replace('/', "_")))
    }

    /// Runs a script in a folder, with its output at the end of the log of `name`; how it ended, and how long it took.
    ///
    /// # Errors
    /// When it cannot be started, or its log not written.
    pub fn run(
        &self,
        (script, dir): (&Path, &Path),
        name: &str,
        arguments: &[&str],
    ) -> Result<(Ended, Duration), Failure> {
        let log = self.log(name);
        let cannot = |error: io::Error| Failure::io(format!("cannot write `{}`", log.display()), &error);
        let output = File::options().append(true).create(true).open(&log).map_err(cannot)?;
        let errors = output.try_clone().map_err(cannot)?;
        let mut command = command("/bin/sh");
        command.args(self.surroundings.traces.then_some("-x")).arg(script).args(arguments).current_dir(dir);
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        self.surround(&mut command, name);
        let begin = Instant::now();
        let child = command.spawn();
        let child = child.map_err(|error| Failure::io(format!("cannot run `{}`", script.display()), &error))?;
        let ended = self.wait(child).map_err(|error| Failure::io("cannot wait for a script", &error))?;
        Ok((ended, begin.elapsed()))
    }

    /// The variables that rtf sets.
    fn surround(&self, command: &mut Command, name: &str) {
        let Surroundings { project, results, labels, .. } = &self.surroundings;
        let system = if cfg!(target_os = "macos") { "osx" } else { std::env::consts::OS };
        let root = std::env::var_os("RT_ROOT").map_or_else(|| project.join("_rtf"), PathBuf::from);
        command.env("RT_LIB", root.join("lib/lib.sh")).env("RT_UTILS", root.join("bin")).env("RT_ROOT", root);
        command.env("RT_PROJECT_ROOT", project).env("RT_RESULTS", results).env("RT_OS", system);
        command.env("RT_LABELS", labels.joined(":")).env("RT_TEST_NAME", name);
    }

    fn wait(&self, mut child: Child) -> io::Result<Ended> {
        let pid = Pid::from_child(&child);
        let ends = self.happens.clone();
        let waiter = std::thread::spawn(move || {
            // The child is not taken away yet: as long as it is not, its group's number is nobody else's.
            let waited = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            // The runner outlives its scripts.
            let _ = ends.send(Event::Ended);
            waited.map(drop)
        });
        let early = match self.until_ended(self.surroundings.limit) {
            Some(Event::Ended) => None,
            Some(Event::Signal) => Some(Ended::Interrupted),
            None => Some(Ended::TimedOut),
        };
        if early.is_some() {
            signal(pid, Signal::TERM)?;
            if !matches!(self.until_ended(Some(GRACE)), Some(Event::Ended)) {
                signal(pid, Signal::KILL)?;
                while !matches!(self.until_ended(None), Some(Event::Ended)) {}
            }
        }
        // What a script leaves behind in its group ends with it.
        signal(pid, Signal::KILL)?;
        waiter.join().map_err(|_| io::Error::other("the thread that waits panicked"))??;
        let status = child.wait()?;
        Ok(early.unwrap_or(match status.code() {
            Some(0) => Ended::Passed,
            Some(CANCELLED) => Ended::Cancelled,
            code => Ended::Failed(code),
        }))
    }

    /// What happens next; nothing in the time that is given.
    fn until_ended(&self, limit: Option<Duration>) -> Option<Event> {
        match limit {
            None => self.happened.recv().ok(),
            // The runner has a sender itself, so the only reason for nothing is that the time is over.
            Some(limit) => self.happened.recv_timeout(limit).ok(),
        }
    }
}

/// Signals a group, of which nothing may be left.
fn signal(group: Pid, signal: Signal) -> io::Result<()> {
    match kill_process_group(group, signal) {
        Err(error) if error != rustix::io::Errno::SRCH => Err(error.into()),
        _ => Ok(()),
    }
}
