//! What is wrong with a compressed stream.

/// What is wrong with a compressed stream, in the words that `gzip` and `zstd` use for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// A deflate block of the reserved type.
    #[error("invalid block type")]
    BlockType,
    /// The length of a stored block does not agree with its complement.
    #[error("invalid stored block lengths")]
    Stored,
    /// The lengths of codes, or the codes that they make.
    #[error("invalid code lengths")]
    Lengths,
    /// No such code, or one for a reserved length.
    #[error("invalid literal or length code")]
    Code,
    /// No such code, or one for a reserved distance.
    #[error("invalid distance code")]
    Distance,
    /// A distance beyond the start of the stream, or beyond the window that was given.
    #[error("invalid distance too far back")]
    TooFar,
    /// A place to start at that is not in the block.
    #[error("no code of the block starts here")]
    Start,
    /// A gzip member in another compression than deflate.
    #[error("unknown compression method")]
    Method,
    /// A gzip member with flags that the format reserves.
    #[error("unknown header flags set")]
    Flags,
    /// The header of a gzip member does not have its checksum.
    #[error("header crc mismatch")]
    HeaderChecksum,
    /// The content of a gzip member does not have its checksum.
    #[error("incorrect data check")]
    Checksum,
    /// The content of a gzip member does not have its size.
    #[error("incorrect length check")]
    Size,
    /// A zstd frame that needs more than the memory lkit gives it.
    #[error("Frame requires too much memory for decoding")]
    Window,
    /// What zstd says.
    #[error("{0}")]
    Zstd(&'static str),
}
