//! Columns of small numbers and bytes: varints (LEB128), zigzag for signed ones.

use std::ffi::CStr;

/// A column being written.
#[derive(Default)]
pub(crate) struct Column(Vec<u8>);

impl Column {
    /// Adds one byte.
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Adds a varint of 1 to 10 bytes.
    pub(crate) fn number(&mut self, mut value: u64) {
        loop {
            let low = u8::try_from(value & 0x7f).expect("seven bits fit in eight");
            value >>= 7;
            if value == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    /// Adds a length as a varint.
    pub(crate) fn length(&mut self, value: usize) {
        self.number(value as u64);
    }

    /// Adds a signed number, small when it is near zero.
    pub(crate) fn signed(&mut self, value: i64) {
        self.number((value << 1 ^ value >> 63).cast_unsigned());
    }

    /// Adds bytes that something else gives the length of.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Adds a length and as many bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.raw(bytes);
    }

    /// What was added.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// What was added.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A column being read; `None` past its end or for what no writer writes.
pub(crate) struct ColumnReader<'a>(&'a [u8]);

impl<'a> ColumnReader<'a> {
    /// A cursor at the start of `bytes`.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Number of bytes not yet read.
    pub(crate) const fn left(&self) -> usize {
        self.0.len()
    }

    /// Reads one byte.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Reads a varint.
    #[inline]
    pub(crate) fn number(&mut self) -> Option<u64> {
        // Most have one byte.
        match self.0 {
            [byte @ ..0x80, rest @ ..] => {
                self.0 = rest;
                Some(u64::from(*byte))
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// Reads a varint of at most 32 bits.
    pub(crate) fn word(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// Reads a length.
    pub(crate) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    /// Reads a signed number.
    pub(crate) fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Reads `len` bytes.
    pub(crate) fn raw(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Reads bytes up to the next NUL, which is passed over.
    pub(crate) fn until_nul(&mut self) -> Option<&'a [u8]> {
        let bytes = CStr::from_bytes_until_nul(self.0).ok()?.to_bytes();
        self.0 = &self.0[bytes.len() + 1..];
        Some(bytes)
    }

    /// Reads a length and as many bytes.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.length()?;
        self.raw(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        let mut column = Column::default();
        let values = [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN, i64::MIN + 1];
        values.iter().for_each(|value| column.signed(*value));
        column.number(u64::MAX);
        let mut cursor = ColumnReader::new(column.as_slice());
        values.iter().for_each(|value| assert_eq!(cursor.signed(), Some(*value)));
        assert_eq!((cursor.number(), cursor.left(), cursor.number()), (Some(u64::MAX), 0, None));
    }

    #[test]
    fn text_ends_at_its_nul() {
        let mut cursor = ColumnReader::new(b"a/b\0\0c");
        assert_eq!([cursor.until_nul(), cursor.until_nul(), cursor.until_nul()], [Some(&b"a/b"[..]), Some(b""), None]);
        assert_eq!(cursor.left(), 1);
    }
}
