//! CRC-32 of a content whose holes are not read.

use std::ops::Range;

use crc32fast::Hasher;

use crate::base::{MIB, in_memory};
use crate::extent::{ReadError, Source};

/// The CRC-32 of a content. Takes as long as reading its data does: a hole of any size costs nothing.
///
/// # Errors
/// When a part cannot be read.
pub(super) fn crc32(content: &dyn Source) -> Result<u32, ReadError> {
    let (mut whole, mut buf, mut at) = (Hasher::new(), Vec::new(), 0);
    while at < content.size() {
        let end = content.size();
        let data = content.data_from(at).map_or(end..end, |data| data.start.max(at)..data.end.max(at + 1).min(end));
        add_zeros(&mut whole, data.start - at);
        at = data.end;
        add_data(&mut whole, content, data, &mut buf)?;
    }
    Ok(whole.finalize())
}

fn add_data(whole: &mut Hasher, content: &dyn Source, data: Range<u64>, buf: &mut Vec<u8>) -> Result<(), ReadError> {
    let mut at = data.start;
    while at < data.end {
        buf.resize(in_memory((data.end - at).min(MIB)), 0);
        content.read_at(buf, at)?;
        whole.update(buf);
        at += buf.len() as u64;
    }
    Ok(())
}

/// Adds zeros to the checksum of what stands before them, in time that grows with the digits of their number.
pub(super) fn add_zeros(whole: &mut Hasher, mut len: u64) {
    let mut power = Hasher::new();
    power.update(&[0]);
    while len > 0 {
        if len % 2 == 1 {
            whole.combine(&power);
        }
        let half = power.clone();
        power.combine(&half);
        len /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::{MapBuilder, Sink as _};

    #[test]
    fn zeros_are_added_as_if_they_had_been_read() {
        for len in [0, 1, 2, 1031, 1032, 100_000] {
            let mut whole = Hasher::new();
            whole.update(b"before");
            add_zeros(&mut whole, len);
            whole.update(b"behind");
            let bytes = [b"before".as_slice(), &vec![0; in_memory(len)], b"behind"].concat();
            assert_eq!(whole.finalize(), crc32fast::hash(&bytes), "{len}");
        }
    }

    #[test]
    fn holes_count_as_the_zeros_they_are() {
        let parts = [(0, 3), (5000, 2_500_000), (1, 1), (70_000, 0)];
        let mut map = MapBuilder::default();
        for (hole, data) in parts {
            map.zeros(hole);
            map.bytes(&vec![b'x'; data]);
        }
        let map = map.finish();
        let mut bytes = vec![0; in_memory(map.size())];
        map.read_at(&mut bytes, 0).unwrap();
        assert_eq!(crc32(&map).unwrap(), crc32fast::hash(&bytes));
    }

    #[test]
    fn a_hole_of_any_size_costs_nothing() {
        let mut map = MapBuilder::default();
        map.zeros(1 << 62);
        map.bytes(b"x");
        let (long, mut twice) = (crc32(&map.finish()).unwrap(), Hasher::new());
        add_zeros(&mut twice, 1 << 61);
        add_zeros(&mut twice, 1 << 61);
        twice.update(b"x");
        assert_eq!(long, twice.finalize());
    }
}
