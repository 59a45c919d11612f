//! Reading of FlatBuffers that strangers wrote: every offset is checked, strings are bytes.
//!
//! # Format
//! FlatBuffers' "Internals" page. A buffer starts with the offset of its root table (u32). A table starts with the signed
//! distance back to its vtable (i32); a vtable is its own size u16, the size of the table u16, then for each field its
//! place in the table u16, 0 where it is absent. Strings, vectors and tables are offsets (u32) from where they stand; a
//! string or vector starts with its length u32.
//!
//! # Invariants
//! Offsets may lead to one place many times. What is read in all is bounded by [`SHARE`] times the buffer, so time and
//! memory stay in proportion to it.

use std::cell::Cell;

/// Bytes of string and vector that are read for each byte of a buffer. Writers share nothing but vtables, which are not
/// counted.
const SHARE: usize = 4;

/// A buffer, and what may still be read of it.
pub(super) struct Buffer<'a> {
    bytes: &'a [u8],
    left: Cell<usize>,
}

impl<'a> Buffer<'a> {
    /// A buffer of any bytes.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, left: Cell::new(bytes.len().saturating_mul(SHARE)) }
    }

    /// The root table; `None` for what no writer writes, as everywhere here.
    pub(super) fn root(&self) -> Option<Table<'a, '_>> {
        self.table(self.reference(0)?)
    }

    fn table(&self, at: usize) -> Option<Table<'a, '_>> {
        let vtable = i64::try_from(at).ok()? - i64::from(i32::from_le_bytes(self.array(at)?));
        let vtable = usize::try_from(vtable).ok()?;
        let size = usize::from(u16::from_le_bytes(self.array(vtable)?));
        let is_sound = size >= 4 && size.is_multiple_of(2) && vtable + size <= self.bytes.len();
        is_sound.then_some(Table { buffer: self, at, vtable, size })
    }

    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..)?.first_chunk().copied()
    }

    /// What the offset at a place leads to.
    fn reference(&self, at: usize) -> Option<usize> {
        let offset = usize::try_from(u32::from_le_bytes(self.array(at)?)).ok()?;
        at.checked_add(offset)
    }

    /// The length at a place, and where what has it starts.
    fn length(&self, at: usize) -> Option<(usize, usize)> {
        Some((usize::try_from(u32::from_le_bytes(self.array(at)?)).ok()?, at + 4))
    }

    fn string(&self, at: usize) -> Option<&'a [u8]> {
        let (len, start) = self.length(at)?;
        self.spend(len)?;
        self.bytes.get(start..)?.get(..len)
    }

    fn spend(&self, len: usize) -> Option<()> {
        self.left.set(self.left.get().checked_sub(len)?);
        Some(())
    }
}

/// A table of a buffer.
#[derive(Clone, Copy)]
pub(super) struct Table<'a, 'b> {
    buffer: &'b Buffer<'a>,
    at: usize,
    vtable: usize,
    /// Bytes of the vtable.
    size: usize,
}

impl<'a, 'b> Table<'a, 'b> {
    /// The place of a field; the inner `None` where it is absent.
    fn field(&self, slot: usize) -> Option<Option<usize>> {
        let entry = 4 + 2 * slot;
        if entry + 2 > self.size {
            return Some(None);
        }
        let place = usize::from(u16::from_le_bytes(self.buffer.array(self.vtable + entry)?));
        Some((place > 0).then_some(self.at + place))
    }

    fn number<const N: usize>(&self, slot: usize) -> Option<Option<[u8; N]>> {
        match self.field(slot)? {
            Some(at) => self.buffer.array(at).map(Some),
            None => Some(None),
        }
    }

    /// An `i8`, or what it is by default.
    pub(super) fn byte(&self, slot: usize, default: i8) -> Option<i8> {
        Some(self.number(slot)?.map_or(default, i8::from_le_bytes))
    }

    /// An `i32`, 0 by default.
    pub(super) fn int(&self, slot: usize) -> Option<i32> {
        Some(self.number(slot)?.map_or(0, i32::from_le_bytes))
    }

    /// A `u32`, 0 by default.
    pub(super) fn word(&self, slot: usize) -> Option<u32> {
        Some(self.number(slot)?.map_or(0, u32::from_le_bytes))
    }

    /// An `i64`, 0 by default.
    pub(super) fn long(&self, slot: usize) -> Option<i64> {
        Some(self.number(slot)?.map_or(0, i64::from_le_bytes))
    }

    /// A string or a vector of bytes; empty where it is absent.
    pub(super) fn bytes(&self, slot: usize) -> Option<&'a [u8]> {
        match self.field(slot)? {
            Some(at) => self.buffer.string(self.buffer.reference(at)?),
            None => Some(&[]),
        }
    }

    /// A table that must be there.
    pub(super) fn table(&self, slot: usize) -> Option<Self> {
        self.buffer.table(self.buffer.reference(self.field(slot)??)?)
    }

    /// The tables of a vector; each may turn out to be none.
    pub(super) fn tables(&self, slot: usize) -> Option<impl Iterator<Item = Option<Self>> + use<'a, 'b>> {
        let buffer = self.buffer;
        Some(self.offsets(slot)?.map(move |at| buffer.table(at?)))
    }

    /// The strings of a vector; each may turn out to be none.
    pub(super) fn strings(&self, slot: usize) -> Option<impl Iterator<Item = Option<&'a [u8]>> + use<'a, 'b>> {
        let buffer = self.buffer;
        Some(self.offsets(slot)?.map(move |at| buffer.string(at?)))
    }

    fn offsets(&self, slot: usize) -> Option<impl Iterator<Item = Option<usize>> + use<'a, 'b>> {
        let buffer = self.buffer;
        let (count, start) = match self.field(slot)? {
            Some(at) => buffer.length(buffer.reference(at)?)?,
            None => (0, 0),
        };
        buffer.spend(count.checked_mul(4)?)?;
        let end = start.checked_add(4 * count).filter(|end| *end <= buffer.bytes.len())?;
        Some((start..end).step_by(4).map(move |at| buffer.reference(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with a string `ab`, a number and a vector of that string twice.
    fn sample() -> Vec<u8> {
        let mut bytes = vec![16, 0, 0, 0];
        // At 4: the vtable, of 12 bytes, then two of padding less; fields 0, 2 and 3, field 1 is absent.
        bytes.extend_from_slice(&[12, 0, 16, 0, 4, 0, 0, 0, 8, 0, 12, 0]);
        // At 16: the table.
        bytes.extend_from_slice(&[12, 0, 0, 0, 12, 0, 0, 0, 7, 0, 0, 0, 12, 0, 0, 0]);
        // At 32: the string. At 40: the vector.
        bytes.extend_from_slice(b"\x02\0\0\0ab\0\0");
        bytes.extend_from_slice(&[2, 0, 0, 0, 244, 255, 255, 255, 240, 255, 255, 255]);
        bytes
    }

    #[test]
    fn fields_are_found_and_those_that_are_absent_have_their_default() {
        let bytes = sample();
        let buffer = Buffer::new(&bytes);
        let root = buffer.root().unwrap();
        assert_eq!(
            (root.bytes(0), root.byte(1, 5), root.int(2), root.long(9)),
            (Some(&b"ab"[..]), Some(5), Some(7), Some(0))
        );
        assert_eq!(root.strings(1).unwrap().count(), 0);
        // Offsets count forward only: those of the vector leave the buffer.
        assert_eq!(root.strings(3).unwrap().collect::<Vec<_>>(), [None, None]);
    }

    #[test]
    fn whatever_is_damaged_is_none_or_lies_within() {
        let whole = sample();
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let buffer = Buffer::new(&bytes);
                let Some(root) = buffer.root() else { continue };
                for slot in 0..5 {
                    assert!(root.bytes(slot).is_none_or(|found| found.len() <= bytes.len()));
                    let _ = (root.long(slot), root.table(slot).map(|table| table.word(0)));
                    assert!(root.strings(slot).is_none_or(|found| found.count() <= bytes.len() / 4));
                }
            }
        }
    }

    #[test]
    fn one_place_is_not_read_without_end() {
        let bytes = sample();
        let buffer = Buffer::new(&bytes);
        let root = buffer.root().unwrap();
        let reads = (0..1000).take_while(|_| root.bytes(0).is_some()).count();
        assert_eq!(reads, SHARE * bytes.len() / 2);
    }
}
