//! Maps of sparse files in a tar: where their runs lie in the file, checked against what the tar stores.
//!
//! # Format
//! GNU tar manual, "Storing Sparse Files": old GNU headers (type `S`) and PAX versions 0.0, 0.1 and 1.0.

use super::header::{decimal, unsigned};
use crate::layer::index::{Body, Run};

/// Most bytes of map taken for one file.
const MAP_MAX: u64 = 1 << 20;
/// Most numbers of a map, whatever its version; they are held in memory. Two bytes are the least that one takes in text.
const NUMBERS_MAX: u64 = MAP_MAX / 2;

/// Largest file on Linux in bytes (`MAX_LFS_FILESIZE`).
const SIZE_MAX: u64 = i64::MAX as u64;

/// Offsets and lengths of an old GNU header (4 pairs from byte 386) or its extension blocks (21 from byte 0).
///
/// # Errors
/// When a field is no number.
pub(crate) fn old_pairs(fields: &[u8]) -> Result<Vec<u64>, String> {
    let used = fields.chunks_exact(24).take_while(|pair| pair[0] != 0);
    let numbers = used.flat_map(|pair| [&pair[..12], &pair[12..]]);
    numbers.map(unsigned).collect()
}

/// Refuses a map of more numbers than are taken for one file.
///
/// # Errors
/// When there are more.
pub(crate) fn check_map(numbers: u64) -> Result<(), String> {
    if numbers > NUMBERS_MAX { Err("the sparse map is too long".to_owned()) } else { Ok(()) }
}

/// The map at the start of a PAX 1.0 sparse file, read block by block: lines of a count and as many pairs, padded to a
/// block.
#[derive(Default)]
pub(crate) struct LeadingMap {
    /// Bytes read.
    len: u64,
    /// The start of a line whose end has not been read.
    line: Vec<u8>,
    /// How many numbers follow the count.
    wanted: Option<u64>,
    numbers: Vec<u64>,
}

impl LeadingMap {
    /// Takes the next block; whether the map ends in it.
    ///
    /// # Errors
    /// When the map is malformed or too long.
    pub(crate) fn push(&mut self, block: &[u8]) -> Result<bool, String> {
        self.len += block.len() as u64;
        for part in block.split_inclusive(|b| *b == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.pop_if(|b| *b == b'\n').is_some() && self.end_line()? {
                return Ok(true);
            }
        }
        if self.len >= MAP_MAX { Err("the sparse map does not end".to_owned()) } else { Ok(false) }
    }

    /// Takes a whole line; whether it is the last.
    fn end_line(&mut self) -> Result<bool, String> {
        let number = decimal(&self.line)?;
        self.line.clear();
        match self.wanted {
            Some(_) => self.numbers.push(number),
            None => {
                check_map(number.saturating_mul(2))?;
                self.wanted = Some(number * 2);
            }
        }
        Ok(self.wanted == Some(self.numbers.len() as u64))
    }

    /// Bytes that were read of the entry's content.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Offsets and lengths in turn.
    pub(crate) fn numbers(&self) -> &[u64] {
        &self.numbers
    }
}

/// The content of a sparse file of `size` bytes, whose runs `pairs` lie behind each other in the diff at `offset`,
/// in `stored` bytes.
///
/// # Errors
/// When runs overlap, leave the file, or are not all stored.
pub(crate) fn body(pairs: &[u64], size: u64, offset: u64, stored: u64) -> Result<Body<'static>, String> {
    if size > SIZE_MAX {
        return Err(format!("a sparse file of {size} bytes is over {SIZE_MAX}"));
    }
    if !pairs.len().is_multiple_of(2) {
        return Err("the sparse map has an odd number of fields".to_owned());
    }
    let (mut file_end, mut used) = (0, 0_u64);
    let mut runs = Vec::with_capacity(pairs.len() / 2);
    for pair in pairs.chunks_exact(2) {
        let (at, len) = (pair[0], pair[1]);
        // Writers end a map, or fill it up, with runs of no length.
        if len == 0 {
            continue;
        }
        let end = at.checked_add(len).filter(|end| at >= file_end && *end <= size);
        file_end = end.ok_or("the sparse map has runs that overlap or leave the file")?;
        runs.push(Run { at, offset: offset + used, len });
        used =
            used.checked_add(len).filter(|used| *used <= stored).ok_or("the sparse map names more than is stored")?;
    }
    Ok(Body::Sparse { size, runs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_lie_behind_each_other_in_the_diff() {
        let runs = vec![Run { at: 0, offset: 1024, len: 10 }, Run { at: 4096, offset: 1034, len: 20 }];
        assert_eq!(body(&[0, 10, 4096, 20, 9000, 0, 0, 0], 9000, 1024, 30), Ok(Body::Sparse { size: 9000, runs }));
    }

    #[test]
    fn maps_that_lie_are_refused() {
        for pairs in [&[0][..], &[0, 10, 5, 10], &[8990, 20], &[u64::MAX, 2], &[0, 31]] {
            assert!(body(pairs, 9000, 0, 30).is_err(), "{pairs:?}");
        }
        assert!(body(&[], SIZE_MAX, 0, 0).is_ok() && body(&[], SIZE_MAX + 1, 0, 0).is_err());
    }

    #[test]
    fn prop_a_leading_map_is_the_same_in_any_blocks() {
        let text = b"2\n0\n10\n4096\n20\n\0\0";
        for cut in 0..15 {
            let mut map = LeadingMap::default();
            assert_eq!(map.push(&text[..cut]), Ok(false), "{cut}");
            assert_eq!(map.push(&text[cut..]), Ok(true), "{cut}");
            assert_eq!((map.numbers(), map.len()), (&[0, 10, 4096, 20][..], 17));
        }
        assert_eq!(LeadingMap::default().push(b"0\n"), Ok(true));
    }

    #[test]
    fn a_leading_map_that_is_too_long_is_refused_at_its_count() {
        let pushed = |text: &[u8]| LeadingMap::default().push(text).unwrap_err();
        assert_eq!(pushed(b"262145\n"), "the sparse map is too long");
        assert_eq!(pushed(b"18446744073709551615\n"), "the sparse map is too long");
        assert_eq!(pushed(b"x\n"), "`x` is not a number");
        let mut map = LeadingMap::default();
        let pushes = (0..2048).map(|_| map.push(&[b'1'; 512])).collect::<Vec<_>>();
        assert_eq!(pushes.iter().position(Result::is_err), Some(2047));
    }
}
