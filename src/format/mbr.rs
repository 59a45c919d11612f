//! The first sector of a disk: BIOS boot code and a partition table.
//!
//! # Format
//! UEFI specification 2.10, section 5.2 (legacy and protective MBR).

use std::ops::Range;

use zerocopy::little_endian::U32;
use zerocopy::{FromZeros, Immutable, IntoBytes, transmute};

use super::field::padded;

/// Bytes the boot code may have; the disk signature and the table follow.
pub const BOOT_CODE: usize = 440;

/// Largest sector number and count of an entry.
const MAX_SECTOR: u64 = u32::MAX as u64;

/// "Legacy MBR", section 5.2.1.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct Mbr {
    boot_code: [u8; BOOT_CODE],
    unique_mbr_disk_signature: U32,
    unknown: [u8; 2],
    partition_record: [PartitionRecord; 4],
    signature: [u8; 2],
}

const _: () = assert!(size_of::<Mbr>() == 512);

/// "Legacy MBR Partition Record", section 5.2.1.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct PartitionRecord {
    boot_indicator: u8,
    starting_chs: [u8; 3],
    os_type: u8,
    ending_chs: [u8; 3],
    starting_lba: U32,
    size_in_lba: U32,
}

const _: () = assert!(size_of::<PartitionRecord>() == 16);

/// One of the four entries.
#[derive(Clone, Debug)]
pub struct MbrEntry {
    /// Whether a BIOS starts from here.
    pub active: bool,
    /// The partition's type; 0 is an unused entry, 0xee covers a GPT.
    pub kind: u8,
    /// Its 512-byte sectors; what passes 2^32 is cut.
    pub sectors: Range<u64>,
}

/// The sector of a GPT disk with `sectors` sectors: its first entry covers the disk, so that old tools leave it alone.
///
/// Its second is unused but active, for BIOSes that start only disks with an active entry.
pub fn protective_mbr(code: &[u8], disk_signature: u32, sectors: u64) -> [u8; 512] {
    let cover = MbrEntry { active: false, kind: 0xee, sectors: 1..sectors };
    let active = MbrEntry { active: true, kind: 0, sectors: 0..1 };
    mbr(code, disk_signature, &[cover, active])
}

/// A sector with `code`, of which the first [`BOOT_CODE`] bytes count, and at most four `entries`.
pub fn mbr(code: &[u8], disk_signature: u32, entries: &[MbrEntry]) -> [u8; 512] {
    let mut sector = Mbr {
        boot_code: padded(code, 0),
        unique_mbr_disk_signature: disk_signature.into(),
        signature: [0x55, 0xaa],
        ..FromZeros::new_zeroed()
    };
    for (entry, record) in entries.iter().zip(&mut sector.partition_record) {
        *record = entry.record();
    }
    transmute!(sector)
}

impl MbrEntry {
    fn record(&self) -> PartitionRecord {
        let count = (self.sectors.end - self.sectors.start).min(MAX_SECTOR);
        PartitionRecord {
            boot_indicator: if self.active { 0x80 } else { 0 },
            starting_chs: chs(self.sectors.start),
            os_type: self.kind,
            ending_chs: chs(self.sectors.start + count.max(1) - 1),
            starting_lba: low_word(self.sectors.start).into(),
            size_in_lba: low_word(count).into(),
        }
    }
}

fn low_word(value: u64) -> u32 {
    u32::try_from(value.min(MAX_SECTOR)).expect("cut to 32 bits")
}

/// A sector number as head, sector and cylinder of 255 heads and 63 sectors; all ones where it does not fit.
fn chs(sector: u64) -> [u8; 3] {
    let (cylinder, head, sector) = (sector / (255 * 63), sector / 63 % 255, sector % 63 + 1);
    match u16::try_from(cylinder) {
        Ok(cylinder) if cylinder < 1024 => {
            let [high, low] = cylinder.to_be_bytes();
            let byte = |value: u64| u8::try_from(value).expect("below 256 by the modulus");
            [byte(head), byte(sector) | high << 6, low]
        }
        _ => [0xff; 3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protective_mbr_covers_the_disk_and_boots() {
        let sector = protective_mbr(&[0x90; 500], 0x1122_3344, 1 << 20);
        assert_eq!(sector[439..444], [0x90, 0x44, 0x33, 0x22, 0x11]);
        let cover = [0, 0, 2, 0, 0xee, 0x45, 0x04, 0x41, 1, 0, 0, 0, 0xff, 0xff, 0x0f, 0];
        let active = [0x80, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        assert_eq!(sector[446..478], [cover, active].concat());
        assert_eq!(sector[478..], [[0; 32].as_slice(), &[0x55, 0xaa]].concat());
    }

    #[test]
    fn what_passes_the_fields_is_cut() {
        let sector = protective_mbr(&[], 1, 1 << 40);
        assert_eq!(sector[446..462], [0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    }
}
