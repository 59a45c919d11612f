//! What `lkit run` gives a machine besides what it starts from, mostly in linuxkit's words.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as Group, ValueHint};

#[derive(Debug, Default, Group)]
pub struct Devices {
    /// Network of the machine: user (the monitor's own), tap,INTERFACE, bridge,BRIDGE, vmnet or none [default: user,
    /// where the monitor has one, else none]
    #[arg(long, value_name = "NETWORK")]
    pub networking: Option<String>,
    /// Metadata for the machine, which finds it on a CD, in the file `config`
    #[arg(long, value_name = "METADATA", conflicts_with = "data_file", allow_hyphen_values = true)]
    pub data: Option<OsString>,
    /// The same from a file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub data_file: Option<PathBuf>,
    /// Share a directory, which the guest mounts with `mount -t virtiofs virtiofs0 DIR`; the next one is virtiofs1
    /// (repeatable)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub virtiofs: Vec<PathBuf>,
    /// The virtiofsd program [default: where Debian's packages put it]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub virtiofsd: Option<PathBuf>,
    /// Add a device as QEMU's -device does: DRIVER[,PROPERTY=VALUE]… (repeatable)
    #[arg(long, value_name = "DEVICE")]
    pub device: Vec<String>,
    /// Add a USB controller
    #[arg(long)]
    pub usb: bool,
    /// Show the screen of the machine in a window; its console stays on the terminal
    #[arg(long)]
    pub gui: bool,
    /// Run in the background: the console goes to `console.log` in the directory of --state, the process id to `qemu.pid`
    #[arg(long, requires = "state", conflicts_with = "dry_run")]
    pub detached: bool,
    /// Start from PREFIX-kernel and PREFIX-initrd.img, whatever else there is
    #[arg(long, conflicts_with_all = ["squashfs", "iso", "root"])]
    pub kernel: bool,
    /// Start from PREFIX-kernel and the root in PREFIX-squashfs.img, whatever else there is
    #[arg(long, conflicts_with_all = ["iso", "root"])]
    pub squashfs: bool,
    /// Print the command for another machine, which starts from what `lkit serve` serves at nbd://HOST:PORT (a disk) or
    /// http://HOST:PORT (by iPXE)
    #[arg(long, value_name = "URL", requires = "dry_run", conflicts_with_all = ["iso", "root", "initrd", "kernel", "squashfs"])]
    pub from: Option<String>,
    /// The monitor's program [default: the one of its name in the PATH]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub program: Option<PathBuf>,
}
