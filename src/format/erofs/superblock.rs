//! The superblock, with the checksum of the block it lies in.
//!
//! # Format
//! `erofs_fs.h`: `erofs_super_block`.

use super::BLOCK;
use crate::format::field::put;

/// Where the superblock lies in block 0.
const AT: usize = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
/// The superblock has a checksum; inodes have a time of modification.
const CHECKSUM: u32 = 1;
const MTIME: u32 = 2;
/// The block that inode numbers count from.
pub(super) const INODES_BLOCK: u32 = 1;
const LABEL: &[u8] = b"LinuxKit";

/// Block 0 of an image of `blocks` blocks, whose root is the first inode.
pub(super) fn first_block(inodes: u64, blocks: u32, mtime: i64) -> [u8; BLOCK as usize] {
    let mut block = [0; BLOCK as usize];
    let s = &mut block[AT..];
    put(s, 0, [MAGIC, 0, CHECKSUM | MTIME].map(u32::to_le_bytes).as_flattened());
    s[12] = u8::try_from(BLOCK.trailing_zeros()).expect("a logarithm is small");
    put(s, 16, &inodes.to_le_bytes());
    put(s, 24, &mtime.to_le_bytes());
    put(s, 36, [blocks, INODES_BLOCK].map(u32::to_le_bytes).as_flattened());
    put(s, 64, LABEL);
    // Counted from the superblock to the end of the block, and not inverted at the end.
    let checksum = !crc32c::crc32c(s);
    put(s, 4, &checksum.to_le_bytes());
    block
}
