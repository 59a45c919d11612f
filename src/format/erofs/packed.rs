//! Compressed content: extents of 128 KiB, each in blocks of its own, and the index behind an inode that tells which.
//!
//! # Format
//! `erofs_fs.h`: `z_erofs_map_header`, `z_erofs_lcluster_index` (`EROFS_INODE_COMPRESSED_FULL`), one for each block of
//! content. As in mkfs.erofs (`lib/compress.c`), an extent that ends within a block has a plain index for that block, which
//! says where it ends, and an extent that is not compressed has a plain index for each of its blocks.

use std::sync::Arc;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{Immutable, IntoBytes};

use super::BLOCK;
use crate::base::{align_up, in_memory};
use crate::extent::Sink;
use crate::format::limits::count_of;
use crate::format::table::table;
use crate::tree::InodeId;

/// Bytes of content that are compressed together: what is decoded to read any of them.
pub(super) const EXTENT: u64 = 128 << 10;
/// Most blocks that a compressed extent takes.
pub(super) const LARGEST_CLUSTER: u16 = 32;
/// Blocks whose index is made at once: 4 KiB of it.
const LONG_INDEX: u64 = 512;
/// The number of a file whose content is not compressed.
const NONE: u32 = u32::MAX;

/// `z_erofs_map_header`, and the eight bytes that the full index has behind it.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct MapHeader {
    h_fragmentoff: U32,
    h_advise: U16,
    h_algorithmtype: u8,
    h_clusterbits: u8,
    unused: [u8; 8],
}

/// Clusters may have more than one block (`Z_EROFS_ADVISE_BIG_PCLUSTER_1`).
const BIG_CLUSTERS: u16 = 2;

/// `z_erofs_lcluster_index`.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct Index {
    di_advise: U16,
    di_clusterofs: U16,
    di_u: [U16; 2],
}

const HEADER: u64 = size_of::<MapHeader>() as u64;
const INDEX: usize = size_of::<Index>();
const _: () = assert!(HEADER == 16 && INDEX == 8);

/// Types of an index.
const PLAIN: u16 = 0;
const HEAD: u16 = 1;
const BEHIND: u16 = 2;
/// In the first index behind the head: the number of blocks (`Z_EROFS_LI_D0_CBLKCNT`).
const BLOCK_COUNT: u16 = 1 << 11;

/// An extent where it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub start: u32,
    /// Compressed blocks; 0 where it is stored as it is.
    pub blocks: u16,
}

/// Extents of a file that are stored in one place: one, or several that are equal.
struct Run {
    /// The number of its first extent among those of all files.
    first: u64,
    extent: Extent,
}

/// Where compressed content is.
#[derive(Default)]
pub(super) struct PackedFiles {
    /// Of each inode the number of its first run.
    firsts: Vec<u32>,
    /// Of all files; each begins with one of its own.
    runs: Vec<Run>,
    /// How many extents all files have.
    count: u64,
    /// The block of the last one that was stored, and whether an earlier one stands for another, too.
    newest: u32,
    is_shared: bool,
}

/// How many extents content of this many bytes has. The last one takes what is less than a block, for that cannot be
/// compressed by itself.
pub(super) const fn extents(size: u64) -> u64 {
    let count = size / EXTENT + if size % EXTENT >= BLOCK { 1 } else { 0 };
    if count > 0 { count } else { 1 }
}

/// Bytes of one of the extents of a content.
pub(super) const fn extent_len(size: u64, extent: u64) -> u64 {
    if extent + 1 == extents(size) { size - extent * EXTENT } else { EXTENT }
}

impl PackedFiles {
    pub fn new(inodes: usize) -> Self {
        Self { firsts: vec![NONE; inodes], ..Self::default() }
    }

    /// Says that the extents which are added now are those of a file.
    pub fn begin(&mut self, id: InodeId) {
        self.firsts[id.index()] = count_of(self.runs.len());
    }

    /// Adds as many extents that are stored in one place.
    pub fn add(&mut self, extent: Extent, count: u64) {
        self.runs.push(Run { first: self.count, extent });
        self.count += count;
        self.is_shared |= count > 1 || extent.start <= self.newest;
        self.newest = self.newest.max(extent.start);
    }

    /// Whether an extent that is stored is several of the files.
    pub const fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// The first extent of a file among those of all files.
    fn first(&self, id: InodeId) -> (usize, u64) {
        let run = self.firsts[id.index()] as usize;
        (run, self.runs[run].first)
    }

    /// One of the extents of a file.
    fn extent(&self, id: InodeId, number: u64) -> Extent {
        let (run, first) = self.first(id);
        let behind = self.runs[run..].partition_point(|run| run.first <= first + number);
        self.runs[run + behind - 1].extent
    }

    /// How many blocks a content takes, which its inode tells. Those that stand for several extents count for each.
    pub fn blocks(&self, id: InodeId, size: u64) -> u64 {
        let (run, first) = self.first(id);
        let (mut blocks, end) = (0, first + extents(size));
        let ends = self.runs[run + 1..].iter().map(|run| run.first).chain([self.count]);
        for (Run { first: at, extent }, next) in
            self.runs[run..].iter().zip(ends).take_while(|(run, _)| run.first < end)
        {
            blocks += match extent.blocks {
                0 => (at - first..next - first).map(|number| extent_len(size, number).div_ceil(BLOCK)).sum(),
                blocks => u64::from(blocks) * (next - at),
            };
        }
        blocks
    }

    /// Adds the index of a content. A long one is made where it is read.
    pub fn emit_index(self: &Arc<Self>, id: InodeId, size: u64, algorithm: u8, sink: &mut dyn Sink) {
        let position = sink.position();
        sink.pad_to(align_up(position, 8));
        let header = MapHeader {
            h_fragmentoff: 0.into(),
            h_advise: BIG_CLUSTERS.into(),
            h_algorithmtype: algorithm,
            h_clusterbits: 0,
            unused: [0; 8],
        };
        sink.bytes(header.as_bytes());
        let (files, blocks) = (self.clone(), size.div_ceil(BLOCK));
        let index = move |block| files.index(id, size, block);
        if blocks > LONG_INDEX {
            sink.whole(&table(blocks, index));
        } else {
            sink.made(in_memory(blocks) * INDEX, &|| (0..blocks).flat_map(&index).collect());
        }
    }

    /// What the index says of one block of a content.
    fn index(&self, id: InodeId, size: u64, block: u64) -> [u8; INDEX] {
        let number = (block / (EXTENT / BLOCK)).min(extents(size) - 1);
        let Extent { start, blocks } = self.extent(id, number);
        let distance = block - number * (EXTENT / BLOCK);
        let (whole, rest) = (extent_len(size, number) / BLOCK, extent_len(size, number) % BLOCK);
        let small = |number: u64| u16::try_from(number).expect("an extent has few blocks");
        let at = |block: u32| {
            let [a, b, c, d] = block.to_le_bytes();
            [U16::from_bytes([a, b]), U16::from_bytes([c, d])]
        };
        let (kind, end, place) = match (blocks, distance) {
            (0, _) => (PLAIN, 0, at(start + u32::from(small(distance)))),
            (_, 0) => (HEAD, 0, at(start)),
            (_, distance) if distance == whole => (PLAIN, small(rest), at(0)),
            (_, 1) => (BEHIND, 0, [(BLOCK_COUNT | blocks).into(), small(whole - 1).into()]),
            _ => (BEHIND, 0, [small(distance).into(), small(whole - distance).into()]),
        };
        zerocopy::transmute!(Index { di_advise: kind.into(), di_clusterofs: end.into(), di_u: place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(size: u64, extents: &[Extent]) -> Vec<[u16; 4]> {
        let mut files = PackedFiles::new(1);
        files.begin(InodeId::ROOT);
        extents.iter().for_each(|extent| files.add(*extent, 1));
        let words = |index: [u8; INDEX]| [0, 2, 4, 6].map(|at| u16::from_le_bytes([index[at], index[at + 1]]));
        (0..size.div_ceil(BLOCK)).map(|block| words(files.index(InodeId::ROOT, size, block))).collect()
    }

    #[test]
    fn content_is_cut_so_that_no_extent_is_shorter_than_a_block() {
        let cut = |size| (0..extents(size)).map(|extent| extent_len(size, extent)).collect::<Vec<_>>();
        assert_eq!(cut(1), [1]);
        assert_eq!(cut(EXTENT), [EXTENT]);
        assert_eq!(cut(EXTENT + 4095), [EXTENT + 4095]);
        assert_eq!(cut(EXTENT + 4096), [EXTENT, 4096]);
        assert_eq!(cut(2 * EXTENT + 1), [EXTENT, EXTENT + 1]);
    }

    #[test]
    fn equal_extents_in_a_row_take_the_memory_of_one() {
        let (zeros, data) = (Extent { start: 5, blocks: 1 }, Extent { start: 6, blocks: 3 });
        let mut files = PackedFiles::new(2);
        files.begin(InodeId::ROOT);
        files.add(zeros, 1 << 24);
        files.add(data, 1);
        files.add(zeros, 2);
        files.begin(InodeId::ROOT);
        files.add(data, 1);
        assert_eq!((files.runs.len(), files.firsts[0], files.is_shared()), (4, 3, true));
        files.firsts[0] = 0;
        let numbers = [0, (1 << 24) - 1, 1 << 24, (1 << 24) + 1, (1 << 24) + 2];
        assert_eq!(numbers.map(|number| files.extent(InodeId::ROOT, number)), [zeros, zeros, data, zeros, zeros]);
        assert_eq!(files.blocks(InodeId::ROOT, (EXTENT << 24) + 3 * EXTENT), (1 << 24) + 5);
        let mut alone = PackedFiles::new(1);
        [zeros, data].into_iter().for_each(|extent| alone.add(extent, 1));
        assert!(!alone.is_shared());
    }

    #[test]
    fn an_index_tells_heads_distances_and_where_the_last_extent_ends() {
        let packed = Extent { start: 0x1_0007, blocks: 2 };
        let rows = index(3 * BLOCK + 5, &[packed]);
        assert_eq!(rows, [[1, 0, 7, 1], [2, 0, 0x802, 2], [2, 0, 2, 1], [0, 5, 0, 0]]);
        assert_eq!(index(BLOCK + 5, &[Extent { start: 9, blocks: 1 }]), [[1, 0, 9, 0], [0, 5, 0, 0]]);
        assert_eq!(index(BLOCK + 5, &[Extent { start: 9, blocks: 0 }]), [[0, 0, 9, 0], [0, 0, 10, 0]]);
        let rows = index(EXTENT + BLOCK, &[packed, Extent { start: 40, blocks: 0 }]);
        assert_eq!((rows.len(), rows[1], rows[31], rows[32]), (33, [2, 0, 0x802, 31], [2, 0, 31, 1], [0, 0, 40, 0]));
    }
}
