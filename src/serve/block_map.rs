//! A block map of a disk: which blocks have data, and their digests, so that flashing it skips holes.
//!
//! # Format
//! "bmap" 2.0, of bmaptool (`BmapCreate.py`): blocks count from 0, a range ends with its last one, and the digest of the file
//! is made with zeros in its own place.

use std::fmt::Write as _;
use std::ops::Range;

use crate::base::{Digest, align_up};
use crate::extent::Source;

/// Bytes of a block, as file systems and flash have them.
const BLOCK: u64 = 4096;
/// Digits of a digest.
const DIGITS: usize = 64;

/// The blocks of a source that have data, each run with its digest.
pub(super) struct BlockMap {
    size: u64,
    mapped: u64,
    ranges: String,
}

impl BlockMap {
    /// A map of this many bytes, all of them a hole.
    pub(super) const fn new(size: u64) -> Self {
        Self { size, mapped: 0, ranges: String::new() }
    }

    /// Adds a run of [`blocks`], behind the one before, with the digest of its bytes.
    pub(super) fn add(&mut self, run: &Range<u64>, digest: &Digest) {
        let (first, end) = (run.start / BLOCK, run.end.div_ceil(BLOCK));
        self.mapped += end - first;
        let places = if end - first == 1 { first.to_string() } else { format!("{first}-{}", end - 1) };
        writeln!(self.ranges, r#"        <Range chksum="{}"> {places} </Range>"#, digest.hex())
            .expect("a string takes all that is written");
    }

    /// The file.
    pub(super) fn finish(self) -> String {
        let zeros = "0".repeat(DIGITS);
        let text = format!(
            r#"<?xml version="1.0" ?>
<bmap version="2.0">
    <ImageSize> {size} </ImageSize>
    <BlockSize> {BLOCK} </BlockSize>
    <BlocksCount> {count} </BlocksCount>
    <MappedBlocksCount> {mapped} </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> {zeros} </BmapFileChecksum>
    <BlockMap>
{ranges}    </BlockMap>
</bmap>
"#,
            size = self.size,
            count = self.size.div_ceil(BLOCK),
            mapped = self.mapped,
            ranges = self.ranges,
        );
        text.replacen(&zeros, &Digest::of(text.as_bytes()).hex(), 1)
    }
}

/// The next blocks at or after `at` that have data, as bytes. Only the last one may be cut, by the end.
pub(super) fn blocks(source: &dyn Source, at: u64) -> Option<Range<u64>> {
    let whole = |run: Range<u64>| run.start.max(at) / BLOCK * BLOCK..align_up(run.end, BLOCK).min(source.size());
    let mut run = whole(source.data_from(at)?);
    while let Some(next) = source.data_from(run.end).map(whole).filter(|next| next.start <= run.end) {
        run.end = next.end;
    }
    Some(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::{MapBuilder, Sink as _};

    #[test]
    fn runs_are_whole_blocks_and_those_without_a_hole_between_them_are_one() {
        let mut map = MapBuilder::default();
        // A byte in block 1, the end of block 2 and the begin of block 3, block 6, and a part of block 9, the last one.
        for (zeros, data) in [(5000, 1), (3191, 4097), (BLOCK * 3 - 1, 4096), (BLOCK * 2, 100)] {
            map.zeros(zeros);
            map.bytes(&vec![1; data]);
        }
        let map = map.finish();
        let runs: Vec<_> = std::iter::successors(blocks(&map, 0), |run| blocks(&map, run.end)).collect();
        let block = |number: u64| number * BLOCK;
        assert_eq!(runs, [block(1)..block(4), block(6)..block(7), block(9)..block(9) + 100]);
    }

    #[test]
    fn a_map_has_its_own_digest() {
        let mut map = BlockMap::new(3 * BLOCK + 1);
        map.add(&(0..BLOCK), &Digest::of(b"a"));
        map.add(&(2 * BLOCK..3 * BLOCK + 1), &Digest::of(b"b"));
        let text = map.finish();
        let own = text.split("<BmapFileChecksum> ").nth(1).unwrap()[..DIGITS].to_owned();
        assert_eq!(Digest::of(text.replace(&own, &"0".repeat(DIGITS)).as_bytes()).hex(), own);
        for part in ["<ImageSize> 12289 <", "<BlocksCount> 4 <", "<MappedBlocksCount> 3 <", "\"> 0 </R", "\"> 2-3 </R"]
        {
            assert!(text.contains(part), "{text}");
        }
    }
}
