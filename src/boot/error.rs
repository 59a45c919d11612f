//! Why a kernel cannot be started from a medium.

use crate::base::{ErrorKind, Fault};

/// Why there is no loader for what should be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No EFI loader knows this kind of kernel.
    #[error("the kernel is neither an EFI program nor a 64-bit bzImage")]
    NotForEfi,
    /// systemd-boot starts EFI programs alone.
    #[error("the kernel is no EFI program, so systemd-boot cannot start it")]
    NoStub,
    /// What should be ISOLINUX is something else.
    #[error("`{0}` is not what ISOLINUX has under this name")]
    NoIsolinux(&'static str),
    /// The BIOS loader does not know this kind of kernel.
    #[error("the kernel is no bzImage of boot protocol 2.10 or later, so a BIOS cannot start it")]
    NotForBios,
    /// U-Boot starts one kind of arm64 kernel.
    #[error("the kernel is no `Image` for arm64, so U-Boot cannot start it")]
    NotForUBoot,
    /// The command line is longer than a kernel takes.
    #[error("the command line has {len} bytes, more than the {limit} that a kernel takes")]
    CommandLineTooLong {
        /// Its length in bytes.
        len: usize,
        /// The most there may be.
        limit: usize,
    },
    /// A BIOS cannot reach what should be loaded.
    #[error("the {part} ({size} bytes at offset {offset}) is beyond what the BIOS loader can read")]
    BeyondBios {
        /// What it is.
        part: &'static str,
        /// Where it is on the medium, in bytes.
        offset: u64,
        /// Its size in bytes.
        size: u64,
    },
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unsupported
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotForEfi => {
                Some("use a kernel with CONFIG_EFI_STUB, or boot `kernel` and `initrd.img` directly".into())
            }
            Self::NoStub => Some("leave out `--loader`, or use a kernel with CONFIG_EFI_STUB".into()),
            Self::NoIsolinux(_) => Some("take it from the packages `isolinux` and `syslinux-common`".into()),
            Self::NotForBios => Some("boot by UEFI, or boot `kernel` and `initrd.img` directly".into()),
            Self::NotForUBoot => {
                Some("use an `Image` or `Image.gz` (no EFI zboot), or a disk, which U-Boot starts by UEFI".into())
            }
            Self::CommandLineTooLong { .. } => Some("shorten `kernel.cmdline`".into()),
            Self::BeyondBios { .. } => Some("boot by UEFI, or make the initrd smaller".into()),
        }
    }
}
