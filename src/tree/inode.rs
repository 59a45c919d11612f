//! The inode of a tree, packed: metadata, and where the content is.

use crate::base::{FileKind, Metadata};
use crate::extent::SharedSource;

/// Number of an inode within its tree, from 0 for the root, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InodeId(pub(super) u32);

impl InodeId {
    /// The root directory.
    pub const ROOT: Self = Self(0);

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }

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
    /// Number of the attribute set.
    pub(super) xattrs: u32,
    pub(super) body: Body,
}

const _: () = assert!(size_of::<Inode>() == 64, "a tree has one for each file");

/// What an inode has by its kind, apart from a size.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// Nothing: an empty file, a device, a directory that is not finished.
    Empty,
    /// Of a file: the number of its source, and where in it the content begins.
    Content { source: u32, offset: u64 },
    /// Of a symbolic link: where the target begins in the text.
    Target { start: u64 },
    /// Of a directory in a finished tree: its first entry, and how many it has.
    Entries { first: u32, count: u32 },
}

/// A number that nothing has.
pub(super) const NONE: u32 = u32::MAX;

impl Inode {
    pub(super) const fn new(metadata: Metadata) -> Self {
        Self { metadata, size: 0, nlink: 0, xattrs: NONE, body: Body::Empty }
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
