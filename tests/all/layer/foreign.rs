//! Layers by indexes that others made: the same files as by our own pass, with no pass; damage is told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lkit::base::{Digest, ErrorKind, Fault as _, Metadata, Xattrs};
use lkit::extent::{Bytes, ReadError, SharedSource, Source};
use lkit::layer::{Body, Entry, Error, Foreign, Gunzip, InBlob, Layer, Options, Wanted};

use super::fixture::{OneBlob, Place, entries, read, wanted};

const SMALL: Options = Options { span_size: 128 << 10, cache: 1 << 20, workers: 2 };

pub fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/layer/golden").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn unpacked(blob: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    if blob.starts_with(&[0x1f, 0x8b]) {
        std::io::Read::read_to_end(&mut Gunzip::new(blob), &mut tar).unwrap();
        return tar;
    }
    zstd::stream::decode_all(blob).unwrap()
}

/// An index that is not in the blob, or the annotations of one that is.
enum Index {
    Ztoc(Vec<u8>),
    InBlob(InBlob),
}

impl Index {
    fn foreign(&self) -> Foreign<'_> {
        match self {
            Self::Ztoc(bytes) => Foreign::Ztoc(bytes),
            Self::InBlob(index) => Foreign::InBlob(index),
        }
    }
}

/// A blob with its tar, and its index.
struct Sample {
    name: &'static str,
    blob: Vec<u8>,
    tar: Vec<u8>,
    index: Index,
}

impl Sample {
    fn new(name: &'static str, blob: Vec<u8>, index: Index) -> Self {
        let tar = if name.ends_with(".tar") { blob.clone() } else { unpacked(&blob) };
        Self { name, blob, tar, index }
    }

    fn wanted(&self) -> Wanted {
        wanted(&self.blob, &self.tar)
    }
}

fn annotations(pairs: &[(&str, String)]) -> InBlob {
    let map: BTreeMap<String, String> = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    InBlob::of(&map).unwrap()
}

fn estargz(digest: &str) -> Index {
    Index::InBlob(annotations(&[("containerd.io/snapshot/stargz/toc.digest", format!("sha256:{digest}"))]))
}

fn chunked(name: &str) -> Index {
    let map: BTreeMap<String, String> = serde_json::from_slice(&golden(name)).unwrap();
    Index::InBlob(InBlob::of(&map).unwrap())
}

/// The annotations that a footer of 40 bytes at the end of a blob tells.
fn by_footer(blob: &[u8]) -> Index {
    let footer = &blob[blob.len() - 40..];
    let number = |at: usize| u64::from_le_bytes(footer[8 * at..8 * at + 8].try_into().unwrap());
    let toc = &blob[number(0) as usize..(number(0) + number(1)) as usize];
    let position = format!("{}:{}:{}:1", number(0), number(1), number(2));
    Index::InBlob(annotations(&[
        ("io.containers.zstd-chunked.manifest-checksum", Digest::of(toc).to_string()),
        ("io.containers.zstd-chunked.manifest-position", position),
    ]))
}

fn samples() -> Vec<Sample> {
    let tar = unpacked(&golden("layer.tgz"));
    let stargz_zst = golden("stargz.zst");
    let by_footer = by_footer(&stargz_zst);
    vec![
        Sample::new("layer.tgz", golden("layer.tgz"), Index::Ztoc(golden("layer.tgz.ztoc"))),
        Sample::new("members.tgz", golden("members.tgz"), Index::Ztoc(golden("members.tgz.ztoc"))),
        Sample::new("layer.tar", tar, Index::Ztoc(golden("layer.tar.ztoc"))),
        Sample::new(
            "stargz.tgz",
            golden("stargz.tgz"),
            estargz("0fec756ed9cab00621e01a73cc3bf4d2b556b6a7b9bf2818a5fc430b3a7b262e"),
        ),
        Sample::new(
            "stargz-min.tgz",
            golden("stargz-min.tgz"),
            estargz("4101be53aac411248a9e4f920ffb480797b508b1c2793a53781681c1b9a4fd90"),
        ),
        Sample::new("stargz.zst", stargz_zst, by_footer),
        Sample::new("chunked.zst", golden("chunked.zst"), chunked("chunked.json")),
        Sample::new("skopeo193.zst", golden("skopeo193.zst"), chunked("skopeo193.json")),
    ]
}

/// A blob that takes note of what is read of it.
struct Recorded {
    bytes: Bytes,
    /// Where each read starts and ends.
    reads: Mutex<Vec<(u64, u64)>>,
}

impl Recorded {
    fn new(blob: &[u8]) -> Arc<Self> {
        Arc::new(Self { bytes: Bytes(blob.into()), reads: Mutex::default() })
    }

    fn reads(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut *self.reads.lock().unwrap())
    }
}

impl Source for Recorded {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        self.reads.lock().unwrap().push((offset, offset + buf.len() as u64));
        self.bytes.read_at(buf, offset)
    }
}

fn open(place: &Place, sample: &Sample, blob: &[u8]) -> Result<Layer, Error> {
    place.layers.open_foreign(&sample.wanted(), &sample.index.foreign(), Arc::new(Bytes(blob.into())))
}

/// What a path is, its content read.
#[derive(Debug, PartialEq)]
struct Seen {
    path: Vec<u8>,
    metadata: Metadata,
    link: Vec<u8>,
    content: Option<Vec<u8>>,
    xattrs: Xattrs,
}

fn seen(entry: &Entry<'_>, diff: &SharedSource) -> Result<Seen, ReadError> {
    let mut content = None;
    let mut link = Vec::new();
    match &entry.body {
        Body::Empty => {}
        Body::Content { offset, size } => content = Some(content_of(&**diff, *offset, *size)?),
        Body::Sparse { size, runs } => {
            let mut bytes = vec![0; *size as usize];
            for run in runs {
                let run_bytes = content_of(&**diff, run.offset, run.len)?;
                bytes[run.at as usize..][..run_bytes.len()].copy_from_slice(&run_bytes);
            }
            content = Some(bytes);
        }
        Body::Symlink(target) => link = [b"-> ", *target].concat(),
        Body::HardLink(target) => link = target.to_vec(),
    }
    Ok(Seen { path: entry.path.to_vec(), metadata: entry.metadata, link, content, xattrs: entry.xattrs.clone() })
}

fn content_of(diff: &dyn Source, offset: u64, size: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = vec![0xaa; size as usize];
    diff.read_at(&mut bytes, offset).map(|()| bytes)
}

fn all_seen(layer: &Layer) -> Vec<Seen> {
    entries(layer).iter().map(|entry| seen(entry, layer.diff()).unwrap()).collect()
}

#[test]
fn a_layer_by_an_index_of_others_has_the_files_that_our_pass_finds() {
    for sample in samples() {
        let (ours, theirs) = (Place::new(SMALL), Place::new(SMALL));
        let by_pass = ours.open(&sample.wanted(), &OneBlob::new(&sample.blob)).unwrap();
        let layer = open(&theirs, &sample, &sample.blob).unwrap();
        assert_eq!(all_seen(&layer), all_seen(&by_pass), "{}", sample.name);
        assert_eq!(layer.diff_id(), by_pass.diff_id());
        assert_eq!(theirs.record.take().len(), 0, "nothing is looked up in the store or kept there");
    }
}

#[test]
fn the_offsets_of_a_ztoc_count_in_the_tar() {
    for sample in samples().iter().filter(|sample| matches!(sample.index, Index::Ztoc(_))) {
        let place = Place::new(SMALL);
        let by_pass = place.open(&sample.wanted(), &OneBlob::new(&sample.blob)).unwrap();
        let layer = open(&place, sample, &sample.blob).unwrap();
        assert_eq!(entries(&layer), entries(&by_pass), "{}", sample.name);
        // SOCI stops reading behind the two blocks that end the archive; of a plain tar it has the size.
        let expected = if sample.name == "layer.tar" { 440_320 } else { 431_104 };
        assert_eq!(layer.diff_size(), expected, "{}", sample.name);
        assert!(read(&**layer.diff(), 0, expected as usize) == sample.tar[..expected as usize], "{}", sample.name);
    }
}

#[test]
fn prop_any_range_by_a_ztoc_is_that_range_of_the_tar() {
    for sample in samples().iter().filter(|sample| matches!(sample.index, Index::Ztoc(_))) {
        let place = Place::new(Options { cache: 0, ..SMALL });
        let layer = open(&place, sample, &sample.blob).unwrap();
        for (start, len) in (0..40).map(|n: usize| (n * 99_991 % 431_000, n * n * 31)) {
            let len = len.min(431_104 - start);
            let bytes = read(&**layer.diff(), start as u64, len);
            assert!(bytes == sample.tar[start..start + len], "{} {start} {len}", sample.name);
        }
    }
}

#[test]
fn lazy_a_file_costs_the_spans_it_lies_in() {
    // Of the blob: what opening reads, what reading `etc/passwd` does, and what reading it again does.
    let expected = [
        ("layer.tgz", vec![], vec![(10, 39_782)], vec![]),
        ("layer.tar", vec![], vec![(0, 65_536)], vec![]),
        ("stargz.tgz", vec![(102_753, 102_804), (101_372, 102_753)], vec![(221, 494)], vec![]),
        ("chunked.zst", vec![(55_213, 58_325)], vec![(112, 398)], vec![]),
    ];
    for (name, open, first, again) in expected {
        let sample = samples().into_iter().find(|sample| sample.name == name).unwrap();
        let (place, blob) = (Place::new(Options { workers: 0, ..SMALL }), Recorded::new(&sample.blob));
        let layer = place.layers.open_foreign(&sample.wanted(), &sample.index.foreign(), blob.clone()).unwrap();
        assert_eq!(blob.reads(), open, "{name}");
        let entries = entries(&layer);
        let passwd = entries.iter().find(|entry| entry.path == b"etc/passwd").unwrap();
        assert_eq!(seen(passwd, layer.diff()).unwrap().content.unwrap().len(), 33);
        assert_eq!(blob.reads(), first, "{name}");
        seen(passwd, layer.diff()).unwrap();
        assert_eq!(blob.reads(), again, "{name}");
    }
}

#[test]
fn damage_to_a_blob_is_told_or_changes_nothing() {
    for sample in samples() {
        let right = all_seen(&open(&Place::new(SMALL), &sample, &sample.blob).unwrap());
        let (mut told, mut same) = (0, 0);
        for at in (0..sample.blob.len()).step_by(sample.blob.len() / 60) {
            let mut blob = sample.blob.clone();
            blob[at] ^= 1 << (at % 8);
            let layer = match open(&Place::new(SMALL), &sample, &blob) {
                Ok(layer) => layer,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
                    told += 1;
                    continue;
                }
            };
            for (entry, right) in entries(&layer).iter().zip(&right) {
                match seen(entry, layer.diff()) {
                    Ok(seen) => {
                        assert_eq!(seen, *right, "{} {at}", sample.name);
                        same += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
                        told += 1;
                    }
                }
            }
        }
        assert!(told > 0 && same > 0, "{}: {told} {same}", sample.name);
    }
}

#[test]
fn damage_to_a_blob_between_two_reads_is_told() {
    struct Changing(Mutex<Vec<u8>>);
    impl Source for Changing {
        fn size(&self) -> u64 {
            self.0.lock().unwrap().len() as u64
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
            let bytes = self.0.lock().unwrap();
            buf.copy_from_slice(&bytes[offset as usize..][..buf.len()]);
            Ok(())
        }
    }
    for sample in samples() {
        let place = Place::new(Options { cache: 0, workers: 0, ..SMALL });
        let blob = Arc::new(Changing(Mutex::new(sample.blob.clone())));
        let layer = place.layers.open_foreign(&sample.wanted(), &sample.index.foreign(), blob.clone()).unwrap();
        let right = all_seen(&layer);
        blob.0.lock().unwrap().fill(0x55);
        for (entry, right) in entries(&layer).iter().zip(right) {
            match seen(entry, layer.diff()) {
                Ok(seen) => assert_eq!(seen, right, "{}", sample.name),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
            }
        }
    }
}

#[test]
fn damage_to_an_index_of_others_is_told_when_it_is_opened() {
    let other = |index: &Index| match index {
        Index::InBlob(InBlob::Estargz { .. }) => Index::InBlob(InBlob::Estargz { toc: Digest::of(b"other") }),
        Index::InBlob(InBlob::Chunked { offset, size, raw_size, .. }) => Index::InBlob(InBlob::Chunked {
            toc: Digest::of(b"other"),
            offset: *offset,
            size: *size,
            raw_size: *raw_size,
        }),
        Index::Ztoc(bytes) => Index::Ztoc(bytes[..bytes.len() / 2].to_vec()),
    };
    for sample in samples() {
        let index = other(&sample.index);
        let blob = Arc::new(Bytes(sample.blob.as_slice().into()));
        let opened = Place::new(SMALL).layers.open_foreign(&sample.wanted(), &index.foreign(), blob);
        let error = opened.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        assert_eq!(error.to_string(), format!("cannot use layer `{}`", sample.wanted().digest));
    }
}
