//! QEMU's command line.
//!
//! # Format
//! As `linuxkit run qemu` starts machines: q35 (virt on arm64), virtio for network and entropy, the console on the
//! terminal with QEMU's monitor behind Ctrl-A C. An initrd is mapped by QEMU, so it is read once, when it boots.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::local::value;
use super::{Accelerator, Boot, CommandLine, Disk, DiskFormat, Error, Firmware, Machine, Network};

/// Rings that the server of a disk answers: as many as processors of the guest, up to this.
const MOST_RINGS: u32 = 16;

/// How QEMU runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    /// The program; by default the one for the architecture.
    pub program: Option<PathBuf>,
    /// GOARCH name of the guest.
    pub architecture: String,
    /// How instructions are run.
    pub accelerator: Accelerator,
}

/// The command line that runs `machine`.
///
/// # Errors
/// When QEMU has no machine for the architecture.
pub fn qemu(machine: &Machine, options: &Qemu) -> Result<CommandLine, Error> {
    let (program, board, package) = board(&options.architecture)?;
    let program = options.program.clone().unwrap_or_else(|| program.into());
    let mut line = CommandLine::new(program, package);
    let is_shared = matches!(machine.boot, Boot::VhostUser(_));
    let memory = if is_shared { format!("{board},memory-backend=memory") } else { board.to_owned() };
    line.options(["-machine", &memory, "-accel", options.accelerator.name()]);
    line.options(["-cpu", cpu(options)]);
    line.options(["-smp", &machine.cpus.to_string(), "-m", &machine.memory.to_string()]);
    // A guest that reboots or panics ends the machine, as on the terminal nobody sees a loop.
    line.options(["-no-reboot", "-nodefaults", "-display", "none", "-serial", "mon:stdio"]);
    line.options(["-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng0"]);
    network(&mut line, &machine.network);
    if let Firmware::Uefi(path) = &machine.firmware {
        line.path("-bios", path);
    }
    boot(&mut line, machine);
    for (number, disk) in machine.disks.iter().enumerate() {
        line.option("-drive", drive(disk, &format!("id=disk{number},if=virtio")));
    }
    Ok(line)
}

/// QEMU's program for guests of an architecture, and its Debian package.
///
/// # Errors
/// When there is none.
pub fn qemu_program(architecture: &str) -> Result<(&'static str, &'static str), Error> {
    board(architecture).map(|(program, _, package)| (program, package))
}

/// Program, board and Debian package for guests of an architecture.
fn board(architecture: &str) -> Result<(&'static str, &'static str, &'static str), Error> {
    match architecture {
        "amd64" => Ok(("qemu-system-x86_64", "q35", "qemu-system-x86")),
        "arm64" => Ok(("qemu-system-aarch64", "virt", "qemu-system-arm")),
        _ => Err(Error::Unsupported { monitor: "QEMU", what: "run guests of this architecture" }),
    }
}

/// All that the host has, or under translation all that is quick: `max` emulates pointer authentication on arm64.
fn cpu(options: &Qemu) -> &'static str {
    match (options.accelerator, options.architecture.as_str()) {
        (Accelerator::Tcg, "arm64") => "cortex-a57",
        (Accelerator::Tcg, _) => "max",
        _ => "host",
    }
}

fn network(line: &mut CommandLine, network: &Network) {
    let Network::User { ports, mac } = network else { return };
    let mut backend = String::from("user,id=net0");
    for port in ports {
        let address = port.address.map(|address| address.to_string()).unwrap_or_default();
        backend += &format!(",hostfwd={}:{address}:{}-:{}", port.protocol.name(), port.host, port.guest);
    }
    // Without its ROM the card does not try to boot from the network first.
    let mac = mac.map(|mac| format!(",mac={mac}")).unwrap_or_default();
    line.options(["-netdev", &backend, "-device", &format!("virtio-net-pci,netdev=net0,romfile={mac}")]);
}

fn boot(line: &mut CommandLine, machine: &Machine) {
    match &machine.boot {
        Boot::Direct { kernel, initrd, cmdline, root } => {
            line.path("-kernel", kernel);
            initrd.iter().for_each(|initrd| line.path("-initrd", initrd));
            if !cmdline.is_empty() {
                line.options(["-append", cmdline]);
            }
            root.iter().for_each(|root| line.option("-drive", drive(root, "id=root,if=virtio,readonly=on")));
        }
        // What `-cdrom` stands for, with a format: else QEMU looks for one in the content.
        Boot::Cdrom(path) => {
            let disk = Disk { path: path.clone(), format: DiskFormat::Raw };
            line.option("-drive", drive(&disk, "index=2,media=cdrom,readonly=on"));
        }
        Boot::Disk(disk) => line.option("-drive", drive(disk, "id=boot,if=virtio,snapshot=on")),
        Boot::VhostUser(socket) => vhost_user(line, socket, machine),
    }
}

/// A disk behind a socket, whose server answers in the memory of the guest: all of that is shared with it.
fn vhost_user(line: &mut CommandLine, socket: &Path, machine: &Machine) {
    let memory = format!("memory-backend-memfd,id=memory,share=on,size={}M", machine.memory);
    let mut server = OsString::from("socket,id=boot,path=");
    server.push(value(socket));
    line.options(["-object", &memory]);
    line.option("-chardev", server);
    let rings = machine.cpus.min(MOST_RINGS);
    let device = format!("vhost-user-blk-pci,chardev=boot,num-queues={rings},bootindex=0");
    line.options(["-device", &device]);
}

/// A disk with its format, which QEMU must not guess: a guest that writes the header of another format to a raw disk
/// would have it open any file of the host the next time.
fn drive(disk: &Disk, options: &str) -> OsString {
    let mut text = OsString::from(format!("{options},format={},file=", disk.format.name()));
    text.push(value(&disk.path));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::{Port, Protocol};

    fn machine(boot: Boot, firmware: Firmware) -> Machine {
        let port = Port { address: None, host: 8080, guest: 80, protocol: Protocol::Tcp };
        let network = Network::User { ports: vec![port], mac: "02:00:00:00:00:01".parse().ok() };
        Machine { boot, firmware, memory: 512, cpus: 2, disks: Vec::new(), network }
    }

    fn line(boot: Boot, firmware: Firmware, architecture: &str) -> Result<String, Error> {
        let options = Qemu { program: None, architecture: architecture.to_owned(), accelerator: Accelerator::Tcg };
        Ok(qemu(&machine(boot, firmware), &options)?.to_string())
    }

    fn raw(path: &str) -> Disk {
        Disk { path: path.into(), format: DiskFormat::Raw }
    }

    #[test]
    fn a_kernel_is_loaded_by_qemu() {
        let (initrd, cmdline) = (Some("/m/initrd.img".into()), "console=ttyS0 a=b".into());
        let boot = Boot::Direct { kernel: "/m/kernel".into(), initrd, cmdline, root: None };
        assert_eq!(
            line(boot, Firmware::Own, "amd64").unwrap(),
            "qemu-system-x86_64 -machine q35 -accel tcg -cpu max -smp 2 -m 512 -no-reboot -nodefaults -display none \
             -serial mon:stdio -object rng-random,id=rng0,filename=/dev/urandom -device virtio-rng-pci,rng=rng0 \
             -netdev user,id=net0,hostfwd=tcp::8080-:80 -device virtio-net-pci,netdev=net0,romfile=,mac=02:00:00:00:00:01 \
             -kernel /m/kernel -initrd /m/initrd.img -append 'console=ttyS0 a=b'"
        );
    }

    #[test]
    fn a_root_is_the_first_disk_and_only_read() {
        let root = Some(raw("/m/r"));
        let boot = Boot::Direct { kernel: "/m/k".into(), initrd: None, cmdline: String::new(), root };
        let line = line(boot, Firmware::Own, "amd64").unwrap();
        assert!(line.ends_with(" -kernel /m/k -drive id=root,if=virtio,readonly=on,format=raw,file=/m/r"), "{line}");
    }

    #[test]
    fn media_are_started_by_firmware_and_never_written() {
        let boot = Boot::Disk(raw("/m/a,b.img"));
        let arm = line(boot, Firmware::Uefi("/fw/code.fd".into()), "arm64").unwrap();
        assert!(arm.starts_with("qemu-system-aarch64 -machine virt -accel tcg -cpu cortex-a57 "), "{arm}");
        let end = " -bios /fw/code.fd -drive id=boot,if=virtio,snapshot=on,format=raw,file=/m/a,,b.img";
        assert!(arm.ends_with(end), "{arm}");
        let cd = line(Boot::Cdrom("/m/x.iso".into()), Firmware::Own, "amd64").unwrap();
        let end = " -drive index=2,media=cdrom,readonly=on,format=raw,file=/m/x.iso";
        assert!(cd.ends_with(end) && !cd.contains("-bios"), "{cd}");
        assert!(line(Boot::Cdrom("x".into()), Firmware::Own, "s390x").is_err());
    }

    #[test]
    fn a_server_of_a_disk_shares_the_memory_of_its_guest() {
        let shared = line(Boot::VhostUser("/m/a,b.sock".into()), Firmware::Own, "amd64").unwrap();
        assert!(shared.starts_with("qemu-system-x86_64 -machine q35,memory-backend=memory -accel tcg "), "{shared}");
        let end = " -object memory-backend-memfd,id=memory,share=on,size=512M -chardev socket,id=boot,path=/m/a,,b.sock \
                   -device vhost-user-blk-pci,chardev=boot,num-queues=2,bootindex=0";
        assert!(shared.ends_with(end), "{shared}");
    }

    #[test]
    fn every_file_that_qemu_is_given_is_a_file_of_this_machine() {
        let boot = Boot::Direct {
            kernel: "nbd:k".into(),
            initrd: Some("-i".into()),
            cmdline: String::new(),
            root: Some(raw("fat:rw:/etc,if=none")),
        };
        let direct = line(boot, Firmware::Uefi("fw:x".into()), "amd64").unwrap();
        let end = " -bios ./fw:x -kernel ./nbd:k -initrd ./-i \
                   -drive id=root,if=virtio,readonly=on,format=raw,file=./fat:rw:/etc,,if=none";
        assert!(direct.ends_with(end), "{direct}");
        let cd = line(Boot::Cdrom("x:y.iso".into()), Firmware::Own, "amd64").unwrap();
        assert!(cd.ends_with(",file=./x:y.iso"), "{cd}");
    }
}
