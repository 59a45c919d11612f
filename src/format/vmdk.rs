//! VMware's streamOptimized disk, the form OVF and vSphere import; its "compressed" grains are stored as they are.
//!
//! ```text
//! header | descriptor | grains, grain table | grains, grain table | ... | grain directory | footer | end
//! ```
//!
//! # Format
//! VMware "Virtual Disk Format 1.1", section "Stream-Optimized Compressed Sparse Extents"; RFC 1950 (zlib) and RFC 1951
//! section 3.2.4 (stored blocks). Numbers are little-endian, offsets count sectors.

use std::ops::Range;
use std::sync::Arc;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::table::table;
use super::used::{Used, emit_range};
use super::{Error, derived_id};
use crate::base::{Digest, GIB, KIB, SECTOR, align_up, in_memory};
use crate::extent::{
    MapBuilder, Origin, PagedLayout, PagedMap, ReadError, SharedSource, Sink, Source, Traced, Visit, trace_as,
};

/// Size of a grain in bytes: 128 sectors, what every reader expects.
const GRAIN: u64 = 64 * KIB;
/// Grains of one grain table; the format fixes it.
const TABLE: u64 = 512;
/// Sectors of the descriptor: the usual ones.
const DESCRIPTOR: u64 = 20;
/// Grains start here, in sectors: the header's "overHead".
const OVERHEAD: u64 = 128;
/// Largest disk whose sector offsets, with the grains' own headers, stay below 2^32.
const MAX_DISK: u64 = 2000 * GIB;

/// A stored block holds at most this many bytes, so a grain is two blocks.
const BLOCK: u64 = 65535;
/// A grain's zlib stream in bytes: zlib header, block header, block, block header, block, Adler-32.
const STREAM: u64 = 2 + 5 + BLOCK + 5 + (GRAIN - BLOCK) + 4;
/// A grain in the file, in sectors: its marker and its stream, padded.
const STORED_GRAIN: u64 = (size_of::<GrainMarker>() as u64 + STREAM).div_ceil(SECTOR);
/// A grain table in the file, in sectors: its marker and 512 entries.
const STORED_TABLE: u64 = 1 + TABLE * 4 / SECTOR;
/// Grains laid out together; 32 such pages and one for the table belong to a grain table.
const PAGE: u64 = 16;
const PAGES: u64 = TABLE / PAGE + 1;

/// "SparseExtentHeader", section "Hosted Sparse Extents".
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct SparseExtentHeader {
    magic_number: [u8; 4],
    version: U32,
    flags: U32,
    capacity: U64,
    grain_size: U64,
    descriptor_offset: U64,
    descriptor_size: U64,
    num_gtes_per_gt: U32,
    rgd_offset: U64,
    gd_offset: U64,
    over_head: U64,
    unclean_shutdown: u8,
    single_end_line_char: u8,
    non_end_line_char: u8,
    double_end_line_chars: [u8; 2],
    compress_algorithm: U16,
    pad: [u8; 433],
}

/// "Metadata Marker": says what the next sectors are.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct MetadataMarker {
    num_sectors: U64,
    size: U32,
    kind: U32,
    pad: [u8; 496],
}

/// "Grain Marker".
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct GrainMarker {
    lba: U64,
    size: U32,
}

const _: () = assert!(size_of::<SparseExtentHeader>() as u64 == SECTOR && size_of::<MetadataMarker>() as u64 == SECTOR);
const _: () = assert!(size_of::<GrainMarker>() == 12);

/// Lays out `disk` as the VMDK file called `name`.
///
/// # Errors
/// When `disk` is larger than 2000 GiB.
pub fn vmdk(disk: &SharedSource, name: &str, seed: &Digest) -> Result<SharedSource, Error> {
    let size = align_up(disk.size(), GRAIN);
    if size > MAX_DISK {
        return Err(Error::DiskTooLarge { size, format: "a VMDK disk", limit: MAX_DISK });
    }
    let tables = size.div_ceil(TABLE * GRAIN);
    let grains =
        Grains { disk: disk.clone(), grains: Used::of(&**disk, GRAIN), tables: Used::of(&**disk, TABLE * GRAIN) };
    let places = Grains { disk: disk.clone(), grains: grains.grains.clone(), tables: grains.tables.clone() };
    let mut map = MapBuilder::default();
    map.bytes(header(size, u64::MAX).as_bytes()); // the real offset of the directory stands in the footer
    map.bytes(descriptor(size, name, derived_id(seed, "vmdk")).as_bytes());
    map.pad_to(OVERHEAD * SECTOR);
    map.whole(&(Arc::new(PagedMap::new(grains)) as SharedSource));
    map.bytes(marker(Marker::Directory, (tables * 4).div_ceil(SECTOR)).as_bytes());
    let directory = map.position() / SECTOR;
    map.whole(&table(tables, move |table| {
        places.tables.rank(table).map_or(0, |rank| small(places.table_sector(table, rank))).to_le_bytes()
    }));
    map.align(SECTOR);
    map.bytes(marker(Marker::Footer, 1).as_bytes());
    map.bytes(header(size, directory).as_bytes());
    map.bytes(marker(Marker::End, 0).as_bytes());
    Ok(map.share())
}

/// The grains of a disk and their tables, in the order of the file.
struct Grains {
    disk: SharedSource,
    /// Used grains.
    grains: Used,
    /// Grain tables with a used grain.
    tables: Used,
}

impl PagedLayout for Grains {
    fn pages(&self) -> usize {
        in_memory(self.tables.count() * PAGES)
    }

    fn emit(&self, page: usize, sink: &mut dyn Sink) {
        let (rank, slot) = (page as u64 / PAGES, page as u64 % PAGES);
        let table = self.tables.nth(rank).expect("there are pages for used tables alone");
        if slot == PAGES - 1 {
            return self.emit_table(table, rank, sink);
        }
        let first = table * TABLE + slot * PAGE;
        let used = (first..first + PAGE).filter(|grain| self.grains.rank(*grain).is_some());
        used.for_each(|grain| self.emit_grain(grain, sink));
    }
}

impl Grains {
    /// The sector of a used grain, whose table has `table_rank`.
    fn grain_sector(&self, rank: u64, table_rank: u64) -> u64 {
        OVERHEAD + rank * STORED_GRAIN + table_rank * STORED_TABLE
    }

    /// The sector of a used grain table's entries.
    fn table_sector(&self, table: u64, table_rank: u64) -> u64 {
        self.grain_sector(self.grains.below((table + 1) * TABLE), table_rank) + 1
    }

    fn emit_table(&self, table: u64, table_rank: u64, sink: &mut dyn Sink) {
        sink.bytes(marker(Marker::Table, TABLE * 4 / SECTOR).as_bytes());
        for grain in table * TABLE..(table + 1) * TABLE {
            let sector = self.grains.rank(grain).map_or(0, |rank| small(self.grain_sector(rank, table_rank)));
            sink.bytes(&sector.to_le_bytes());
        }
    }

    fn emit_grain(&self, grain: u64, sink: &mut dyn Sink) {
        let (start, end) = (grain * GRAIN, (grain + 1) * GRAIN);
        sink.bytes(GrainMarker { lba: (start / SECTOR).into(), size: small(STREAM).into() }.as_bytes());
        sink.bytes(&[0x78, 0x01]); // deflate with a 32 KiB window, fastest
        sink.bytes(&[0, 0xff, 0xff, 0, 0]); // a stored block of 65535 bytes: length and its complement
        emit_range(start..start + BLOCK, &self.disk, sink);
        sink.bytes(&[1, 1, 0, 0xfe, 0xff]); // the last block: one byte
        emit_range(start + BLOCK..end, &self.disk, sink);
        sink.whole(&(Arc::new(Adler32 { disk: self.disk.clone(), start }) as SharedSource));
        sink.align(SECTOR);
    }
}

/// The checksum of a grain, computed when it is read.
struct Adler32 {
    disk: SharedSource,
    /// Offset of the grain in bytes.
    start: u64,
}

impl Source for Adler32 {
    fn size(&self) -> u64 {
        4
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let range = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(buf.len())?));
        let range = range.filter(|range| range.end <= 4);
        let range = range.ok_or_else(|| ReadError::out_of_range(offset, buf.len() as u64, 4))?;
        let mut grain = vec![0; GRAIN as usize];
        let len = usize::try_from(self.disk.size() - self.start).map_or(grain.len(), |len| len.min(grain.len()));
        self.disk.read_at(&mut grain[..len], self.start)?;
        buf.copy_from_slice(&simd_adler32::adler32(&grain.as_slice()).to_be_bytes()[range]);
        Ok(())
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        trace_as(Origin::Checksum, &range, visit)
    }
}

/// The header, at the front and again as footer.
fn header(size: u64, directory: u64) -> SparseExtentHeader {
    SparseExtentHeader {
        magic_number: *b"KDMV",
        version: 3.into(),
        flags: 0x0003_0001.into(), // newline test, compressed grains, markers
        capacity: (size / SECTOR).into(),
        grain_size: (GRAIN / SECTOR).into(),
        descriptor_offset: 1.into(),
        descriptor_size: DESCRIPTOR.into(),
        num_gtes_per_gt: small(TABLE).into(),
        gd_offset: directory.into(),
        over_head: OVERHEAD.into(),
        single_end_line_char: b'\n',
        non_end_line_char: b' ',
        double_end_line_chars: *b"\r\n",
        compress_algorithm: 1.into(), // deflate
        ..FromZeros::new_zeroed()
    }
}

#[derive(Clone, Copy)]
enum Marker {
    End = 0,
    Table = 1,
    Directory = 2,
    Footer = 3,
}

fn marker(kind: Marker, sectors: u64) -> MetadataMarker {
    MetadataMarker { num_sectors: sectors.into(), kind: (kind as u32).into(), ..FromZeros::new_zeroed() }
}

/// The descriptor of a disk on an LSI Logic adapter, as LinuxKit's disks have it.
fn descriptor(size: u64, name: &str, content_id: u32) -> String {
    let sectors = size / SECTOR;
    let cylinders = sectors / (255 * 63);
    format!(
        "# Disk DescriptorFile\nversion=1\nCID={content_id:08x}\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n\
         # Extent description\nRW {sectors} SPARSE \"{name}\"\n\n\
         # The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"7\"\nddb.geometry.cylinders = \"{cylinders}\"\n\
         ddb.geometry.heads = \"255\"\nddb.geometry.sectors = \"63\"\nddb.adapterType = \"lsilogic\"\n"
    )
}

fn small(value: u64) -> u32 {
    u32::try_from(value).expect("sectors and sizes of a disk below the limit fit in 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::Bytes;

    #[test]
    fn a_grain_is_a_zlib_stream_of_its_bytes() {
        let disk: SharedSource = Arc::new(Bytes(vec![7; 70_000].into()));
        let map = vmdk(&disk, "x.vmdk", &Digest::of(b"")).unwrap();
        assert_eq!(map.size(), (OVERHEAD + 2 * STORED_GRAIN + STORED_TABLE + 1 + 1 + 1 + 1 + 1) * SECTOR);
        let mut table = [0; 12];
        map.read_at(&mut table, (OVERHEAD + 2 * STORED_GRAIN + 1) * SECTOR).unwrap();
        assert_eq!(table, [128, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]);
        let mut adler = [0; 4];
        map.read_at(&mut adler, OVERHEAD * SECTOR + 12 + STREAM - 4).unwrap();
        assert_eq!(adler, simd_adler32::adler32(&[7; 65536].as_slice()).to_be_bytes());
    }

    #[test]
    fn the_descriptor_fits_its_sectors() {
        let text = descriptor(MAX_DISK, &"n".repeat(255), 1);
        assert!(text.len() as u64 <= DESCRIPTOR * SECTOR);
    }
}
