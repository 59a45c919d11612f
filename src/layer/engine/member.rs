//! The header of a gzip member, read byte by byte and kept nowhere.
//!
//! # Format
//! RFC 1952, section 2.3.1.

use crc32fast::Hasher;

use super::problem::Problem;

/// The first bytes of a member.
pub(crate) const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Deflate, the only compression there is.
const DEFLATE: u8 = 8;
/// Magic, compression, flags, time, extra flags, operating system.
const FIXED: usize = 10;

const FLAG_CRC: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;
const FLAGS_RESERVED: u8 = 0xe0;

/// What becomes of the checksums and sizes of gzip members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    /// They are compared with what comes out.
    Made,
    /// They are read over: the bytes are judged by a digest, and a CRC would take a twentieth of the time of inflating
    /// them.
    Left,
}

/// A header that is being read.
pub(super) struct MemberHeader {
    checksum: Hasher,
    flags: u8,
    part: Part,
    /// Bytes of the part that were read.
    len: usize,
    /// The length of the extra field, or the checksum: the bytes so far, lowest first.
    word: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Fixed,
    ExtraLength,
    Extra,
    Name,
    Comment,
    Checksum,
}

impl MemberHeader {
    /// A header before its first byte.
    pub(super) fn new() -> Self {
        Self { checksum: Hasher::new(), flags: 0, part: Part::Fixed, len: 0, word: 0 }
    }

    /// A header whose magic was read already.
    pub(super) fn behind_magic() -> Self {
        let mut header = Self::new();
        header.checksum.update(&MAGIC);
        header.len = MAGIC.len();
        header
    }

    /// Takes the next byte. Whether it was the last.
    ///
    /// # Errors
    /// When the header is none of deflate, or not sound.
    pub(super) fn take(&mut self, byte: u8, checks: Checks) -> Result<bool, Problem> {
        if self.part != Part::Checksum {
            self.checksum.update(&[byte]);
        }
        let at = self.len;
        self.len += 1;
        let is_over = match self.part {
            Part::Fixed => {
                self.fixed(at, byte)?;
                self.len == FIXED
            }
            Part::ExtraLength | Part::Checksum => {
                self.word |= u16::from(byte) << (8 * at);
                self.len == 2
            }
            Part::Extra => self.len == usize::from(self.word),
            Part::Name | Part::Comment => byte == 0,
        };
        if self.part == Part::Checksum && is_over && checks == Checks::Made {
            let whole = std::mem::take(&mut self.checksum).finalize();
            if whole & 0xffff != u32::from(self.word) {
                return Err(Problem::HeaderChecksum);
            }
        }
        Ok(is_over && self.next_part().is_none())
    }

    fn fixed(&mut self, at: usize, byte: u8) -> Result<(), Problem> {
        match at {
            2 if byte != DEFLATE => Err(Problem::Method),
            3 if byte & FLAGS_RESERVED != 0 => Err(Problem::Flags),
            3 => {
                self.flags = byte;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Goes on to the next part that the flags announce; `None` behind the last.
    fn next_part(&mut self) -> Option<()> {
        let has_extra = self.part == Part::ExtraLength && self.word > 0;
        let parts = [
            (Part::ExtraLength, FLAG_EXTRA),
            (Part::Extra, if has_extra { FLAG_EXTRA } else { 0 }),
            (Part::Name, FLAG_NAME),
            (Part::Comment, FLAG_COMMENT),
            (Part::Checksum, FLAG_CRC),
        ];
        let behind = parts.iter().position(|(part, _)| *part == self.part).map_or(0, |at| at + 1);
        let (next, _) = parts[behind..].iter().find(|(_, flag)| self.flags & flag != 0)?;
        self.part = *next;
        self.len = 0;
        if *next != Part::Extra {
            self.word = 0;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes of these the header has.
    fn len_of(bytes: &[u8]) -> Result<usize, Problem> {
        let mut header = MemberHeader::new();
        for (at, byte) in bytes.iter().enumerate() {
            if header.take(*byte, Checks::Made)? {
                return Ok(at + 1);
            }
        }
        Ok(0)
    }

    #[test]
    fn a_header_ends_behind_the_parts_that_its_flags_announce() {
        let fixed = |flags| [0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
        let table: [(u8, &[u8], usize); 7] = [
            (0, b"", 10),
            (FLAG_NAME, b"a\0", 12),
            (FLAG_EXTRA, b"\0\0", 12),
            (FLAG_EXTRA, b"\x03\0abc", 15),
            (FLAG_EXTRA | FLAG_NAME | FLAG_COMMENT, b"\x01\0x\0\0", 15),
            (FLAG_COMMENT, b"never ends", 0),
            (FLAG_EXTRA, b"\xff\xff", 0),
        ];
        for (flags, rest, len) in table {
            assert_eq!(
                len_of(&[&fixed(flags), rest, b"more"].concat()[..10 + rest.len()]),
                Ok(len),
                "{flags} {rest:?}"
            );
        }
        let checksum = crc32fast::hash(&fixed(FLAG_CRC)).to_le_bytes();
        assert_eq!(len_of(&[&fixed(FLAG_CRC), &checksum[..2]].concat()), Ok(12));
        assert_eq!(len_of(&[&fixed(FLAG_CRC), &[!checksum[0], 0][..]].concat()), Err(Problem::HeaderChecksum));
        assert_eq!(len_of(&fixed(0x20)), Err(Problem::Flags));
        assert_eq!(len_of(&[0x1f, 0x8b, 7]), Err(Problem::Method));
    }
}
