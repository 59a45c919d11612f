//! How many files this process may have open, and the programs that it starts.

use std::error::Error;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files that are asked for where the system allows any number: more than a spec with thousands of layers needs.
#[cfg(not(target_os = "macos"))]
const ENOUGH: u64 = 1 << 20;
/// The same where more are refused: `OPEN_MAX` of setrlimit(2).
#[cfg(target_os = "macos")]
const ENOUGH: u64 = 10240;

/// The limit that this process was started with, if it has another one now.
static FIRST: OnceLock<Rlimit> = OnceLock::new();

/// Lets this process have as many files open as it may allow itself. Layers stay open while they are shown.
pub fn raise_open_files() {
    let first = getrlimit(Resource::Nofile);
    let most = first.maximum.map_or(ENOUGH, |hard| hard.min(ENOUGH));
    let is_low = first.current.is_some_and(|soft| soft < most);
    // A system that refuses leaves the limit as it is.
    if is_low && setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..first }).is_ok() {
        let _ = FIRST.set(first);
    }
}

/// Another program, to be started with the limit that this one was started with: those that call select(2) fail when they
/// are given a number over 1023.
pub fn command(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    if let Some(first) = FIRST.get() {
        let restore = || Ok(setrlimit(Resource::Nofile, *first)?);
        // SAFETY: between fork and exec this makes one system call, and neither allocates nor takes a lock.
        unsafe { command.pre_exec(restore) };
    }
    command
}

/// What to do about an error if it comes from too many open files.
pub(super) fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    let mut causes = std::iter::successors(Some(error), |cause| (*cause).source());
    let found =
        causes.find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error().map(Errno::from_raw_os_error));
    let hint = match found? {
        Errno::MFILE => {
            "let lkit have more files open: raise the hard limit (`ulimit -Hn`, as root, or `LimitNOFILE=` of systemd)"
        }
        Errno::NFILE => "end programs with many open files, or raise the limit of the system (`sysctl fs.file-max`)",
        _ => return None,
    };
    Some(hint.to_owned())
}
