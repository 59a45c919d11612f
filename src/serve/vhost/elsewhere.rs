//! What stands for disks by vhost-user where there are none: the crates that speak it are for Linux.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::serve::stop::Stop;
use crate::serve::unix_socket::SocketFile;
use crate::serve::{Error, Exports};

/// Refuses.
pub fn open(_: &Path) -> Result<(UnixListener, SocketFile), Error> {
    Err(Error::listen("")(io::ErrorKind::Unsupported.into()))
}

/// Nothing to find fault with.
pub fn check(_: &Exports, _: &str) -> Result<(), Error> {
    Ok(())
}

/// Ends at once; there is no socket to come here with.
pub fn serve(_: UnixListener, _: &Exports, _: &str, _: &Stop) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Nothing is read from guests.
#[cfg(any(test, fuzzing))]
pub mod fuzz {
    /// Takes any bytes.
    pub fn ring(_: &[u8]) {}
}
