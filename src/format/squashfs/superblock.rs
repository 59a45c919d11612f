//! The superblock.
//!
//! # Format
//! `squashfs_fs.h`: `squashfs_super_block`.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{Immutable, IntoBytes, transmute};

use super::inode::DATA_BLOCK;

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
const FLAGS: u16 = UNCOMPRESSED_INODES | UNCOMPRESSED_DATA | UNCOMPRESSED_FRAGMENTS | NO_FRAGMENTS | UNCOMPRESSED_IDS;
const UNCOMPRESSED_INODES: u16 = 0x001;
const UNCOMPRESSED_DATA: u16 = 0x002;
const UNCOMPRESSED_FRAGMENTS: u16 = 0x008;
const NO_FRAGMENTS: u16 = 0x010;
const UNCOMPRESSED_XATTRS: u16 = 0x100;
const NO_XATTRS: u16 = 0x200;
const UNCOMPRESSED_IDS: u16 = 0x800;

/// What a superblock says. Places are bytes from the start of the image.
#[derive(Clone, Copy, Default)]
pub(super) struct Superblock {
    pub inodes: u32,
    pub mtime: u32,
    pub owners: u16,
    pub root: u64,
    pub inode_table: u64,
    pub directory_table: u64,
    pub id_table: u64,
    pub xattr_table: Option<u64>,
    pub end: u64,
}

impl Superblock {
    pub fn encode(&self) -> [u8; SIZE] {
        let flags = FLAGS | if self.xattr_table.is_some() { UNCOMPRESSED_XATTRS } else { NO_XATTRS };
        transmute!(SuperBlock {
            s_magic: *b"hsqs",
            inodes: self.inodes.into(),
            mkfs_time: self.mtime.into(),
            block_size: u32::try_from(DATA_BLOCK).expect("a block is small").into(),
            fragments: 0.into(),
            // Nothing uses it, but a kernel must have been built with it: all have zlib.
            compression: 1.into(),
            block_log: u16::try_from(DATA_BLOCK.trailing_zeros()).expect("a logarithm is small").into(),
            flags: flags.into(),
            no_ids: self.owners.into(),
            s_major: 4.into(),
            s_minor: 0.into(),
            root_inode: self.root.into(),
            bytes_used: self.end.into(),
            id_table_start: self.id_table.into(),
            xattr_id_table_start: self.xattr_table.unwrap_or(NO_TABLE).into(),
            inode_table_start: self.inode_table.into(),
            directory_table_start: self.directory_table.into(),
            fragment_table_start: NO_TABLE.into(),
            lookup_table_start: NO_TABLE.into(),
        })
    }
}
