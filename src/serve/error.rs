//! What goes wrong with mounts and exported files.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::{ErrorKind, Fault, directory_of, shell_line_on};
use crate::extent::ReadError;

/// Why something cannot be mounted, unmounted or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mount point does not exist.
    #[error("mount point `{}` does not exist", .0.display())]
    MountPointMissing(PathBuf),
    /// The mount point is a file.
    #[error("mount point `{}` is not a directory", .0.display())]
    MountPointNotADirectory(PathBuf),
    /// The mount point has something in it that a mount would hide.
    #[error("mount point `{}` is not empty", .0.display())]
    MountPointNotEmpty(PathBuf),
    /// A system is mounted there, and its server lives.
    #[error("mount point `{}` is in use: a system of lkit is mounted on it", .0.display())]
    MountPointBusy(PathBuf),
    /// There is no FUSE device, or it cannot be used.
    #[error("cannot use `/dev/fuse`")]
    NoDevice(#[source] io::Error),
    /// An ordinary user's mount needs a program that is not there.
    #[error("there is no `fusermount3`, without which an ordinary user cannot mount")]
    NoFusermount,
    /// macOS mounts nothing of ours by itself.
    #[error("macFUSE is not installed, without which nothing can be mounted")]
    NoMacFuse,
    /// `allow_other` is not for ordinary users on this machine.
    #[error("the system does not let ordinary users open their mounts to others")]
    AllowOther,
    /// The kernel or `fusermount3` refuses.
    #[error("cannot mount on `{}`", path.display())]
    Mount {
        /// The mount point.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing is mounted there.
    #[error("nothing is mounted on `{}`", .0.display())]
    NotMounted(PathBuf),
    /// What is mounted there is not ours to unmount.
    #[error("what is mounted on `{}` is no mount of lkit, but {by}", path.display())]
    NotOurs {
        /// The mount point.
        path: PathBuf,
        /// What is mounted there.
        by: String,
    },
    /// The mount does not go away.
    #[error("cannot unmount `{}`", path.display())]
    Unmount {
        /// The mount point.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The session with the kernel broke.
    #[error("the mount ended by itself")]
    Session(#[source] io::Error),
    /// The server cannot be started, or watched.
    #[error("cannot {action}")]
    Server {
        /// What was tried, as a verb with its object.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address as it is typed.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A live server has the socket.
    #[error("a server listens on `{}` already", .0.display())]
    SocketBusy(PathBuf),
    /// Something else is where a socket is to be.
    #[error("`{}` is no socket", .0.display())]
    NotASocket(PathBuf),
    /// Others could read what only this user may.
    #[error(
        "`{0}` can be reached from other machines, and nothing would keep anybody there from reading what is served"
    )]
    Exposed(String),
    /// A file for TLS cannot be read, or is not a certificate or key.
    #[error("cannot use `{}` for TLS", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A directory cannot be served.
    #[error("cannot serve the directory `{}`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Files of a directory are served by HTTP alone.
    #[error("no directory is served at `{0}`")]
    OnlyHttp(String),
    /// What is to be served is no artifact of the spec.
    #[error("there is no artifact `{name}`")]
    NoArtifact {
        /// Its name.
        name: String,
        /// The artifact with the most similar name.
        nearest: Option<String>,
    },
    /// The bytes of a file cannot be had.
    #[error("cannot read `{name}`")]
    Read {
        /// Name of the artifact.
        name: String,
        /// Why.
        source: ReadError,
    },
    /// An artifact has more holes than are compressed.
    #[error("the holes of `{name}` are more than what is compressed ({limit} bytes)")]
    Holes {
        /// Name of the artifact.
        name: String,
        /// Most bytes in holes.
        limit: u64,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// Why.
        source: io::Error,
    },
    /// The user ended it.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err` on what opens an address.
    pub(super) fn listen(address: &str) -> impl FnOnce(io::Error) -> Self + use<> {
        let address = address.to_owned();
        move |source| Self::Listen { address, source }
    }

    /// For `map_err` on what the server does with its own process.
    pub(super) fn server<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Server { action, source: source.into() }
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::MountPointMissing(_)
            | Self::MountPointNotADirectory(_)
            | Self::NoDevice(_)
            | Self::NoFusermount
            | Self::NoMacFuse
            | Self::Mount { .. }
            | Self::NotMounted(_)
            | Self::NotOurs { .. }
            | Self::Session(_)
            | Self::Server { .. }
            | Self::NotASocket(_)
            | Self::Certificate { .. }
            | Self::Directory { .. }
            | Self::AllowOther
            | Self::Write { .. } => ErrorKind::Io,
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => ErrorKind::Busy,
            Self::Listen { .. } => ErrorKind::Io,
            Self::NoArtifact { .. } | Self::OnlyHttp(_) => ErrorKind::Usage,
            Self::Exposed(_) => ErrorKind::Usage,
            Self::MountPointNotEmpty(_) | Self::MountPointBusy(_) | Self::Unmount { .. } | Self::SocketBusy(_) => {
                ErrorKind::Busy
            }
            Self::Read { source, .. } => source.kind(),
            Self::Holes { .. } => ErrorKind::Unsupported,
            Self::Interrupted => ErrorKind::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::MountPointMissing(path) => Some(format!("make it with `{}`", shell_line_on(&["mkdir", "-p"], path))),
            Self::MountPointNotADirectory(_) => Some("the last argument is the directory to mount on".to_owned()),
            Self::MountPointNotEmpty(_) => Some("choose an empty directory; a mount would hide the files".to_owned()),
            Self::MountPointBusy(path) => Some(format!("end it with `{}`", shell_line_on(&["lkit", "umount"], path))),
            Self::NoDevice(source) => Some(no_device_hint(source)),
            Self::NoFusermount => Some("install the package `fuse3`, or mount as root".to_owned()),
            Self::NoMacFuse => Some(
                "install it from `https://macfuse.github.io`; `lkit build` and `lkit serve` do without it".to_owned(),
            ),
            Self::AllowOther => Some("add a line `user_allow_other` to `/etc/fuse.conf`".to_owned()),
            Self::Mount { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("an ordinary user mounts only on a directory of his own".to_owned())
            }
            Self::NotMounted(_) => Some("`findmnt -t fuse.lkit` lists the mounts of lkit".to_owned()),
            Self::NotOurs { path, .. } => Some(format!("end it with `{}`", shell_line_on(&["umount"], path))),
            Self::Unmount { .. } => Some("only root and the user who mounted it can unmount it".to_owned()),
            Self::Listen { address, source } => listen_hint(address, source),
            Self::SocketBusy(_) => Some("end that server, or choose another path".to_owned()),
            Self::NotASocket(_) => Some("choose a path where nothing is; a socket is made there".to_owned()),
            Self::Exposed(_) => Some(EXPOSED_HINT.to_owned()),
            Self::OnlyHttp(_) => Some("listen on `http://HOST:PORT`".to_owned()),
            Self::Certificate { .. } => Some("certificates and keys are files in PEM".to_owned()),
            Self::NoArtifact { nearest: Some(name), .. } => Some(format!("is `{name}` meant?")),
            Self::NoArtifact { nearest: None, .. } => Some("`lkit inspect` lists the artifacts of a spec".to_owned()),
            Self::Read { source, .. } => source.hint(),
            Self::Holes { .. } => Some("leave out `--compress`, since holes take no room in a file then".to_owned()),
            Self::Write { path, size, source } => write_hint(path, *size, source),
            Self::Mount { .. }
            | Self::Session(_)
            | Self::Server { .. }
            | Self::Directory { .. }
            | Self::Interrupted => None,
        }
    }
}

/// What can be done about an address that others reach.
const EXPOSED_HINT: &str = "listen on `127.0.0.1`, or use TLS with `--tls-cert FILE --tls-key FILE` (NBD and HTTP), or allow it with `--insecure-listen`";

fn listen_hint(address: &str, source: &io::Error) -> Option<String> {
    match source.kind() {
        io::ErrorKind::InvalidFilename if address.contains("+unix:") => {
            Some("choose a shorter path: that of a socket has 107 bytes at most, and 103 on macOS".to_owned())
        }
        _ if address.contains("+unix:") => Some("choose a path in a directory that you may write to".to_owned()),
        io::ErrorKind::AddrInUse => Some("end what listens there, or let port 0 choose one that is free".to_owned()),
        io::ErrorKind::PermissionDenied => Some("ports below 1024 are for root; choose a higher one".to_owned()),
        // Another machine's address, or a name that nobody knows.
        _ => Some("use an address of this machine, such as `127.0.0.1`".to_owned()),
    }
}

fn no_device_hint(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "mount as root, or let users open it with `chmod a+rw /dev/fuse`".to_owned(),
        io::ErrorKind::Unsupported => "remove it and make the device with `mknod /dev/fuse c 10 229`".to_owned(),
        _ => "load the kernel module with `modprobe fuse`; in a container pass `--device /dev/fuse`".to_owned(),
    }
}

fn write_hint(path: &Path, size: u64, source: &io::Error) -> Option<String> {
    let place = directory_of(path);
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some(format!("make room in `{}`: the file has {size} bytes", place.display()))
        }
        io::ErrorKind::NotADirectory => Some(format!("`{}` is no directory; name one with `--dir`", place.display())),
        io::ErrorKind::IsADirectory => Some("write into a directory with `--dir`".to_owned()),
        io::ErrorKind::NotFound => {
            Some(format!("make the directory with `{}`", shell_line_on(&["mkdir", "-p"], place)))
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("choose a directory you may write to with `--dir`".to_owned())
        }
        _ => None,
    }
}
