//! How commands serve: in the foreground or the background, and how a supervisor learns that they do.

use std::process::ExitCode;

use super::report::Failure;
use crate::serve::background::{self, Ready, Side, Started};
use crate::serve::notify;

/// Serves in this process, or in a copy of it that leaves the terminal; then this one waits until that serves.
///
/// # Errors
/// What `serve` says, and when there is no room for another process.
pub fn start(
    in_background: bool,
    serve: impl FnOnce(Option<Ready>) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    if !in_background {
        return serve(None);
    }
    match background::split()? {
        Side::Server(ready) => serve(Some(ready)),
        Side::Launcher(Started::Ready) => Ok(ExitCode::SUCCESS),
        Side::Launcher(Started::Failed(code)) => Ok(ExitCode::from(code)),
    }
}

/// Tells a supervisor such as systemd, where there is one, that what is served can be used.
pub fn tell_supervisor() {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = notify(&socket, &format!("READY=1\nMAINPID={}\n", std::process::id()))
    {
        tracing::warn!("cannot tell that the server is ready on the socket that NOTIFY_SOCKET names: {error}");
    }
}
