//! Where decoding of a blob can start, and what is needed to start there.

use super::offset::{BitOffset, BlobOffset};

/// A place at which a decoder can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResumePoint {
    /// Nothing before it is needed: a gzip member, a zstd frame, any byte of a plain tar.
    Frame(BlobOffset),
    /// Between two codes of a deflate block: needs the header of the block and the 32 KiB of output before.
    Code {
        /// The first bit of the code behind.
        position: BitOffset,
        /// The first bit of the block, which is the same before its header.
        block: BitOffset,
    },
}

impl ResumePoint {
    /// The first byte of the blob that is read from here on, headers apart.
    pub(crate) const fn byte(self) -> BlobOffset {
        match self {
            Self::Frame(offset) => offset,
            Self::Code { position, .. } => position.byte(),
        }
    }

    /// The end of the bytes of the blob that hold what is before.
    pub(crate) const fn byte_end(self) -> BlobOffset {
        match self {
            Self::Frame(offset) => offset,
            Self::Code { position, .. } => position.byte_end(),
        }
    }
}
