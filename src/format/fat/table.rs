//! The file allocation table, computed when it is read: files are contiguous, so an entry follows from its number.
//!
//! # Format
//! FAT32 File System Specification, "FAT Entry": entry 0 has the media byte, entry 1 an end mark, each other one the
//! number of the next cluster. Twelve-bit entries lie two in three bytes.

use std::ops::Range;

use super::FatKind;
use crate::base::in_memory;
use crate::extent::{ReadError, Source};

/// A table over chains that follow each other from cluster 2 on without gaps.
pub(super) struct Table {
    pub kind: FatKind,
    /// The last cluster of each chain, ascending.
    pub ends: Vec<u32>,
    /// Size in bytes, whole sectors.
    pub size: u64,
}

impl Table {
    fn entry(&self, number: u32) -> u32 {
        let mask = u32::MAX >> (32 - self.kind.bits().min(28));
        let end_mark = mask;
        match number {
            // The media byte of a fixed disk, with all bits above it set.
            0 => mask & !0xff | 0xf8,
            1 => end_mark,
            _ if self.ends.last().is_none_or(|last| number > *last) => 0,
            _ if self.ends.binary_search(&number).is_ok() => end_mark,
            _ => number + 1,
        }
    }

    /// Bytes that hold a whole number of entries, and how many.
    const fn group(&self) -> (u64, u64) {
        match self.kind {
            FatKind::Fat12 => (3, 2),
            FatKind::Fat16 => (2, 1),
            FatKind::Fat32 => (4, 1),
        }
    }

    /// The bytes of a group, the last ones beyond its size unused.
    fn encoded(&self, group: u64) -> [u8; 4] {
        // Numbers past the last cluster read as free; a group of the padding behind the table may lie past 32 bits.
        let entry = |number: u64| u32::try_from(number).map_or(0, |number| self.entry(number));
        match self.kind {
            FatKind::Fat12 => entry(group * 2) | entry(group * 2 + 1) << 12,
            FatKind::Fat16 | FatKind::Fat32 => entry(group),
        }
        .to_le_bytes()
    }

    /// Encodes the bytes at an offset group by group.
    fn encode(&self, mut buf: &mut [u8], mut at: u64) {
        let (bytes, _) = self.group();
        while !buf.is_empty() {
            let skip = in_memory(at % bytes);
            let group = &self.encoded(at / bytes)[skip..in_memory(bytes)];
            let len = group.len().min(buf.len());
            let (head, rest) = buf.split_at_mut(len);
            head.copy_from_slice(&group[..len]);
            buf = rest;
            at += len as u64;
        }
    }

    /// Encodes whole entries of `BYTES` bytes from entry `number` on, chain by chain: the links of one count up.
    fn fill<const BYTES: usize>(&self, mut entries: &mut [u8], number: u64) {
        let Ok(mut number) = u32::try_from(number) else { return entries.fill(0) };
        while !entries.is_empty() {
            let links = match self.ends.get(self.ends.partition_point(|end| *end < number)) {
                _ if number < 2 => 0,
                Some(end) => end - number,
                None => return entries.fill(0),
            };
            let here = in_memory(links.into()).min(entries.len() / BYTES);
            let (chain, rest) = entries.split_at_mut(here * BYTES);
            for (entry, next) in chain.chunks_exact_mut(BYTES).zip(number + 1..) {
                entry.copy_from_slice(&next.to_le_bytes()[..BYTES]);
            }
            number += links;
            let Some((last, rest)) = rest.split_at_mut_checked(BYTES) else { return };
            last.copy_from_slice(&self.entry(number).to_le_bytes()[..BYTES]);
            (entries, number) = (rest, number + 1);
        }
    }

    /// Bytes up to the last entry in use.
    fn used(&self) -> u64 {
        let entries = u64::from(self.ends.last().map_or(1, |last| *last)) + 1;
        (entries * self.kind.bits()).div_ceil(8)
    }
}

impl Source for Table {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size);
        end.ok_or_else(|| ReadError::out_of_range(offset, buf.len() as u64, self.size))?;
        let (bytes, _) = self.group();
        let before = buf.len().min(in_memory((bytes - offset % bytes) % bytes));
        let (head, rest) = buf.split_at_mut(before);
        self.encode(head, offset);
        let behind = rest.len() % in_memory(bytes);
        let (groups, tail) = rest.split_at_mut(rest.len() - behind);
        let at = offset + before as u64;
        match self.kind {
            FatKind::Fat12 => self.encode(groups, at),
            FatKind::Fat16 => self.fill::<2>(groups, at / bytes),
            FatKind::Fat32 => self.fill::<4>(groups, at / bytes),
        }
        self.encode(tail, at + groups.len() as u64);
        Ok(())
    }

    fn read_at_once(&self, buf: &mut [u8], offset: u64) -> bool {
        self.read_at(buf, offset).is_ok()
    }

    fn data_from(&self, offset: u64) -> Option<Range<u64>> {
        (offset < self.used()).then(|| offset..self.used())
    }

    fn data_len(&self, range: Range<u64>) -> u64 {
        range.end.min(self.used()).saturating_sub(range.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(kind: FatKind) -> Vec<u8> {
        let table = Table { kind, ends: vec![2, 5, 6], size: 512 };
        let mut bytes = vec![0xaa; 512];
        table.read_at(&mut bytes, 0).unwrap();
        assert!(bytes[usize::try_from(table.used()).unwrap()..].iter().all(|b| *b == 0));
        for start in 0..40 {
            for end in start..40 {
                let mut part = vec![0xaa; end - start];
                table.read_at(&mut part, start as u64).unwrap();
                assert_eq!(part, bytes[start..end]);
            }
        }
        assert!(table.read_at(&mut [0; 2], 511).is_err() && !table.read_at_once(&mut [0; 2], 511));
        let used = table.data_from(0).unwrap().end;
        assert_eq!([0..512, 3..4, 500..512].map(|range| table.data_len(range)), [used, 1, 0]);
        bytes
    }

    #[test]
    fn prop_chains_are_encoded_in_each_width_and_any_split_equals_the_whole() {
        assert_eq!(bytes(FatKind::Fat12)[..11], [0xf8, 0xff, 0xff, 0xff, 0x4f, 0, 5, 0xf0, 0xff, 0xff, 0xf]);
        let narrow: Vec<u16> =
            bytes(FatKind::Fat16)[..16].chunks(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        assert_eq!(narrow, [0xfff8, 0xffff, 0xffff, 4, 5, 0xffff, 0xffff, 0]);
        let wide: Vec<u32> =
            bytes(FatKind::Fat32)[..32].chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
        let end = 0x0fff_ffff;
        assert_eq!(wide, [0x0fff_fff8, end, end, 4, 5, end, end, 0]);
    }
}
