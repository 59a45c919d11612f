//! A root that is compressed while it is written. It cannot be read before, since no block's place is known.

use std::sync::Arc;

use super::{Product, RootFs};
use crate::format::{Codec, PackError, Packed, Packing, pack_erofs, pack_squashfs};
use crate::tree::Tree;

/// A root and how it is compressed.
#[derive(Clone)]
pub struct PackedRoot {
    tree: Arc<Tree>,
    root: RootFs,
    codec: Codec,
}

impl PackedRoot {
    pub(super) const fn new(tree: Arc<Tree>, root: RootFs, codec: Codec) -> Self {
        Self { tree, root, codec }
    }

    /// How it is compressed.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Writes it in order; the bytes do not depend on the number of threads.
    ///
    /// # Errors
    /// When the file system cannot hold it, content cannot be read, the output takes no more, or the work is ended.
    pub fn write(&self, packing: Packing<'_>) -> Result<Packed, PackError> {
        match self.root {
            RootFs::Squashfs => pack_squashfs(self.tree.clone(), packing),
            RootFs::Erofs => pack_erofs(self.tree.clone(), packing),
        }
    }
}

impl RootFs {
    /// The file system of a product that is a root alone.
    pub const fn of(product: Product) -> Option<Self> {
        match product {
            Product::Squashfs => Some(Self::Squashfs),
            Product::Erofs => Some(Self::Erofs),
            _ => None,
        }
    }

    /// What it can be compressed with, in words.
    pub const fn codecs(self) -> &'static str {
        match self {
            Self::Squashfs => "`gzip`, `xz` or `zstd`",
            Self::Erofs => "`lz4` or `zstd`",
        }
    }

    /// How `text`, such as `zstd:19`, compresses it; `None` where it cannot.
    pub fn codec(self, text: &str) -> Option<Codec> {
        Codec::parse(text).filter(|codec| match (self, codec) {
            (_, Codec::Zstd(_)) => true,
            (Self::Squashfs, Codec::Gzip(_) | Codec::Xz(_)) | (Self::Erofs, Codec::Lz4(_)) => true,
            (Self::Squashfs, Codec::Lz4(_)) | (Self::Erofs, Codec::Gzip(_) | Codec::Xz(_)) => false,
        })
    }
}
