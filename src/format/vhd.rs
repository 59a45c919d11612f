//! Virtual PC and Azure disks: fixed (the disk, then a footer) and dynamic (only used blocks).
//!
//! ```text
//! fixed    disk | footer
//! dynamic  footer | header | block allocation table | sector bitmap, block | ... | footer
//! ```
//!
//! # Format
//! Microsoft "Virtual Hard Disk Image Format Specification" 1.0; all numbers are big-endian.

use std::sync::Arc;

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::field::byte_sum;
use super::table::table;
use super::used::Used;
use super::{Error, derived_guid};
use crate::base::{Digest, GIB, MIB, SECTOR, align_up, in_memory};
use crate::extent::{MapBuilder, PagedLayout, PagedMap, SharedSource, Sink};

/// "Hard Disk Footer Format".
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct Footer {
    cookie: [u8; 8],
    features: U32,
    file_format_version: U32,
    data_offset: U64,
    time_stamp: U32,
    creator_application: [u8; 4],
    creator_version: U32,
    creator_host_os: [u8; 4],
    original_size: U64,
    current_size: U64,
    disk_geometry: Geometry,
    disk_type: U32,
    checksum: U32,
    unique_id: [u8; 16],
    saved_state: u8,
    reserved: [u8; 427],
}

/// "Disk Geometry" of the footer.
#[derive(Debug, FromZeros, Immutable, IntoBytes, PartialEq)]
#[repr(C)]
struct Geometry {
    cylinders: U16,
    heads: u8,
    sectors_per_track: u8,
}

/// "Dynamic Disk Header Format".
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct DynamicHeader {
    cookie: [u8; 8],
    data_offset: U64,
    table_offset: U64,
    header_version: U32,
    max_table_entries: U32,
    block_size: U32,
    checksum: U32,
    parent_unique_id: [u8; 16],
    parent_time_stamp: U32,
    reserved: U32,
    parent_unicode_name: [u8; 512],
    parent_locator_entries: [[u8; 24]; 8],
    reserved2: [u8; 256],
}

const _: () = assert!(size_of::<Footer>() as u64 == SECTOR && size_of::<DynamicHeader>() == 1024);

/// The specification's default block size.
const BLOCK: u64 = 2 * MIB;
/// A bitmap of a block's sectors: 4096 bits.
const BITMAP: u64 = BLOCK / SECTOR / 8;
/// Largest disk, as Hyper-V, Azure and QEMU have it.
const MAX_DISK: u64 = 2040 * GIB;
/// Says that there is no offset.
const NONE: u64 = u64::MAX;
/// Blocks laid out together: 8 bytes of memory for 128 MiB of disk.
const PAGE: u64 = 64;

/// Lays out `disk` in whole MiB (as Azure wants it) with a fixed VHD's footer.
///
/// # Errors
/// When `disk` is larger than 2040 GiB.
pub fn fixed_vhd(disk: &SharedSource, seed: &Digest) -> Result<SharedSource, Error> {
    let size = disk_size(disk)?;
    let mut map = MapBuilder::default();
    map.whole(disk);
    map.pad_to(size);
    map.bytes(footer(size, Kind::Fixed, seed).as_bytes());
    Ok(map.share())
}

/// Lays out `disk` as a dynamic VHD.
///
/// # Errors
/// When `disk` is larger than 2040 GiB.
pub fn dynamic_vhd(disk: &SharedSource, seed: &Digest) -> Result<SharedSource, Error> {
    let size = disk_size(disk)?;
    let (blocks, used) = (size.div_ceil(BLOCK), Used::of(&**disk, BLOCK));
    let footer = footer(size, Kind::Dynamic, seed);
    let mut map = MapBuilder::default();
    map.bytes(footer.as_bytes());
    let table_offset = map.position() + size_of::<DynamicHeader>() as u64;
    map.bytes(dynamic_header(table_offset, blocks).as_bytes());
    let data = align_up(table_offset + blocks * 4, SECTOR);
    let ranks = used.clone();
    map.whole(&table(blocks, move |block| {
        let sector = ranks.rank(block).map(|rank| (data + rank * (BITMAP + BLOCK)) / SECTOR);
        sector.map_or(u32::MAX, small).to_be_bytes()
    }));
    let gap = data - map.position();
    map.bytes(&vec![0xff; in_memory(gap)]);
    map.whole(&(Arc::new(PagedMap::new(Blocks { disk: disk.clone(), used })) as SharedSource));
    map.bytes(footer.as_bytes());
    Ok(map.share())
}

/// The used blocks of a dynamic VHD, each behind its bitmap.
struct Blocks {
    disk: SharedSource,
    used: Used,
}

/// Size of the virtual disk in bytes.
fn disk_size(disk: &SharedSource) -> Result<u64, Error> {
    let size = align_up(disk.size(), MIB);
    if size > MAX_DISK {
        return Err(Error::DiskTooLarge { size, format: "a VHD", limit: MAX_DISK });
    }
    Ok(size)
}

impl PagedLayout for Blocks {
    fn pages(&self) -> usize {
        in_memory(self.used.count().div_ceil(PAGE))
    }

    fn emit(&self, page: usize, sink: &mut dyn Sink) {
        let first = page as u64 * PAGE;
        for block in (first..first + PAGE).map_while(|rank| self.used.nth(rank)) {
            sink.bytes(&[0xff; BITMAP as usize]); // every sector is in use
            self.used.emit_units(block..block + 1, &self.disk, sink);
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Fixed = 2,
    Dynamic = 3,
}

/// The footer of a disk of `size` bytes.
fn footer(size: u64, kind: Kind, seed: &Digest) -> Footer {
    let data_offset = match kind {
        Kind::Fixed => NONE,
        Kind::Dynamic => SECTOR,
    };
    let mut footer = Footer {
        cookie: *b"conectix",
        features: 2.into(), // the reserved bit is always set
        file_format_version: 0x0001_0000.into(),
        data_offset: data_offset.into(),
        creator_application: *b"qem2", // the creators that readers know to mean the exact size, not the rounded geometry
        creator_version: 0x0001_0000.into(),
        creator_host_os: *b"Wi2k",
        original_size: size.into(),
        current_size: size.into(),
        disk_geometry: geometry(size / SECTOR),
        disk_type: (kind as u32).into(),
        unique_id: derived_guid(seed, "vhd").into_bytes(),
        ..FromZeros::new_zeroed()
    };
    footer.checksum = (!byte_sum(footer.as_bytes())).into();
    footer
}

fn dynamic_header(table_offset: u64, blocks: u64) -> DynamicHeader {
    let mut header = DynamicHeader {
        cookie: *b"cxsparse",
        data_offset: NONE.into(),
        table_offset: table_offset.into(),
        header_version: 0x0001_0000.into(),
        max_table_entries: small(blocks).into(),
        block_size: small(BLOCK).into(),
        ..FromZeros::new_zeroed()
    };
    header.checksum = (!byte_sum(header.as_bytes())).into();
    header
}

/// Cylinders, heads and sectors a track, by the specification's appendix "CHS Calculation".
fn geometry(sectors: u64) -> Geometry {
    let sectors = sectors.min(65535 * 16 * 255);
    let fits = |heads: u64, track: u64| sectors / track < heads * 1024;
    let (heads, track) = match (sectors / 17).div_ceil(1024).max(4) {
        _ if sectors >= 65535 * 16 * 63 => (16, 255),
        heads if heads <= 16 && fits(heads, 17) => (heads, 17),
        _ if fits(16, 31) => (16, 31),
        _ => (16, 63),
    };
    let byte = |value: u64| u8::try_from(value).expect("one of a few small numbers");
    let cylinders = u16::try_from(sectors / track / heads).expect("the sectors are cut to what the cylinders count");
    Geometry { cylinders: cylinders.into(), heads: byte(heads), sectors_per_track: byte(track) }
}

fn small(count: u64) -> u32 {
    u32::try_from(count).expect("sector and block numbers of a disk below the limit fit in 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::Zeros;

    #[test]
    fn geometries_are_those_of_the_specification() {
        let rows =
            [(2048, (30, 4, 17)), (262_144, (963, 16, 17)), (1 << 21, (2080, 16, 63)), (1 << 40, (65_535, 16, 255))];
        for (sectors, (cylinders, heads, sectors_per_track)) in rows {
            let expected = Geometry { cylinders: cylinders.into(), heads, sectors_per_track };
            assert_eq!(geometry(sectors), expected, "{sectors}");
        }
    }

    #[test]
    fn a_footer_sums_to_its_checksum() {
        let mut footer = footer(MIB, Kind::Fixed, &Digest::of(b""));
        let stored = std::mem::take(&mut footer.checksum).get();
        assert_eq!(!stored, footer.as_bytes().iter().map(|b| u32::from(*b)).sum::<u32>());
    }

    #[test]
    fn an_empty_dynamic_disk_is_metadata_alone() {
        let disk: SharedSource = Arc::new(Zeros(3 * MIB));
        assert_eq!(dynamic_vhd(&disk, &Digest::of(b"")).unwrap().size(), 512 + 1024 + 512 + 512);
        assert_eq!(fixed_vhd(&disk, &Digest::of(b"")).unwrap().size(), 3 * MIB + 512);
    }
}
