//! Messages to the program that supervises this one as a service, such as systemd.
//!
//! # Format
//! sd_notify(3): a datagram of `KEY=value` lines to the socket that `NOTIFY_SOCKET` names; a name that begins with `@` is
//! an abstract one, unix(7).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends `message` to the supervisor that listens on `socket`.
///
/// # Errors
/// When nobody listens there.
pub fn notify(socket: &OsStr, message: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => abstract_address(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "abstract sockets are a part of Linux"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_hears_on_a_path_and_on_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("lkit test {}", dir.path().display());
        let rows = [
            (SocketAddr::from_pathname(&path).unwrap(), path.clone().into_os_string()),
            (abstract_address(name.as_bytes()).unwrap(), format!("@{name}").into()),
        ];
        for (address, socket) in rows {
            let supervisor = UnixDatagram::bind_addr(&address).unwrap();
            notify(&socket, "READY=1\n").unwrap();
            let mut heard = [0; 64];
            let length = supervisor.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1\n");
        }
        assert!(notify(dir.path().join("none").as_os_str(), "READY=1\n").is_err());
    }
}
