//! The El Torito boot catalog: which images firmware starts.
//!
//! # Format
//! El Torito 1.0 section 2; UEFI 2.10 section 13.3.2.1 (platform 0xEF).

use crate::format::field::put;

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
        let mut header = [0; 32];
        let indicator = if number + 1 == others.len() { LAST_HEADER } else { MORE_HEADERS };
        put(&mut header, 0, &[indicator, image.platform as u8, 1, 0]);
        catalog.extend([header, image_entry(image)]);
    }
    catalog.concat()
}

fn validation(platform: Platform) -> [u8; 32] {
    let mut entry = [0; 32];
    put(&mut entry, 0, &[1, platform as u8]);
    put(&mut entry, 30, &[0x55, 0xaa]);
    let words = entry.chunks_exact(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
    let sum = words.fold(0, u16::wrapping_add);
    put(&mut entry, 28, &sum.wrapping_neg().to_le_bytes());
    entry
}

fn image_entry(image: &BootImage) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[0] = BOOTABLE;
    put(&mut entry, 6, &image.sectors.to_le_bytes());
    put(&mut entry, 8, &image.block.to_le_bytes());
    entry
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
