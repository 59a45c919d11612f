//! A server in the background: this program started again, and waited for until it serves or has failed.
//!
//! ```text
//! lkit mount ──start──▶ the same, with a pipe ──▶ mounts ──▶ announce: leaves the terminal, writes one byte
//!      └── waits ◀────────────────────────────────────────────────────────────────────────────┘
//! ```
//! Until then the server shares the terminal, so its progress and its errors are seen, and Ctrl-C reaches it. One that
//! fails just ends; its exit code becomes ours.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitStatus};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::Error;

/// How the start of a server went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It serves, and goes on without us.
    Ready,
    /// It has told why not; this is its exit code, 128 and the number of the signal if one killed it.
    Failed(u8),
}

/// Starts this program with the arguments that `arguments` makes of the descriptor to announce readiness on, and waits.
///
/// # Errors
/// When it cannot be started at all.
pub fn start(arguments: impl FnOnce(i32) -> Vec<OsString>) -> Result<Started, Error> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(Error::server("make a pipe"))?;
    fcntl_setfd(&write, FdFlags::empty()).map_err(Error::server("hand a pipe on"))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("lkit").args(arguments(write.as_raw_fd()));
    let mut child = command.spawn().map_err(Error::server("start the server"))?;
    drop(write);
    let mut byte = [0];
    if let Ok(1) = File::from(read).read(&mut byte) {
        return Ok(Started::Ready);
    }
    let status = child.wait().map_err(Error::server("wait for the server"))?;
    Ok(Started::Failed(exit_code(status)))
}

/// The server's end of the pipe.
pub struct Ready(File);

impl Ready {
    /// The pipe behind the descriptor that [`start`] gave.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(descriptor: i32) -> Result<Self, Error> {
        let path = format!("/dev/fd/{descriptor}");
        let pipe = File::options().write(true).open(path).map_err(Error::server("open the pipe of `--ready-fd`"))?;
        Ok(Self(pipe))
    }

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
        self.0.write_all(b"1").map_err(Error::server("tell that the mount is ready"))
    }
}

fn redirect(null: &File, log: &File) -> rustix::io::Result<()> {
    dup2_stdin(null.as_fd())?;
    dup2_stdout(null.as_fd())?;
    dup2_stderr(log.as_fd())
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
