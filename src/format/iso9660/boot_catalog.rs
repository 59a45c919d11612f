//! The El Torito boot catalog: which images firmware starts.
//!
//! # Format
//! El Torito 1.0 section 2; UEFI 2.10 section 13.3.2.1 (platform 0xEF).

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromZeros, Immutable, IntoBytes, transmute};

/// An entry of the catalog.
type Entry = [u8; 32];

/// "Validation Entry", section 2.1.
#[derive(Clone, Copy, FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct ValidationEntry {
    header_id: u8,
    platform_id: u8,
    reserved: U16,
    id_string: [u8; 24],
    checksum: U16,
    key: [u8; 2],
}

/// "Initial/Default Entry", section 2.2, and "Section Entry", section 2.4.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct SectionEntry {
    boot_indicator: u8,
    boot_media_type: u8,
    load_segment: U16,
    system_type: u8,
    unused: u8,
    sector_count: U16,
    load_rba: U32,
    selection_criteria: [u8; 20],
}

/// "Section Header", section 2.3.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct SectionHeader {
    header_indicator: u8,
    platform_id: u8,
    section_entries: U16,
    id_string: [u8; 28],
}

const _: () = assert!(size_of::<ValidationEntry>() == size_of::<Entry>());
const _: () = assert!(size_of::<SectionEntry>() == size_of::<Entry>());
const _: () = assert!(size_of::<SectionHeader>() == size_of::<Entry>());

/// A boot image that emulates no disk.
#[derive(Clone, Copy)]
pub(super) struct BootImage {
    pub platform: Platform,
    pub block: u32,
    /// 512-byte sectors that the firmware loads.
    pub sectors: u16,
}

/// Whose firmware an image is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    /// A BIOS on x86.
    Bios = 0,
    /// UEFI on any machine.
    Efi = 0xef,
}

const BOOTABLE: u8 = 0x88;
const MORE_HEADERS: u8 = 0x90;
const LAST_HEADER: u8 = 0x91;

/// The catalog: a validation entry, the default image, and a section for each other one.
pub(super) fn boot_catalog(images: &[BootImage]) -> Vec<u8> {
    let Some((default, others)) = images.split_first() else { return Vec::new() };
    let mut catalog = vec![validation(default.platform), image_entry(default)];
    for (number, image) in others.iter().enumerate() {
        let header = SectionHeader {
            header_indicator: if number + 1 == others.len() { LAST_HEADER } else { MORE_HEADERS },
            platform_id: image.platform as u8,
            section_entries: 1.into(),
            id_string: [0; 28],
        };
        catalog.extend([transmute!(header), image_entry(image)]);
    }
    catalog.concat()
}

fn validation(platform: Platform) -> Entry {
    let mut entry =
        ValidationEntry { header_id: 1, platform_id: platform as u8, key: [0x55, 0xaa], ..FromZeros::new_zeroed() };
    let words: [U16; 16] = transmute!(entry);
    let sum = words.into_iter().map(U16::get).fold(0, u16::wrapping_add);
    entry.checksum = sum.wrapping_neg().into();
    transmute!(entry)
}

fn image_entry(image: &BootImage) -> Entry {
    transmute!(SectionEntry {
        boot_indicator: BOOTABLE,
        sector_count: image.sectors.into(),
        load_rba: image.block.into(),
        ..FromZeros::new_zeroed()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_validation_entry_sums_to_zero() {
        let bios = BootImage { platform: Platform::Bios, block: 33, sectors: 4 };
        let efi = BootImage { platform: Platform::Efi, block: 512, sectors: 0 };
        let catalog = boot_catalog(&[bios, efi]);
        assert_eq!(catalog.len(), 128);
        let words = catalog[..32].chunks(2).map(|w| u16::from_le_bytes([w[0], w[1]]));
        assert_eq!(words.fold(0, u16::wrapping_add), 0);
        assert_eq!(catalog[32..44], [0x88, 0, 0, 0, 0, 0, 4, 0, 33, 0, 0, 0]);
        assert_eq!(catalog[64..68], [0x91, 0xef, 1, 0]);
    }
}
