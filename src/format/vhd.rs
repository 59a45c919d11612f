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

use super::field::{byte_sum, put};
use super::table::table;
use super::used::Used;
use super::{Error, Guid};
use crate::base::{Digest, GIB, MIB, SECTOR, align_up};
use crate::extent::{MapBuilder, PagedLayout, PagedMap, SharedSource, Sink};

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
    let size = size_of(disk)?;
    let mut map = MapBuilder::default();
    map.whole(disk);
    map.pad_to(size);
    map.bytes(&footer(size, Kind::Fixed, seed));
    Ok(map.share())
}

/// Lays out `disk` as a dynamic VHD.
///
/// # Errors
/// When `disk` is larger than 2040 GiB.
pub fn dynamic_vhd(disk: &SharedSource, seed: &Digest) -> Result<SharedSource, Error> {
    let size = size_of(disk)?;
    let (blocks, used) = (size.div_ceil(BLOCK), Used::of(&**disk, BLOCK));
    let footer = footer(size, Kind::Dynamic, seed);
    let mut map = MapBuilder::default();
    map.bytes(&footer);
    let table_offset = map.position() + HEADER as u64;
    map.bytes(&dynamic_header(table_offset, blocks));
    let data = align_up(table_offset + blocks * 4, SECTOR);
    let ranks = used.clone();
    map.whole(&table(blocks, move |block| {
        let sector = ranks.rank(block).map(|rank| (data + rank * (BITMAP + BLOCK)) / SECTOR);
        sector.map_or(u32::MAX, small).to_be_bytes()
    }));
    let gap = data - map.position();
    map.bytes(&vec![0xff; usize::try_from(gap).expect("less than a sector")]);
    map.whole(&(Arc::new(PagedMap::new(Blocks { disk: disk.clone(), used })) as SharedSource));
    map.bytes(&footer);
    Ok(map.share())
}

/// The used blocks of a dynamic VHD, each behind its bitmap.
struct Blocks {
    disk: SharedSource,
    used: Used,
}

/// Size of the virtual disk in bytes.
fn size_of(disk: &SharedSource) -> Result<u64, Error> {
    let size = align_up(disk.size(), MIB);
    if size > MAX_DISK {
        return Err(Error::DiskTooLarge { size, format: "a VHD", limit: MAX_DISK });
    }
    Ok(size)
}

impl PagedLayout for Blocks {
    fn pages(&self) -> usize {
        usize::try_from(self.used.count().div_ceil(PAGE)).expect("fewer than 2^31 blocks below the limit")
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

/// "Hard Disk Footer Format" of a disk of `size` bytes.
fn footer(size: u64, kind: Kind, seed: &Digest) -> [u8; SECTOR as usize] {
    let mut footer = [0; SECTOR as usize];
    let header_offset = match kind {
        Kind::Fixed => NONE,
        Kind::Dynamic => SECTOR,
    };
    put(&mut footer, 0, b"conectix");
    put(&mut footer, 8, &2_u32.to_be_bytes()); // features: the reserved bit is always set
    put(&mut footer, 12, &0x0001_0000_u32.to_be_bytes());
    put(&mut footer, 16, &header_offset.to_be_bytes());
    put(&mut footer, 28, b"qem2"); // the creators that readers know to mean the exact size, not the rounded geometry
    put(&mut footer, 32, &0x0001_0000_u32.to_be_bytes());
    put(&mut footer, 36, b"Wi2k");
    put(&mut footer, 40, &size.to_be_bytes());
    put(&mut footer, 48, &size.to_be_bytes());
    put(&mut footer, 56, &geometry(size / SECTOR));
    put(&mut footer, 60, &(kind as u32).to_be_bytes());
    put(&mut footer, 68, &Guid::derive(seed, "vhd").to_big_endian());
    let checksum = !byte_sum(&footer);
    put(&mut footer, 64, &checksum.to_be_bytes());
    footer
}

/// Size of the dynamic disk header in bytes.
const HEADER: usize = 1024;

/// "Dynamic Disk Header Format".
fn dynamic_header(table_offset: u64, blocks: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    put(&mut header, 0, b"cxsparse");
    put(&mut header, 8, &NONE.to_be_bytes());
    put(&mut header, 16, &table_offset.to_be_bytes());
    put(&mut header, 24, &0x0001_0000_u32.to_be_bytes());
    put(&mut header, 28, &small(blocks).to_be_bytes());
    put(&mut header, 32, &small(BLOCK).to_be_bytes());
    let checksum = !byte_sum(&header);
    put(&mut header, 36, &checksum.to_be_bytes());
    header
}

/// Cylinders, heads and sectors a track, by the specification's appendix "CHS Calculation".
fn geometry(sectors: u64) -> [u8; 4] {
    let sectors = sectors.min(65535 * 16 * 255);
    let fits = |heads: u64, track: u64| sectors / track < heads * 1024;
    let (heads, track) = match (sectors / 17).div_ceil(1024).max(4) {
        _ if sectors >= 65535 * 16 * 63 => (16, 255),
        heads if heads <= 16 && fits(heads, 17) => (heads, 17),
        _ if fits(16, 31) => (16, 31),
        _ => (16, 63),
    };
    let [_, _, _, _, _, _, high, low] = (sectors / track / heads).to_be_bytes();
    let byte = |value: u64| u8::try_from(value).expect("one of a few small numbers");
    [high, low, byte(heads), byte(track)]
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
            [(2048, [0, 30, 4, 17]), (262_144, [3, 195, 16, 17]), (1 << 21, [8, 32, 16, 63]), (1 << 40, [255; 4])];
        for (sectors, chs) in rows {
            let expected = if chs == [255; 4] { [255, 255, 16, 255] } else { chs };
            assert_eq!(geometry(sectors), expected, "{sectors}");
        }
    }

    #[test]
    fn a_footer_sums_to_its_checksum() {
        let footer = footer(MIB, Kind::Fixed, &Digest::of(b""));
        let stored = u32::from_be_bytes(footer[64..68].try_into().unwrap());
        let mut rest = footer;
        rest[64..68].fill(0);
        assert_eq!(!stored, rest.iter().map(|b| u32::from(*b)).sum::<u32>());
    }

    #[test]
    fn an_empty_dynamic_disk_is_metadata_alone() {
        let disk: SharedSource = Arc::new(Zeros(3 * MIB));
        assert_eq!(dynamic_vhd(&disk, &Digest::of(b"")).unwrap().size(), 512 + 1024 + 512 + 512);
        assert_eq!(fixed_vhd(&disk, &Digest::of(b"")).unwrap().size(), 3 * MIB + 512);
    }
}
