//! Offsets that say what they count in, so that a compressed one is never taken for an uncompressed one.

/// Offset in a blob as it is stored, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BlobOffset(pub(crate) u64);

/// Offset in a diff, the uncompressed tar, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DiffOffset(pub(crate) u64);

impl BlobOffset {
    /// The offset `len` bytes further on.
    pub(crate) const fn plus(self, len: usize) -> Self {
        Self(self.0 + len as u64)
    }
}

impl DiffOffset {
    /// The offset `len` bytes further on.
    pub(crate) const fn plus(self, len: usize) -> Self {
        Self(self.0 + len as u64)
    }
}
