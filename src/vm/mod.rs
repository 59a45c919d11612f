//! Virtual machines: paths become the command line of a monitor, which runs until the guest ends.
//!
//! # Invariants
//! - A command line is a pure function of its [`Machine`]; what the host can do is looked up before.
//! - No machine outlives [`run`], nor the process that runs it.
//! - Every file a monitor is given is a file of this machine, whatever its name or its content looks like.

mod accelerator;
mod disk;
mod error;
mod hyperkit;
mod local;
mod mac;
mod probe;
mod process;
mod publish;
mod qemu;

use std::path::PathBuf;

pub use accelerator::Accelerator;
pub use disk::Disk;
pub use error::Error;
pub use hyperkit::{HyperKit, hyperkit};
pub use local::local;
pub use mac::Mac;
pub use probe::run_guest;
pub use process::{CommandLine, EndSignals, find_program, run, shell_line};
pub use publish::{Port, Protocol};
pub use qemu::{Qemu, qemu, qemu_program};

/// The formats of disks stand in the table of what is written, one row below.
pub use crate::output::DiskFormat;

/// A machine to be started, whatever runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// What it starts from.
    pub boot: Boot,
    /// What it starts by.
    pub firmware: Firmware,
    /// Memory in MiB.
    pub memory: u64,
    /// Number of processors.
    pub cpus: u32,
    /// Further disks.
    pub disks: Vec<Disk>,
    /// Whether it has a network.
    pub network: Network,
}

/// What a machine starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// A kernel, loaded by the monitor; with UEFI firmware, any EFI program.
    Direct {
        /// The kernel.
        kernel: PathBuf,
        /// The initrd.
        initrd: Option<PathBuf>,
        /// The kernel command line.
        cmdline: String,
        /// The first disk, which holds the root and is not written to.
        root: Option<Disk>,
    },
    /// A CD, by the firmware.
    Cdrom(PathBuf),
    /// A disk, by the firmware; writes to it are dropped.
    Disk(Disk),
    /// A disk behind a socket of vhost-user, by the firmware; it is not written to.
    VhostUser(PathBuf),
}

/// The firmware of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// The monitor's own: a BIOS, or none.
    Own,
    /// UEFI from this image, such as OVMF.
    Uefi(PathBuf),
}

/// The network of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// None.
    None,
    /// The monitor's own, with ports of the host that lead into it.
    User {
        /// Ports of the host.
        ports: Vec<Port>,
        /// Address of the machine's card; the monitor chooses without one.
        mac: Option<Mac>,
    },
}
