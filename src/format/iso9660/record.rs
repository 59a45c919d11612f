//! Directory records and path table records, and the numbers and dates in them.
//!
//! # Format
//! ECMA-119 sections 7.2.3, 7.3.3 (numbers in both byte orders), 9.1 (directory record), 9.4 (path table record).

use zerocopy::{FromZeros, Immutable, IntoBytes, big_endian, little_endian};

use super::BLOCK;
use crate::base::Civil;
use crate::extent::Sink;

/// Flags of a directory record, ECMA-119 section 9.1.6.
pub(super) const DIRECTORY: u8 = 0x02;
pub(super) const MULTI_EXTENT: u8 = 0x80;

/// ViewName of a directory's record of itself, and of the directory above.
pub(super) const DOT: &[u8] = &[0];
pub(super) const DOT_DOT: &[u8] = &[1];

/// Most bytes of a record: its length is one byte, and it is even.
pub(super) const LONGEST: usize = 254;

/// "Directory Record", section 9.1, before the name.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct DirectoryRecord {
    length: u8,
    extended_attribute_length: u8,
    location_of_extent: Both32,
    data_length: Both32,
    recording_date: Date,
    file_flags: u8,
    file_unit_size: u8,
    interleave_gap_size: u8,
    volume_sequence_number: Both16,
    length_of_file_identifier: u8,
}

/// Bytes of a record before the name.
const HEAD: usize = size_of::<DirectoryRecord>();
const _: () = assert!(HEAD == 33);

/// Where something lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Location {
    pub block: u32,
    /// In bytes.
    pub size: u32,
}

/// A record without its system use part.
pub(super) struct Record<'a> {
    pub name: &'a [u8],
    pub place: Location,
    pub flags: u8,
    pub mtime: i64,
}

/// Bytes of a record before its system use part.
pub(super) const fn head_len(name: usize) -> usize {
    HEAD + name + (name + 1) % 2
}

impl Record<'_> {
    /// The record with its system use part.
    pub fn encode(&self, system_use: &[u8]) -> Vec<u8> {
        let len = (head_len(self.name.len()) + system_use.len()).next_multiple_of(2);
        let head = DirectoryRecord {
            length: byte(len),
            extended_attribute_length: 0,
            location_of_extent: self.place.block.into(),
            data_length: self.place.size.into(),
            recording_date: date(self.mtime),
            file_flags: self.flags,
            file_unit_size: 0,
            interleave_gap_size: 0,
            volume_sequence_number: 1.into(),
            length_of_file_identifier: byte(self.name.len()),
        };
        let mut record = Vec::with_capacity(len);
        record.extend(head.as_bytes());
        record.extend(self.name);
        record.resize(head_len(self.name.len()), 0);
        record.extend(system_use);
        record.resize(len, 0);
        record
    }
}

fn byte(len: usize) -> u8 {
    u8::try_from(len).expect("names and system use are cut to fit a record")
}

/// Adds what must not cross a block boundary.
pub(super) fn emit_within_block(bytes: &[u8], sink: &mut dyn Sink) {
    if sink.position() % BLOCK + bytes.len() as u64 > BLOCK {
        sink.align(BLOCK);
    }
    sink.bytes(bytes);
}

/// The byte order of a path table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    /// Type L.
    Little,
    /// Type M.
    Big,
}

/// "Path Table Record", section 9.4, in bytes: eight, the name, and one more when it is odd.
pub(super) const fn path_record_len(name: usize) -> usize {
    8 + name.next_multiple_of(2)
}

/// A path table record; `parent` counts from 1.
pub(super) fn path_record(name: &[u8], block: u32, parent: u16, order: ByteOrder) -> Vec<u8> {
    let (block, parent) = match order {
        ByteOrder::Little => (block.to_le_bytes(), parent.to_le_bytes()),
        ByteOrder::Big => (block.to_be_bytes(), parent.to_be_bytes()),
    };
    let mut record = vec![byte(name.len()), 0];
    record.extend(block);
    record.extend(parent);
    record.extend(name);
    record.resize(path_record_len(name.len()), 0);
    record
}

/// A number in both byte orders, section 7.2.3.
#[derive(Clone, Copy, FromZeros, Immutable, IntoBytes)]
#[repr(C)]
pub(super) struct Both16(little_endian::U16, big_endian::U16);

/// A number in both byte orders, section 7.3.3.
#[derive(Clone, Copy, FromZeros, Immutable, IntoBytes)]
#[repr(C)]
pub(super) struct Both32(little_endian::U32, big_endian::U32);

impl From<u16> for Both16 {
    fn from(value: u16) -> Self {
        Self(value.into(), value.into())
    }
}

impl From<u32> for Both32 {
    fn from(value: u32) -> Self {
        Self(value.into(), value.into())
    }
}

/// "Recording Date and Time", section 9.1.5: years since 1900, month, day, hour, minute, second, offset from UTC.
pub(super) type Date = [u8; 7];

/// A date as records have it.
pub(super) fn date(time: i64) -> Date {
    let civil = Civil::within(time, 1900..=2155);
    let year = u8::try_from(civil.year - 1900).expect("the year is within 1900 and 2155");
    [year, civil.month, civil.day, civil.hour, civil.minute, civil.second, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_even_and_names_its_place_in_both_orders() {
        let record = Record { name: b"A.;1", place: Location { block: 0x0102, size: 3 }, flags: 0, mtime: 0 };
        let bytes = record.encode(b"xyz");
        assert_eq!((bytes.len(), bytes[0], bytes[32]), (42, 42, 4));
        assert_eq!(bytes[2..18], [2, 1, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(bytes[18..25], [70, 1, 1, 0, 0, 0, 0]);
        assert_eq!(bytes[33..], *b"A.;1\0xyz\0");
    }
}
