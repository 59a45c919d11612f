//! Inodes as squashfs stores them.
//!
//! # Format
//! `squashfs_fs.h`: `squashfs_lreg_inode`, `squashfs_ldir_inode`, `squashfs_symlink_inode`, `squashfs_dev_inode`,
//! `squashfs_ipc_inode`; the extended types have an attribute set too. Files and directories are always extended: it
//! costs a few bytes and makes their sizes alike.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{Immutable, IntoBytes};

use super::data::{Data, Place};
use super::metadata::{Starts, offset_in_block};
use super::owner::Owners;
use super::xattr::{NONE, Xattrs};
use crate::base::FileKind;
use crate::extent::{Label, Places, Sink};
use crate::format::limits::{count_of, ids, linux_device};
use crate::format::{Codec, Error};
use crate::tree::{InodeId, Tree};

/// `squashfs_base_inode`, which begins them all.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct BaseInode {
    inode_type: U16,
    mode: U16,
    uid: U16,
    guid: U16,
    mtime: U32,
    inode_number: U32,
}

/// `squashfs_lreg_inode` behind the base; a list of block lengths follows.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct LregInode {
    start_block: U64,
    file_size: U64,
    sparse: U64,
    nlink: U32,
    fragment: U32,
    offset: U32,
    xattr: U32,
}

/// `squashfs_ldir_inode` behind the base.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct LdirInode {
    nlink: U32,
    file_size: U32,
    start_block: U32,
    parent_inode: U32,
    i_count: U16,
    offset: U16,
    xattr: U32,
}

const _: () = assert!(size_of::<BaseInode>() == 16);
const _: () = assert!(size_of::<LregInode>() == 40 && size_of::<LdirInode>() == 24);

/// Where a directory's listing is in the stream of all listings, in bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Listing {
    pub offset: u64,
    pub size: u64,
}

/// An inode in the stream of all inodes, which has less than 4 GiB.
#[derive(Clone, Copy)]
pub(super) struct Stored(pub InodeId);

impl Label for Stored {
    type Number = u32;

    fn slot(self) -> (usize, usize) {
        (0, self.0.index())
    }
}

/// What inodes are made of.
pub(super) struct Inodes {
    pub owners: Owners,
    pub xattrs: Xattrs,
    pub data: Data,
    pub places: Places<Stored>,
    /// The directories, ascending, and their listings.
    pub directories: Vec<InodeId>,
    pub listings: Vec<Listing>,
}

impl Inodes {
    pub fn new(tree: &Tree, data: Data, codec: Option<Codec>) -> Result<Self, Error> {
        let directories: Vec<InodeId> = ids(tree).filter(|id| tree.inode(*id).is_directory()).collect();
        Ok(Self {
            owners: Owners::of(tree)?,
            xattrs: Xattrs::of(tree, codec),
            data,
            places: Places::default(),
            listings: vec![Listing::default(); directories.len()],
            directories,
        })
    }

    /// An inode's offset in the stream of all inodes.
    pub fn offset(&self, id: InodeId) -> u64 {
        self.places.get(Stored(id)).into()
    }

    /// The number of a directory.
    pub fn directory(&self, id: InodeId) -> usize {
        self.directories.binary_search(&id).expect("the table has every directory of the tree")
    }

    /// Adds an inode; a directory's says where its listing is, in blocks that start as `listings` says.
    pub fn emit(&self, tree: &Tree, id: InodeId, listings: &Starts, sink: &mut dyn Sink) {
        let xattrs = self.xattrs.number(id);
        let kind = tree.inode(id).metadata.kind;
        let is_extended = xattrs != NONE || matches!(kind, FileKind::File | FileKind::Directory);
        sink.bytes(self.base(tree, id, if is_extended { basic_type(kind) + 7 } else { basic_type(kind) }).as_bytes());
        let nlink = tree.inode(id).nlink.to_le_bytes();
        match kind {
            FileKind::File => self.emit_file(tree, id, sink),
            FileKind::Directory => self.emit_directory(tree, id, listings, sink),
            FileKind::Symlink => {
                let target = tree.link_target(id);
                let len = u32::try_from(target.len()).expect("longer targets are refused");
                sink.bytes(&[&nlink, &len.to_le_bytes(), target].concat());
            }
            FileKind::CharDevice | FileKind::BlockDevice => {
                let device = linux_device(tree.inode(id).metadata.rdev);
                sink.bytes(&[nlink, device.to_le_bytes()].concat());
            }
            FileKind::Fifo | FileKind::Socket => sink.bytes(&nlink),
        }
        if is_extended && !matches!(kind, FileKind::File | FileKind::Directory) {
            sink.bytes(&xattrs.to_le_bytes());
        }
    }

    fn base(&self, tree: &Tree, id: InodeId, kind: u16) -> BaseInode {
        let metadata = &tree.inode(id).metadata;
        BaseInode {
            inode_type: kind.into(),
            mode: metadata.mode.into(),
            uid: self.owners.number(metadata.uid).into(),
            guid: self.owners.number(metadata.gid).into(),
            mtime: seconds(metadata.mtime).into(),
            inode_number: number(id).into(),
        }
    }

    fn emit_file(&self, tree: &Tree, id: InodeId, sink: &mut dyn Sink) {
        let inode = tree.inode(id);
        let Place { start, sparse, fragment, offset } = self.data.place(id);
        let file = LregInode {
            start_block: start.into(),
            file_size: inode.size.into(),
            sparse: sparse.into(),
            nlink: inode.nlink.into(),
            fragment: fragment.into(),
            offset: offset.into(),
            xattr: self.xattrs.number(id).into(),
        };
        sink.bytes(file.as_bytes());
        self.data.emit_lengths(tree, id, sink);
    }

    fn emit_directory(&self, tree: &Tree, id: InodeId, listings: &Starts, sink: &mut dyn Sink) {
        let Listing { offset, size } = self.listings[self.directory(id)];
        // The root's parent does not exist: its number is the first that no inode has.
        let none = count_of(tree.inode_count() + 1);
        let small = |n: u64| u32::try_from(n).expect("larger tables are refused");
        let directory = LdirInode {
            nlink: tree.inode(id).nlink.into(),
            // Counts "." and ".." as three bytes that are not there.
            file_size: small(size + 3).into(),
            start_block: small(listings.block(offset)).into(),
            parent_inode: if id == InodeId::ROOT { none } else { number(tree.parent(id)) }.into(),
            // No index.
            i_count: 0.into(),
            offset: offset_in_block(offset).into(),
            xattr: self.xattrs.number(id).into(),
        };
        sink.bytes(directory.as_bytes());
    }
}

/// An inode's number; they count from 1.
pub(super) fn number(id: InodeId) -> u32 {
    id.number() + 1
}

/// The number of a type, in directories and, when it is not extended, in inodes.
pub(super) const fn basic_type(kind: FileKind) -> u16 {
    match kind {
        FileKind::Directory => 1,
        FileKind::File => 2,
        FileKind::Symlink => 3,
        FileKind::BlockDevice => 4,
        FileKind::CharDevice => 5,
        FileKind::Fifo => 6,
        FileKind::Socket => 7,
    }
}

/// A time as squashfs holds it: from 1970 to 2106.
pub(super) fn seconds(mtime: i64) -> u32 {
    u32::try_from(mtime.max(0)).unwrap_or(u32::MAX)
}
