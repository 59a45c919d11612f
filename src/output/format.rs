//! LinuxKit's format names, and the files each of them writes.

use super::{Error, Product};

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
}

const fn file(suffix: &'static str, product: Product) -> FormatFile {
    FormatFile { suffix, product, optional: false }
}

const fn part(suffix: &'static str, product: Product) -> FormatFile {
    FormatFile { suffix, product, optional: true }
}

const KERNEL: FormatFile = part("-kernel", Product::Kernel);
const CMDLINE: FormatFile = part("-cmdline", Product::Cmdline);

const FORMATS: &[Format] = &[
    Format { name: "kernel+initrd", files: &[KERNEL, part("-initrd.img", Product::Initrd), CMDLINE] },
    Format { name: "tar", files: &[file(".tar", Product::Tar)] },
    Format { name: "docker", files: &[file(".docker", Product::Docker)] },
    Format { name: "tar-kernel-initrd", files: &[file("-initrd.tar", Product::KernelInitrdTar)] },
    Format { name: "iso-bios", files: &[file(".iso", Product::BootIso)] },
    Format { name: "iso-efi", files: &[file("-efi.iso", Product::BootIso)] },
    Format { name: "iso-efi-initrd", files: &[file("-efi-initrd.iso", Product::BootIso)] },
    Format { name: "raw-bios", files: &[file("-bios.img", Product::Disk)] },
    Format { name: "raw-efi", files: &[file("-efi.img", Product::Disk)] },
    Format { name: "aws", files: &[file(".raw", Product::CloudDisk)] },
    Format { name: "qcow2-bios", files: &[file(".qcow2", Product::Qcow2)] },
    Format { name: "qcow2-efi", files: &[file("-efi.qcow2", Product::Qcow2)] },
    Format { name: "gcp", files: &[file(".img.tar.gz", Product::Gcp)] },
    Format { name: "vhd", files: &[file(".vhd", Product::FixedVhd)] },
    Format { name: "dynamic-vhd", files: &[file(".vhd", Product::DynamicVhd)] },
    Format { name: "vmdk", files: &[file(".vmdk", Product::Vmdk)] },
    Format { name: "vhdx", files: &[file(".vhdx", Product::Vhdx)] },
    Format { name: "efi", files: &[file(".efi", Product::UnifiedImage)] },
    Format { name: "kernel+squashfs", files: &[KERNEL, file("-squashfs.img", Product::Squashfs), CMDLINE] },
    Format { name: "kernel+erofs", files: &[KERNEL, file("-erofs.img", Product::Erofs), CMDLINE] },
    Format { name: "kernel+iso", files: &[KERNEL, file(".iso", Product::RootIso), CMDLINE] },
];

/// Formats that LinuxKit has and lkit does not make.
const NOT_MADE: &[&str] = &["rpi3"];

/// Files that the mount shows under names of their own, since two formats of LinuxKit share one.
const MOUNT_FILES: &[FormatFile] = &[file("-root.iso", Product::RootIso), file("-dynamic.vhd", Product::DynamicVhd)];

impl Format {
    /// All formats.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        FORMATS.iter()
    }

    /// The format of this name.
    ///
    /// # Errors
    /// When there is none, or lkit does not make it.
    pub fn named(name: &str) -> Result<&'static Self, Error> {
        let found = FORMATS.iter().find(|format| format.name == name);
        found.ok_or_else(|| {
            let name = name.to_owned();
            if NOT_MADE.contains(&name.as_str()) {
                Error::FormatNotMade { name }
            } else {
                Error::UnknownFormat { name }
            }
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_format_is_told_from_one_not_made() {
        assert_eq!(Format::named("iso").unwrap_err().to_string(), "`iso` is no output format");
        assert_eq!(Format::named("rpi3").unwrap_err().to_string(), "output format `rpi3` is not made by lkit");
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
