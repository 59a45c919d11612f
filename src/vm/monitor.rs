//! The monitors there are, and what each of them can do: a table, and a check of a machine against it.

use super::{Boot, DiskFormat, Error, Firmware, Link, Machine, Origin};

/// A program that runs machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monitor {
    /// QEMU.
    Qemu,
    /// HyperKit, for macOS on Intel processors.
    HyperKit,
    /// Cloud Hypervisor.
    CloudHypervisor,
    /// Firecracker.
    Firecracker,
    /// crosvm.
    Crosvm,
    /// vfkit, for macOS.
    Vfkit,
}

/// Something that not every monitor can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// Run guests of other architectures than the host's.
    OtherGuests,
    /// Start by UEFI.
    Uefi,
    /// Start a kernel without an initrd.
    WithoutInitrd,
    /// Start from a root on a disk.
    RootDisk,
    /// Start from a CD or disk, by a firmware.
    Media,
    /// Start from what another machine serves.
    Remote,
    /// Start from a disk behind a socket of vhost-user.
    VhostUser,
    /// Give the machine a network of the monitor's own.
    OwnNetwork,
    /// Publish ports.
    Ports,
    /// Use a tap interface.
    Tap,
    /// Use a bridge.
    Bridge,
    /// Use vmnet.
    Vmnet,
    /// Attach disks in other formats than raw.
    DiskFormats,
    /// Hand over metadata.
    Metadata,
    /// Hand it over on a CD, and not on a disk.
    Cds,
    /// Share directories, by a server of their own.
    Shares,
    /// Share directories by itself.
    OwnShares,
    /// Add devices of `--device` and `--usb`.
    Devices,
    /// Open a window.
    Window,
    /// Run in the background.
    Background,
}

impl Ability {
    /// What it is, behind "cannot".
    const fn what(self) -> &'static str {
        match self {
            Self::OtherGuests => "run guests of another architecture than this machine's",
            Self::Uefi => "start by UEFI",
            Self::WithoutInitrd => "start without an initrd",
            Self::RootDisk => "start from a root on a disk",
            Self::Media => "start from CDs and disks",
            Self::Remote => "start from what `lkit serve` serves",
            Self::VhostUser => "start from a disk by vhost-user",
            Self::OwnNetwork => "give a machine a network of its own",
            Self::Ports => "publish ports",
            Self::Tap => "use a tap interface",
            Self::Bridge => "use a bridge",
            Self::Vmnet => "use vmnet",
            Self::DiskFormats => "attach disks of other formats than raw",
            Self::Metadata => "hand over metadata",
            Self::Cds => "attach CDs",
            Self::Shares | Self::OwnShares => "share directories",
            Self::Devices => "add devices of QEMU",
            Self::Window => "open a window",
            Self::Background => "run in the background",
        }
    }
}

/// What is known of a monitor.
struct Row {
    /// Its name on the command line, which is that of its program as well.
    name: &'static str,
    /// Its name in sentences.
    title: &'static str,
    origin: Origin,
    abilities: &'static [Ability],
}

impl Monitor {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Qemu, Self::HyperKit, Self::CloudHypervisor, Self::Firecracker, Self::Crosvm, Self::Vfkit];

    const fn row(self) -> Row {
        use Ability::*;
        match self {
            Self::Qemu => Row {
                name: "qemu",
                title: "QEMU",
                origin: Origin::Package("qemu-system"),
                abilities: &[
                    OtherGuests,
                    Uefi,
                    WithoutInitrd,
                    RootDisk,
                    Media,
                    Remote,
                    VhostUser,
                    OwnNetwork,
                    Ports,
                    Tap,
                    Bridge,
                    Vmnet,
                    DiskFormats,
                    Metadata,
                    Cds,
                    Shares,
                    Devices,
                    Window,
                    Background,
                ],
            },
            Self::HyperKit => Row {
                name: "hyperkit",
                title: "HyperKit",
                origin: Origin::Site("https://github.com/moby/hyperkit"),
                abilities: &[OwnNetwork, Vmnet, Metadata, Cds],
            },
            Self::CloudHypervisor => Row {
                name: "cloud-hypervisor",
                title: "Cloud Hypervisor",
                origin: Origin::Site("https://github.com/cloud-hypervisor/cloud-hypervisor"),
                abilities: &[WithoutInitrd, RootDisk, Tap, Metadata, Shares],
            },
            Self::Firecracker => Row {
                name: "firecracker",
                title: "Firecracker",
                origin: Origin::Site("https://github.com/firecracker-microvm/firecracker"),
                abilities: &[WithoutInitrd, RootDisk, Tap, Metadata],
            },
            Self::Crosvm => Row {
                name: "crosvm",
                title: "crosvm",
                origin: Origin::Site("https://crosvm.dev"),
                abilities: &[WithoutInitrd, RootDisk, Tap, Metadata, OwnShares],
            },
            Self::Vfkit => Row {
                name: "vfkit",
                title: "vfkit",
                origin: Origin::Site("https://github.com/crc-org/vfkit"),
                abilities: &[OwnNetwork, Vmnet, Metadata, OwnShares],
            },
        }
    }

    /// The monitor of this name; `virtualization` is linuxkit's for what vfkit runs machines with.
    pub fn named(name: &str) -> Option<Self> {
        let name = if name == "virtualization" { Self::Vfkit.name() } else { name };
        Self::ALL.into_iter().find(|monitor| monitor.name() == name)
    }

    /// Its name on the command line, which is that of its program as well, QEMU's apart.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Its name in sentences.
    pub const fn title(self) -> &'static str {
        self.row().title
    }

    /// Where its program comes from.
    pub(super) const fn origin(self) -> Origin {
        self.row().origin
    }

    /// Whether it can do something.
    pub fn can(self, ability: Ability) -> bool {
        self.row().abilities.contains(&ability)
    }

    /// Fails when it cannot do something that is asked for.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn need(self, ability: Ability) -> Result<(), Error> {
        if self.can(ability) { Ok(()) } else { Err(self.unsupported(ability.what())) }
    }

    pub(super) const fn unsupported(self, what: &'static str) -> Error {
        Error::Unsupported { monitor: self.title(), what }
    }

    /// Fails when the machine needs something that the monitor cannot do.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn check(self, machine: &Machine) -> Result<(), Error> {
        let missing = needs(machine).into_iter().find(|(needed, ability)| *needed && !self.can(*ability));
        let shares = machine.shares.is_empty() || self.can(Ability::Shares) || self.can(Ability::OwnShares);
        match missing {
            _ if self == Self::Firecracker && machine.cpus > FIRECRACKER_CPUS => {
                Err(self.unsupported("give a machine more than 32 processors"))
            }
            Some((_, ability)) => self.need(ability),
            None if !shares => self.need(Ability::Shares),
            None => Ok(()),
        }
    }
}

/// `MAX_SUPPORTED_VCPUS` of Firecracker.
const FIRECRACKER_CPUS: u32 = 32;

/// What a machine needs of a monitor. The network comes last: it may be the default, so other needs are complained of first.
fn needs(machine: &Machine) -> [(bool, Ability); 15] {
    use Ability::*;
    let Machine { boot, firmware, disks, network, cds, devices, usb, window, .. } = machine;
    let [mut without_initrd, mut root_disk] = [false; 2];
    if let Boot::Direct { initrd, root, .. } = boot {
        [without_initrd, root_disk] = [initrd.is_none(), root.is_some()];
    }
    [
        (matches!(boot, Boot::Cdrom(_) | Boot::Disk(_)), Media),
        (matches!(boot, Boot::Export(_) | Boot::Script(_)), Remote),
        (matches!(boot, Boot::VhostUser(_)), VhostUser),
        (*firmware != Firmware::Own, Uefi),
        (without_initrd, WithoutInitrd),
        (root_disk, RootDisk),
        (disks.iter().any(|disk| disk.format != DiskFormat::Raw), DiskFormats),
        (!cds.is_empty(), Metadata),
        (!devices.is_empty() || *usb, Devices),
        (*window, Window),
        (!network.ports.is_empty(), Ports),
        (network.link == Link::Own, OwnNetwork),
        (matches!(network.link, Link::Tap(_)), Tap),
        (matches!(network.link, Link::Bridge(_)), Bridge),
        (network.link == Link::Vmnet, Vmnet),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::{Disk, Network, Share};

    fn direct() -> Machine {
        let (initrd, cmdline) = (Some("/i".into()), String::new());
        Machine::new(Boot::Direct { kernel: "/k".into(), initrd, cmdline, root: None })
    }

    #[test]
    fn every_monitor_starts_a_kernel_with_an_initrd_and_a_raw_disk() {
        for monitor in Monitor::ALL {
            let disks = vec![Disk { path: "/d".into(), format: DiskFormat::Raw }];
            monitor.check(&Machine { disks, cds: vec!["/c".into()], ..direct() }).unwrap();
            assert_eq!(Monitor::named(monitor.name()), Some(monitor));
        }
        assert_eq!(Monitor::named("virtualization"), Some(Monitor::Vfkit));
        assert_eq!(Monitor::named("vbox"), None);
    }

    #[test]
    fn what_a_monitor_cannot_do_is_told_by_its_name() {
        let link = |link| Network { link, ..Network::none() };
        let share = Share { directory: "/d".into(), socket: "/s".into() };
        let disk = Disk { path: "/d".into(), format: DiskFormat::Qcow2 };
        let rows = [
            (Monitor::Firecracker, Machine { shares: vec![share], ..direct() }, "Firecracker cannot share directories"),
            (
                Monitor::Firecracker,
                Machine { cpus: 33, ..direct() },
                "Firecracker cannot give a machine more than 32 processors",
            ),
            (Monitor::Crosvm, Machine { window: true, ..direct() }, "crosvm cannot open a window"),
            (Monitor::HyperKit, Machine { usb: true, ..direct() }, "HyperKit cannot add devices of QEMU"),
            (
                Monitor::CloudHypervisor,
                Machine { network: link(Link::Own), ..direct() },
                "Cloud Hypervisor cannot give a machine a network of its own",
            ),
            (
                Monitor::Vfkit,
                Machine { network: link(Link::Tap("t".to_owned())), ..direct() },
                "vfkit cannot use a tap interface",
            ),
            (
                Monitor::Crosvm,
                Machine { disks: vec![disk], ..direct() },
                "crosvm cannot attach disks of other formats than raw",
            ),
            (
                Monitor::Firecracker,
                Machine::new(Boot::Cdrom("/c".into())),
                "Firecracker cannot start from CDs and disks",
            ),
            (
                Monitor::HyperKit,
                Machine { firmware: Firmware::Uefi("/f".into()), ..direct() },
                "HyperKit cannot start by UEFI",
            ),
        ];
        for (monitor, machine, message) in rows {
            assert_eq!(monitor.check(&machine).unwrap_err().to_string(), message);
            Monitor::Qemu.check(&machine).unwrap();
        }
    }
}
