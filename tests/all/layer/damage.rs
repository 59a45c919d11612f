//! Damage to blobs and indexes: the right error or the right bytes, never others, and nothing bad is kept.

use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use lkit::base::{Digest, ErrorKind, Fault as _, Silent};
use lkit::blob::{Fetch, Store};
use lkit::layer::{Layer, Options, Wanted};

use super::fixture::{Numbers, OneBlob, Place, big_tar, gzip, read, wanted, zstd as compressed};

const SMALL: Options = Options { span_size: 128 << 10, cache: 1 << 20, workers: 2 };

/// A tar of one file and its blobs in every compression.
fn blobs() -> (Vec<u8>, Vec<(&'static str, Vec<u8>)>) {
    let diff = big_tar(1 << 20);
    let frames = diff.chunks(200_000).flat_map(compressed).collect();
    let members = diff.chunks(200_000).flat_map(|chunk| gzip(6, chunk)).collect();
    let blobs = vec![
        ("plain", diff.clone()),
        ("gzip", gzip(6, &diff)),
        ("gzip members", members),
        ("zstd", compressed(&diff)),
        ("zstd frames", frames),
    ];
    (diff, blobs)
}

fn files_below(dir: PathBuf) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

fn kept(place: &Place) -> usize {
    ["blobs/sha256", "lkit/index", "lkit/tmp"].into_iter().map(|dir| files_below(place.path(dir)).len()).sum()
}

#[test]
fn damage_to_a_blob_on_its_way_is_told_and_nothing_is_kept() {
    let (diff, blobs) = blobs();
    let place = Place::new(SMALL);
    for (name, blob) in &blobs {
        let right = wanted(blob, &diff);
        let mut flipped = blob.clone();
        flipped[blob.len() / 2] ^= 1;
        let mut start = blob.clone();
        start[0] ^= 0x80;
        let cut = &blob[..blob.len() - 1];
        let long = [&blob[..], b"x"].concat();
        let zeros = vec![0; blob.len()];
        for damaged in [&flipped[..], &start, cut, &zeros, b""] {
            let error = place.open(&right, &OneBlob::new(damaged)).map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}: {error:?}");
            assert_eq!(error.to_string(), format!("cannot use layer `{}`", right.digest));
        }
        // Well-formed by its digest, but not what it should be.
        for damaged in [&flipped[..], cut] {
            let error = place.open(&wanted(damaged, &diff), &OneBlob::new(damaged)).map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}: {error:?}");
        }
        let short = Wanted { size: right.size - 1, ..right };
        assert_eq!(place.open(&short, &OneBlob::new(&long)).map(drop).unwrap_err().kind(), ErrorKind::Corrupt);
        let other = Wanted { diff_id: Digest::of(b""), ..right };
        assert_eq!(place.open(&other, &OneBlob::new(blob)).map(drop).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(kept(&place), 0, "{name}");
    }
}

#[test]
fn damage_by_a_broken_connection_is_told_and_nothing_is_kept() {
    let diff = big_tar(1 << 20);
    let blob = gzip(6, &diff);
    let place = Place::new(SMALL);
    let fetch: Arc<dyn Fetch> = Arc::new(Broken(blob[..blob.len() / 2].to_vec()));
    let error = place.layers.open(&wanted(&blob, &diff), &fetch, &Silent).map(drop).unwrap_err();
    assert_eq!((error.kind(), kept(&place)), (ErrorKind::Io, 0));
    assert_eq!(place.open(&wanted(&blob, &diff), &OneBlob::new(&blob)).unwrap().toc().len(), 1);
}

/// Gives some bytes, then breaks.
struct Broken(Vec<u8>);

impl Fetch for Broken {
    fn fetch(&self, _: &Digest, _: Range<u64>) -> Result<Box<dyn Read + Send>, lkit::blob::Error> {
        Ok(Box::new(std::io::Cursor::new(self.0.clone()).chain(Breaks)))
    }
}

struct Breaks;

impl Read for Breaks {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn a_zstd_frame_with_a_huge_window_is_refused() {
    let diff = big_tar(100_000);
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    std::io::Write::write_all(&mut encoder, &diff).unwrap();
    let blob = encoder.finish().unwrap();
    let error = Place::new(SMALL).open(&wanted(&blob, &diff), &OneBlob::new(&blob)).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
}

#[test]
fn damage_to_an_index_is_mended_without_a_word() {
    let (diff, blobs) = blobs();
    for (name, blob) in blobs {
        let wanted = wanted(&blob, &diff);
        let mut place = Place::new(SMALL);
        place.open(&wanted, &OneBlob::new(&blob)).unwrap();
        let index = files_below(place.path("lkit/index")).pop().unwrap();
        let sound = fs::read(&index).unwrap();
        let mut numbers = Numbers::new(5);
        let mut damages =
            vec![Vec::new(), sound[..sound.len() - 1].to_vec(), sound[..64].to_vec(), vec![0; sound.len()]];
        for at in [0, 8, 12, 16, 24, 32, 96, 104, 128, sound.len() - 1] {
            let mut flipped = sound.clone();
            flipped[at] ^= 1 << numbers.below(8);
            damages.push(flipped);
        }
        for damaged in damages {
            fs::remove_file(&index).unwrap();
            fs::write(&index, &damaged).unwrap();
            place = place.reopened();
            let nothing = OneBlob::new(b"");
            let layer = place.open(&wanted, &nothing).unwrap();
            assert!(read(&**layer.diff(), 1000, 1 << 19) == diff[1000..1000 + (1 << 19)], "{name}");
            assert_eq!(nothing.asked(), 0, "{name}");
            assert!(fs::read(&index).unwrap() == sound, "{name}: the same pass makes the same index");
        }
    }
}

#[test]
fn an_index_of_another_version_counts_as_none() {
    let (diff, blobs) = blobs();
    let blob = OneBlob::new(&blobs[1].1);
    let wanted = wanted(&blob.blob, &diff);
    let place = Place::new(SMALL);
    place.open(&wanted, &blob).unwrap();
    assert!(place.layers.has_index(&wanted.digest));
    let mut summaries = place.layers.published(&[wanted.digest]).unwrap().summaries;
    let file = files_below(place.path("lkit/index")).pop().unwrap();
    let mut index = fs::read(&file).unwrap();
    index[8] -= 1;
    fs::write(&file, index).unwrap();
    assert!(!place.layers.has_index(&wanted.digest));

    let fetch: Arc<dyn Fetch> = Arc::new(blob);
    let store = Store::open(&place.path(""), &[]).unwrap();
    let parts = store.reach_for(&wanted.digest, wanted.size, &fetch).unwrap();
    let version = summaries.windows(8).position(|bytes| bytes == b"lkit-idx").unwrap() + 8;
    for (change, has_index) in [(-1, false), (1, true)] {
        summaries[version] = summaries[version].wrapping_add_signed(change);
        place.layers.offer(&[wanted.digest], &summaries, &parts).unwrap();
        assert_eq!(place.layers.has_index(&wanted.digest), has_index);
    }
}

/// Reads a whole layer in parts: each gives the right bytes or is an error about damage. How many are errors.
fn corrupt_reads(layer: &Layer, diff: &[u8], what: &str) -> usize {
    let mut errors = 0;
    for (start, right) in (0_u64..).step_by(50_000).zip(diff.chunks(50_000)) {
        let mut bytes = vec![0; right.len()];
        match layer.diff().read_at(&mut bytes, start) {
            Ok(()) => assert!(bytes == right, "{what}: other bytes at {start}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:?}");
                errors += 1;
            }
        }
    }
    errors
}

/// What happens to a file while it is open.
fn damages_in_place(sound: &[u8], numbers: &mut Numbers) -> Vec<(&'static str, Vec<u8>)> {
    let mut damages = vec![
        ("cut short", sound[..sound.len() / 2].to_vec()),
        ("emptied", Vec::new()),
        ("zeroed", vec![0; sound.len()]),
        ("extended", [sound, &[7; 5000]].concat()),
    ];
    for _ in 0..20 {
        let mut flipped = sound.to_vec();
        flipped[numbers.below(sound.len() as u64) as usize] ^= 1 << numbers.below(8);
        damages.push(("flipped", flipped));
    }
    let mut noise = sound.to_vec();
    noise.iter_mut().skip(300).for_each(|byte| *byte = numbers.below(256) as u8);
    damages.push(("overwritten", noise));
    damages
}

#[test]
fn damage_to_an_index_in_place_under_a_live_layer_never_gives_other_bytes_or_a_panic() {
    let (diff, blobs) = blobs();
    for (name, blob) in blobs {
        let wanted = wanted(&blob, &diff);
        let mut place = Place::new(SMALL);
        place.open(&wanted, &OneBlob::new(&blob)).unwrap();
        let index = files_below(place.path("lkit/index")).pop().unwrap();
        let sound = fs::read(&index).unwrap();
        let mut numbers = Numbers::new(9);
        let mut told = 0;
        for (how, damaged) in damages_in_place(&sound, &mut numbers) {
            place = place.reopened();
            let layer = place.open(&wanted, &OneBlob::new(&blob)).unwrap();
            fs::write(&index, &damaged).unwrap();
            told += corrupt_reads(&layer, &diff, &format!("{name}, {how}"));
            // A layer that is opened now makes a new index, and finds the blob where it was.
            drop(layer);
            place = place.reopened();
            let nothing = OneBlob::new(b"");
            let layer = place.open(&wanted, &nothing).unwrap();
            assert!(read(&**layer.diff(), 0, diff.len()) == diff, "{name}, {how}");
            assert_eq!(nothing.asked(), 0, "{name}, {how}: the blob is not to blame");
            fs::write(&index, &sound).unwrap();
        }
        assert!(told > 0, "{name}: nothing was found");
    }
}

#[test]
fn damage_to_an_index_by_swapping_it_is_mended() {
    let (diff, other) = (big_tar(400_000), big_tar(500_000));
    let (blob, other_blob) = (gzip(6, &diff), gzip(6, &other));
    let place = Place::new(SMALL);
    place.open(&wanted(&blob, &diff), &OneBlob::new(&blob)).unwrap();
    place.open(&wanted(&other_blob, &other), &OneBlob::new(&other_blob)).unwrap();
    let index = |blob: &[u8]| place.path("lkit/index").join(Digest::of(blob).hex());
    fs::copy(index(&other_blob), index(&blob)).unwrap();
    let place = place.reopened();
    let layer = place.open(&wanted(&blob, &diff), &OneBlob::new(b"")).unwrap();
    assert!(read(&**layer.diff(), 0, diff.len()) == diff);
}

#[test]
fn damage_to_a_cached_blob_without_an_index_fetches_it_again() {
    let (diff, blobs) = blobs();
    for (name, blob) in blobs {
        let wanted = wanted(&blob, &diff);
        let place = Place::new(SMALL);
        let path = place.path("blobs/sha256").join(wanted.digest.hex());
        let mut damaged = blob.clone();
        damaged[blob.len() / 3] ^= 0x10;
        fs::write(path, damaged).unwrap();
        let fetch = OneBlob::new(&blob);
        let layer = place.open(&wanted, &fetch).unwrap();
        assert_eq!(fetch.asked(), 1, "{name}");
        assert!(read(&**layer.diff(), 0, diff.len()) == diff, "{name}");
    }
}

#[test]
fn damage_to_an_indexed_blob_never_gives_other_bytes_and_is_mended_by_the_next_run() {
    let (diff, blobs) = blobs();
    for (name, blob) in blobs {
        let wanted = wanted(&blob, &diff);
        let mut place = Place::new(SMALL);
        place.open(&wanted, &OneBlob::new(&blob)).unwrap();
        let path = place.path("blobs/sha256").join(wanted.digest.hex());
        let mut numbers = Numbers::new(3);
        for _ in 0..12 {
            let mut damaged = blob.clone();
            let at = numbers.below(blob.len() as u64) as usize;
            damaged[at] ^= 1 << numbers.below(8);
            fs::remove_file(&path).unwrap();
            fs::write(&path, damaged).unwrap();
            place = place.reopened();
            let layer = place.open(&wanted, &OneBlob::new(&blob)).unwrap();
            let told = corrupt_reads(&layer, &diff, &format!("{name}: flipped byte {at}")) > 0;
            drop(layer);
            place = place.reopened();
            let fetch = OneBlob::new(&blob);
            let layer = place.open(&wanted, &fetch).unwrap();
            assert_eq!(fetch.asked(), usize::from(told), "{name}: a blob that is known to be damaged is fetched again");
            if told {
                assert!(read(&**layer.diff(), 0, diff.len()) == diff, "{name}");
            }
        }
    }
}
