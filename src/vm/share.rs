//! Directories of the host that a machine sees by virtiofs, and virtiofsd, which serves them.
//!
//! # Format
//! The options that both virtiofsd of QEMU (up to 7.2) and its successor in Rust take.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::local::local;
use super::process::{CommandLine, Server, find_program};
use super::{Error, Origin};

/// A directory of the host, and the socket where it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The directory.
    pub directory: PathBuf,
    /// The socket.
    pub socket: PathBuf,
}

impl Share {
    /// What the guest mounts the directory by: `mount -t virtiofs virtiofs0 /mnt`.
    pub fn tag(number: usize) -> String {
        format!("virtiofs{number}")
    }
}

/// Where packages put virtiofsd, which is in no directory of the PATH there.
const USUAL: [&str; 3] = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/lib/virtiofsd"];

/// The program that serves shares: as it is named, else where it is found.
fn program(named: Option<&Path>) -> PathBuf {
    let known = || USUAL.into_iter().map(PathBuf::from).find(|program| program.is_file());
    let found = || find_program(Path::new("virtiofsd")).or_else(known);
    named.map(Path::to_owned).or_else(found).unwrap_or_else(|| "virtiofsd".into())
}

/// virtiofsd for a share.
///
/// # Errors
/// When its list of options cannot name the directory.
pub fn virtiofsd(named: Option<&Path>, share: &Share) -> Result<Server, Error> {
    if share.directory.as_os_str().as_bytes().contains(&b',') {
        return Err(Error::Unsupported { monitor: "virtiofsd", what: "share directories with a comma in their path" });
    }
    let mut line = CommandLine::new(program(named), Origin::Package("virtiofsd"));
    let mut source = OsString::from("source=");
    source.push(local(&share.directory));
    line.options(["-f"]);
    line.option("-o", source);
    Ok(Server { line, socket: share.socket.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_named_in_a_list_of_options() {
        let server = |directory: &str| {
            virtiofsd(Some(Path::new("fsd")), &Share { directory: directory.into(), socket: "s".into() })
        };
        let shared = server("-a b").unwrap();
        assert_eq!(shared.on_standard_input().to_string(), "fsd -f -o 'source=./-a b' --fd=0");
        assert_eq!(shared.on_its_own().to_string(), "fsd -f -o 'source=./-a b' --socket-path ./s");
        let message = "virtiofsd cannot share directories with a comma in their path";
        assert_eq!(server("/a,no_writeback").unwrap_err().to_string(), message);
    }
}
