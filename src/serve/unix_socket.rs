//! Unix sockets with a path: one of a dead server is taken over, one of a live server is not.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, chmodat};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

use super::Error;

/// Connections that may wait to be accepted, as the standard library has it.
const BACKLOG: i32 = 128;
/// Who may connect: artifacts hold files that only root may read, so only the user who serves them.
const OWNER_ONLY: Mode = Mode::RUSR.union(Mode::WUSR);

/// The file of a socket; removed when this is dropped, unless another took its place.
pub struct SocketFile {
    path: PathBuf,
    number: (u64, u64),
}

/// Listens on `path`, for this user alone.
///
/// # Errors
/// When a server lives there, or something else does, or the system refuses.
pub fn open(path: &Path) -> Result<(UnixListener, SocketFile), Error> {
    clear_dead(path)?;
    let refused = |source: rustix::io::Errno| match source {
        // Another server was quicker.
        rustix::io::Errno::ADDRINUSE => Error::SocketBusy(path.to_owned()),
        source => Error::listen(&format!("nbd+unix://{}", path.display()))(source.into()),
    };
    let address = SocketAddrUnix::new(path).map_err(refused)?;
    let socket: OwnedFd = socket(AddressFamily::UNIX, SocketType::STREAM, None).map_err(refused)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC).map_err(refused)?;
    bind(&socket, &address).map_err(refused)?;
    let file = SocketFile::at(path).map_err(|source| refused(of_system(&source)))?;
    // Nobody gets in before the permissions are set.
    chmodat(CWD, path, OWNER_ONLY, rustix::fs::AtFlags::empty()).map_err(refused)?;
    listen(&socket, BACKLOG).map_err(refused)?;
    Ok((UnixListener::from(socket), file))
}

fn of_system(error: &io::Error) -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(error).unwrap_or(rustix::io::Errno::IO)
}

/// Removes the socket of a server that is no more.
fn clear_dead(path: &Path) -> Result<(), Error> {
    let refused = |source| Error::listen(&format!("nbd+unix://{}", path.display()))(source);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(Error::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(refused),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(Error::SocketBusy(path.to_owned())),
        // Such as one of another user, or of a server with a full queue.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Error::SocketBusy(path.to_owned())),
        Err(error) => Err(refused(error)),
    }
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        let number = number(path)?;
        Ok(Self { path: path.to_owned(), number })
    }
}

fn number(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = number(&self.path).is_ok_and(|number| number == self.number);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("cannot remove the socket `{}`: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::base::{ErrorKind, Fault as _};

    #[test]
    fn a_dead_socket_is_taken_over_and_a_live_one_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        // Dropping the listener alone leaves its file.
        drop(UnixListener::bind(&path).unwrap());
        let (live, file) = open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = open(&path).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Busy);
        assert_eq!(refused.to_string(), format!("a server listens on `{}` already", path.display()));
        let client = UnixStream::connect(&path).unwrap();
        // Ours looked whether we live.
        drop((live.accept().unwrap(), live.accept().unwrap(), client));
        drop((live, file));
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_and_the_socket_of_a_successor_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        fs::write(&path, "precious").unwrap();
        assert_eq!(open(&path).err().unwrap().to_string(), format!("`{}` is no socket", path.display()));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        let (live, file) = open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let successor = UnixListener::bind(&path).unwrap();
        drop((live, file));
        assert!(UnixStream::connect(&path).is_ok());
        drop(successor);
    }
}
