//! Reads of any range of a diff equal that range of the whole, for every compression.

use lkit::layer::{Body, Options};

use super::fixture::{Numbers, OneBlob, Place, big_tar, entries, gzip, piped, read, wanted, zstd};

/// Small spans, so that small fixtures have many.
const SMALL: Options = Options { span_size: 128 << 10, cache: 1 << 20, workers: 2 };

/// Opens `blob` and reads it from front to back, then at random.
fn reads_equal_the_whole(name: &str, blob: &[u8], diff: &[u8]) {
    let place = Place::new(SMALL);
    let layer = place.open(&wanted(blob, diff), &OneBlob::new(blob)).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    assert_eq!(layer.diff_size(), diff.len() as u64, "{name}");
    assert!(read(&**layer.diff(), 0, diff.len()) == diff, "{name}: front to back");
    let mut numbers = Numbers::new(7);
    for _ in 0..200 {
        let start = numbers.below(diff.len() as u64);
        let len = numbers.below((diff.len() as u64 - start).min(300_000) + 1) as usize;
        let at = usize::try_from(start).unwrap();
        assert!(read(&**layer.diff(), start, len) == diff[at..at + len], "{name}: {len} bytes at {start}");
    }
}

#[test]
fn prop_any_range_of_a_gzip_layer_equals_the_whole() {
    let diff = big_tar(3 << 20);
    for level in [0, 1, 6, 9] {
        reads_equal_the_whole(&format!("level {level}"), &gzip(level, &diff), &diff);
    }
    if let Some(blob) = piped("gzip", &["-6"], &diff) {
        reads_equal_the_whole("gzip -6", &blob, &diff);
    }
}

#[test]
fn prop_any_range_of_a_gzip_layer_of_several_members_equals_the_whole() {
    let diff = big_tar(2 << 20);
    let members: Vec<u8> = diff.chunks(70_001).flat_map(|chunk| gzip(6, chunk)).collect();
    reads_equal_the_whole("short members", &members, &diff);
    let empty =
        [gzip(6, b""), gzip(6, &diff[..1_000_000]), gzip(6, b""), gzip(1, &diff[1_000_000..]), gzip(6, b"")].concat();
    reads_equal_the_whole("empty members", &empty, &diff);
    let padded = [gzip(6, &diff), vec![0; 1000]].concat();
    reads_equal_the_whole("zeros behind", &padded, &diff);
}

#[test]
fn prop_any_range_of_a_zstd_or_plain_layer_equals_the_whole() {
    let diff = big_tar(3 << 20);
    reads_equal_the_whole("plain", &diff, &diff);
    reads_equal_the_whole("one frame", &zstd(&diff), &diff);
    let frames: Vec<u8> = diff.chunks(300_000).flat_map(zstd).collect();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &frames].concat();
    reads_equal_the_whole("frames", &frames, &diff);
    reads_equal_the_whole("skippable frame", &skippable, &diff);
}

#[test]
fn files_are_where_the_table_of_contents_says() {
    let diff = big_tar(1 << 20);
    let blob = gzip(6, &diff);
    let place = Place::new(SMALL);
    let layer = place.open(&wanted(&blob, &diff), &OneBlob::new(&blob)).unwrap();
    let bodies: Vec<_> = entries(&layer).into_iter().map(|entry| (entry.path.to_vec(), entry.body)).collect();
    assert_eq!(bodies, [(b"big".to_vec(), Body::Content { offset: 512, size: 1 << 20 })]);
}
