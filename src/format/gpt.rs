//! The GUID partition table: a header and an entry array at the front of a disk, and both again at its end.
//!
//! ```text
//! sector  0    1       2        34                       -33       -1
//!         MBR  header  entries  | usable sectors ...     | entries  header
//! ```
//!
//! # Format
//! UEFI specification 2.10, section 5.3.

use std::mem::offset_of;
use std::ops::Range;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::{Error, Guid};
use crate::base::SECTOR;

/// Partition type of an EFI system partition.
pub const EFI_SYSTEM: Guid = Guid::from_u128(0xC12A7328_F81F_11D2_BA4B_00A0C93EC93B);
/// Partition type of a BIOS boot partition, which keeps other tools off the second stage of a BIOS loader.
pub const BIOS_BOOT: Guid = Guid::from_u128(0x21686148_6449_6E6F_744E_656564454649);

/// Partition type of Linux file systems.
pub const LINUX_DATA: Guid = Guid::from_u128(0x0FC63DAF_8483_4772_8E79_3D69D8477DE4);

/// Number of entries; the specification asks for at least 16 KiB of them.
const ENTRIES: u32 = 128;
/// Sectors of the entry array.
const ARRAY: u64 = size_of::<[Entry; ENTRIES as usize]>() as u64 / SECTOR;

/// "GPT Header", section 5.3.2, and what follows it in its sector.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct Header {
    signature: [u8; 8],
    revision: U32,
    header_size: U32,
    header_crc32: U32,
    reserved: U32,
    my_lba: U64,
    alternate_lba: U64,
    first_usable_lba: U64,
    last_usable_lba: U64,
    disk_guid: [u8; 16],
    partition_entry_lba: U64,
    number_of_partition_entries: U32,
    size_of_partition_entry: U32,
    partition_entry_array_crc32: U32,
    rest: [u8; 420],
}

/// Size of the header's fields in bytes.
const HEADER: usize = offset_of!(Header, rest);
const _: () = assert!(HEADER == 92 && size_of::<Header>() as u64 == SECTOR);

/// "GPT Partition Entry", section 5.3.3.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct Entry {
    partition_type_guid: [u8; 16],
    unique_partition_guid: [u8; 16],
    starting_lba: U64,
    ending_lba: U64,
    attributes: U64,
    partition_name: [U16; 36],
}

const _: () = assert!(size_of::<Entry>() == 128);

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
        let header = self.header(1, self.sectors - 1, 2, entries.as_bytes());
        [header.as_bytes(), entries.as_bytes()].concat()
    }

    /// The last 33 sectors: the entries, then the header.
    pub fn backup(&self) -> Vec<u8> {
        let entries = self.entries();
        let header = self.header(self.sectors - 1, 1, self.sectors - Self::BACK, entries.as_bytes());
        [entries.as_bytes(), header.as_bytes()].concat()
    }

    fn entries(&self) -> [Entry; ENTRIES as usize] {
        let mut entries: [Entry; ENTRIES as usize] = FromZeros::new_zeroed();
        for (partition, entry) in self.partitions.iter().zip(&mut entries) {
            entry.partition_type_guid = partition.kind.to_bytes_le();
            entry.unique_partition_guid = partition.guid.to_bytes_le();
            entry.starting_lba = partition.sectors.start.into();
            entry.ending_lba = (partition.sectors.end - 1).into();
            for (unit, slot) in partition.name.encode_utf16().zip(&mut entry.partition_name) {
                *slot = unit.into();
            }
        }
        entries
    }

    /// The header that stands at sector `own`, with its twin at `other` and its entries from sector `array`.
    fn header(&self, own: u64, other: u64, array: u64, entries: &[u8]) -> Header {
        let mut header = Header {
            signature: *b"EFI PART",
            revision: 0x0001_0000.into(),
            header_size: (HEADER as u32).into(),
            my_lba: own.into(),
            alternate_lba: other.into(),
            first_usable_lba: Self::FRONT.into(),
            last_usable_lba: (self.sectors - Self::BACK - 1).into(),
            disk_guid: self.guid.to_bytes_le(),
            partition_entry_lba: array.into(),
            number_of_partition_entries: ENTRIES.into(),
            size_of_partition_entry: (size_of::<Entry>() as u32).into(),
            partition_entry_array_crc32: crc32fast::hash(entries).into(),
            ..FromZeros::new_zeroed()
        };
        header.header_crc32 = crc32fast::hash(&header.as_bytes()[..HEADER]).into();
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(sectors: Range<u64>) -> Partition {
        Partition { kind: EFI_SYSTEM, guid: Guid::from_u128(7), sectors, name: "EFI System" }
    }

    #[test]
    fn both_copies_name_each_other() {
        let gpt = Gpt::new(4096, Guid::from_u128(1), vec![partition(2048..4000)]).unwrap();
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
            assert!(Gpt::new(4096, Guid::from_u128(1), vec![partition(sectors)]).is_err());
        }
        let overlap = Gpt::new(4096, Guid::from_u128(1), vec![partition(64..200), partition(199..300)]).unwrap_err();
        assert_eq!(
            overlap.to_string(),
            "partition `EFI System` (sectors 199..300) does not fit the free sectors 200..4063"
        );
        assert!(
            Gpt::new(67, Guid::from_u128(1), Vec::new()).is_err()
                && Gpt::new(68, Guid::from_u128(1), Vec::new()).is_ok()
        );
    }
}
