//! Where the bytes of a file come from: a layer and an offset, zeros, or lkit itself. Finding out reads no layer.

use std::path::Path;
use std::sync::Arc;

use crate::base::Digest;

/// The origin of a run of bytes. Equal origins are equal bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Made by lkit from names and sizes; no layer is read for them.
    Generated,
    /// Zeros.
    Zeros,
    /// A checksum over other bytes of the same artifact, which are read for it.
    Checksum,
    /// The uncompressed tar of a layer.
    Layer {
        /// Digest of the layer's blob.
        digest: Digest,
        /// Digest of the tar itself.
        diff_id: Digest,
        /// Offset in the tar, in bytes.
        offset: u64,
    },
    /// What a compressed file in a layer decompresses to.
    Unpacked {
        /// Digest of the layer's blob; `None` where the file lies in something else than a layer.
        digest: Option<Digest>,
        /// Offset of the file in the uncompressed tar, in bytes.
        at: u64,
        /// Tells the file from every other one.
        subject: Digest,
        /// Offset in the decompressed content, in bytes.
        offset: u64,
    },
    /// A blob as it is stored.
    Blob {
        /// Its digest.
        digest: Digest,
        /// Offset in it, in bytes.
        offset: u64,
    },
    /// A file of this machine.
    File {
        /// Where it is.
        path: Arc<Path>,
        /// Changes when the file does.
        stamp: Digest,
        /// Offset in it, in bytes.
        offset: u64,
    },
}

impl Origin {
    /// The origin of what stands `by` bytes behind the bytes of this one, in the same place.
    #[must_use]
    pub fn behind(&self, by: u64) -> Self {
        let mut moved = self.clone();
        match &mut moved {
            Self::Generated | Self::Zeros | Self::Checksum => {}
            Self::Layer { offset, .. }
            | Self::Unpacked { offset, .. }
            | Self::Blob { offset, .. }
            | Self::File { offset, .. } => *offset += by,
        }
        moved
    }

    /// The layer that has the bytes, compressed or not.
    pub const fn layer(&self) -> Option<&Digest> {
        match self {
            Self::Layer { digest, .. } => Some(digest),
            Self::Unpacked { digest, .. } => digest.as_ref(),
            Self::Generated | Self::Zeros | Self::Checksum | Self::Blob { .. } | Self::File { .. } => None,
        }
    }
}

/// A run of bytes with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Where the bytes come from.
    pub origin: Origin,
    /// How many there are, above 0.
    pub len: u64,
    /// The bytes themselves where they are generated, else none.
    pub bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    /// Bytes that are generated.
    pub const fn generated(bytes: &'a [u8]) -> Self {
        Self { origin: Origin::Generated, len: bytes.len() as u64, bytes }
    }
}

impl Piece<'static> {
    /// Bytes that are not at hand.
    pub const fn elsewhere(origin: Origin, len: u64) -> Self {
        Self { origin, len, bytes: &[] }
    }
}
