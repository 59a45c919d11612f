//! The superblock.
//!
//! # Format
//! `squashfs_fs.h`: `squashfs_super_block`.

use super::inode::DATA_BLOCK;
use crate::format::field::put;

/// Size in bytes.
pub(super) const SIZE: usize = 96;

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
        let block_log = u16::try_from(DATA_BLOCK.trailing_zeros()).expect("a logarithm is small");
        let flags = FLAGS | if self.xattr_table.is_some() { UNCOMPRESSED_XATTRS } else { NO_XATTRS };
        // Compressor 1, which nothing uses, but which a kernel must have been built with: all have zlib.
        let shorts = [1, block_log, flags, self.owners, 4, 0];
        let places = [
            self.root,
            self.end,
            self.id_table,
            self.xattr_table.unwrap_or(NO_TABLE),
            self.inode_table,
            self.directory_table,
            NO_TABLE,
            NO_TABLE,
        ];
        let data_block = u32::try_from(DATA_BLOCK).expect("a block is small");
        let mut block = [0; SIZE];
        put(&mut block, 0, b"hsqs");
        put(&mut block, 4, [self.inodes, self.mtime, data_block, 0].map(u32::to_le_bytes).as_flattened());
        put(&mut block, 20, shorts.map(u16::to_le_bytes).as_flattened());
        put(&mut block, 32, places.map(u64::to_le_bytes).as_flattened());
        block
    }
}
