//! Any reads of any layer equal the diff, whatever its compression, its spans and the size of the cache.

use lkit::layer::Options;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::fixture::{OneBlob, Place, content, gzip, read, tar_of, wanted};
use crate::common::properties::cases;

/// How a diff is stored.
#[derive(Clone, Debug)]
enum Packing {
    Plain,
    /// Members of this many bytes, at a level.
    Gzip(usize, u32),
    /// Frames of this many bytes, at a level.
    Zstd(usize, i32),
}

impl Packing {
    fn pack(&self, diff: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => diff.to_vec(),
            Self::Gzip(len, level) => diff.chunks(*len).flat_map(|chunk| gzip(*level, chunk)).collect(),
            Self::Zstd(len, level) => {
                diff.chunks(*len).flat_map(|chunk| zstd::encode_all(chunk, *level).unwrap()).collect()
            }
        }
    }
}

fn packing() -> impl Strategy<Value = Packing> {
    // Short frames, and one of everything.
    let len = || prop_oneof![20_000..200_000_usize, Just(usize::MAX)];
    prop_oneof![
        1 => Just(Packing::Plain),
        3 => (len(), 0..=9_u32).prop_map(|(len, level)| Packing::Gzip(len, level)),
        2 => (len(), -5..=9_i32).prop_map(|(len, level)| Packing::Zstd(len, level)),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    (1..400_000_u64, 0..2_000_000_usize, 0..4_usize).prop_map(|(span_size, cache, workers)| Options {
        span_size,
        cache,
        workers,
    })
}

/// Runs of bytes that repeat, behind bytes that hardly do.
fn diff(parts: &[(usize, usize)]) -> Vec<u8> {
    let parts = parts.iter().zip(0..);
    let bytes = parts.flat_map(|((len, zeros), seed)| [content(seed, *len), vec![0; *zeros]]).flatten();
    tar_of(&[("f", &bytes.collect::<Vec<u8>>())])
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn prop_any_reads_of_any_layer_equal_the_diff(
        parts in vec((0..150_000_usize, 0..300_000_usize), 0..5),
        packing in packing(),
        options in options(),
        reads in vec((any::<Index>(), 0..200_000_usize), 1..25),
    ) {
        let diff = diff(&parts);
        let blob = packing.pack(&diff);
        let place = Place::new(options);
        let layer = place.open(&wanted(&blob, &diff), &OneBlob::new(&blob)).unwrap();
        prop_assert_eq!(layer.diff_size(), diff.len() as u64);
        for (start, len) in reads {
            let start = start.index(diff.len());
            let end = diff.len().min(start + len);
            let bytes = read(&**layer.diff(), start as u64, end - start);
            prop_assert!(bytes == diff[start..end], "{start}..{end}");
        }
        prop_assert!(read(&**layer.diff(), 0, diff.len()) == diff, "front to back");
    }
}
