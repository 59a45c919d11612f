//! Offsets that say what they count in, so that a compressed one is never taken for an uncompressed one.

/// Offset in a blob as it is stored, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BlobOffset(pub(crate) u64);

/// Offset in a blob as it is stored, in bits; those of a byte count from its lowest (RFC 1951, section 3.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BitOffset(pub(crate) u64);

/// Offset in a diff, the uncompressed tar, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DiffOffset(pub(crate) u64);

impl BlobOffset {
    /// The offset `len` bytes further on.
    pub(crate) const fn plus(self, len: usize) -> Self {
        Self(self.0 + len as u64)
    }
}

impl BitOffset {
    /// The byte that holds this bit.
    pub(crate) const fn byte(self) -> BlobOffset {
        BlobOffset(self.0 / 8)
    }

    /// The end of the bytes that hold what is before this bit.
    pub(crate) const fn byte_end(self) -> BlobOffset {
        BlobOffset(self.0.div_ceil(8))
    }
}

impl DiffOffset {
    /// The offset `len` bytes further on.
    pub(crate) const fn plus(self, len: usize) -> Self {
        Self(self.0 + len as u64)
    }
}
