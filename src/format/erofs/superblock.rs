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
    /// The settings of each algorithm, which its decoder needs: their length in two bytes, then they themselves.
    configuration: [u8; 16],
    rest: [u8; 2928],
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
    available_compr_algs: U16,
    /// Devices, packed data, filters: nothing of them is used.
    unused: [u8; 42],
}

const _: () = assert!(size_of::<SuperBlock>() == 128 && size_of::<FirstBlock>() as u64 == BLOCK);

const MAGIC: u32 = 0xe0f5_e1e2;
/// The superblock has a checksum; inodes have a time of modification.
const CHECKSUM: u32 = 1;
const MTIME: u32 = 2;
/// Compressed blocks have their zeros in front; what is said of algorithms stands behind the superblock, and clusters may
/// have several blocks (`EROFS_FEATURE_INCOMPAT_ZERO_PADDING`, `…_COMPR_CFGS`).
const COMPRESSED: u32 = 1 | 2;
/// A cluster may stand for several of the content (`EROFS_FEATURE_INCOMPAT_DEDUPE`), which Linux knows since 6.1.
const SHARED: u32 = 0x20;
const LABEL: &[u8] = b"LinuxKit";

/// How files are compressed.
#[derive(Clone, Copy)]
pub(super) enum Algorithm {
    /// The blocks of a cluster, at most.
    Lz4 {
        largest_cluster: u16,
    },
    Zstd,
}

impl Algorithm {
    /// Its number, as inodes tell it (`Z_EROFS_COMPRESSION_LZ4`, `…_ZSTD`).
    pub const fn number(self) -> u8 {
        match self {
            Self::Lz4 { .. } => 0,
            Self::Zstd => 3,
        }
    }

    /// `z_erofs_lz4_cfgs` or `z_erofs_zstd_cfgs`, behind its length.
    fn configuration(self) -> [u8; 16] {
        let [far, near] = LZ4_DISTANCE.to_be_bytes();
        match self {
            Self::Lz4 { largest_cluster } => {
                let [low, high] = largest_cluster.to_le_bytes();
                padded(&[14, 0, near, far, low, high], 0)
            }
            Self::Zstd => [6, 0, 0, ZSTD_WINDOW - 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    }
}

/// How far back LZ4 refers, in bytes (`LZ4_DISTANCE_MAX`).
const LZ4_DISTANCE: u16 = u16::MAX;
/// The logarithm of the window that zstd needs: an extent has less than 256 KiB.
const ZSTD_WINDOW: u8 = 18;

/// What a superblock says.
pub(super) struct Superblock {
    pub inodes: u64,
    /// Of the image.
    pub blocks: u32,
    /// The block that inode numbers count from; the root is the first inode.
    pub inodes_block: u32,
    pub mtime: i64,
    pub algorithm: Option<Algorithm>,
    /// Whether clusters stand for several of the content.
    pub is_shared: bool,
}

/// Block 0.
pub(super) fn first_block(told: &Superblock) -> [u8; BLOCK as usize] {
    let algorithms = told.algorithm.map_or(0, |algorithm| 1 << algorithm.number());
    let superblock = SuperBlock {
        magic: MAGIC.into(),
        feature_compat: (CHECKSUM | MTIME).into(),
        blkszbits: u8::try_from(BLOCK.trailing_zeros()).expect("a logarithm is small"),
        inos: told.inodes.into(),
        build_time: told.mtime.into(),
        blocks: told.blocks.into(),
        meta_blkaddr: told.inodes_block.into(),
        volume_name: padded(LABEL, 0),
        feature_incompat: (told.algorithm.map_or(0, |_| COMPRESSED) | if told.is_shared { SHARED } else { 0 }).into(),
        available_compr_algs: algorithms.into(),
        ..FromZeros::new_zeroed()
    };
    let configuration = told.algorithm.map_or([0; 16], Algorithm::configuration);
    let mut block = FirstBlock { superblock, configuration, ..FromZeros::new_zeroed() };
    // Counted from the superblock to the end of the block, and not inverted at the end.
    let checked = &block.as_bytes()[offset_of!(FirstBlock, superblock)..];
    block.superblock.checksum = (!crc32c::crc32c(checked)).into();
    transmute!(block)
}
