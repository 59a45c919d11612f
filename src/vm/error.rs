//! Why a machine cannot be run.

use std::io;
use std::path::PathBuf;

use crate::base::{ErrorKind, Fault};

/// Where a program comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A Debian package.
    Package(&'static str),
    /// A site, since Debian has no package of it.
    Site(&'static str),
}

/// What stands in the way of a machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The monitor is not installed.
    #[error("`{}` is not installed", program.display())]
    NotInstalled {
        /// The program.
        program: PathBuf,
        /// Where it comes from.
        origin: Origin,
    },
    /// The monitor cannot be started.
    #[error("cannot run `{}`", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be caught.
    #[error("cannot catch signals")]
    Signals(#[source] io::Error),
    /// The monitor ended with an error of its own, which it has printed.
    #[error("`{}` ended with {status}", program.display())]
    Ended {
        /// The program.
        program: PathBuf,
        /// How.
        status: std::process::ExitStatus,
    },
    /// A port of the host is in use.
    #[error("port {0} of this host is in use")]
    PortTaken(String),
    /// A port of the host is not for this user, or not of this host.
    #[error("port {port} of this host cannot be opened")]
    Port {
        /// The port.
        port: String,
        /// Why.
        source: io::Error,
    },
    /// The accelerator that was asked for cannot be used.
    #[error("cannot use the accelerator `{name}`")]
    Accelerator {
        /// Its name.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Something this monitor cannot do.
    #[error("{monitor} cannot {what}")]
    Unsupported {
        /// The monitor.
        monitor: &'static str,
        /// What it should do.
        what: &'static str,
    },
    /// A text that is no port to publish.
    #[error("`{0}` is no port to publish, such as `8080:80` or `127.0.0.1:5353:53/udp`, of ports from 1 to 65535")]
    NotAPort(String),
    /// A text that is no format of disks.
    #[error("`{0}` is no format of disks; there are raw, qcow2, vmdk, vhd, vhdx and vdi")]
    NotADiskFormat(String),
    /// A text that is no address of a network card.
    #[error("`{0}` is no address of a network card, such as `02:00:00:00:00:01`")]
    NotAMac(String),
    /// A text that is no network of a machine.
    #[error("`{0}` is no network of a machine; there are user, tap,INTERFACE, bridge,BRIDGE, vmnet and none")]
    NotANetwork(String),
    /// The host has no such interface.
    #[error("this host has no {sort} `{name}`")]
    NoInterface {
        /// Its name.
        name: String,
        /// What it should be.
        sort: &'static str,
    },
    /// Something that only other hosts have.
    #[error("`{0}` is a part of macOS, and not of this host")]
    NotOfThisHost(&'static str),
    /// The user ended it.
    #[error("interrupted")]
    Interrupted,
    /// A text that is no accelerator.
    #[error("`{0}` is no accelerator; there are auto, kvm, hvf and tcg")]
    NotAnAccelerator(String),
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotInstalled { .. } | Self::Start { .. } | Self::Signals(_) | Self::Ended { .. } => ErrorKind::Io,
            Self::Port { .. } | Self::Accelerator { .. } => ErrorKind::Io,
            Self::NoInterface { .. } => ErrorKind::Io,
            Self::PortTaken(_) => ErrorKind::Busy,
            Self::Interrupted => ErrorKind::Interrupted,
            Self::Unsupported { .. } | Self::NotOfThisHost(_) => ErrorKind::Unsupported,
            Self::NotAPort(_) | Self::NotADiskFormat(_) | Self::NotAMac(_) => ErrorKind::Usage,
            Self::NotAnAccelerator(_) | Self::NotANetwork(_) => ErrorKind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotInstalled { origin: Origin::Package(package), .. } => {
                Some(format!("install it with `apt-get install {package}`, or name another program"))
            }
            Self::NotInstalled { origin: Origin::Site(url), .. } => {
                Some(format!("get it from {url}, or name another program"))
            }
            Self::NoInterface { name, sort } => Some(interface_hint(name, sort)),
            Self::NotOfThisHost(_) => Some("use `--networking user`".to_owned()),
            Self::PortTaken(_) => Some("publish another one with `--publish HOST:GUEST`".to_owned()),
            Self::Port { source, .. } => Some(port_hint(source)),
            Self::Accelerator { source, .. } => Some(accelerator_hint(source)),
            Self::Unsupported { .. } => Some("use `lkit run qemu`".to_owned()),
            Self::Start { .. } | Self::Signals(_) | Self::Ended { .. } | Self::Interrupted => None,
            Self::NotAPort(_) | Self::NotADiskFormat(_) | Self::NotAMac(_) => None,
            Self::NotAnAccelerator(_) | Self::NotANetwork(_) => None,
        }
    }
}

fn interface_hint(name: &str, sort: &str) -> String {
    let make = if sort == "bridge" {
        format!("link add {name} type bridge")
    } else {
        format!("tuntap add dev {name} mode tap")
    };
    format!("make it with `ip {make}`, and set it up")
}

fn port_hint(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "only root opens ports below 1024: publish one from 1024 on".to_owned(),
        io::ErrorKind::AddrNotAvailable => "leave out the address, or take one of this host".to_owned(),
        _ => "publish another one with `--publish HOST:GUEST`".to_owned(),
    }
}

fn accelerator_hint(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "let this user into the group `kvm`, or emulate with `--accel tcg`".to_owned()
        }
        io::ErrorKind::NotFound => {
            "load the kernel module `kvm_intel` or `kvm_amd`, or emulate with `--accel tcg`".to_owned()
        }
        _ => "emulate with `--accel tcg`".to_owned(),
    }
}
