//! Virtual machines: paths become the command line of a monitor, which runs until the guest ends.
//!
//! # Invariants
//! - A command line is a pure function of its [`Machine`]; what the host can do is looked up before.
//! - No machine outlives what [`start`] returns, nor the process that runs it.
//! - Every file a monitor is given is a file of this machine, whatever its name or its content looks like.

mod accelerator;
mod disk;
mod error;
mod hyperkit;
mod local;
mod mac;
mod monitor;
mod network;
mod probe;
mod process;
mod publish;
mod qemu;
mod share;
mod small;

use std::path::PathBuf;

pub use accelerator::Accelerator;
pub use disk::Disk;
pub use error::{Error, Origin};
pub use hyperkit::{HyperKit, hyperkit};
pub use local::local;
pub use mac::Mac;
pub use monitor::{Ability, Monitor};
pub use network::{Link, Network};
pub use probe::run_guest;
pub use process::{CommandLine, EndSignals, RunningMachine, Server, find_program, start};
pub use publish::{Port, Protocol};
pub use qemu::{Qemu, qemu, qemu_program};
pub use share::{Share, virtiofsd};
pub use small::{Small, small};

/// The formats of disks stand in the table of what is written, one row below.
pub use crate::output::DiskFormat;

/// A machine to be started, whatever runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// What it starts from.
    pub boot: Boot,
    /// Whether QEMU reads its root past the cache of the host, which would read ahead what the guest never asks for; only
    /// some file systems can do that.
    pub past_cache: bool,
    /// What it starts by.
    pub firmware: Firmware,
    /// Memory in MiB.
    pub memory: u64,
    /// Number of processors.
    pub cpus: u32,
    /// Further disks.
    pub disks: Vec<Disk>,
    /// CDs, apart from the one it may start from.
    pub cds: Vec<PathBuf>,
    /// Directories of the host.
    pub shares: Vec<Share>,
    /// Its network.
    pub network: Network,
    /// Further devices, in QEMU's words.
    pub devices: Vec<String>,
    /// Whether it has a USB controller.
    pub usb: bool,
    /// Whether it has a screen and a keyboard, in a window.
    pub window: bool,
}

impl Machine {
    /// A machine with one processor, 1 GiB of memory, and nothing but what it starts from.
    pub fn new(boot: Boot) -> Self {
        Self {
            boot,
            past_cache: false,
            firmware: Firmware::Own,
            memory: 1024,
            cpus: 1,
            disks: Vec::new(),
            cds: Vec::new(),
            shares: Vec::new(),
            network: Network::none(),
            devices: Vec::new(),
            usb: false,
            window: false,
        }
    }
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
    /// A raw disk that is served at this URL, by the firmware; writes to it are dropped.
    Export(String),
    /// A script at this URL, which iPXE of the network card fetches.
    Script(String),
}

/// The firmware of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// The monitor's own: a BIOS, or none.
    Own,
    /// UEFI from this image, such as OVMF.
    Uefi(PathBuf),
}
