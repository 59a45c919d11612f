//! The first sector of a disk: BIOS boot code and a partition table.
//!
//! # Format
//! UEFI specification 2.10, section 5.2 (legacy and protective MBR).

use std::ops::Range;

use super::field::put;
use crate::base::SECTOR;

/// Bytes the boot code may have; the disk signature and the table follow.
pub const BOOT_CODE: usize = 440;

/// Largest sector number and count of an entry.
const MAX_SECTOR: u64 = u32::MAX as u64;

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
    let mut sector = [0; SECTOR as usize];
    put(&mut sector, 0, &code[..code.len().min(BOOT_CODE)]);
    put(&mut sector, 440, &disk_signature.to_le_bytes());
    for (entry, slot) in entries.iter().zip(0..4) {
        put(&mut sector, 446 + 16 * slot, &entry.encode());
    }
    put(&mut sector, 510, &[0x55, 0xaa]);
    sector
}

impl MbrEntry {
    fn encode(&self) -> [u8; 16] {
        let mut entry = [0; 16];
        let count = (self.sectors.end - self.sectors.start).min(MAX_SECTOR);
        put(&mut entry, 0, &[if self.active { 0x80 } else { 0 }]);
        put(&mut entry, 1, &chs(self.sectors.start));
        put(&mut entry, 4, &[self.kind]);
        put(&mut entry, 5, &chs(self.sectors.start + count.max(1) - 1));
        put(&mut entry, 8, &low_word(self.sectors.start).to_le_bytes());
        put(&mut entry, 12, &low_word(count).to_le_bytes());
        entry
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
