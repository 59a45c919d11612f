//! Machines that firmware boots over the network, from one `lkit serve`: a network of their own, with DHCP.

use std::process::Command;

use super::system::Mounts;
use crate::common::qemu::{Firmware, try_boot_by};

/// Runs a command as the machine on a network of its own: `FILE` is what DHCP gives as its boot file, `CLASS` the vendor
/// class that it answers with, `OPTIONS` more of `lkit serve`. What the server said is left in `served`.
const NETWORK: &str = r#"
set -eu
ip link set lo up
ip tuntap add tap0 mode tap
ip addr add 192.0.2.1/24 dev tap0
ip link set tap0 up
dnsmasq --conf-file=/dev/null --keep-in-foreground --port=0 --user=root --interface=tap0 --bind-interfaces \
    --dhcp-range=192.0.2.50,192.0.2.60 --dhcp-leasefile=leases --dhcp-boot="$FILE,,192.0.2.1" \
    ${CLASS:+--dhcp-option-force=60,"$CLASS"} 2>dhcp &
dhcp=$!
"$LKIT" serve --offline --layout "$IMAGES" --insecure-listen boot.yml $OPTIONS \
    --listen http://192.0.2.1:80 --listen tftp://192.0.2.1:69 2>served &
server=$!
trap 'kill $dhcp $server; wait $dhcp $server || true' EXIT
"$@"
"#;

/// How a machine boots over the network.
pub struct NetBoot {
    pub name: &'static str,
    pub firmware: Firmware,
    /// The boot file that DHCP names.
    file: &'static str,
    /// The vendor class of DHCP's answer; none where the machine does not ask for one.
    class: &'static str,
    /// More options of the server.
    options: &'static str,
    /// More arguments of QEMU.
    arguments: &'static str,
    pub verdict: &'static str,
    /// Whether it also starts where only a few do.
    pub stands_for_others: bool,
}

const BIOS: &str = "whole x86_64 BIOS rootfs";
const UEFI: &str = "whole x86_64 UEFI rootfs";
/// QEMU's card has iPXE in its ROM.
const IPXE: &str = "-boot n -device virtio-net-pci,netdev=n";
/// Without it OVMF itself boots; it tries IPv6 first, where nobody answers.
const OVMF: &str = "-device virtio-net-pci,netdev=n,romfile= -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n";

/// The ways, each from the same server.
pub const NET_BOOTS: &[NetBoot] = &[
    NetBoot {
        name: "net ipxe http bios",
        firmware: Firmware::Bios,
        file: "http://192.0.2.1/ipxe",
        class: "",
        options: "",
        arguments: IPXE,
        verdict: BIOS,
        stands_for_others: true,
    },
    NetBoot {
        name: "net ipxe tftp bios",
        firmware: Firmware::Bios,
        file: "boot.ipxe",
        class: "",
        options: "",
        arguments: IPXE,
        verdict: BIOS,
        stands_for_others: false,
    },
    NetBoot {
        name: "net ipxe http root bios",
        firmware: Firmware::Bios,
        file: "http://192.0.2.1/ipxe",
        class: "",
        options: "--root squashfs --listen nbd://192.0.2.1",
        arguments: IPXE,
        verdict: "whole x86_64 BIOS overlay",
        stands_for_others: false,
    },
    NetBoot {
        name: "net boot.efi pxe tftp arm64 uefi",
        firmware: Firmware::Arm64Uefi,
        file: "boot.efi",
        class: "",
        options: "--arch arm64",
        arguments: OVMF,
        verdict: "whole aarch64 UEFI rootfs",
        stands_for_others: false,
    },
    NetBoot {
        name: "net boot.efi pxe tftp uefi",
        firmware: Firmware::Uefi,
        file: "boot.efi",
        class: "",
        options: "",
        arguments: OVMF,
        verdict: UEFI,
        stands_for_others: false,
    },
    NetBoot {
        name: "net boot.efi http uefi",
        firmware: Firmware::Uefi,
        file: "http://192.0.2.1/boot.efi",
        class: "HTTPClient",
        options: "",
        arguments: OVMF,
        verdict: UEFI,
        stands_for_others: false,
    },
    NetBoot {
        name: "net boot.iso http uefi",
        firmware: Firmware::Uefi,
        file: "http://192.0.2.1/boot.iso",
        class: "HTTPClient",
        options: "",
        arguments: OVMF,
        verdict: UEFI,
        stands_for_others: false,
    },
];

impl NetBoot {
    /// Programs this needs beside those of the firmware.
    pub const TOOLS: &[&str] = &["dnsmasq", "ip", "unshare"];

    /// What the guest says; where it fails or the time is over, what was seen.
    pub fn run(&self, mounts: &Mounts) -> Result<String, String> {
        let network = "-m 768 -netdev tap,id=n,ifname=tap0,script=no,downscript=no";
        let arguments = network.split(' ').chain(self.arguments.split(' '));
        try_boot_by(self.firmware, mounts.scratch(), arguments, |machine| {
            let mut command = Command::new("unshare");
            command.args(["--net", "sh", "-c", NETWORK, "sh"]).arg(machine.get_program()).args(machine.get_args());
            command
                .current_dir(mounts.scratch())
                .env("FILE", self.file)
                .env("CLASS", self.class)
                .env("OPTIONS", self.options);
            command.env("LKIT", env!("CARGO_BIN_EXE_lkit")).env("LKIT_CACHE", mounts.scratch().join("cache"));
            command.env("IMAGES", mounts.images());
            command
        })
    }
}
