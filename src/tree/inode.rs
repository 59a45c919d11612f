//! The inode of a tree, packed: metadata, and where the content is.

use crate::base::{FileKind, Metadata};
use crate::extent::SharedSource;

/// Number of an inode within its tree, from 0 for the root, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InodeId(pub(super) u32);

impl InodeId {
    /// The root directory.
    pub const ROOT: Self = Self(0);

    /// The number, for tables indexed by inode.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// An inode.
#[derive(Clone, Copy, Debug)]
pub struct Inode {
    /// Type, mode, owner, time, device numbers.
    pub metadata: Metadata,
    /// Size in bytes: of a file's content, of a link's target; 0 of anything else.
    pub size: u64,
    /// Number of names; of a directory 2 and one for each directory in it.
    pub nlink: u32,
    /// Number of the source, of the attribute set; what the offset counts in follows from the kind.
    pub(super) source: u32,
    pub(super) offset: u64,
    pub(super) xattrs: u32,
}

/// `Inode::source` and `Inode::xattrs` where there is none.
pub(super) const NONE: u32 = u32::MAX;

impl Inode {
    pub(super) const fn new(metadata: Metadata) -> Self {
        Self { metadata, size: 0, nlink: 0, source: NONE, offset: 0, xattrs: NONE }
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.metadata.kind == FileKind::Directory
    }
}

/// The content of a file: a range of a source.
#[derive(Clone)]
pub struct Content {
    /// The source, shared by all files of a layer.
    pub source: SharedSource,
    /// First byte in the source.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
}

impl Content {
    /// The whole of a source.
    pub fn whole(source: SharedSource) -> Self {
        let size = source.size();
        Self { source, offset: 0, size }
    }
}
