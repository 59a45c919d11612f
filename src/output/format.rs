//! LinuxKit's format names, the files each of them writes, and how a machine starts from them.

use super::board::FIT_SUFFIX;
use super::{Error, Product, RootFs};

/// What the name of a kernel ends in, next to whatever starts by it.
pub const KERNEL_SUFFIX: &str = "-kernel";
/// What the name of a kernel's command line ends in.
pub const CMDLINE_SUFFIX: &str = "-cmdline";

/// The names under which a mount shows kernel, initrd and command line as well.
pub const PLAIN_NAMES: [&str; 3] = ["kernel", "initrd.img", "cmdline"];

/// An output format under LinuxKit's name.
#[derive(Debug)]
pub struct Format {
    /// The name that `-f` and `outputs` take.
    pub name: &'static str,
    /// The files it writes.
    pub files: &'static [FormatFile],
}

/// A file of a format.
#[derive(Debug)]
pub struct FormatFile {
    /// What follows the name of the build.
    pub suffix: &'static str,
    /// What it holds.
    pub product: Product,
    /// Left out when the spec has nothing to put there, as LinuxKit leaves out an empty part.
    pub optional: bool,
    /// How a machine starts from it; `None` where it starts nothing by itself.
    pub start: Option<Start>,
    /// Whether its name promises that it starts by UEFI.
    pub uefi: bool,
}

/// How a machine starts from a file. What starts with the least help is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Start {
    /// As the initrd of the kernel next to it.
    Initrd,
    /// As the root of the kernel next to it.
    Root,
    /// As a CD.
    Cd,
    /// As a disk.
    Disk(DiskFormat),
    /// By the firmware, which is UEFI.
    Program,
}

/// A format of disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskFormat {
    /// The bytes of the disk and nothing else.
    Raw,
    /// QEMU's own.
    Qcow2,
    /// VMware's.
    Vmdk,
    /// Of Virtual PC and Azure, which QEMU calls `vpc`.
    Vhd,
    /// Hyper-V's.
    Vhdx,
    /// VirtualBox's.
    Vdi,
}

const fn file(suffix: &'static str, product: Product) -> FormatFile {
    FormatFile { suffix, product, optional: false, start: None, uefi: false }
}

impl FormatFile {
    /// Whether it is a disk of plain bytes.
    pub fn is_raw_disk(&self) -> bool {
        self.start == Some(RAW) || self.product == Product::Rpi3Disk
    }

    const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    const fn starts(self, start: Start) -> Self {
        Self { start: Some(start), ..self }
    }

    const fn uefi(self) -> Self {
        Self { uefi: true, ..self }
    }
}

const RAW: Start = Start::Disk(DiskFormat::Raw);
const QCOW2: Start = Start::Disk(DiskFormat::Qcow2);
const VHD: Start = Start::Disk(DiskFormat::Vhd);
const VMDK: Start = Start::Disk(DiskFormat::Vmdk);
const VHDX: Start = Start::Disk(DiskFormat::Vhdx);

const KERNEL: FormatFile = file(KERNEL_SUFFIX, Product::Kernel).optional();
const INITRD: FormatFile = file("-initrd.img", Product::Initrd).optional().starts(Start::Initrd);
const CMDLINE: FormatFile = file(CMDLINE_SUFFIX, Product::Cmdline).optional();
const SQUASHFS: FormatFile = file(RootFs::Squashfs.disk_suffix(), Product::Squashfs).starts(Start::Root);
const EROFS: FormatFile = file(RootFs::Erofs.disk_suffix(), Product::Erofs).starts(Start::Root);

const FORMATS: &[Format] = &[
    Format { name: "kernel+initrd", files: &[KERNEL, INITRD, CMDLINE] },
    Format { name: "tar", files: &[file(".tar", Product::Tar)] },
    Format { name: "docker", files: &[file(".docker", Product::Docker)] },
    Format { name: "tar-kernel-initrd", files: &[file("-initrd.tar", Product::KernelInitrdTar)] },
    Format { name: "iso-bios", files: &[file(".iso", Product::BootIso).starts(Start::Cd)] },
    Format { name: "iso-efi", files: &[file("-efi.iso", Product::BootIso).starts(Start::Cd).uefi()] },
    Format { name: "iso-efi-initrd", files: &[file("-efi-initrd.iso", Product::BootIso).starts(Start::Cd).uefi()] },
    Format { name: "raw-bios", files: &[file("-bios.img", Product::Disk).starts(RAW)] },
    Format { name: "raw-efi", files: &[file("-efi.img", Product::Disk).starts(RAW).uefi()] },
    Format { name: "aws", files: &[file(".raw", Product::CloudDisk).starts(RAW)] },
    Format { name: "qcow2-bios", files: &[file(".qcow2", Product::Qcow2).starts(QCOW2)] },
    Format { name: "qcow2-efi", files: &[file("-efi.qcow2", Product::Qcow2).starts(QCOW2).uefi()] },
    Format { name: "gcp", files: &[file(".img.tar.gz", Product::Gcp)] },
    Format { name: "vhd", files: &[file(".vhd", Product::FixedVhd).starts(VHD)] },
    Format { name: "dynamic-vhd", files: &[file(".vhd", Product::DynamicVhd).starts(VHD)] },
    Format { name: "vmdk", files: &[file(".vmdk", Product::Vmdk).starts(VMDK)] },
    Format { name: "vhdx", files: &[file(".vhdx", Product::Vhdx).starts(VHDX)] },
    Format { name: "ova", files: &[file(".ova", Product::Ova)] },
    Format { name: "efi", files: &[file(".efi", Product::UnifiedImage).starts(Start::Program).uefi()] },
    Format { name: "eif", files: &[file(".eif", Product::Eif)] },
    Format { name: "fit", files: &[file(FIT_SUFFIX, Product::Fit), file("-boot.scr", Product::BootScript)] },
    Format { name: "rpi3", files: &[file(".tar", Product::Rpi3Tar)] },
    Format { name: "rpi3-img", files: &[file("-rpi3.img", Product::Rpi3Disk)] },
    Format { name: "kernel+squashfs", files: &[KERNEL, SQUASHFS, CMDLINE] },
    Format { name: "kernel+erofs", files: &[KERNEL, EROFS, CMDLINE] },
    Format { name: "kernel+iso", files: &[KERNEL, file(".iso", Product::RootIso).starts(Start::Root), CMDLINE] },
];

/// Files that the mount shows and no format of LinuxKit has, or not under this name, since two formats share one.
const MOUNT_FILES: &[FormatFile] = &[
    file("-root.iso", Product::RootIso).starts(Start::Root),
    file("-dynamic.vhd", Product::DynamicVhd).starts(VHD),
    file("-rpi3.tar", Product::Rpi3Tar),
    file(RootFs::Squashfs.initrd_suffix(), Product::SquashfsInitrd),
    file(RootFs::Erofs.initrd_suffix(), Product::ErofsInitrd),
];

impl Format {
    /// All formats.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        FORMATS.iter()
    }

    /// The format of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<&'static Self, Error> {
        let found = FORMATS.iter().find(|format| format.name == name);
        found.ok_or_else(|| Error::UnknownFormat { name: name.to_owned() })
    }

    /// Files of all formats, each suffix once, as the mount shows them.
    pub fn mounted_files() -> Vec<&'static FormatFile> {
        let mut files: Vec<&FormatFile> = Vec::new();
        for file in FORMATS.iter().flat_map(|format| format.files).chain(MOUNT_FILES) {
            if files.iter().all(|f| f.suffix != file.suffix) {
                files.push(file);
            }
        }
        files
    }
}

impl FormatFile {
    /// The files that a machine starts from, in the order in which they are looked for: first what starts with the least
    /// help, and what needs no UEFI.
    pub fn that_start() -> Vec<(&'static Self, Start)> {
        let files = Format::mounted_files().into_iter();
        let mut files: Vec<_> = files.filter_map(|file| Some((file, file.start?))).collect();
        files.sort_by_key(|(file, start)| (*start, file.uefi));
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_format_is_told() {
        assert_eq!(Format::named("iso").unwrap_err().to_string(), "`iso` is no output format");
    }

    #[test]
    fn what_starts_with_the_least_help_is_looked_for_first() {
        let suffixes: Vec<&str> = FormatFile::that_start().iter().map(|(file, _)| file.suffix).collect();
        let order = "-initrd.img -squashfs.img -erofs.img -root.iso .iso -efi.iso -efi-initrd.iso -bios.img .raw \
                     -efi.img .qcow2 -efi.qcow2 .vmdk .vhd -dynamic.vhd .vhdx .efi";
        assert_eq!(suffixes.join(" "), order);
    }

    #[test]
    fn the_mount_shows_each_name_once() {
        let mut suffixes: Vec<&str> = Format::mounted_files().iter().map(|file| file.suffix).collect();
        let all = suffixes.len();
        suffixes.sort_unstable();
        suffixes.dedup();
        assert_eq!(suffixes.len(), all);
    }
}
