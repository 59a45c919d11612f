//! Layers whose blobs are not here: their spans are fetched by range, verified, and kept as the store says.

use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lkit::base::{Digest, ErrorKind, Fault as _, Silent};
use lkit::blob::{self, Fetch, Keep, Store};
use lkit::layer::{Layer, Layers, Options, ReadList, Recorder, Wanted};

use super::fixture::{Numbers, big_tar, gzip, read, wanted, zstd};

const OPTIONS: Options = Options { span_size: 128 << 10, cache: 1 << 20, workers: 2 };

/// Gives ranges of a blob and notes them; flips a bit of each byte as long as it lies.
struct Registry {
    blob: Vec<u8>,
    asked: Mutex<Vec<Range<u64>>>,
    lies: AtomicBool,
}

impl Registry {
    fn of(blob: &[u8]) -> Arc<Self> {
        Arc::new(Self { blob: blob.to_vec(), asked: Mutex::default(), lies: AtomicBool::new(false) })
    }

    fn taken(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Waits until this many ranges were asked for.
    fn wait_for(&self, count: usize) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.asked.lock().unwrap().len() < count {
            assert!(Instant::now() < end, "fewer than {count} ranges are asked for");
            std::thread::yield_now();
        }
    }

    fn bytes_asked(&self) -> u64 {
        self.taken().into_iter().map(|range| range.end - range.start).sum()
    }
}

impl Fetch for Registry {
    fn fetch(&self, _: &Digest, range: Range<u64>) -> Result<Box<dyn Read + Send>, blob::Error> {
        self.asked.lock().unwrap().push(range.clone());
        let mut bytes = self.blob[range.start as usize..range.end as usize].to_vec();
        if self.lies.load(Ordering::Relaxed) {
            bytes.iter_mut().for_each(|byte| *byte ^= 1);
        }
        Ok(Box::new(std::io::Cursor::new(bytes)))
    }
}

/// A cache that has nothing but the index of a layer.
struct Bare {
    dir: tempfile::TempDir,
    wanted: Wanted,
}

impl Bare {
    fn new(blob: &[u8], diff: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bare = Self { dir, wanted: wanted(blob, diff) };
        bare.open(Keep::Full, &Registry::of(blob)).unwrap();
        std::fs::remove_file(bare.blob()).unwrap();
        bare
    }

    fn blob(&self) -> std::path::PathBuf {
        self.dir.path().join("blobs/sha256").join(self.wanted.digest.hex())
    }

    fn sparse(&self) -> std::path::PathBuf {
        self.dir.path().join("lkit/sparse").join(self.wanted.digest.hex())
    }

    /// The layer as another process opens it.
    fn open(&self, keep: Keep, registry: &Arc<Registry>) -> Result<(Layers, Layer), lkit::layer::Error> {
        let store = Store::open(self.dir.path(), &[]).unwrap().keeping(keep);
        let layers = Layers::new(Arc::new(store), OPTIONS);
        let fetch: Arc<dyn Fetch> = registry.clone();
        let layer = layers.open(&self.wanted, &fetch, &Silent)?;
        Ok((layers, layer))
    }
}

#[test]
fn lazy_a_read_of_a_layer_that_is_not_here_fetches_the_spans_it_touches() {
    let diff = big_tar(6 << 20);
    for (name, blob, most) in [("gzip", gzip(6, &diff), 4 * 16384), ("plain", diff.clone(), 2 * 16384)] {
        let bare = Bare::new(&blob, &diff);
        let mut numbers = Numbers::new(5);
        for keep in [Keep::Full, Keep::Index] {
            let registry = Registry::of(&blob);
            let (_layers, layer) = bare.open(keep, &registry).unwrap();
            assert_eq!(registry.taken(), [], "{name}: listing it costs nothing");
            let at = numbers.below(diff.len() as u64 - 4096);
            let found = read(&**layer.diff(), at, 4096);
            assert_eq!(found, diff[at as usize..at as usize + 4096], "{name}");
            let asked = registry.taken();
            assert!(asked.len() <= 2, "{name}: {asked:?}");
            let fetched: u64 = asked.iter().map(|range| range.end - range.start).sum();
            assert!(fetched <= (128 << 10) * 2 + most, "{name}: {fetched} bytes");
            std::fs::remove_file(bare.sparse()).ok();
        }
    }
}

#[test]
fn lazy_a_reader_that_leaves_out_every_other_piece_has_nothing_fetched_ahead() {
    let diff = big_tar(12 << 20);
    let bare = Bare::new(&diff, &diff);
    let registry = Registry::of(&diff);
    let store = Store::open(bare.dir.path(), &[]).unwrap();
    let layers = Layers::new(Arc::new(store), Options { cache: 48 << 20, ..OPTIONS });
    let fetch: Arc<dyn Fetch> = registry.clone();
    let layer = layers.open(&bare.wanted, &fetch, &Silent).unwrap();
    for at in (0..6 << 20).step_by(256 << 10) {
        assert_eq!(read(&**layer.diff(), at, 128 << 10), diff[at as usize..][..128 << 10]);
    }
    let asked = registry.taken();
    assert!(asked.iter().all(|range| range.end <= 6 << 20), "{asked:?}");
}

#[test]
fn what_was_fetched_is_kept_in_part_and_not_fetched_again() {
    let diff = big_tar(3 << 20);
    let blob = gzip(6, &diff);
    let bare = Bare::new(&blob, &diff);
    let registry = Registry::of(&blob);
    for again in [false, true] {
        let (_layers, layer) = bare.open(Keep::Full, &registry).unwrap();
        assert_eq!(read(&**layer.diff(), 1 << 20, 100_000), diff[1 << 20..][..100_000]);
        assert_eq!(registry.bytes_asked() == 0, again);
    }
    let kept = std::fs::metadata(bare.sparse()).unwrap().blocks() * 512;
    assert!(kept < blob.len() as u64 / 2, "{kept} of {} bytes", blob.len());
    let (_layers, layer) = bare.open(Keep::Full, &registry).unwrap();
    assert_eq!(read(&**layer.diff(), 0, diff.len()), diff);
    assert!(registry.bytes_asked() <= blob.len() as u64 - kept / 2, "only the rest is fetched");
    assert!(!bare.blob().exists(), "a blob is not completed behind one's back");
}

#[test]
fn an_index_alone_is_kept_where_the_store_keeps_no_blobs() {
    let diff = big_tar(2 << 20);
    for blob in [gzip(6, &diff), zstd(&diff), diff.clone()] {
        let bare = Bare { dir: tempfile::tempdir().unwrap(), wanted: wanted(&blob, &diff) };
        let registry = Registry::of(&blob);
        let (_layers, layer) = bare.open(Keep::Index, &registry).unwrap();
        assert_eq!(registry.bytes_asked(), blob.len() as u64, "one pass over all of it");
        assert_eq!(read(&**layer.diff(), 0, diff.len()), diff);
        assert!(!bare.blob().exists() && !bare.sparse().exists());
        assert_eq!(std::fs::read_dir(bare.dir.path().join("lkit/index")).unwrap().count(), 1);
    }
}

#[test]
fn damage_to_ranges_is_never_served_and_what_is_right_later_is() {
    let diff = big_tar(2 << 20);
    for blob in [gzip(6, &diff), diff.clone()] {
        let bare = Bare::new(&blob, &diff);
        for keep in [Keep::Full, Keep::Index] {
            let registry = Registry::of(&blob);
            let (_layers, layer) = bare.open(keep, &registry).unwrap();
            registry.lies.store(true, Ordering::Relaxed);
            let mut buf = vec![0; 5000];
            let error = layer.diff().read_at(&mut buf, 700_000).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
            assert!(registry.taken().len() >= 2, "it is asked for once more");
            registry.lies.store(false, Ordering::Relaxed);
            assert_eq!(read(&**layer.diff(), 700_000, 5000), diff[700_000..705_000]);
        }
        std::fs::remove_file(bare.sparse()).ok();
    }
}

#[test]
fn damage_to_a_partly_kept_blob_is_mended_by_fetching_it_again() {
    let diff = big_tar(2 << 20);
    let blob = gzip(6, &diff);
    let bare = Bare::new(&blob, &diff);
    let registry = Registry::of(&blob);
    bare.open(Keep::Full, &registry).map(|(_layers, layer)| read(&**layer.diff(), 0, diff.len())).unwrap();
    let mut kept = std::fs::read(bare.sparse()).unwrap();
    kept[..blob.len()].iter_mut().for_each(|byte| *byte = 0);
    std::fs::write(bare.sparse(), &kept).unwrap();
    let (_layers, layer) = bare.open(Keep::Full, &registry).unwrap();
    assert_eq!(read(&**layer.diff(), 0, diff.len()), diff);
    // Of another length than such a file has, it is made anew.
    std::fs::write(bare.sparse(), b"rubbish").unwrap();
    let (_layers, layer) = bare.open(Keep::Full, &registry).unwrap();
    assert_eq!(read(&**layer.diff(), 0, diff.len()), diff);
}

#[test]
fn many_readers_of_many_processes_fetch_each_byte_once() {
    let diff = big_tar(4 << 20);
    let blob = gzip(6, &diff);
    let bare = Bare::new(&blob, &diff);
    let registry = Registry::of(&blob);
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                let (_layers, layer) = bare.open(Keep::Full, &registry).unwrap();
                assert_eq!(read(&**layer.diff(), 0, diff.len()), diff);
            });
        }
    });
    let asked = registry.bytes_asked();
    assert_eq!(asked, blob.len() as u64, "each process is one machine's part of the registry's work");
}

#[test]
fn a_layer_that_is_read_to_its_end_takes_tens_of_requests() {
    let diff = big_tar(20 << 20);
    let blob = gzip(6, &diff);
    for keep in [Keep::Full, Keep::Index] {
        let bare = Bare::new(&blob, &diff);
        let registry = Registry::of(&blob);
        let (_layers, layer) = bare.open(keep, &registry).unwrap();
        for (number, expected) in diff.chunks(100_000).enumerate() {
            assert_eq!(read(&**layer.diff(), number as u64 * 100_000, expected.len()), expected);
        }
        let asked = registry.taken();
        let fetched: u64 = asked.iter().map(|range| range.end - range.start).sum();
        assert_eq!(fetched, blob.len() as u64, "each byte once");
        assert!(asked.len() <= 24, "{} requests for {} spans", asked.len(), diff.len() / (128 << 10));
    }
}

#[test]
fn lazy_what_a_read_list_names_is_fetched_at_once_and_nothing_else() {
    let diff = big_tar(8 << 20);
    let blob = gzip(6, &diff);
    let places = [6 << 20, 2 << 20, (2 << 20) + 300_000, 64];
    let list = recorded(&blob, &diff, &places);
    for keep in [Keep::Full, Keep::Index] {
        let bare = Bare::new(&blob, &diff);
        let registry = Registry::of(&blob);
        let (layers, layer) = bare.open(keep, &registry).unwrap();
        layers.prefetch(&list);
        let ranges = list_of(&list, &bare);
        registry.wait_for(ranges.len());
        let prefetched = registry.taken();
        for place in places {
            assert_eq!(read(&**layer.diff(), place, 5000), diff[place as usize..][..5000]);
        }
        assert_eq!(registry.taken(), [], "all of it was fetched before");
        let fetched: u64 = prefetched.iter().map(|range| range.end - range.start).sum();
        assert!(fetched < blob.len() as u64 * 2 / 3, "{fetched} of {} bytes", blob.len());
        assert_eq!((prefetched.len(), ranges.len()), (3, 3), "what lies near is one request: {prefetched:?}");
    }
}

#[test]
fn a_read_list_that_is_wrong_changes_nothing_that_is_read() {
    let diff = big_tar(2 << 20);
    let blob = gzip(6, &diff);
    let bare = Bare::new(&blob, &diff);
    let registry = Registry::of(&blob);
    let (layers, layer) = bare.open(Keep::Index, &registry).unwrap();
    let (own, other) = (bare.wanted.digest, Digest::of(b"other"));
    let text = format!(
        r#"{{"version":1,"layers":[{{"digest":"{other}","ranges":[[0,99]]}},{{"digest":"x","ranges":[]}},
        {{"digest":"{own}","ranges":[[{end},{max}],[7,3]]}}]}}"#,
        end = blob.len() - 1,
        max = u64::MAX
    );
    registry.lies.store(true, Ordering::Relaxed);
    layers.prefetch(&ReadList::parse(text.as_bytes()).unwrap());
    registry.wait_for(1);
    registry.lies.store(false, Ordering::Relaxed);
    assert_eq!(read(&**layer.diff(), 0, diff.len()), diff);
}

/// What is read of a layer at these places.
fn recorded(blob: &[u8], diff: &[u8], places: &[u64]) -> ReadList {
    let bare = Bare::new(blob, diff);
    let recorder = Arc::new(Recorder::default());
    let store = Store::open(bare.dir.path(), &[]).unwrap().recording(recorder.clone());
    let layers = Layers::new(Arc::new(store), OPTIONS);
    let fetch: Arc<dyn Fetch> = Registry::of(blob);
    let layer = layers.open(&bare.wanted, &fetch, &Silent).unwrap();
    places.iter().for_each(|place| drop(read(&**layer.diff(), *place, 5000)));
    recorder.list()
}

/// The ranges of a layer in a list, those that lie near to each other as one.
fn list_of(list: &ReadList, bare: &Bare) -> Vec<[u64; 2]> {
    let json: serde_json::Value = serde_json::from_slice(&list.to_bytes()).unwrap();
    assert_eq!(json["layers"][0]["digest"], bare.wanted.digest.to_string());
    let ranges: Vec<[u64; 2]> = serde_json::from_value(json["layers"][0]["ranges"].clone()).unwrap();
    let mut joined: Vec<[u64; 2]> = Vec::new();
    for [start, end] in ranges {
        match joined.last_mut() {
            Some(last) if start <= last[1] + (256 << 10) => last[1] = end,
            _ => joined.push([start, end]),
        }
    }
    joined
}

#[test]
fn a_blob_of_any_claimed_size_takes_no_memory_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &[]).unwrap();
    let registry = Registry::of(&[7; 100]);
    let fetch: Arc<dyn Fetch> = registry.clone();
    for size in [u64::MAX, u64::MAX - 1, 1 << 60, (1 << 40) + 1] {
        let blob = store.ranged(&Digest::of(b"large"), size, &fetch).unwrap();
        let mut buf = [0; 10];
        lkit::extent::Source::will_read(&*blob, 0..0);
        assert_eq!(lkit::extent::Source::size(&*blob), size);
        assert!(lkit::extent::Source::read_at(&*blob, &mut buf, size).is_err());
        assert!(!blob.is_kept());
    }
    assert_eq!(registry.taken(), []);
    assert_eq!(std::fs::read_dir(dir.path().join("lkit/sparse")).unwrap().count(), 0);
}
