//! What cannot be made of a system, as far as a cheap look tells: sizes of files, and the first 4 KiB of the kernel.

use std::sync::Arc;

use super::{Artifact, Catalog, Obstacle, Product, RootFs};
use super::{enclave, media, rpi3};
use crate::format;

impl Catalog {
    /// Looks whether the root can start from a disk, where that is asked for. The tables of its modules are read.
    ///
    /// # Errors
    /// When the kernel has no driver for that, or what tells it cannot be read.
    pub fn check_root_disk(&self) -> Result<(), Obstacle> {
        let product = match self.system().root {
            None => return Ok(()),
            Some(RootFs::Squashfs) => Product::SquashfsInitrd,
            Some(RootFs::Erofs) => Product::ErofsInitrd,
        };
        self.product(product).map(drop)
    }

    /// The artifacts of [`mounted`](Self::mounted) that cannot be made, each with the reason. Nothing is laid out to tell,
    /// and what takes more than a look, such as a compressed kernel, is not ruled out; but for the drivers of a root on a
    /// disk, where that is asked for. An early catalog rules out nothing that the rest of its root may still allow.
    pub fn ruled_out(&self) -> Vec<(Artifact, Obstacle)> {
        let system = self.system();
        let held = |held: Result<(), format::Error>| held.err().map(|error| Obstacle::Format(Arc::new(error)));
        let (initrd, tar) = (held(format::cpio_holds(&system.tree)), held(format::tar_holds(&system.tree)));
        let [loaded, unified, board] = media::without_loader(system);
        let enclave = enclave::too_large(system).map(|error| Obstacle::Format(Arc::new(error)));
        let root = self.check_root_disk().err().filter(Obstacle::is_lasting);
        let pi = system.board.as_ref().filter(|_| !self.is_early()).and_then(rpi3::without_tree);
        let why = |product| match product {
            Product::Fit => initrd.as_ref().or(board.as_ref()),
            Product::BootScript => board.as_ref(),
            Product::Rpi3Tar | Product::Rpi3Disk => initrd.as_ref().or(board.as_ref()).or(pi.as_ref()),
            Product::Initrd | Product::Archive | Product::KernelInitrdTar => initrd.as_ref(),
            Product::Eif => initrd.as_ref().or(enclave.as_ref()),
            Product::UnifiedImage => initrd.as_ref().or(unified.as_ref()),
            Product::BootIso | Product::Disk | Product::CloudDisk | Product::Qcow2 | Product::Gcp => {
                initrd.as_ref().or(loaded.as_ref())
            }
            Product::FixedVhd | Product::DynamicVhd | Product::Vmdk | Product::Ova | Product::Vhdx => {
                initrd.as_ref().or(loaded.as_ref())
            }
            Product::Tar | Product::Docker => tar.as_ref(),
            Product::Kernel | Product::Cmdline => None,
            Product::RootIso | Product::Squashfs | Product::Erofs => None,
            Product::SquashfsInitrd | Product::ErofsInitrd => root.as_ref(),
        };
        let found =
            self.mounted().into_iter().filter_map(|artifact| Some((why(artifact.product()?)?.clone(), artifact)));
        found.map(|(why, artifact)| (artifact, why)).collect()
    }
}
