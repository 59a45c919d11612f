//! Names in FAT directories: 8.3 names, and the long names laid before them.
//!
//! # Format
//! FAT32 File System Specification, "Long Directory Entry Structure" and "Name Limits and Character Sets".

use zerocopy::little_endian::U16;
use zerocopy::{Immutable, IntoBytes, transmute};

use crate::format::field::padded;

/// Name and extension, padded with spaces.
pub(super) type ShortName = [u8; 11];

/// A directory entry.
pub(super) type RawEntry = [u8; 32];

/// "FAT Long Directory Entry Structure".
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct LongEntry {
    ord: u8,
    name1: [U16; 5],
    attr: u8,
    kind: u8,
    chksum: u8,
    name2: [U16; 6],
    fst_clus_lo: U16,
    name3: [U16; 2],
}

const _: () = assert!(size_of::<LongEntry>() == size_of::<RawEntry>());

/// The entry's attribute byte that marks a part of a long name.
const LONG_NAME: u8 = 0x0f;
/// UTF-16 units in one entry.
const UNITS: usize = 13;
/// Most UTF-16 units of a name.
const LONGEST: usize = 255;

/// Whether FAT can hold this name at all.
pub(super) fn is_valid(name: &str) -> bool {
    let forbidden = |c: char| c.is_control() || "\"*/:<>?\\|".contains(c);
    let length = name.encode_utf16().count();
    (1..=LONGEST).contains(&length) && !name.contains(forbidden) && !name.ends_with(['.', ' '])
}

/// A volume label, cut to its 11 bytes.
pub(super) fn label(text: &str) -> ShortName {
    padded(text.as_bytes(), b' ')
}

/// The short name for `name` that none of `taken` has.
pub(super) fn short_name(name: &str, taken: &[ShortName]) -> ShortName {
    if let Some(exact) = exact_short_name(name).filter(|n| !taken.contains(n)) {
        return exact;
    }
    let upper = name.to_uppercase();
    let (stem, extension) = upper.rsplit_once('.').unwrap_or((&upper, ""));
    let kept = |text: &str, len| text.bytes().filter(|b| is_short(*b)).take(len).collect::<Vec<_>>();
    let (stem, extension) = (kept(stem, 6), kept(extension, 3));
    let free = (1_u32..).map(|number| {
        let tail = format!("~{number}");
        let stem = &stem[..stem.len().min(8 - tail.len())];
        with_extension(&[stem, tail.as_bytes()].concat(), &extension)
    });
    free.into_iter().find(|n| !taken.contains(n)).expect("a directory has fewer names than numbers of seven digits")
}

/// The 8.3 form of a name that needs no long one but for its case.
fn exact_short_name(name: &str) -> Option<ShortName> {
    let upper = name.to_ascii_uppercase();
    let (stem, extension) = upper.rsplit_once('.').unwrap_or((&upper, ""));
    let fits = (1..=8).contains(&stem.len()) && extension.len() <= 3;
    (fits && stem.bytes().chain(extension.bytes()).all(is_short))
        .then(|| with_extension(stem.as_bytes(), extension.as_bytes()))
}

const fn is_short(byte: u8) -> bool {
    byte.is_ascii_uppercase()
        || byte.is_ascii_digit()
        || matches!(byte, b'!' | b'#'..=b')' | b'-' | b'@' | b'^'..=b'`' | b'{' | b'}' | b'~')
}

fn with_extension(stem: &[u8], extension: &[u8]) -> ShortName {
    let mut name: ShortName = padded(stem, b' ');
    name[8..].copy_from_slice(&padded::<3>(extension, b' '));
    name
}

/// Number of entries the long name takes; none when the short name says it all.
pub(super) fn long_entry_count(name: &str, short: &ShortName) -> usize {
    let shown = exact_short_name(name).is_some_and(|exact| exact == *short && name == name.to_ascii_uppercase());
    if shown { 0 } else { name.encode_utf16().count().div_ceil(UNITS) }
}

/// The entries of the long name, in the order they are stored: last part first.
pub(super) fn long_entries(name: &str, short: &ShortName) -> Vec<RawEntry> {
    let count = long_entry_count(name, short);
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(UNITS) {
        units.push(0);
        units.resize(units.len().next_multiple_of(UNITS), 0xffff);
    }
    let parts = units.chunks(UNITS).take(count).enumerate().rev();
    parts.map(|(index, part)| long_entry(part, index, index + 1 == count, checksum(short))).collect()
}

fn long_entry(units: &[u16], index: usize, is_last: bool, checksum: u8) -> RawEntry {
    let number = u8::try_from(index + 1).expect("a name has at most 20 parts");
    let unit = |at: usize| U16::new(units[at]);
    transmute!(LongEntry {
        ord: if is_last { number | 0x40 } else { number },
        name1: std::array::from_fn(unit),
        attr: LONG_NAME,
        kind: 0,
        chksum: checksum,
        name2: std::array::from_fn(|at| unit(5 + at)),
        fst_clus_lo: 0.into(),
        name3: std::array::from_fn(|at| unit(11 + at)),
    })
}

fn checksum(short: &ShortName) -> u8 {
    short.iter().fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_exact_where_they_can_be_and_numbered_elsewhere() {
        let taken = [*b"LONGNA~1TXT", *b"KERNEL     "];
        let rows: [(&str, &[u8; 11], usize); 8] = [
            ("BOOTX64.EFI", b"BOOTX64 EFI", 0),
            ("EFI", b"EFI        ", 0),
            ("cmdline", b"CMDLINE    ", 1),
            ("kernel", b"KERNEL~1   ", 1),
            ("initrd.img", b"INITRD  IMG", 1),
            ("long name of it.text", b"LONGNA~2TEX", 2),
            ("a.b.c", b"AB~1    C  ", 1),
            ("ключ", b"~1         ", 1),
        ];
        let taken = [taken.as_slice(), &[*b"LONGNA~1TEX"]].concat();
        for (name, short, long) in rows {
            let found = short_name(name, &taken);
            assert_eq!(found, *short, "{name}");
            assert_eq!(long_entry_count(name, &found), long, "{name}");
        }
    }

    #[test]
    fn a_long_name_is_stored_last_part_first() {
        let entries = long_entries("initrd.img-longer", b"INITRD~1IMG");
        let numbers: Vec<u8> = entries.iter().map(|e| e[0]).collect();
        assert_eq!(numbers, [0x42, 1]);
        assert_eq!(&entries[1][1..11], b"i\0n\0i\0t\0r\0");
        assert_eq!(&entries[0][1..14], b"n\0g\0e\0r\0\0\0\x0f\0\0".as_slice());
        assert_eq!(entries[0][28..], [0xff; 4]);
    }

    #[test]
    fn names_that_fat_cannot_hold_are_known() {
        for name in ["", "a:b", "a?", "end.", "a\u{7}"] {
            assert!(!is_valid(name), "{name}");
        }
        assert!(is_valid(&"x".repeat(255)) && !is_valid(&"x".repeat(256)));
    }
}
