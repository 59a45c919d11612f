//! A disk that starts by BIOS and by UEFI: both loaders read the same kernel and initrd from one EFI system partition.
//!
//! ```text
//! sector 0     1     34    64           2048                  end of the ESP    -33
//!        boot  GPT   -     BIOS loader  EFI system partition  free space        GPT again
//!        code              stage 2      (a FAT file system)   (or for data)
//! ```

use std::ops::Range;

use super::limits::LARGEST_IMAGE;
use super::{BIOS_BOOT, EFI_SYSTEM, Error, Gpt, LINUX_DATA, Partition, derived_guid, derived_id, protective_mbr};
use crate::base::{Digest, MIB, SECTOR, align_up};
use crate::extent::{MapBuilder, SharedSource, Sink};

/// What a hybrid disk is made of.
pub struct HybridDisk<'a> {
    /// BIOS boot code; empty for a disk that starts by UEFI alone.
    pub boot_code: &'a [u8],
    /// What the boot code loads from [`HybridDisk::STAGE2`] on; empty where there is none.
    pub stage2: &'a [u8],
    /// The FAT file system, made for [`HybridDisk::ESP`] hidden sectors.
    pub esp: SharedSource,
    /// Size of the disk in bytes; 0 for as small as it can be.
    pub size: u64,
    /// Least size of an empty partition that takes all the space behind the EFI system partition, in bytes; 0 for none.
    pub data: u64,
    /// What the disk's identifiers derive from.
    pub seed: Digest,
}

impl HybridDisk<'_> {
    /// First sector of the BIOS loader's second stage.
    pub const STAGE2: u64 = 64;
    /// First sector of the EFI system partition, at 1 MiB.
    pub const ESP: u64 = MIB / SECTOR;

    /// Name of the partition for data, which tools call its PARTLABEL.
    pub const DATA: &'static str = "linuxkit-data";

    /// Lays out the disk, in whole MiB.
    ///
    /// # Errors
    /// When the size is too small, or the second stage does not fit before the EFI system partition.
    pub fn layout(&self) -> Result<SharedSource, Error> {
        let needed = self.needed()?;
        if (1..needed).contains(&self.size) {
            return Err(Error::ImageTooSmall { format: "a disk", size: self.size, needed });
        }
        let size = align_up(needed.max(self.size), MIB);
        let gpt = self.partition_table(size / SECTOR)?;
        let mut disk = MapBuilder::default();
        let signature = derived_id(&self.seed, "disk signature");
        disk.bytes(&protective_mbr(self.boot_code, signature, size / SECTOR));
        disk.bytes(&gpt.primary());
        disk.pad_to(Self::STAGE2 * SECTOR);
        disk.bytes(self.stage2);
        disk.pad_to(Self::ESP * SECTOR);
        disk.whole(&self.esp);
        disk.pad_to(size - Gpt::BACK * SECTOR);
        disk.bytes(&gpt.backup());
        Ok(disk.share())
    }

    /// The sectors of the EFI system partition.
    fn esp_sectors(&self) -> Range<u64> {
        Self::ESP..Self::ESP + self.esp.size().div_ceil(SECTOR)
    }

    /// Where a partition for data begins: the first sector of a MiB.
    fn data_start(&self) -> u64 {
        align_up(self.esp_sectors().end, MIB / SECTOR)
    }

    /// Least size of the disk in bytes.
    fn needed(&self) -> Result<u64, Error> {
        if self.data == 0 {
            return Ok(align_up((self.esp_sectors().end + Gpt::BACK) * SECTOR, MIB));
        }
        let needed = self.data.checked_next_multiple_of(MIB).and_then(|data| data.checked_add(MIB));
        let needed = needed.and_then(|needed| needed.checked_add(self.data_start() * SECTOR));
        needed
            .filter(|needed| *needed <= LARGEST_IMAGE)
            .ok_or(Error::ImageTooLarge { format: "a disk", limit: LARGEST_IMAGE })
    }

    fn partition_table(&self, sectors: u64) -> Result<Gpt, Error> {
        let partition = |name, kind, sectors| Partition { name, kind, guid: derived_guid(&self.seed, name), sectors };
        let mut partitions = Vec::new();
        if !self.stage2.is_empty() {
            let len = (self.stage2.len() as u64).div_ceil(SECTOR);
            let end = Self::ESP.max(Self::STAGE2 + len);
            partitions.push(partition("BIOS boot", BIOS_BOOT, Self::STAGE2..end));
        }
        partitions.push(partition("EFI System", EFI_SYSTEM, self.esp_sectors()));
        if self.data > 0 {
            partitions.push(partition(Self::DATA, LINUX_DATA, self.data_start()..sectors - MIB / SECTOR));
        }
        Gpt::new(sectors, derived_guid(&self.seed, "disk"), partitions)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::Fault as _;
    use crate::extent::Zeros;

    fn disk<'a>(stage2: &'a [u8], esp: u64, size: u64) -> HybridDisk<'a> {
        HybridDisk { boot_code: b"code", stage2, esp: Arc::new(Zeros(esp)), size, data: 0, seed: Digest::of(b"") }
    }

    #[test]
    fn a_disk_is_whole_mebibytes_and_as_large_as_asked() {
        assert_eq!(disk(b"two", MIB, 0).layout().unwrap().size(), 3 * MIB);
        assert_eq!(disk(b"two", MIB, 10 * MIB - 1).layout().unwrap().size(), 10 * MIB);
        assert_eq!(disk(b"", 2 * MIB - 33 * 512, 0).layout().unwrap().size(), 3 * MIB);
        let error = disk(b"", 2 * MIB, 3 * MIB).layout().err().unwrap();
        assert_eq!(error.to_string(), "a disk of 3145728 bytes is too small, it needs 4194304");
        assert_eq!(error.hint().unwrap(), "pass `--size 4M` or more");
    }

    #[test]
    fn a_partition_for_data_takes_what_is_left_and_at_least_what_is_asked() {
        let with_data = |data, size| HybridDisk { data, ..disk(b"two", MIB + 1, size) }.layout();
        assert_eq!(with_data(5 * MIB, 0).unwrap().size(), (3 + 5 + 1) * MIB);
        assert_eq!(with_data(5 * MIB - 1, 20 * MIB).unwrap().size(), 20 * MIB);
        let error = with_data(5 * MIB, 8 * MIB).err().unwrap();
        assert_eq!(error.to_string(), "a disk of 8388608 bytes is too small, it needs 9437184");
        for data in [LARGEST_IMAGE, u64::MAX] {
            let expected = "the content is more than a disk can hold (9223372036854775807 bytes)";
            assert_eq!(with_data(data, 0).err().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_second_stage_that_reaches_the_esp_is_refused() {
        assert!(disk(&vec![1; 1984 * 512], MIB, 0).layout().is_ok());
        assert!(disk(&vec![1; 1984 * 512 + 1], MIB, 0).layout().is_err());
    }
}
