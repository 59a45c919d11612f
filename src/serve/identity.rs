//! A digest that changes whenever the bytes of an artifact may: what clients keep is compared by it.

use std::ops::ControlFlow;

use crate::base::{Digest, Hasher, in_line};
use crate::extent::SharedSource;
use crate::output::System;

/// The identity of all that a system's artifacts are made of: its spec and images, the options that shape media, and the
/// files of this machine in its root, which the spec only names. No layer is read.
pub(super) fn identity(system: &System) -> Digest {
    let System { seed, tree, disk_size, data_size, systemd_boot, isolinux, enclave, board, .. } = system;
    let mut hasher = Hasher::default();
    hasher.update(concat!("lkit ", env!("CARGO_PKG_VERSION")).as_bytes());
    std::iter::once(seed).chain(&enclave.seed).for_each(|seed| hasher.update(seed.as_bytes()));
    hasher.update(&disk_size.to_le_bytes());
    hasher.update(&data_size.to_le_bytes());
    if let Some(isolinux) = isolinux {
        hasher.update(&isolinux.program);
        trace(&isolinux.module, &mut hasher);
    }
    systemd_boot.iter().for_each(|source| trace(source, &mut hasher));
    for (name, file) in board.iter().flat_map(|board| board.trees.iter().chain(&board.firmware)) {
        hasher.update(name.as_bytes());
        trace(file, &mut hasher);
    }
    let trees = std::iter::once(tree).chain(&enclave.application);
    trees.flat_map(|tree| tree.sources()).for_each(|source| trace(source, &mut hasher));
    hasher.finish()
}

/// Takes note of where the bytes of a source come from, and of the bytes that come from nowhere else.
fn trace(source: &SharedSource, hasher: &mut Hasher) {
    let traced = source.trace(0..source.size(), &mut |piece| {
        hasher.update(format!("{:?} {}", piece.origin, piece.len).as_bytes());
        hasher.update(piece.bytes);
        ControlFlow::Continue(())
    });
    if let Err(error) = traced {
        hasher.update(in_line(&error).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::base::Metadata;
    use crate::output::Enclave;
    use crate::rootfs::HostFile;
    use crate::tree::{Content, Node, TreeBuilder};

    fn system(file: &Path, disk_size: u64) -> System {
        let mut tree = TreeBuilder::new();
        let content = Content::whole(HostFile::open(file).unwrap());
        tree.insert(b"etc/file", Node::File(Metadata::file(), content)).unwrap();
        System {
            kernel: None,
            cmdline: None,
            microcode: None,
            tree: Arc::new(tree.finish()),
            gunzip: None,
            systemd_boot: None,
            isolinux: None,
            root: None,
            enclave: Enclave::default(),
            board: None,
            disk_size,
            data_size: 0,
            seed: Digest::of(b"spec"),
        }
    }

    #[test]
    fn it_changes_with_files_that_the_spec_only_names_and_with_options() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        let before = identity(&system(&path, 0));
        assert_eq!(before, identity(&system(&path, 0)));
        assert_ne!(before, identity(&system(&path, 1 << 30)));
        let other = dir.path().join("other");
        fs::write(&other, "new").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_ne!(before, identity(&system(&path, 0)));
    }
}
