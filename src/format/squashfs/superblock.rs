//! The superblock.
//!
//! # Format
//! `squashfs_fs.h`: `squashfs_super_block`.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{Immutable, IntoBytes};

use crate::extent::{Label, Placing, Sink as _};
use crate::format::Codec;

/// Bytes of content that a reader fetches at once: mksquashfs' default. Smaller ones make tables long, larger ones make
/// a page fault read more.
pub(super) const DATA_BLOCK: u64 = 128 * 1024;

/// `squashfs_super_block`.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct SuperBlock {
    s_magic: [u8; 4],
    inodes: U32,
    mkfs_time: U32,
    block_size: U32,
    fragments: U32,
    compression: U16,
    block_log: U16,
    flags: U16,
    no_ids: U16,
    s_major: U16,
    s_minor: U16,
    root_inode: U64,
    bytes_used: U64,
    id_table_start: U64,
    xattr_id_table_start: U64,
    inode_table_start: U64,
    directory_table_start: U64,
    fragment_table_start: U64,
    lookup_table_start: U64,
}

/// Size in bytes.
pub(super) const SIZE: usize = size_of::<SuperBlock>();
const _: () = assert!(SIZE == 96);

/// Stands for a table that is not there.
const NO_TABLE: u64 = u64::MAX;

/// Nothing is compressed, and no file shares a block with another.
const PLAIN: u16 = UNCOMPRESSED_INODES | UNCOMPRESSED_DATA | UNCOMPRESSED_FRAGMENTS | NO_FRAGMENTS | UNCOMPRESSED_IDS;
const UNCOMPRESSED_INODES: u16 = 0x001;
const UNCOMPRESSED_DATA: u16 = 0x002;
const UNCOMPRESSED_FRAGMENTS: u16 = 0x008;
const NO_FRAGMENTS: u16 = 0x010;
const UNCOMPRESSED_XATTRS: u16 = 0x100;
const NO_XATTRS: u16 = 0x200;
const UNCOMPRESSED_IDS: u16 = 0x800;

/// What the superblock names by its offset in bytes.
#[derive(Clone, Copy)]
pub(super) enum Part {
    InodeTable,
    DirectoryTable,
    FragmentTable,
    IdTable,
    XattrTable,
    End,
}

impl Label for Part {
    type Number = u64;

    fn slot(self) -> (usize, usize) {
        (0, self as usize)
    }
}

/// What a superblock says apart from that.
pub(super) struct Superblock {
    pub inodes: u32,
    pub mtime: u32,
    pub owners: u16,
    /// Reference of the root's inode.
    pub root: u64,
    pub has_xattrs: bool,
    /// How many fragments there are.
    pub fragments: u32,
    /// How blocks are compressed.
    pub codec: Option<Codec>,
}

impl Superblock {
    /// Adds the superblock.
    pub fn emit(&self, sink: &mut Placing<'_, Part>) {
        let flags = if self.codec.is_some() { 0 } else { PLAIN };
        let xattrs = if self.codec.is_some() { 0 } else { UNCOMPRESSED_XATTRS };
        let flags = flags | if self.has_xattrs { xattrs } else { NO_XATTRS };
        let flags = flags | if self.fragments > 0 { 0 } else { NO_FRAGMENTS };
        let superblock = SuperBlock {
            s_magic: *b"hsqs",
            inodes: self.inodes.into(),
            mkfs_time: self.mtime.into(),
            block_size: u32::try_from(DATA_BLOCK).expect("a block is small").into(),
            fragments: self.fragments.into(),
            compression: number(self.codec).expect("others are refused").into(),
            block_log: u16::try_from(DATA_BLOCK.trailing_zeros()).expect("a logarithm is small").into(),
            flags: flags.into(),
            no_ids: self.owners.into(),
            s_major: 4.into(),
            s_minor: 0.into(),
            root_inode: self.root.into(),
            bytes_used: sink.place(Part::End).into(),
            id_table_start: sink.place(Part::IdTable).into(),
            xattr_id_table_start: if self.has_xattrs { sink.place(Part::XattrTable) } else { NO_TABLE }.into(),
            inode_table_start: sink.place(Part::InodeTable).into(),
            directory_table_start: sink.place(Part::DirectoryTable).into(),
            fragment_table_start: if self.fragments > 0 { sink.place(Part::FragmentTable) } else { NO_TABLE }.into(),
            lookup_table_start: NO_TABLE.into(),
        };
        sink.bytes(superblock.as_bytes());
    }
}

/// The number of an algorithm; LZ4 would need options behind the superblock. Where nothing is compressed nothing uses it, but a kernel must have been built with it: all
/// have zlib.
pub(super) const fn number(codec: Option<Codec>) -> Option<u16> {
    match codec {
        None | Some(Codec::Gzip(_)) => Some(1),
        Some(Codec::Lz4(_)) => None,
        Some(Codec::Xz(_)) => Some(4),
        Some(Codec::Zstd(_)) => Some(6),
    }
}
