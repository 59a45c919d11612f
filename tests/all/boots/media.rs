//! The media there are, and how a machine has them.

use super::system::Mounts;
use crate::common::qemu::Firmware;

/// Something that starts.
pub struct Medium {
    pub name: &'static str,
    pub firmware: Firmware,
    /// Arguments of QEMU, or of `lkit run`. `MNT` is the mount, `ARM` the one for arm64, `OLD` the one of a kernel without EFI stub, `ROOT`
    /// that of the initrd that finds a root device.
    arguments: &'static str,
    /// What the guest is to say.
    pub verdict: &'static str,
    /// Whether it also starts where only a few do.
    pub stands_for_others: bool,
}

impl Medium {
    /// Whether `lkit run` starts it.
    pub fn by_lkit(&self) -> bool {
        self.name.starts_with("lkit run")
    }

    /// Arguments of QEMU, or of `lkit run`.
    pub fn arguments(&self, mounts: &Mounts) -> Vec<String> {
        let places = mounts.places();
        let place = |word: &str| match places.iter().find(|(name, _)| word.contains(name)) {
            Some((name, meaning)) => word.replace(name, meaning),
            None => word.to_owned(),
        };
        let memory = [if self.by_lkit() { "--mem" } else { "-m" }, "384"].map(str::to_owned);
        memory.into_iter().chain(self.arguments.split(' ').map(place)).collect()
    }
}

const fn medium(name: &'static str, firmware: Firmware, arguments: &'static str, verdict: &'static str) -> Medium {
    Medium { name, firmware, arguments, verdict, stands_for_others: false }
}

const fn always(medium: Medium) -> Medium {
    Medium { stands_for_others: true, ..medium }
}

const BIOS: &str = "whole x86_64 BIOS rootfs";
const UEFI: &str = "whole x86_64 UEFI rootfs";
const ARM64: &str = "whole aarch64 UEFI rootfs";

/// A disk on virtio; on IDE; a CD; a USB stick.
macro_rules! virtio {
    ($format:literal, $file:literal) => {
        concat!("-device virtio-blk-pci,drive=d -drive id=d,if=none,readonly=on,format=", $format, ",file=", $file)
    };
}
macro_rules! ide {
    ($format:literal, $file:literal) => {
        // An IDE disk cannot be read-only: what is written to it is dropped.
        concat!("-device ide-hd,drive=d -drive id=d,if=none,snapshot=on,format=", $format, ",file=", $file)
    };
}
macro_rules! usb {
    ($file:literal) => {
        concat!("-device qemu-xhci -device usb-storage,drive=d -drive id=d,if=none,readonly=on,format=raw,file=", $file)
    };
}
macro_rules! root {
    ($device:literal) => {
        concat!("-kernel ROOT/kernel -initrd ROOT/initrd.img -append CMDLINE=", $device)
    };
}

use Firmware::{Arm64, Arm64UBoot, Arm64Uefi, Bios, Uefi};

pub const MEDIA: &[Medium] = &[
    medium("kernel initrd bios", Bios, "-kernel MNT/kernel -initrd MNT/initrd.img -append CMDLINE", BIOS),
    always(medium("boot.iso cd bios", Bios, "-cdrom MNT/boot.iso", BIOS)),
    medium("boot.iso cd uefi", Uefi, "-cdrom MNT/boot.iso", UEFI),
    medium("boot.iso usb bios", Bios, usb!("MNT/boot.iso"), BIOS),
    always(medium("boot.iso usb uefi", Uefi, usb!("MNT/boot.iso"), UEFI)),
    medium("boot-efi.iso cd uefi", Uefi, "-cdrom MNT/boot-efi.iso", UEFI),
    medium("boot-efi-initrd.iso cd uefi", Uefi, "-cdrom MNT/boot-efi-initrd.iso", UEFI),
    always(medium("boot-bios.img disk bios", Bios, virtio!("raw", "MNT/boot-bios.img"), BIOS)),
    medium("boot-bios.img disk uefi", Uefi, virtio!("raw", "MNT/boot-bios.img"), UEFI),
    medium("boot-bios.img ide bios", Bios, ide!("raw", "MNT/boot-bios.img"), BIOS),
    medium("boot-efi.img disk bios", Bios, virtio!("raw", "MNT/boot-efi.img"), BIOS),
    medium("boot-efi.img disk uefi", Uefi, virtio!("raw", "MNT/boot-efi.img"), UEFI),
    medium("boot-efi.img usb bios", Bios, usb!("MNT/boot-efi.img"), BIOS),
    medium("boot-efi.img usb uefi", Uefi, usb!("MNT/boot-efi.img"), UEFI),
    medium("boot.raw disk bios", Bios, virtio!("raw", "MNT/boot.raw"), BIOS),
    medium("boot.raw disk uefi", Uefi, virtio!("raw", "MNT/boot.raw"), UEFI),
    medium("boot.qcow2 disk bios", Bios, virtio!("qcow2", "MNT/boot.qcow2"), BIOS),
    medium("boot-efi.qcow2 disk uefi", Uefi, virtio!("qcow2", "MNT/boot-efi.qcow2"), UEFI),
    medium("boot.vmdk ide bios", Bios, ide!("vmdk", "MNT/boot.vmdk"), BIOS),
    medium("boot.vmdk ide uefi", Uefi, ide!("vmdk", "MNT/boot.vmdk"), UEFI),
    medium("boot.vhd ide bios", Bios, ide!("vpc", "MNT/boot.vhd"), BIOS),
    medium("boot-dynamic.vhd ide bios", Bios, ide!("vpc", "MNT/boot-dynamic.vhd"), BIOS),
    medium("boot-dynamic.vhd disk uefi", Uefi, virtio!("vpc", "MNT/boot-dynamic.vhd"), UEFI),
    medium("boot.vhdx disk bios", Bios, virtio!("vhdx", "MNT/boot.vhdx"), BIOS),
    medium("boot.vhdx disk uefi", Uefi, virtio!("vhdx", "MNT/boot.vhdx"), UEFI),
    medium(
        "boot.efi network uefi",
        Uefi,
        "-netdev user,id=n,tftp=MNT,bootfile=boot.efi -device virtio-net-pci,netdev=n",
        UEFI,
    ),
    // QEMU makes a FAT file system of a directory, in which a link leads to the mount.
    always(medium("boot.efi fat uefi", Uefi, virtio!("raw", "fat:ESP-MNT"), UEFI)),
    always(medium(
        "boot-squashfs.img root bios",
        Bios,
        concat!(root!("vda"), " ", virtio!("raw", "MNT/boot-squashfs.img")),
        "whole x86_64 BIOS squashfs",
    )),
    medium(
        "boot-erofs.img root bios",
        Bios,
        concat!(root!("vda"), " ", virtio!("raw", "MNT/boot-erofs.img")),
        "whole x86_64 BIOS erofs",
    ),
    medium(
        "boot-root.iso root bios",
        Bios,
        concat!(root!("sr0"), " -cdrom MNT/boot-root.iso"),
        "whole x86_64 BIOS iso9660",
    ),
    medium("stubless boot.iso cd uefi", Uefi, "-cdrom OLD/boot.iso", UEFI),
    medium("stubless boot-efi.img disk uefi", Uefi, virtio!("raw", "OLD/boot-efi.img"), UEFI),
    medium("stubless boot-bios.img disk bios", Bios, virtio!("raw", "OLD/boot-bios.img"), BIOS),
    medium("stubless boot.efi fat uefi", Uefi, virtio!("raw", "fat:ESP-OLD"), UEFI),
    medium(
        "arm64 kernel initrd",
        Arm64,
        "-kernel ARM/kernel -initrd ARM/initrd.img -append CMDLINE",
        "whole aarch64 BIOS rootfs",
    ),
    always(medium("arm64 boot-efi.img disk uefi", Arm64Uefi, virtio!("raw", "ARM/boot-efi.img"), ARM64)),
    medium("arm64 boot-efi.qcow2 disk uefi", Arm64Uefi, virtio!("qcow2", "ARM/boot-efi.qcow2"), ARM64),
    medium("arm64 boot-efi.img usb uefi", Arm64Uefi, usb!("ARM/boot-efi.img"), ARM64),
    medium("arm64 boot-efi.iso usb uefi", Arm64Uefi, usb!("ARM/boot-efi.iso"), ARM64),
    medium(
        "arm64 boot-efi.iso cd uefi",
        Arm64Uefi,
        "-device virtio-scsi-pci -device scsi-cd,drive=d -drive id=d,if=none,readonly=on,format=raw,file=ARM/boot-efi.iso",
        ARM64,
    ),
    always(medium(
        "arm64 boot.itb fat u-boot",
        Arm64UBoot,
        virtio!("raw", "fat:UBOOT-ARM"),
        "whole aarch64 BIOS rootfs",
    )),
    medium("arm64 boot.efi fat uefi", Arm64Uefi, virtio!("raw", "fat:ESP-ARM"), ARM64),
    medium("lkit run spec", Bios, "--layout IMAGES SPEC", BIOS),
    medium("lkit run spec --iso --uefi", Uefi, "--layout IMAGES --iso --uefi SPEC", UEFI),
    always(medium(
        "lkit run spec --root squashfs",
        Bios,
        "--layout IMAGES --root squashfs SPEC",
        "whole x86_64 BIOS overlay",
    )),
    medium("lkit run spec --root erofs", Bios, "--layout IMAGES --root erofs SPEC", "whole x86_64 BIOS overlay"),
    medium(
        "lkit run spec --root erofs --arch arm64",
        Arm64,
        "--layout IMAGES --root erofs --arch arm64 SPEC",
        "whole aarch64 BIOS overlay",
    ),
    medium("lkit run spec --arch arm64", Arm64, "--layout IMAGES --arch arm64 SPEC", "whole aarch64 BIOS rootfs"),
    always(medium(
        "lkit run spec --disk artifact=raw-bios",
        Bios,
        "--layout IMAGES --disk artifact=raw-bios SPEC",
        BIOS,
    )),
    medium("lkit run spec --disk artifact=raw-efi", Uefi, "--layout IMAGES --disk artifact=raw-efi SPEC", UEFI),
    medium("lkit run spec --disk artifact=qcow2-bios", Bios, "--layout IMAGES --disk artifact=qcow2-bios SPEC", BIOS),
    medium(
        "lkit run spec --disk artifact=raw-efi --arch arm64",
        Arm64Uefi,
        "--layout IMAGES --disk artifact=raw-efi --arch arm64 SPEC",
        ARM64,
    ),
    medium("lkit run mount", Bios, "MNT", BIOS),
    medium("lkit run mount --uefi", Uefi, "--uefi MNT", UEFI),
    medium("lkit run mount --iso", Bios, "--iso MNT", BIOS),
    medium("lkit run mount --iso --uefi", Uefi, "--iso --uefi MNT", UEFI),
    medium("lkit run prefix", Bios, "MNT/boot", BIOS),
    medium("lkit run boot-efi.iso", Uefi, "MNT/boot-efi.iso", UEFI),
    medium("lkit run boot-bios.img", Bios, "MNT/boot-bios.img", BIOS),
    medium("lkit run boot-efi.img", Uefi, "MNT/boot-efi.img", UEFI),
    medium("lkit run boot.qcow2", Bios, "MNT/boot.qcow2", BIOS),
    medium("lkit run boot.vmdk", Bios, "MNT/boot.vmdk", BIOS),
    medium("lkit run boot.vhd", Bios, "MNT/boot.vhd", BIOS),
    medium("lkit run boot.vhdx", Bios, "MNT/boot.vhdx", BIOS),
    medium("lkit run boot.efi", Uefi, "MNT/boot.efi", UEFI),
    medium(
        "lkit run boot-squashfs.img",
        Bios,
        "--initrd ROOT/initrd.img MNT/boot-squashfs.img",
        "whole x86_64 BIOS squashfs",
    ),
    medium("lkit run boot-root.iso", Bios, "--initrd ROOT/initrd.img MNT/boot-root.iso", "whole x86_64 BIOS iso9660"),
    medium("lkit run mount arm64", Arm64, "ARM", "whole aarch64 BIOS rootfs"),
    medium("lkit run mount arm64 --iso", Arm64Uefi, "--iso ARM", ARM64),
    medium("lkit run boot-efi.qcow2 arm64", Arm64Uefi, "ARM/boot-efi.qcow2", ARM64),
    medium("lkit run boot.efi arm64", Arm64Uefi, "ARM/boot.efi", ARM64),
];
