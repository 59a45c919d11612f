//! Inodes, and what stands right behind them: attributes, a link's target, the end of a listing.
//!
//! # Format
//! `erofs_fs.h`: `erofs_inode_extended`; `EROFS_INODE_FLAT_PLAIN` and `EROFS_INODE_FLAT_INLINE`. What stands behind an
//! inode must not leave the inode's block.

use std::sync::Arc;

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{Immutable, IntoBytes};

use super::directory::{Listing, Nid, SLOT};
use super::packed::PackedFiles;
use super::superblock::Algorithm;
use super::{BLOCK, xattr};
use crate::base::{FileKind, align_up, in_memory};
use crate::extent::{Label, Places, Sink};
use crate::format::limits::{ids, linux_device};
use crate::tree::{InodeId, Tree};

/// Size of an inode.
const SIZE: u64 = size_of::<InodeExtended>() as u64;
const _: () = assert!(SIZE == 64);
/// Formats: extended, and where the content's end is.
const PLAIN: u16 = 1;
const INLINE: u16 = 1 | 2 << 1;
const COMPRESSED: u16 = 1 | 1 << 1;
/// The first block of what has none.
const NO_BLOCK: u32 = u32::MAX;

/// `erofs_inode_extended`.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct InodeExtended {
    i_format: U16,
    i_xattr_icount: U16,
    i_mode: U16,
    i_reserved: U16,
    i_size: U64,
    /// Of a device its numbers, of what is compressed how many blocks it has, else the first block of what has blocks.
    i_u: U32,
    i_ino: U32,
    i_uid: U32,
    i_gid: U32,
    i_mtime: I64,
    i_mtime_nsec: U32,
    i_nlink: U32,
    i_reserved2: [u8; 16],
}

/// The first block of an inode's content.
#[derive(Clone, Copy)]
pub(super) struct FirstBlock(pub InodeId);

impl Label for FirstBlock {
    type Number = u32;
    const UNIT: u64 = BLOCK;

    fn slot(self) -> (usize, usize) {
        (0, self.0.index())
    }
}

/// What inodes are made of.
pub(super) struct Inodes {
    pub nids: Places<Nid>,
    pub blocks: Places<FirstBlock>,
    /// Listings of the directories, ascending.
    listings: Vec<Listing>,
    /// How files are compressed, and where they are.
    packed: Option<(Algorithm, Arc<PackedFiles>)>,
}

/// Sizes of an inode's parts.
pub(super) struct Shape {
    /// Content in bytes.
    pub size: u64,
    xattrs: u64,
    /// Bytes of the content that stand behind the inode.
    tail: u64,
    /// Whether the content is compressed, and an index stands behind the inode.
    pub is_compressed: bool,
}

impl Shape {
    /// Whole blocks of content, behind all inodes.
    pub const fn blocks(&self) -> u64 {
        (self.size - self.tail).div_ceil(BLOCK)
    }

    /// Bytes that must not leave the inode's block.
    const fn len(&self) -> u64 {
        SIZE + self.xattrs + self.tail
    }
}

impl Inodes {
    /// The inodes of a tree, whose places are not known.
    pub fn of(tree: &Tree) -> Self {
        let directories = ids(tree).filter(|id| tree.inode(*id).is_directory());
        let listings = directories.map(|id| Listing::new(tree, id)).collect();
        Self { nids: Places::default(), blocks: Places::default(), listings, packed: None }
    }

    /// The same where files will be compressed.
    pub fn compressed(tree: &Tree, algorithm: Algorithm) -> Self {
        Self { packed: Some((algorithm, Arc::default())), ..Self::of(tree) }
    }

    /// Says where compressed files are.
    pub fn set_files(&mut self, files: PackedFiles) {
        if let Some((_, known)) = &mut self.packed {
            *known = Arc::new(files);
        }
    }

    /// Whether a block is content of several files, or several times of one.
    pub fn is_shared(&self) -> bool {
        self.packed.as_ref().is_some_and(|(_, files)| files.is_shared())
    }

    /// The listing of a directory.
    fn listing(&self, id: InodeId) -> &Listing {
        let place = self.listings.binary_search_by_key(&id, |listing| listing.directory);
        &self.listings[place.expect("the table has every directory of the tree")]
    }

    pub fn shape(&self, tree: &Tree, id: InodeId) -> Shape {
        let kind = tree.inode(id).metadata.kind;
        let size = if kind == FileKind::Directory { self.listing(id).size() } else { tree.inode(id).size };
        let xattrs = xattr::encode(tree.xattrs(id)).len() as u64;
        // A file's content stays one run, so that it can be mapped as it is; where others are compressed a small one cannot be.
        let tail = match kind {
            FileKind::Directory | FileKind::Symlink => size % BLOCK,
            FileKind::File if self.packed.is_some() && size < BLOCK => size,
            _ => 0,
        };
        let tail = if SIZE + xattrs + tail <= BLOCK { tail } else { 0 };
        let is_compressed = self.packed.is_some() && kind == FileKind::File && size > tail;
        Shape { size, xattrs, tail, is_compressed }
    }

    /// Adds zeros up to where an inode may stand.
    pub fn align(shape: &Shape, sink: &mut dyn Sink) {
        let within = sink.position() % BLOCK;
        let must_fit = if shape.len() <= BLOCK { shape.len() } else { SIZE };
        if within + must_fit > BLOCK {
            sink.align(BLOCK);
        }
    }

    /// Adds an inode and what stands behind it, up to the next slot.
    pub fn emit(&self, tree: &Tree, id: InodeId, shape: &Shape, sink: &mut dyn Sink) {
        let xattrs = xattr::encode(tree.xattrs(id));
        let count = xattr::count(xattrs.len()).expect("larger attributes are refused");
        sink.bytes(self.inode(tree, id, shape, count).as_bytes());
        sink.bytes(&xattrs);
        match &self.packed {
            Some((algorithm, files)) if shape.is_compressed => {
                files.emit_index(id, shape.size, algorithm.number(), sink);
            }
            _ if shape.tail > 0 => self.emit_tail(tree, id, shape, sink),
            _ => {}
        }
        let end = align_up(sink.position(), SLOT);
        sink.pad_to(end);
    }

    fn emit_tail(&self, tree: &Tree, id: InodeId, shape: &Shape, sink: &mut dyn Sink) {
        if tree.inode(id).is_directory() {
            let block = in_memory(shape.blocks());
            self.listing(id).emit_block(tree, block, &self.nids, sink);
        } else if let Some(content) = tree.content(id) {
            sink.extent(&content.source, content.offset, content.size);
        } else {
            sink.bytes(tree.link_target(id));
        }
    }

    /// What an inode says of where its content is.
    fn union(&self, tree: &Tree, id: InodeId, shape: &Shape) -> u32 {
        let metadata = &tree.inode(id).metadata;
        match (metadata.kind, &self.packed) {
            (FileKind::CharDevice | FileKind::BlockDevice, _) => linux_device(metadata.rdev),
            (_, Some((_, files))) if shape.is_compressed => {
                u32::try_from(files.blocks(id, shape.size)).expect("larger images are refused")
            }
            _ if shape.blocks() > 0 => self.blocks.get(FirstBlock(id)),
            _ if shape.tail > 0 => NO_BLOCK,
            _ => 0,
        }
    }

    fn inode(&self, tree: &Tree, id: InodeId, shape: &Shape, xattrs: u16) -> InodeExtended {
        let inode = tree.inode(id);
        let metadata = &inode.metadata;
        let mode = u16::try_from(metadata.kind.mode_bits() | u32::from(metadata.mode)).expect("modes have 16 bits");
        let format = match (shape.tail, shape.is_compressed) {
            (_, true) => COMPRESSED,
            (0, _) => PLAIN,
            _ => INLINE,
        };
        InodeExtended {
            i_format: format.into(),
            i_xattr_icount: xattrs.into(),
            i_mode: mode.into(),
            i_reserved: 0.into(),
            i_size: shape.size.into(),
            i_u: self.union(tree, id, shape).into(),
            i_ino: (id.number() + 1).into(),
            i_uid: metadata.uid.into(),
            i_gid: metadata.gid.into(),
            i_mtime: metadata.mtime.into(),
            i_mtime_nsec: 0.into(),
            i_nlink: inode.nlink.into(),
            i_reserved2: [0; 16],
        }
    }

    /// Adds one block of a listing or of a link's target, behind all inodes.
    pub fn emit_block(&self, tree: &Tree, id: InodeId, block: usize, sink: &mut dyn Sink) {
        if tree.inode(id).is_directory() {
            self.listing(id).emit_block(tree, block, &self.nids, sink);
        } else {
            sink.bytes(tree.link_target(id));
        }
        sink.align(BLOCK);
    }
}
