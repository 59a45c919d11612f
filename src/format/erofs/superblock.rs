//! The superblock, with the checksum of the block it lies in.
//!
//! # Format
//! `erofs_fs.h`: `erofs_super_block`.

use std::mem::offset_of;

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromZeros, Immutable, IntoBytes, transmute};

use super::BLOCK;
use crate::format::field::padded;

/// Block 0.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct FirstBlock {
    unused: [u8; 1024],
    superblock: SuperBlock,
    rest: [u8; 2944],
}

/// `erofs_super_block`.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct SuperBlock {
    magic: U32,
    checksum: U32,
    feature_compat: U32,
    blkszbits: u8,
    sb_extslots: u8,
    root_nid: U16,
    inos: U64,
    build_time: I64,
    build_time_nsec: U32,
    blocks: U32,
    meta_blkaddr: U32,
    xattr_blkaddr: U32,
    uuid: [u8; 16],
    volume_name: [u8; 16],
    feature_incompat: U32,
    /// Compression, devices, packed data, filters: nothing of them is used.
    unused: [u8; 44],
}

const _: () = assert!(size_of::<SuperBlock>() == 128 && size_of::<FirstBlock>() as u64 == BLOCK);

const MAGIC: u32 = 0xe0f5_e1e2;
/// The superblock has a checksum; inodes have a time of modification.
const CHECKSUM: u32 = 1;
const MTIME: u32 = 2;
/// The block that inode numbers count from.
pub(super) const INODES_BLOCK: u32 = 1;
const LABEL: &[u8] = b"LinuxKit";

/// Block 0 of an image of `blocks` blocks, whose root is the first inode.
pub(super) fn first_block(inodes: u64, blocks: u32, mtime: i64) -> [u8; BLOCK as usize] {
    let superblock = SuperBlock {
        magic: MAGIC.into(),
        feature_compat: (CHECKSUM | MTIME).into(),
        blkszbits: u8::try_from(BLOCK.trailing_zeros()).expect("a logarithm is small"),
        inos: inodes.into(),
        build_time: mtime.into(),
        blocks: blocks.into(),
        meta_blkaddr: INODES_BLOCK.into(),
        volume_name: padded(LABEL, 0),
        ..FromZeros::new_zeroed()
    };
    let mut block = FirstBlock { superblock, ..FromZeros::new_zeroed() };
    // Counted from the superblock to the end of the block, and not inverted at the end.
    let checked = &block.as_bytes()[offset_of!(FirstBlock, superblock)..];
    block.superblock.checksum = (!crc32c::crc32c(checked)).into();
    transmute!(block)
}
