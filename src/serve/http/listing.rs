//! What there is: each artifact with its size, what it is, or why it cannot be made.
//!
//! A list lays out every artifact, as `ls -l` in a mount does: sizes are what it is read for, and a layout reads no layer.

use serde_json::json;

use crate::base::in_line;
use crate::output::{Artifact, Product};
use crate::serve::Generation;

/// The artifacts that are shown.
pub(super) struct Listing(pub Vec<Row>);

/// One of them.
pub(super) struct Row {
    pub name: String,
    /// Size in bytes, or why it cannot be made.
    pub size: Result<u64, String>,
    /// What it is, and how a machine starts from it.
    pub what: &'static str,
}

impl Listing {
    /// Lays out everything there is.
    pub(super) fn of(generation: &Generation) -> Self {
        Self(generation.artifacts.iter().map(Row::of).collect())
    }

    /// The same as JSON: sizes in bytes, fields are added, never taken away.
    pub(super) fn json(&self) -> String {
        let rows = self.0.iter().map(|Row { name, size, what }| match size {
            Ok(size) => json!({"name": name, "size": size, "what": what}),
            Err(error) => json!({"name": name, "error": error, "what": what}),
        });
        let rows: Vec<serde_json::Value> = rows.collect();
        format!("{:#}\n", json!({"artifacts": rows, "scripts": ["ipxe"]}))
    }
}

impl Row {
    fn of(artifact: &Artifact) -> Self {
        let size = artifact.open().map(|source| source.size()).map_err(|error| in_line(&error));
        Self { name: artifact.name().to_owned(), size, what: what(artifact.product()) }
    }
}

/// What an artifact is, and how a machine starts from it.
const fn what(product: Option<Product>) -> &'static str {
    let Some(product) = product else { return "" };
    match product {
        Product::Kernel => "the kernel",
        Product::Initrd | Product::Archive => "the initrd, with the whole root",
        Product::Cmdline => "the kernel's command line",
        Product::Tar => "the root and boot/ as a tar",
        Product::Docker => "that tar with a Dockerfile, for docker build -",
        Product::KernelInitrdTar => "kernel, initrd and command line as a tar",
        Product::BootIso => "a CD or USB stick that starts by BIOS and UEFI, and UEFI's HTTP boot",
        Product::RootIso => "the root as an ISO, for the kernel with root=",
        Product::Disk => "a raw disk that starts by BIOS and UEFI",
        Product::CloudDisk => "that disk in whole GiB",
        Product::Qcow2 => "that disk for QEMU",
        Product::Gcp => "that disk for Google Cloud",
        Product::FixedVhd => "that disk for Azure",
        Product::DynamicVhd => "that disk as a dynamic VHD",
        Product::Vmdk => "that disk for VMware",
        Product::Vhdx => "that disk for Hyper-V",
        Product::Ova => "a machine with that disk, for VMware and VirtualBox",
        Product::Fit => "kernel, initrd and device trees, for U-Boot on arm64",
        Product::BootScript => "the script with which U-Boot starts them",
        Product::Rpi3Tar => "the boot partition of a Raspberry Pi 3 as a tar",
        Product::Rpi3Disk => "the same as a disk, for an SD card",
        Product::Eif => "the image for an AWS Nitro Enclave",
        Product::UnifiedImage => "kernel, initrd and command line as one program, for UEFI's HTTP boot and PXE",
        Product::Squashfs => "the root as a squashfs, for the kernel with root=",
        Product::Erofs => "the root as an EROFS, for the kernel with root=",
        Product::SquashfsInitrd => "the initrd that mounts the squashfs from a disk",
        Product::ErofsInitrd => "the initrd that mounts the EROFS from a disk",
    }
}
