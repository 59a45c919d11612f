//! A qcow2 disk, in which clusters that hold only zeros take no room.
//!
//! ```text
//! header | refcount table | refcount blocks | L1 table | L2 tables of used clusters | used clusters in disk order
//! ```
//!
//! # Format
//! QEMU's `docs/interop/qcow2.txt`, version 3, without snapshots, backing file or extensions.

use std::mem::offset_of;

use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::Error;
use super::table::table;
use super::used::Used;
use crate::base::{SECTOR, align_up};
use crate::extent::{Label, Places, Placing, SharedSource, Sink};

/// log2 of the cluster size: QEMU's default.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Clusters one L2 table maps, and entries of one cluster of 8-byte offsets.
const TABLE: u64 = CLUSTER / 8;
/// 16-bit reference counts of one refcount block.
const REFCOUNTS: u64 = CLUSTER / 2;
/// "QCOW_OFLAG_COPIED": the cluster has one reference and may be written in place.
const COPIED: u64 = 1 << 63;
/// Largest disk: QEMU's limit of 32 MiB for the L1 table.
const MAX_DISK: u64 = (32 << 20) / 8 * TABLE * CLUSTER;

/// The header, section "Header", and the header extension that ends the list of them.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct Header {
    magic: [u8; 4],
    version: U32,
    backing_file_offset: U64,
    backing_file_size: U32,
    cluster_bits: U32,
    size: U64,
    crypt_method: U32,
    l1_size: U32,
    l1_table_offset: U64,
    refcount_table_offset: U64,
    refcount_table_clusters: U32,
    nb_snapshots: U32,
    snapshots_offset: U64,
    incompatible_features: U64,
    compatible_features: U64,
    autoclear_features: U64,
    refcount_order: U32,
    header_length: U32,
    compression_type: u8,
    padding: [u8; 7],
    end_of_extensions: [u8; 8],
}

/// Bytes of the header alone.
const HEADER: u32 = offset_of!(Header, end_of_extensions) as u32;
const _: () = assert!(HEADER == 112 && size_of::<Header>() == 120);

/// Lays out `disk` as qcow2.
///
/// # Errors
/// When `disk` is larger than 2 PiB.
pub fn qcow2(disk: &SharedSource) -> Result<SharedSource, Error> {
    let size = align_up(disk.size(), SECTOR);
    if size > MAX_DISK {
        return Err(Error::DiskTooLarge { size, format: "a qcow2 disk", limit: MAX_DISK });
    }
    let clusters = Used::of(&**disk, CLUSTER);
    let mut qcow2 = Qcow2 { disk, size, clusters, tables: Used::of(&**disk, TABLE * CLUSTER), blocks: 1 };
    // Refcount blocks count themselves: one more block may need one more.
    let places = loop {
        let places = Places::measure(0, |sink| qcow2.emit(sink));
        let blocks = (places.end() / CLUSTER).div_ceil(REFCOUNTS);
        if blocks <= qcow2.blocks {
            break places;
        }
        qcow2.blocks = blocks;
    };
    Ok(places.lay_out(|sink| qcow2.emit(sink)))
}

struct Qcow2<'a> {
    disk: &'a SharedSource,
    /// Size the guest sees, in bytes.
    size: u64,
    /// Used clusters.
    clusters: Used,
    /// Used L2 tables.
    tables: Used,
    /// Number of refcount blocks.
    blocks: u64,
}

/// What the header and tables name by its offset in bytes.
#[derive(Clone, Copy)]
enum Part {
    RefcountTable,
    RefcountBlocks,
    L1,
    L2,
    Data,
    End,
}

impl Label for Part {
    type Number = u64;

    fn slot(self) -> (usize, usize) {
        (0, self as usize)
    }
}

impl Qcow2<'_> {
    fn emit(&self, sink: &mut Placing<'_, Part>) {
        sink.bytes(self.header(sink).as_bytes());
        begin(Part::RefcountTable, sink);
        let blocks = sink.place(Part::RefcountBlocks);
        sink.whole(&table(self.blocks, move |index| (blocks + index * CLUSTER).to_be_bytes()));
        begin(Part::RefcountBlocks, sink);
        let used = sink.place(Part::End) / CLUSTER;
        sink.whole(&table(self.blocks * REFCOUNTS, move |index| u16::from(index < used).to_be_bytes()));
        begin(Part::L1, sink);
        let (tables, first) = (self.tables.clone(), sink.place(Part::L2));
        sink.whole(&table(self.l1_entries(), move |index| entry(tables.rank(index), first)));
        begin(Part::L2, sink);
        let (tables, clusters, first) = (self.tables.clone(), self.clusters.clone(), sink.place(Part::Data));
        sink.whole(&table(self.tables.count() * TABLE, move |index| {
            let table = tables.nth(index / TABLE);
            let cluster = table.and_then(|table| clusters.rank(table * TABLE + index % TABLE));
            entry(cluster, first)
        }));
        begin(Part::Data, sink);
        self.clusters.emit(self.disk, sink);
        sink.note(Part::End);
    }

    fn l1_entries(&self) -> u64 {
        self.size.div_ceil(TABLE * CLUSTER)
    }

    fn header(&self, sink: &Placing<'_, Part>) -> Header {
        let table_size = sink.place(Part::RefcountBlocks) - sink.place(Part::RefcountTable);
        Header {
            magic: *b"QFI\xfb",
            version: 3.into(),
            cluster_bits: CLUSTER_BITS.into(),
            size: self.size.into(),
            l1_size: small(self.l1_entries()).into(),
            l1_table_offset: sink.place(Part::L1).into(),
            refcount_table_offset: sink.place(Part::RefcountTable).into(),
            refcount_table_clusters: small(table_size / CLUSTER).into(),
            refcount_order: 4.into(), // reference counts have 2^4 bits
            header_length: HEADER.into(),
            ..FromZeros::new_zeroed()
        }
    }
}

/// An L1 or L2 entry: where the cluster of a rank stands, 0 when there is none.
fn entry(rank: Option<u64>, first: u64) -> [u8; 8] {
    rank.map_or(0, |rank| (first + rank * CLUSTER) | COPIED).to_be_bytes()
}

/// Begins a part at the next cluster.
fn begin(part: Part, sink: &mut Placing<'_, Part>) {
    sink.align(CLUSTER);
    sink.note(part);
}

fn small(count: u64) -> u32 {
    u32::try_from(count).expect("counts of a disk below the limit fit in 32 bits")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::extent::Zeros;

    #[test]
    fn an_empty_disk_is_metadata_alone() {
        let disk: SharedSource = Arc::new(Zeros(1 << 40));
        let map = qcow2(&disk).unwrap();
        assert_eq!(map.size(), 4 * CLUSTER);
        let mut header = [0; 120];
        map.read_at(&mut header, 0).unwrap();
        assert_eq!(header[36..48], [0, 0, 8, 0, 0, 0, 0, 0, 0, 3, 0, 0]);
    }

    #[test]
    fn a_disk_over_the_limit_is_refused() {
        let disk: SharedSource = Arc::new(Zeros(MAX_DISK + 1));
        assert!(matches!(qcow2(&disk), Err(Error::DiskTooLarge { .. })));
    }
}
