//! QEMU's command line.
//!
//! # Format
//! As `linuxkit run qemu` starts machines: q35 (virt on arm64), virtio for network and entropy, the console on the
//! terminal with QEMU's monitor behind Ctrl-A C. An initrd is mapped by QEMU, so it is read once, when it boots.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::local::value;
use super::{Accelerator, Boot, CommandLine, Disk, DiskFormat, Error, Firmware, Link, Machine, Origin, Share};

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
    /// Directory for the process id.
    pub state: Option<PathBuf>,
}

/// The command line that runs `machine`.
///
/// # Errors
/// When QEMU has no machine for the architecture.
pub fn qemu(machine: &Machine, options: &Qemu) -> Result<CommandLine, Error> {
    let (program, board, package) = board(&options.architecture)?;
    let program = options.program.clone().unwrap_or_else(|| program.into());
    let mut line = CommandLine::new(program, Origin::Package(package));
    // What a server of shares or of the disk reads and writes is the memory of the guest.
    let is_shared = !machine.shares.is_empty() || matches!(machine.boot, Boot::VhostUser(_));
    let memory = if is_shared { ",memory-backend=mem" } else { "" };
    line.options(["-machine", &format!("{board}{memory}"), "-accel", options.accelerator.name()]);
    if is_shared {
        line.options(["-object", &format!("memory-backend-memfd,id=mem,size={}M,share=on", machine.memory)]);
    }
    line.options(["-cpu", cpu(options)]);
    line.options(["-smp", &machine.cpus.to_string(), "-m", &machine.memory.to_string()]);
    // A guest that reboots or panics ends the machine, as on the terminal nobody sees a loop.
    line.options(["-no-reboot", "-nodefaults"]);
    screen(&mut line, machine, &options.architecture);
    line.options(["-serial", "mon:stdio"]);
    if let Some(state) = &options.state {
        line.path("-pidfile", &state.join("qemu.pid"));
    }
    line.options(["-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng0"]);
    network(&mut line, machine);
    if let Firmware::Uefi(path) = &machine.firmware {
        line.path("-bios", path);
    }
    boot(&mut line, machine);
    for (number, disk) in machine.disks.iter().enumerate() {
        line.option("-drive", drive(disk, &format!("id=disk{number},if=virtio")));
    }
    cds(&mut line, machine, &options.architecture);
    shares(&mut line, machine);
    machine.devices.iter().for_each(|device| line.options(["-device", device]));
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

/// The display, keyboard and pointer; the console stays on the terminal.
fn screen(line: &mut CommandLine, machine: &Machine, architecture: &str) {
    match (machine.window, architecture) {
        (false, _) => line.options(["-display", "none"]),
        (true, "amd64") => line.options(["-vga", "std"]),
        (true, _) => line.options(["-device", "virtio-gpu-pci"]),
    }
    if machine.usb || machine.window {
        line.options(["-device", "qemu-xhci,id=usb"]);
    }
    if machine.window {
        line.options(["-device", "usb-kbd", "-device", "usb-tablet"]);
    }
}

fn network(line: &mut CommandLine, machine: &Machine) {
    let backend = match &machine.network.link {
        Link::None => return,
        Link::Own => own_network(machine),
        Link::Tap(name) => format!("tap,id=net0,ifname={name},script=no,downscript=no"),
        Link::Bridge(name) => format!("bridge,id=net0,br={name}"),
        Link::Vmnet => "vmnet-shared,id=net0".to_owned(),
    };
    // Without its ROM the card does not try to boot from the network first.
    let rom = if matches!(machine.boot, Boot::Script(_)) { "" } else { ",romfile=" };
    let mac = machine.network.mac.map(|mac| format!(",mac={mac}")).unwrap_or_default();
    line.options(["-netdev", &backend, "-device", &format!("virtio-net-pci,netdev=net0{rom}{mac}")]);
}

fn own_network(machine: &Machine) -> String {
    let mut backend = String::from("user,id=net0");
    for port in &machine.network.ports {
        let address = port.address.map(|address| address.to_string()).unwrap_or_default();
        backend += &format!(",hostfwd={}:{address}:{}-:{}", port.protocol.name(), port.host, port.guest);
    }
    if let Boot::Script(url) = &machine.boot {
        backend += &format!(",bootfile={}", url.replace(',', ",,"));
    }
    backend
}

/// CDs behind the one that the machine may start from. Boards without IDE get them by SCSI: a disk of virtio would be no
/// CD to the guest.
fn cds(line: &mut CommandLine, machine: &Machine, architecture: &str) {
    if architecture != "amd64" && !machine.cds.is_empty() {
        line.options(["-device", "virtio-scsi-pci"]);
    }
    for (number, path) in machine.cds.iter().enumerate() {
        let disk = Disk { path: path.clone(), format: DiskFormat::Raw };
        if architecture == "amd64" {
            line.option("-drive", drive(&disk, &format!("index={},media=cdrom,readonly=on", number + 3)));
        } else {
            line.option("-drive", drive(&disk, &format!("id=cd{number},if=none,media=cdrom,readonly=on")));
            line.options(["-device", &format!("scsi-cd,drive=cd{number}")]);
        }
    }
}

fn shares(line: &mut CommandLine, machine: &Machine) {
    for (number, share) in machine.shares.iter().enumerate() {
        let mut socket = OsString::from(format!("socket,id=share{number},path="));
        socket.push(value(&share.socket));
        line.option("-chardev", socket);
        line.options(["-device", &format!("vhost-user-fs-pci,chardev=share{number},tag={}", Share::tag(number))]);
    }
}

fn boot(line: &mut CommandLine, machine: &Machine) {
    match &machine.boot {
        Boot::Direct { kernel, initrd, cmdline, root } => {
            line.path("-kernel", kernel);
            initrd.iter().for_each(|initrd| line.path("-initrd", initrd));
            if !cmdline.is_empty() {
                line.options(["-append", cmdline]);
            }
            let options = match machine.past_cache {
                false => "id=root,if=virtio,readonly=on",
                true => "id=root,if=virtio,readonly=on,cache.direct=on",
            };
            root.iter().for_each(|root| line.option("-drive", drive(root, options)));
        }
        // What `-cdrom` stands for, with a format: else QEMU looks for one in the content.
        Boot::Cdrom(path) => {
            let disk = Disk { path: path.clone(), format: DiskFormat::Raw };
            line.option("-drive", drive(&disk, "index=2,media=cdrom,readonly=on"));
        }
        Boot::Disk(disk) => line.option("-drive", drive(disk, "id=boot,if=virtio,snapshot=on")),
        Boot::VhostUser(socket) => vhost_user(line, socket, machine),
        Boot::Export(url) => {
            let url = url.replace(',', ",,");
            line.options(["-drive", &format!("id=boot,if=virtio,snapshot=on,format=raw,file={url}")]);
        }
        Boot::Script(_) => line.options(["-boot", "n"]),
    }
}

/// A disk behind a socket, whose server answers in the memory of the guest: all of that is shared with it.
fn vhost_user(line: &mut CommandLine, socket: &Path, machine: &Machine) {
    let mut server = OsString::from("socket,id=boot,path=");
    server.push(value(socket));
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
    use crate::vm::{Network, Port, Protocol};

    fn machine(boot: Boot, firmware: Firmware) -> Machine {
        let port = Port { address: None, host: 8080, guest: 80, protocol: Protocol::Tcp };
        let network = Network { link: Link::Own, ports: vec![port], mac: "02:00:00:00:00:01".parse().ok() };
        Machine { firmware, memory: 512, cpus: 2, network, ..Machine::new(boot) }
    }

    fn line(boot: Boot, firmware: Firmware, architecture: &str) -> Result<String, Error> {
        line_of(&machine(boot, firmware), architecture)
    }

    fn line_of(machine: &Machine, architecture: &str) -> Result<String, Error> {
        let accelerator = Accelerator::Tcg;
        let options = Qemu { program: None, architecture: architecture.to_owned(), accelerator, state: None };
        Ok(qemu(machine, &options)?.to_string())
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
        let machine = machine(boot, Firmware::Own);
        let line = line_of(&machine, "amd64").unwrap();
        assert!(line.ends_with(" -kernel /m/k -drive id=root,if=virtio,readonly=on,format=raw,file=/m/r"), "{line}");
        let line = line_of(&Machine { past_cache: true, ..machine }, "amd64").unwrap();
        let end = " -drive id=root,if=virtio,readonly=on,cache.direct=on,format=raw,file=/m/r";
        assert!(line.ends_with(end), "{line}");
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
        let start = "qemu-system-x86_64 -machine q35,memory-backend=mem -accel tcg \
                     -object memory-backend-memfd,id=mem,size=512M,share=on ";
        assert!(shared.starts_with(start), "{shared}");
        let end = " -chardev socket,id=boot,path=/m/a,,b.sock \
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

    #[test]
    fn a_card_is_connected_to_what_is_named() {
        let rows = [
            (Link::Tap("tap0".to_owned()), " -netdev tap,id=net0,ifname=tap0,script=no,downscript=no "),
            (Link::Bridge("br0".to_owned()), " -netdev bridge,id=net0,br=br0 "),
            (Link::Vmnet, " -netdev vmnet-shared,id=net0 "),
        ];
        for (link, words) in rows {
            let machine =
                Machine { network: Network { link, ..Network::none() }, ..Machine::new(Boot::Cdrom("/c".into())) };
            let line = line_of(&machine, "amd64").unwrap();
            assert!(line.contains(&format!("{words}-device virtio-net-pci,netdev=net0,romfile= ")), "{line}");
        }
        assert!(!line_of(&Machine::new(Boot::Cdrom("/c".into())), "amd64").unwrap().contains("net"));
    }

    #[test]
    fn what_else_is_asked_for_stands_at_the_end() {
        let machine = Machine {
            cds: vec!["/m/a,b.iso".into()],
            shares: vec![Share { directory: "/d".into(), socket: "/s".into() }],
            devices: vec!["usb-host,hostbus=1".to_owned()],
            ..Machine::new(Boot::Cdrom("/c".into()))
        };
        let amd64 = line_of(&machine, "amd64").unwrap();
        let end = "-drive index=3,media=cdrom,readonly=on,format=raw,file=/m/a,,b.iso \
                   -chardev socket,id=share0,path=/s \
                   -device vhost-user-fs-pci,chardev=share0,tag=virtiofs0 -device usb-host,hostbus=1";
        let memory = " -machine q35,memory-backend=mem -accel tcg \
                      -object memory-backend-memfd,id=mem,size=1024M,share=on ";
        assert!(amd64.ends_with(end) && amd64.contains(memory), "{amd64}");
        let arm64 = line_of(&Machine { shares: Vec::new(), ..machine }, "arm64").unwrap();
        let end = " -device virtio-scsi-pci \
                   -drive id=cd0,if=none,media=cdrom,readonly=on,format=raw,file=/m/a,,b.iso \
                   -device scsi-cd,drive=cd0 -device usb-host,hostbus=1";
        assert!(arm64.ends_with(end) && arm64.contains(" -machine virt -accel"), "{arm64}");
    }

    #[test]
    fn a_window_has_a_screen_and_a_keyboard_and_leaves_the_console_where_it_was() {
        let machine = Machine { window: true, ..Machine::new(Boot::Cdrom("/c".into())) };
        let keyboard = "-device qemu-xhci,id=usb -device usb-kbd -device usb-tablet -serial mon:stdio ";
        for (architecture, screen) in [("amd64", "-vga std"), ("arm64", "-device virtio-gpu-pci")] {
            let line = line_of(&machine, architecture).unwrap();
            assert!(line.contains(&format!(" -nodefaults {screen} {keyboard}")), "{line}");
        }
        let line = line_of(&Machine { window: false, usb: true, ..machine }, "amd64").unwrap();
        assert!(line.contains(" -display none -device qemu-xhci,id=usb -serial "), "{line}");
    }

    #[test]
    fn what_another_machine_serves_is_named_by_its_url() {
        let disk = line(Boot::Export("nbd://h:1/a,b.img".to_owned()), Firmware::Own, "amd64").unwrap();
        assert!(disk.ends_with(" -drive id=boot,if=virtio,snapshot=on,format=raw,file=nbd://h:1/a,,b.img"), "{disk}");
        let script = line(Boot::Script("http://h:1/ipxe".to_owned()), Firmware::Own, "amd64").unwrap();
        let words = ",hostfwd=tcp::8080-:80,bootfile=http://h:1/ipxe \
                     -device virtio-net-pci,netdev=net0,mac=02:00:00:00:00:01 -boot n";
        assert!(script.ends_with(words), "{script}");
    }
}
