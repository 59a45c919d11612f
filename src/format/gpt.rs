//! The GUID partition table: a header and an entry array at the front of a disk, and both again at its end.
//!
//! ```text
//! sector  0    1       2        34                       -33       -1
//!         MBR  header  entries  | usable sectors ...     | entries  header
//! ```
//!
//! # Format
//! UEFI specification 2.10, section 5.3.

use std::ops::Range;

use super::field::put;
use super::{Error, Guid};
use crate::base::SECTOR;

/// Partition type of an EFI system partition.
pub const EFI_SYSTEM: Guid = Guid(0xC12A7328_F81F_11D2_BA4B_00A0C93EC93B);
/// Partition type of a BIOS boot partition, which keeps other tools off the second stage of a BIOS loader.
pub const BIOS_BOOT: Guid = Guid(0x21686148_6449_6E6F_744E_656564454649);

/// Number of entries; the specification asks for at least 16 KiB of them.
const ENTRIES: u32 = 128;
/// Size of an entry in bytes.
const ENTRY: usize = 128;
/// Sectors of the entry array.
const ARRAY: u64 = ENTRIES as u64 * ENTRY as u64 / SECTOR;
/// Size of the header's fields in bytes.
const HEADER: usize = 92;

/// A partition.
#[derive(Clone, Debug)]
pub struct Partition {
    /// What it is for.
    pub kind: Guid,
    /// Its own identity.
    pub guid: Guid,
    /// Its 512-byte sectors.
    pub sectors: Range<u64>,
    /// At most 36 UTF-16 units.
    pub name: &'static str,
}

/// The partition table of a disk.
#[derive(Debug)]
pub struct Gpt {
    sectors: u64,
    guid: Guid,
    partitions: Vec<Partition>,
}

impl Gpt {
    /// Sectors before the first usable one: MBR, header and entries.
    pub const FRONT: u64 = 2 + ARRAY;
    /// Sectors behind the last usable one.
    pub const BACK: u64 = 1 + ARRAY;

    /// The table of a disk with `sectors` 512-byte sectors.
    ///
    /// # Errors
    /// When the disk has no usable sector, a partition leaves them, or overlaps the one before it.
    pub fn new(sectors: u64, guid: Guid, partitions: Vec<Partition>) -> Result<Self, Error> {
        let mut free = Self::FRONT..sectors.saturating_sub(Self::BACK);
        if free.is_empty() {
            return Err(Error::DiskTooSmall { sectors, needed: Self::FRONT + Self::BACK + 1 });
        }
        for partition in &partitions {
            let Range { start, end } = partition.sectors;
            if start < free.start || end <= start || end > free.end {
                return Err(Error::PartitionOutside { name: partition.name, sectors: partition.sectors.clone(), free });
            }
            free.start = end;
        }
        Ok(Self { sectors, guid, partitions })
    }

    /// Sectors 1 to 33: the header, then the entries.
    pub fn primary(&self) -> Vec<u8> {
        let entries = self.entries();
        [&self.header(1, self.sectors - 1, 2, &entries), &*entries].concat()
    }

    /// The last 33 sectors: the entries, then the header.
    pub fn backup(&self) -> Vec<u8> {
        let entries = self.entries();
        let header = self.header(self.sectors - 1, 1, self.sectors - Self::BACK, &entries);
        [&*entries, &header].concat()
    }

    fn entries(&self) -> Vec<u8> {
        let mut array = vec![0; ENTRIES as usize * ENTRY];
        for (partition, entry) in self.partitions.iter().zip(array.chunks_exact_mut(ENTRY)) {
            put(entry, 0, &partition.kind.to_mixed_endian());
            put(entry, 16, &partition.guid.to_mixed_endian());
            put(entry, 32, &partition.sectors.start.to_le_bytes());
            put(entry, 40, &(partition.sectors.end - 1).to_le_bytes());
            for (unit, slot) in partition.name.encode_utf16().zip(0..36) {
                put(entry, 56 + 2 * slot, &unit.to_le_bytes());
            }
        }
        array
    }

    /// The header that stands at sector `own`, with its twin at `other` and its entries from sector `array`.
    fn header(&self, own: u64, other: u64, array: u64, entries: &[u8]) -> [u8; SECTOR as usize] {
        let mut header = [0; SECTOR as usize];
        put(&mut header, 0, b"EFI PART");
        put(&mut header, 8, &0x0001_0000_u32.to_le_bytes());
        put(&mut header, 12, &(HEADER as u32).to_le_bytes());
        put(&mut header, 24, &own.to_le_bytes());
        put(&mut header, 32, &other.to_le_bytes());
        put(&mut header, 40, &Self::FRONT.to_le_bytes());
        put(&mut header, 48, &(self.sectors - Self::BACK - 1).to_le_bytes());
        put(&mut header, 56, &self.guid.to_mixed_endian());
        put(&mut header, 72, &array.to_le_bytes());
        put(&mut header, 80, &ENTRIES.to_le_bytes());
        put(&mut header, 84, &(ENTRY as u32).to_le_bytes());
        put(&mut header, 88, &crc32fast::hash(entries).to_le_bytes());
        let checksum = crc32fast::hash(&header[..HEADER]);
        put(&mut header, 16, &checksum.to_le_bytes());
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(sectors: Range<u64>) -> Partition {
        Partition { kind: EFI_SYSTEM, guid: Guid(7), sectors, name: "EFI System" }
    }

    #[test]
    fn both_copies_name_each_other() {
        let gpt = Gpt::new(4096, Guid(1), vec![partition(2048..4000)]).unwrap();
        let (primary, backup) = (gpt.primary(), gpt.backup());
        assert_eq!((primary.len(), backup.len()), (33 * 512, 33 * 512));
        assert_eq!(primary[512..], backup[..32 * 512]);
        assert_eq!(primary[24..40], [1_u64.to_le_bytes(), 4095_u64.to_le_bytes()].concat());
        assert_eq!(backup[32 * 512 + 24..][..16], [4095_u64.to_le_bytes(), 1_u64.to_le_bytes()].concat());
        assert_eq!(primary[512 + 32..][..16], [2048_u64.to_le_bytes(), 3999_u64.to_le_bytes()].concat());
        assert_eq!(primary[512 + 56..][..6], *b"E\0F\0I\0");
    }

    #[test]
    fn partitions_outside_or_over_each_other_are_refused() {
        for sectors in [33..40, 100..100, 4000..4064, 4090..4100] {
            assert!(Gpt::new(4096, Guid(1), vec![partition(sectors)]).is_err());
        }
        let overlap = Gpt::new(4096, Guid(1), vec![partition(64..200), partition(199..300)]).unwrap_err();
        assert_eq!(
            overlap.to_string(),
            "partition `EFI System` (sectors 199..300) does not fit the free sectors 200..4063"
        );
        assert!(Gpt::new(67, Guid(1), Vec::new()).is_err() && Gpt::new(68, Guid(1), Vec::new()).is_ok());
    }
}
