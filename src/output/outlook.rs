//! What cannot be made of a system, as far as a cheap look tells: sizes of files, and the first 4 KiB of the kernel.

use std::sync::Arc;

use super::media;
use super::{Artifact, Catalog, Obstacle, Product};
use crate::format;

impl Catalog {
    /// The artifacts of [`mounted`](Self::mounted) that cannot be made, each with the reason. Nothing is laid out to tell,
    /// and what takes more than a look, such as a compressed kernel, is not ruled out.
    pub fn ruled_out(&self) -> Vec<(Artifact, Obstacle)> {
        let system = self.system();
        let initrd = format::cpio_holds(&system.tree).err().map(|error| Obstacle::Format(Arc::new(error)));
        let [loaded, unified] = media::without_loader(system);
        let why = |product| match product {
            Product::Initrd | Product::Archive | Product::KernelInitrdTar => initrd.as_ref(),
            Product::UnifiedImage => initrd.as_ref().or(unified.as_ref()),
            Product::BootIso | Product::Disk | Product::CloudDisk | Product::Qcow2 | Product::Gcp => {
                initrd.as_ref().or(loaded.as_ref())
            }
            Product::FixedVhd | Product::DynamicVhd | Product::Vmdk | Product::Vhdx => {
                initrd.as_ref().or(loaded.as_ref())
            }
            Product::Kernel | Product::Cmdline | Product::Tar | Product::Docker => None,
            Product::RootIso | Product::Squashfs | Product::Erofs => None,
        };
        let found =
            self.mounted().into_iter().filter_map(|artifact| Some((why(artifact.product()?)?.clone(), artifact)));
        found.map(|(why, artifact)| (artifact, why)).collect()
    }
}
