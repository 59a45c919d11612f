//! HyperKit's command line, for macOS.
//!
//! # Format
//! HyperKit's `-f kexec,KERNEL,INITRD,CMDLINE`: the cmdline comes last, so commas in it are its own; in the paths there
//! must be none. A card of the PCI bus has eight functions, each of which can be a disk.

use std::path::{Path, PathBuf};

use super::local::local;
use super::{Boot, CommandLine, Error, Link, Machine, Monitor};

/// Functions of a PCI card (PCI Local Bus Specification 3.0, section 3.2.2.3.1), and so disks of a machine.
const MOST_DISKS: usize = 8;

/// How HyperKit runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HyperKit {
    /// The program.
    pub program: PathBuf,
    /// Identifies the machine to its guest, and gives it its address.
    pub uuid: String,
    /// Directory for the process id.
    pub state: Option<PathBuf>,
}

/// The command line that runs `machine`.
///
/// # Errors
/// When the machine needs what HyperKit does not have: media, ports, paths with commas.
pub fn hyperkit(machine: &Machine, options: &HyperKit) -> Result<CommandLine, Error> {
    Monitor::HyperKit.check(machine)?;
    let Boot::Direct { kernel, initrd: Some(initrd), cmdline, .. } = &machine.boot else {
        return Err(unsupported("start without an initrd"));
    };
    let [kernel, initrd] = [part(kernel)?, part(initrd)?];
    let mut line = CommandLine::new(options.program.clone(), Monitor::HyperKit.origin());
    line.options(["-A", "-u"]);
    if let Some(state) = &options.state {
        line.path("-F", &state.join("hyperkit.pid"));
    }
    line.options(["-c", &machine.cpus.to_string(), "-m", &format!("{}M", machine.memory)]);
    line.options(["-s", "0:0,hostbridge", "-s", "31,lpc"]);
    if machine.network.link != Link::None {
        line.options(["-s", "1:0,virtio-net"]);
    }
    if machine.disks.len() > MOST_DISKS {
        return Err(unsupported("attach more than eight disks"));
    }
    for (number, disk) in machine.disks.iter().enumerate() {
        line.options(["-s", &format!("2:{number},virtio-blk,{}", part(&disk.path)?)]);
    }
    for (number, cd) in machine.cds.iter().enumerate() {
        line.options(["-s", &format!("3:{number},ahci-cd,{}", part(cd)?)]);
    }
    line.options(["-s", "10,virtio-rnd", "-l", "com1,stdio", "-U", &options.uuid]);
    line.options(["-f", &format!("kexec,{kernel},{initrd},{cmdline}")]);
    Ok(line)
}

const fn unsupported(what: &'static str) -> Error {
    Monitor::HyperKit.unsupported(what)
}

/// A path in a list of options, which has no way to write a comma.
fn part(path: &Path) -> Result<String, Error> {
    let path = local(path).into_os_string().into_string();
    let path = path.map_err(|_| unsupported("open files whose path is no text"))?;
    if path.contains(',') { Err(unsupported("open files with a comma in their path")) } else { Ok(path) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::{Disk, DiskFormat, Firmware, Network};

    fn options() -> HyperKit {
        HyperKit { program: "hyperkit".into(), uuid: "U".to_owned(), state: Some("/s".into()) }
    }

    fn machine(kernel: &str) -> Machine {
        let (initrd, cmdline) = (Some("/m/i".into()), "console=ttyS0,9600 x".into());
        let boot = Boot::Direct { kernel: kernel.into(), initrd, cmdline, root: None };
        Machine { network: Network { link: Link::Own, ..Network::none() }, ..Machine::new(boot) }
    }

    #[test]
    fn the_paths_of_a_mount_are_handed_over_as_they_are() {
        assert_eq!(
            hyperkit(&machine("/m/k"), &options()).unwrap().to_string(),
            "hyperkit -A -u -F /s/hyperkit.pid -c 1 -m 1024M -s 0:0,hostbridge -s 31,lpc -s 1:0,virtio-net \
             -s 10,virtio-rnd -l com1,stdio -U U -f 'kexec,/m/k,/m/i,console=ttyS0,9600 x'"
        );
        assert!(hyperkit(&machine("/m/a,b"), &options()).is_err());
        let uefi = Machine { firmware: Firmware::Uefi("/f".into()), ..machine("/m/k") };
        assert_eq!(hyperkit(&uefi, &options()).unwrap_err().to_string(), "HyperKit cannot start by UEFI");
        let mut disk = machine("/m/k");
        if let Boot::Direct { root, .. } = &mut disk.boot {
            *root = Some(Disk { path: "/m/r".into(), format: DiskFormat::Raw });
        }
        assert_eq!(hyperkit(&disk, &options()).unwrap_err().to_string(), "HyperKit cannot start from a root on a disk");
    }

    #[test]
    fn disks_are_files_of_this_machine_and_at_most_eight() {
        let disk = |path: &str, format| Disk { path: path.into(), format };
        let line =
            |disks: Vec<Disk>| hyperkit(&Machine { disks, cds: vec!["/c".into()], ..machine("k:x") }, &options());
        let text = line(vec![disk("file:x", DiskFormat::Raw), disk("-y", DiskFormat::Raw)]).unwrap().to_string();
        assert!(text.contains(" -s 2:0,virtio-blk,./file:x -s 2:1,virtio-blk,./-y -s 3:0,ahci-cd,/c "), "{text}");
        assert!(text.contains("'kexec,./k:x,/m/i,"), "{text}");
        let refused = [
            (vec![disk("/d,ro", DiskFormat::Raw)], "HyperKit cannot open files with a comma in their path"),
            (vec![disk("/d", DiskFormat::Qcow2)], "HyperKit cannot attach disks of other formats than raw"),
            (vec![disk("/d", DiskFormat::Raw); 9], "HyperKit cannot attach more than eight disks"),
        ];
        for (disks, message) in refused {
            assert_eq!(line(disks).unwrap_err().to_string(), message);
        }
    }
}
