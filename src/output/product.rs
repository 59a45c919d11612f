//! The distinct things lkit lays out; several file names may show one of them.

/// Something that is laid out from a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Product {
    /// The kernel.
    Kernel,
    /// Microcode and the root as a newc archive.
    Initrd,
    /// That archive alone; no file of its own.
    Archive,
    /// The kernel command line.
    Cmdline,
    /// The root and `boot/` as a tar.
    Tar,
    /// The same with a `Dockerfile`.
    Docker,
    /// Kernel, initrd and command line as a tar.
    KernelInitrdTar,
    /// An ISO that starts the system by BIOS and UEFI, from CD and USB stick.
    BootIso,
    /// The root as an ISO.
    RootIso,
    /// A disk that starts the system by BIOS and UEFI.
    Disk,
    /// The same in whole GiB, as clouds demand it.
    CloudDisk,
    /// The disk as qcow2.
    Qcow2,
    /// The cloud disk as a tar.gz of `disk.raw`.
    Gcp,
    /// The disk as a fixed VHD.
    FixedVhd,
    /// The disk as a dynamic VHD.
    DynamicVhd,
    /// The disk as a stream-optimized VMDK.
    Vmdk,
    /// A machine with that VMDK.
    Ova,
    /// The disk as a VHDX.
    Vhdx,
    /// Kernel, initrd and command line as one EFI program.
    UnifiedImage,
    /// An image for AWS Nitro Enclaves.
    Eif,
    /// Kernel, initrd and device trees for U-Boot on arm64.
    Fit,
    /// The script with which U-Boot starts them.
    BootScript,
    /// The boot partition of a Raspberry Pi 3 as a tar.
    Rpi3Tar,
    /// The same as a disk.
    Rpi3Disk,
    /// The root as a squashfs.
    Squashfs,
    /// The root as an EROFS.
    Erofs,
    /// The initrd that mounts the squashfs from a disk.
    SquashfsInitrd,
    /// The initrd that mounts the EROFS from a disk.
    ErofsInitrd,
}

impl Product {
    /// Number of products.
    pub const COUNT: usize = 28;

    /// Whether it is a disk, of the size that is asked for or larger.
    pub const fn is_disk(self) -> bool {
        matches!(
            self,
            Self::Disk
                | Self::CloudDisk
                | Self::Qcow2
                | Self::Gcp
                | Self::FixedVhd
                | Self::DynamicVhd
                | Self::Vmdk
                | Self::Ova
                | Self::Vhdx
        )
    }

    /// Whether it holds device trees for boards.
    pub const fn is_for_boards(self) -> bool {
        matches!(self, Self::Fit | Self::BootScript | Self::Rpi3Tar | Self::Rpi3Disk)
    }

    /// Whether it holds more of the root than kernel, init images and files of the spec give.
    pub const fn needs_whole_root(self) -> bool {
        !matches!(self, Self::Kernel | Self::Cmdline | Self::SquashfsInitrd | Self::ErofsInitrd)
    }
}
