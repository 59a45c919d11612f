//! The monitors that start a kernel directly and nothing else: Cloud Hypervisor, Firecracker, crosvm and vfkit.
//!
//! # Format
//! - Cloud Hypervisor: its `--help`, from version 51, which takes the format of a disk (`image_type`) and does not guess it.
//! - Firecracker: the configuration file of `docs/getting-started.md`, with the objects of its API. Its guests end by a
//!   reboot, so the kernel is told to make one (`reboot=k`), also when it panics.
//! - crosvm: `crosvm run --help`.
//! - vfkit: `doc/usage.md`. Its console is `hvc0`, which linuxkit adds to the command line as well; what is only read is a
//!   USB stick, as its other disks are opened for writing.
//!
//! Their lists of options end values at a comma, and some know quotes and brackets: paths with any of these are refused.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::local::local;
use super::{Boot, CommandLine, Disk, DiskFormat, Error, Link, Machine, Monitor, Share};

/// A command line, and the file that it names.
pub struct Small {
    /// The command line.
    pub line: CommandLine,
    /// What the file of the path that was given must hold, where the monitor reads one.
    pub config: Option<Vec<u8>>,
}

/// What a machine starts from, as these monitors take it.
struct Direct<'a> {
    kernel: String,
    initrd: Option<String>,
    cmdline: &'a str,
    /// The root and CDs.
    read_only: Vec<String>,
    disks: Vec<String>,
}

/// The command line that runs `machine` with one of these monitors; Firecracker reads the file `config`.
///
/// # Errors
/// When the machine needs what the monitor cannot do, or a path cannot be written in its options.
pub fn small(monitor: Monitor, machine: &Machine, program: Option<PathBuf>, config: &Path) -> Result<Small, Error> {
    monitor.check(machine)?;
    let direct = Direct::of(monitor, machine)?;
    let mut line = CommandLine::new(program.unwrap_or_else(|| monitor.name().into()), monitor.origin());
    let mut content = None;
    match monitor {
        Monitor::CloudHypervisor => cloud_hypervisor(&mut line, machine, &direct)?,
        Monitor::Crosvm => crosvm(&mut line, machine, &direct)?,
        Monitor::Vfkit => vfkit(&mut line, machine, &direct)?,
        Monitor::Firecracker => {
            line.options(["--no-api"]);
            line.path("--config-file", config);
            content = Some(firecracker(machine, &direct).to_string().into_bytes());
        }
        Monitor::Qemu | Monitor::HyperKit => return Err(monitor.unsupported("be started in this way")),
    }
    Ok(Small { line, config: content })
}

impl<'a> Direct<'a> {
    fn of(monitor: Monitor, machine: &'a Machine) -> Result<Self, Error> {
        let Boot::Direct { kernel, initrd, cmdline, root } = &machine.boot else {
            return Err(monitor.unsupported("start from CDs and disks"));
        };
        let part = |path: &Path| part(monitor, path);
        let raw = |disk: &Disk| match disk.format {
            DiskFormat::Raw => part(&disk.path),
            _ => Err(monitor.unsupported("attach disks of other formats than raw")),
        };
        let cds = machine.cds.iter().map(|path| part(path));
        Ok(Self {
            kernel: part(kernel)?,
            initrd: initrd.as_deref().map(part).transpose()?,
            cmdline,
            read_only: root.iter().map(raw).chain(cds).collect::<Result<_, _>>()?,
            disks: machine.disks.iter().map(raw).collect::<Result<_, _>>()?,
        })
    }
}

/// A path in a list of options.
fn part(monitor: Monitor, path: &Path) -> Result<String, Error> {
    let path = local(path).into_os_string().into_string();
    let path = path.map_err(|_| monitor.unsupported("open files whose path is no text"))?;
    match path.contains([',', '"', '[', ']', '\\']) {
        true => Err(monitor.unsupported("open files with a comma, quote, bracket or backslash in their path")),
        false => Ok(path),
    }
}

fn mac(machine: &Machine, before: &str) -> String {
    machine.network.mac.map(|mac| format!("{before}{mac}")).unwrap_or_default()
}

fn cloud_hypervisor(line: &mut CommandLine, machine: &Machine, direct: &Direct<'_>) -> Result<(), Error> {
    let shared = if machine.shares.is_empty() { "" } else { ",shared=on" };
    line.options(["--cpus", &format!("boot={}", machine.cpus)]);
    line.options(["--memory", &format!("size={}M{shared}", machine.memory)]);
    line.options(["--kernel", &direct.kernel]);
    direct.initrd.iter().for_each(|initrd| line.options(["--initramfs", initrd]));
    line.options(["--cmdline", direct.cmdline]);
    let read_only = direct.read_only.iter().map(|path| format!("path={path},image_type=raw,readonly=on"));
    let disks: Vec<String> =
        read_only.chain(direct.disks.iter().map(|path| format!("path={path},image_type=raw"))).collect();
    if !disks.is_empty() {
        line.options(["--disk"]);
        disks.iter().for_each(|disk| line.options([disk]));
    }
    if let Link::Tap(name) = &machine.network.link {
        line.options(["--net", &format!("tap={name}{}", mac(machine, ",mac="))]);
    }
    for (number, share) in machine.shares.iter().enumerate() {
        let socket = part(Monitor::CloudHypervisor, &share.socket)?;
        line.options(["--fs", &format!("tag={},socket={socket}", Share::tag(number))]);
    }
    line.options(["--serial", "tty", "--console", "off"]);
    Ok(())
}

fn crosvm(line: &mut CommandLine, machine: &Machine, direct: &Direct<'_>) -> Result<(), Error> {
    line.options(["run", "--cpus", &machine.cpus.to_string(), "--mem", &machine.memory.to_string()]);
    line.options(["--serial", "type=stdout,hardware=serial,num=1,console,stdin"]);
    direct.read_only.iter().for_each(|path| line.options(["--block", &format!("path={path},ro")]));
    direct.disks.iter().for_each(|path| line.options(["--block", &format!("path={path}")]));
    if let Link::Tap(name) = &machine.network.link {
        line.options(["--net", &format!("tap-name={name}{}", mac(machine, ",mac="))]);
    }
    for (number, share) in machine.shares.iter().enumerate() {
        let directory = part(Monitor::Crosvm, &share.directory)?;
        if directory.contains(':') {
            return Err(Monitor::Crosvm.unsupported("share directories with a colon in their path"));
        }
        line.options(["--shared-dir", &format!("{directory}:{}:type=fs", Share::tag(number))]);
    }
    direct.initrd.iter().for_each(|initrd| line.options(["--initrd", initrd]));
    line.options(["--params", direct.cmdline, &direct.kernel]);
    Ok(())
}

fn vfkit(line: &mut CommandLine, machine: &Machine, direct: &Direct<'_>) -> Result<(), Error> {
    let has_console = direct.cmdline.split_whitespace().any(|word| word.split(',').next() == Some("console=hvc0"));
    let cmdline = if has_console { direct.cmdline.to_owned() } else { format!("{} console=hvc0", direct.cmdline) };
    if cmdline.contains('"') {
        return Err(Monitor::Vfkit.unsupported("take a kernel command line with quotes"));
    }
    let initrd = direct.initrd.as_ref().map(|initrd| format!(",initrd={initrd}")).unwrap_or_default();
    line.options(["--cpus", &machine.cpus.to_string(), "--memory", &machine.memory.to_string()]);
    line.options([
        "--bootloader",
        &format!("linux,kernel={}{initrd},cmdline=\"{}\"", direct.kernel, cmdline.trim_start()),
    ]);
    line.options(["--device", "virtio-serial,stdio", "--device", "virtio-rng"]);
    direct.disks.iter().for_each(|path| line.options(["--device", &format!("virtio-blk,path={path}")]));
    direct
        .read_only
        .iter()
        .for_each(|path| line.options(["--device", &format!("usb-mass-storage,path={path},readonly")]));
    if machine.network.link != Link::None {
        line.options(["--device", &format!("virtio-net,nat{}", mac(machine, ",mac="))]);
    }
    for (number, share) in machine.shares.iter().enumerate() {
        let directory = part(Monitor::Vfkit, &share.directory)?;
        line.options(["--device", &format!("virtio-fs,sharedDir={directory},mountTag={}", Share::tag(number))]);
    }
    Ok(())
}

fn firecracker(machine: &Machine, direct: &Direct<'_>) -> Value {
    let drive = |(number, (path, read_only)): (usize, (&String, bool))| json!({"drive_id": format!("disk{number}"), "path_on_host": path, "is_root_device": false, "is_read_only": read_only});
    let read_only = direct.read_only.iter().map(|path| (path, true));
    let disks = read_only.chain(direct.disks.iter().map(|path| (path, false)));
    let mut boot = json!({
        "kernel_image_path": direct.kernel,
        "boot_args": format!("{} reboot=k panic=1", direct.cmdline).trim_start(),
    });
    if let Some(initrd) = &direct.initrd {
        boot["initrd_path"] = initrd.as_str().into();
    }
    let mut config = json!({
        "boot-source": boot,
        "machine-config": {"vcpu_count": machine.cpus, "mem_size_mib": machine.memory},
        "drives": disks.enumerate().map(drive).collect::<Vec<_>>(),
        "entropy": {},
    });
    if let Link::Tap(name) = &machine.network.link {
        let mut card = json!({"iface_id": "eth0", "host_dev_name": name});
        if let Some(mac) = machine.network.mac {
            card["guest_mac"] = mac.to_string().into();
        }
        config["network-interfaces"] = json!([card]);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::Network;

    /// A machine with all that these monitors have in common.
    fn machine() -> Machine {
        let disk = |path: &str| Disk { path: path.into(), format: DiskFormat::Raw };
        let (initrd, root) = (Some("/m/i".into()), Some(disk("/m/r")));
        let boot = Boot::Direct { kernel: "k:x".into(), initrd, cmdline: "console=ttyS0 a,b".to_owned(), root };
        let network =
            Network { link: Link::Tap("tap0".to_owned()), mac: "02:00:00:00:00:01".parse().ok(), ..Network::none() };
        Machine { memory: 512, cpus: 2, disks: vec![disk("-d")], cds: vec!["/c".into()], network, ..Machine::new(boot) }
    }

    fn shares() -> Vec<Share> {
        vec![Share { directory: "/d".into(), socket: "/s".into() }]
    }

    fn line(monitor: Monitor, machine: &Machine) -> Result<String, String> {
        let small = small(monitor, machine, None, Path::new("/f"));
        small.map(|small| small.line.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_monitor_gets_the_machine_in_its_own_words() {
        let with_shares = Machine { shares: shares(), ..machine() };
        let rows = [
            (
                Monitor::CloudHypervisor,
                "cloud-hypervisor --cpus boot=2 --memory size=512M,shared=on --kernel ./k:x --initramfs /m/i \
                 --cmdline 'console=ttyS0 a,b' --disk path=/m/r,image_type=raw,readonly=on \
                 path=/c,image_type=raw,readonly=on path=./-d,image_type=raw --net tap=tap0,mac=02:00:00:00:00:01 \
                 --fs tag=virtiofs0,socket=/s --serial tty --console off",
            ),
            (
                Monitor::Crosvm,
                "crosvm run --cpus 2 --mem 512 --serial type=stdout,hardware=serial,num=1,console,stdin \
                 --block path=/m/r,ro --block path=/c,ro --block path=./-d \
                 --net tap-name=tap0,mac=02:00:00:00:00:01 --shared-dir /d:virtiofs0:type=fs --initrd /m/i \
                 --params 'console=ttyS0 a,b' ./k:x",
            ),
        ];
        for (monitor, expected) in rows {
            assert_eq!(line(monitor, &with_shares).as_deref(), Ok(expected));
        }
        let mut mac = Machine { network: Network { link: Link::Own, ..with_shares.network.clone() }, ..with_shares };
        if let Boot::Direct { root, .. } = &mut mac.boot {
            *root = None;
        }
        assert_eq!(
            line(Monitor::Vfkit, &mac).as_deref(),
            Ok("vfkit --cpus 2 --memory 512 \
                --bootloader 'linux,kernel=./k:x,initrd=/m/i,cmdline=\"console=ttyS0 a,b console=hvc0\"' \
                --device virtio-serial,stdio --device virtio-rng --device virtio-blk,path=./-d \
                --device usb-mass-storage,path=/c,readonly --device virtio-net,nat,mac=02:00:00:00:00:01 \
                --device virtio-fs,sharedDir=/d,mountTag=virtiofs0")
        );
    }

    #[test]
    fn firecracker_reads_the_machine_from_a_file() {
        let small = small(Monitor::Firecracker, &machine(), Some("/bin/fc".into()), Path::new("f.json")).unwrap();
        assert_eq!(small.line.to_string(), "/bin/fc --no-api --config-file ./f.json");
        let config: Value = serde_json::from_slice(&small.config.unwrap()).unwrap();
        let drive = |number: u32, path: &str, read_only: bool| {
            json!({"drive_id": format!("disk{number}"), "path_on_host": path, "is_root_device": false,
                   "is_read_only": read_only})
        };
        let expected = json!({
            "boot-source": {"kernel_image_path": "./k:x", "initrd_path": "/m/i",
                            "boot_args": "console=ttyS0 a,b reboot=k panic=1"},
            "machine-config": {"vcpu_count": 2, "mem_size_mib": 512},
            "drives": [drive(0, "/m/r", true), drive(1, "/c", true), drive(2, "./-d", false)],
            "entropy": {},
            "network-interfaces": [{"iface_id": "eth0", "guest_mac": "02:00:00:00:00:01", "host_dev_name": "tap0"}],
        });
        assert_eq!(config, expected);
    }

    #[test]
    fn no_path_is_taken_for_further_options() {
        for monitor in [Monitor::CloudHypervisor, Monitor::Firecracker, Monitor::Crosvm] {
            for path in ["/d,readonly=off", "/d\"", "/d[", "/d\\"] {
                let machine = Machine { cds: vec![path.into()], ..machine() };
                let message = format!(
                    "{} cannot open files with a comma, quote, bracket or backslash in their path",
                    monitor.title()
                );
                assert_eq!(line(monitor, &machine), Err(message));
            }
        }
        let shares = vec![Share { directory: "/a:b".into(), socket: "/s".into() }];
        let message = "crosvm cannot share directories with a colon in their path";
        assert_eq!(line(Monitor::Crosvm, &Machine { shares, ..machine() }).unwrap_err(), message);
    }
}
