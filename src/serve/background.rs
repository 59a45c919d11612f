//! A server in the background: a copy of this process, which waits until the copy serves or has failed.
//!
//! ```text
//! lkit mount ──split──▶ its copy, with a pipe ──▶ mounts ──▶ announce: leaves the terminal, writes one byte
//!      └── waits ◀────────────────────────────────────────────────────────────────────────┘
//! ```
//! Until then the server shares the terminal, so its progress and its errors are seen, and Ctrl-C reaches it. One that
//! fails just ends; its exit code becomes ours.

use std::fs::{self, File};
use std::io::{self, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::Error;

/// Which of the two processes this is.
pub enum Side {
    /// The server, which is to announce that it serves.
    Server(Ready),
    /// The one that was there before, which has waited.
    Launcher(Started),
}

/// How the start of a server went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It serves, and goes on without us.
    Ready,
    /// It has said why not; this is its exit code, 128 and the number of the signal if one killed it.
    Failed(u8),
}

/// Makes the server, and waits for it in the process that was there before.
///
/// # Errors
/// When there is no room for another process, or this one has further threads already: a copy would lack them.
pub fn split() -> Result<Side, Error> {
    if !is_single() {
        return Err(Error::server("start the server")(io::Error::other("other threads run already")));
    }
    let (mut read, write) = io::pipe().map_err(Error::server("make a pipe"))?;
    // SAFETY: there are no other threads whose locks would stay held in the copy.
    let server = unsafe { libc::fork() };
    if server == 0 {
        return Ok(Side::Server(Ready(write)));
    }
    let server = Pid::from_raw(server).filter(|_| server > 0);
    let server = server.ok_or_else(io::Error::last_os_error).map_err(Error::server("start the server"))?;
    drop(write);
    if let Ok(1) = read.read(&mut [0]) {
        return Ok(Side::Launcher(Started::Ready));
    }
    let ended = waitpid(Some(server), WaitOptions::empty()).map_err(Error::server("wait for the server"))?;
    let code = ended.map_or(1, |(_, status)| exit_code(status));
    Ok(Side::Launcher(Started::Failed(code)))
}

/// Whether this process has one thread, where the system tells.
fn is_single() -> bool {
    fs::read_dir("/proc/self/task").map_or(!cfg!(target_os = "linux"), |threads| threads.count() == 1)
}

/// The server's end of the pipe.
pub struct Ready(PipeWriter);

impl Ready {
    /// Leaves the terminal and tells the waiting program that all is well. Messages go to `log` from now on.
    ///
    /// # Errors
    /// When the log cannot be opened, or nobody waits any more: then the server is to end.
    pub fn announce(mut self, log: Option<&Path>) -> Result<(), Error> {
        let null = File::options().read(true).write(true).open("/dev/null");
        let null = null.map_err(Error::server("open `/dev/null`"))?;
        let log = log.map(|path| File::options().create(true).append(true).open(path)).transpose();
        let log = log.map_err(Error::server("open the log"))?;
        // Refused only to one who leads a session already, such as a shell's own job.
        if let Err(error) = rustix::process::setsid() {
            tracing::debug!("cannot begin a session: {error}");
        }
        redirect(&null, log.as_ref().unwrap_or(&null)).map_err(Error::server("leave the terminal"))?;
        self.0.write_all(b"1").map_err(Error::server("tell that the server is ready"))
    }
}

fn redirect(null: &File, log: &File) -> rustix::io::Result<()> {
    dup2_stdin(null.as_fd())?;
    dup2_stdout(null.as_fd())?;
    dup2_stderr(log.as_fd())
}

fn exit_code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
