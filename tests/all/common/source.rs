//! Content made from a seed, and what must hold for any artifact.

use std::sync::Arc;

use lkit::extent::{ReadError, SharedSource, Source};

/// Bytes that follow from seed and offset, no two stretches alike.
pub struct Pattern {
    pub seed: u64,
    pub size: u64,
}

impl Pattern {
    /// A shared pattern.
    pub fn shared(seed: u64, size: u64) -> SharedSource {
        Arc::new(Self { seed, size })
    }

    /// The byte at an offset.
    pub fn byte(&self, offset: u64) -> u8 {
        let mixed = ((offset / 8) ^ (self.seed << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes()[usize::try_from(offset % 8).unwrap()]
    }
}

impl Source for Pattern {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        assert!(offset + buf.len() as u64 <= self.size, "a read left its source");
        for (at, byte) in (offset..).zip(buf) {
            *byte = self.byte(at);
        }
        Ok(())
    }
}

/// The whole of a source.
pub fn bytes(source: &SharedSource) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(source.size()).unwrap()];
    source.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// Reads a source in pieces of many sizes and checks each against one read of the whole.
pub fn assert_any_split_equals_the_whole(source: &SharedSource) {
    let whole = bytes(source);
    for (start, end) in splits(whole.len()) {
        let mut part = vec![0xa5; end - start];
        source.read_at(&mut part, start as u64).unwrap();
        assert!(part == whole[start..end], "{start}..{end} differs");
    }
    assert!(source.read_at(&mut [0; 2], source.size() - 1).is_err());
}

/// Ranges of sizes from one byte to half of `size`, at places that do not follow any block size.
fn splits(size: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut seed = 0x2545_f491_4f6c_dd1d_usize;
    (0..600).map(move |round| {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(round);
        let start = (seed >> 20) % size;
        let len = (seed >> 7) % (1 + (size >> (round % 20)) / 2);
        (start, (start + len + 1).min(size))
    })
}
