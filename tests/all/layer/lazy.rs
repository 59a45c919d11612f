//! What is read and decoded, counted: nothing to list a layer, one decode of each span however many readers there are.

use std::sync::Arc;

use lkit::base::Digest;
use lkit::layer::{Body, Layer, Options};

use super::fixture::{Numbers, OneBlob, Place, big_tar, content, entries, gzip, read, tar_of, wanted, zstd};

/// A cache that holds the whole fixture.
const ROOMY: Options = Options { span_size: 128 << 10, cache: 64 << 20, workers: 2 };
/// One that holds a few spans.
const TIGHT: Options = Options { span_size: 128 << 10, cache: 8 << 20, workers: 2 };

/// An indexed layer of which nothing has been read yet.
fn indexed(options: Options, blob: &[u8], diff: &[u8]) -> (Place, Layer) {
    let wanted = wanted(blob, diff);
    let place = Place::new(options);
    place.open(&wanted, &OneBlob::new(blob)).unwrap();
    let place = place.reopened();
    place.record.take();
    let layer = place.open(&wanted, &OneBlob::new(b"")).unwrap();
    (place, layer)
}

#[test]
fn lazy_opening_and_listing_an_indexed_layer_reads_nothing_of_its_blob() {
    let diff = tar_of(&[("a", &content(1, 400_000)), ("b", &content(2, 400_000))]);
    for blob in [diff.clone(), gzip(6, &diff), zstd(&diff)] {
        let (place, layer) = indexed(TIGHT, &blob, &diff);
        assert_eq!(entries(&layer).len(), 2);
        assert_eq!((layer.diff_size(), layer.diff_id()), (diff.len() as u64, &Digest::of(&diff)));
        assert_eq!((place.record.take(), place.layers.decoded()), (Vec::new(), 0));
    }
}

#[test]
fn lazy_reading_a_file_of_a_plain_layer_reads_the_pieces_it_touches() {
    let diff = tar_of(&[("a", &content(1, 400_000)), ("b", &content(2, 5000)), ("c", &content(3, 400_000))]);
    let (place, layer) = indexed(TIGHT, &diff, &diff);
    let Some(Body::Content { offset, size }) = entries(&layer).into_iter().nth(1).map(|entry| entry.body) else {
        panic!()
    };
    read(&**layer.diff(), offset, usize::try_from(size).unwrap());
    let ranges: Vec<_> = place.record.take().into_iter().map(|read| read.range).collect();
    // The file lies from 401,408 to 406,408, pieces are 64 KiB, spans 128 KiB.
    assert_eq!(ranges.len(), 1);
    assert_eq!(ranges[0], 393_216..458_752);
}

#[test]
fn lazy_a_random_read_of_a_gzip_layer_reads_one_span_at_most() {
    let diff = big_tar(6 << 20);
    let blob = gzip(6, &diff);
    let mut numbers = Numbers::new(11);
    for _ in 0..20 {
        let (place, layer) = indexed(TIGHT, &blob, &diff);
        let at = numbers.below(diff.len() as u64 - 4096);
        read(&**layer.diff(), at, 4096);
        let ranges: Vec<_> = place.record.take().into_iter().map(|read| read.range).collect();
        assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "nothing twice: {ranges:?}");
        // A span is 128 KiB and the rest of a deflate block (up to some 300 KiB here), and a read may touch two.
        assert!(place.layers.decoded() <= 1 << 20, "{} bytes decoded", place.layers.decoded());
        let read: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        assert!(read <= 600_000, "{read} bytes read");
    }
}

#[test]
fn lazy_a_sequential_read_decodes_each_span_once() {
    let diff = big_tar(12 << 20);
    let frames: Vec<u8> = diff.chunks(300_000).flat_map(zstd).collect();
    for (name, blob) in [("gzip", gzip(6, &diff)), ("zstd", zstd(&diff)), ("frames", frames), ("plain", diff.clone())] {
        for step in [4096, 100_000, 1 << 20] {
            let (place, layer) = indexed(TIGHT, &blob, &diff);
            for (at, right) in (0_u64..).step_by(step).zip(diff.chunks(step)) {
                assert!(read(&**layer.diff(), at, right.len()) == right);
            }
            assert_eq!(place.layers.decoded(), diff.len() as u64, "{name} in steps of {step}");
        }
    }
}

#[test]
fn lazy_eight_readers_at_once_cost_one_decode_of_each_span() {
    let diff = Arc::new(big_tar(8 << 20));
    for blob in [gzip(6, &diff), zstd(&diff), diff.to_vec()] {
        let (place, layer) = indexed(ROOMY, &blob, &diff);
        std::thread::scope(|threads| {
            for reader in 0..8 {
                let (diff, source) = (diff.clone(), layer.diff().clone());
                threads.spawn(move || {
                    let step = 50_000 + reader * 10_000;
                    for (at, right) in (0_u64..).step_by(step).zip(diff.chunks(step)) {
                        assert!(read(&*source, at, right.len()) == right);
                    }
                });
            }
        });
        assert_eq!(place.layers.decoded(), diff.len() as u64);
    }
}

#[test]
fn lazy_a_layer_that_two_images_share_is_decoded_once() {
    let diff = big_tar(1 << 20);
    let blob = gzip(6, &diff);
    let (place, first) = indexed(ROOMY, &blob, &diff);
    let second = place.open(&wanted(&blob, &diff), &OneBlob::new(b"")).unwrap();
    for layer in [&first, &second] {
        read(&**layer.diff(), 0, diff.len());
    }
    assert_eq!(place.layers.decoded(), diff.len() as u64);
}

#[test]
fn lazy_a_layer_is_fetched_and_indexed_once_by_many_who_want_it() {
    let diff = big_tar(1 << 20);
    let blob = gzip(6, &diff);
    let (place, fetch) = (Place::new(ROOMY), OneBlob::new(&blob));
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| assert_eq!(place.open(&wanted(&blob, &diff), &fetch).unwrap().toc().len(), 1));
        }
    });
    assert_eq!(fetch.asked(), 1);
}
