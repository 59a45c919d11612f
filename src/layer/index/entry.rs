//! One entry of a layer's table of contents: what the tar says of a path, and where its content lies in the diff.

use crate::base::{Metadata, Xattrs};

/// An entry of a tar, in archive order; later entries of the same path win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name as the tar has it: any bytes but NUL, perhaps with `./`, `..`, doubled or trailing slashes.
    pub path: &'a [u8],
    /// The inode fields.
    pub metadata: Metadata,
    /// What the path holds.
    pub body: Body<'a>,
    /// Extended attributes; entries with the same attributes share them.
    pub xattrs: Xattrs,
}

/// What a path holds. Offsets and sizes in bytes; offsets count in the diff (the uncompressed tar).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Nothing: a directory, device or fifo.
    Empty,
    /// A regular file, whole in the diff.
    Content {
        /// First byte in the diff.
        offset: u64,
        /// Size of the file.
        size: u64,
    },
    /// A regular file with holes.
    Sparse {
        /// Size of the file, holes included.
        size: u64,
        /// The runs that are no holes, sorted.
        runs: Vec<Run>,
    },
    /// A symbolic link to this target.
    Symlink(&'a [u8]),
    /// A further name for the file that this path names, as the tar has it.
    HardLink(&'a [u8]),
}

/// A run of a sparse file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Offset within the file.
    pub at: u64,
    /// Offset within the diff.
    pub offset: u64,
    /// Length.
    pub len: u64,
}
