//! Where decoding of a blob can start, and what is needed to start there.

/// A place at which a decoder can start afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing before it is needed: a gzip member, a zstd frame, any byte of a plain tar.
    Frame,
    /// A deflate block: needs the 32 KiB of output before it. `bits` high bits of the byte before it are unread.
    Block {
        /// 0–7.
        bits: u8,
    },
    /// A code within a deflate block: needs that, and the header of the block.
    Code {
        /// 0–7.
        bits: u8,
        /// Where the header is.
        header: Header,
    },
}

/// Where the header of a deflate block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes from its first whole byte to the first whole byte behind the mark.
    pub(crate) back: u32,
    /// Unread bits of the byte before it, 0–7.
    pub(crate) bits: u8,
    /// The byte before it.
    pub(crate) last: u8,
}
