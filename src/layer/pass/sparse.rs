//! Maps of sparse files in a tar: where their runs lie in the file, checked against what the tar stores.
//!
//! # Format
//! GNU tar manual, "Storing Sparse Files": old GNU headers (type `S`) and PAX versions 0.0, 0.1 and 1.0.

use super::header::unsigned;
use super::pax::decimal;
use crate::layer::index::{Body, Run};

/// Most bytes of map taken for one file; the map is held in memory.
pub(crate) const MAP_MAX: usize = 1 << 20;

/// Offsets and lengths of an old GNU header (4 pairs from byte 386) or its extension blocks (21 from byte 0).
///
/// # Errors
/// When a field is no number.
pub(crate) fn old_pairs(fields: &[u8]) -> Result<Vec<u64>, String> {
    let used = fields.chunks_exact(24).take_while(|pair| pair[0] != 0);
    let numbers = used.flat_map(|pair| [&pair[..12], &pair[12..]]);
    numbers.map(unsigned).collect()
}

/// The map at the start of a PAX 1.0 sparse file: lines of a count and as many pairs, padded to a block. `None` when
/// `bytes` does not hold all of it yet.
///
/// # Errors
/// When it is malformed.
pub(crate) fn leading_map(bytes: &[u8]) -> Result<Option<Vec<u64>>, String> {
    let mut lines = bytes.split_inclusive(|b| *b == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    let Some(count) = lines.next() else { return Ok(None) };
    let wanted = usize::try_from(decimal(count)?).ok().and_then(|count| count.checked_mul(2));
    // Every number takes two bytes at least, so the bound on bytes bounds the count.
    let wanted = wanted.filter(|wanted| *wanted <= MAP_MAX / 2).ok_or("the sparse map is too long")?;
    let numbers = lines.take(wanted).map(decimal).collect::<Result<Vec<_>, _>>()?;
    Ok((numbers.len() == wanted).then_some(numbers))
}

/// The content of a sparse file of `size` bytes, whose runs `pairs` lie behind each other in the diff at `offset`,
/// in `stored` bytes.
///
/// # Errors
/// When runs overlap, leave the file, or are not all stored.
pub(crate) fn body(pairs: &[u64], size: u64, offset: u64, stored: u64) -> Result<Body<'static>, String> {
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
    }

    #[test]
    fn a_leading_map_may_need_more_blocks() {
        assert_eq!(leading_map(b"2\n0\n10\n4096\n2"), Ok(None));
        assert_eq!(leading_map(b""), Ok(None));
        assert_eq!(leading_map(b"2\n0\n10\n4096\n20\n\0\0"), Ok(Some(vec![0, 10, 4096, 20])));
        assert!(leading_map(b"99999999999\n").is_err() && leading_map(b"x\n").is_err());
    }
}
