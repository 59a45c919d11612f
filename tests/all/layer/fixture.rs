//! Layers made for the tests: seeded content, tars, compressions, and a store in a temporary directory.

use std::io::{Read, Write};
use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lkit::base::{Digest, Silent};
use lkit::blob::{self, Fetch, Record, Store};
use lkit::extent::Source;
use lkit::layer::{Body, Entry, Error, Layer, Layers, Options, Wanted};

use crate::common::have;

/// A generator of numbers with a fixed seed (PCG's step, high bits out).
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 20
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// `len` bytes that compress to about a third, as programs do: words drawn from a vocabulary, and some noise.
pub fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    let words: Vec<Vec<u8>> =
        (0..2000).map(|_| (0..2 + numbers.below(9)).map(|_| byte(&mut numbers)).collect()).collect();
    let mut bytes = Vec::with_capacity(len + 16);
    while bytes.len() < len {
        let word = &words[numbers.below(2000) as usize];
        bytes.extend_from_slice(word);
        if numbers.below(3) == 0 {
            bytes.push(byte(&mut numbers));
        }
    }
    bytes.truncate(len);
    bytes
}

pub fn byte(numbers: &mut Numbers) -> u8 {
    numbers.next().to_le_bytes()[0]
}

/// A tar of files with these names and contents.
pub fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(1);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A tar of one file.
pub fn big_tar(len: usize) -> Vec<u8> {
    tar_of(&[("big", &content(1, len))])
}

/// What a program of the system makes of `input`.
pub fn piped(program: &str, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    if !have(&[program]) {
        return None;
    }
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|threads| {
        threads.spawn(move || stdin.write_all(input).unwrap());
        let mut output = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
        assert!(child.wait().unwrap().success());
        Some(output)
    })
}

pub fn gzip(level: u32, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// A store, the layers over it, and a source of blobs that counts how often it is asked.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub record: Arc<Record>,
    pub layers: Arc<Layers>,
    pub options: Options,
}

/// Gives one blob. A copy counts with it.
#[derive(Clone)]
pub struct OneBlob {
    pub blob: Vec<u8>,
    pub asked: Arc<AtomicUsize>,
}

impl OneBlob {
    pub fn new(blob: &[u8]) -> Self {
        Self { blob: blob.to_vec(), asked: Arc::default() }
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Fetch for OneBlob {
    fn fetch(&self, _: &Digest, range: Range<u64>) -> Result<Box<dyn Read + Send>, blob::Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let end = usize::try_from(range.end).unwrap().min(self.blob.len());
        Ok(Box::new(std::io::Cursor::new(self.blob[range.start as usize..end].to_vec())))
    }
}

impl Place {
    pub fn new(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let record = Arc::new(Record::default());
        let layers = layers_in(&dir, &record, options);
        Self { dir, record, layers, options }
    }

    /// As another process would see it: the same store, nothing in memory.
    pub fn reopened(self) -> Self {
        let layers = layers_in(&self.dir, &self.record, self.options);
        Self { layers, ..self }
    }

    pub fn open(&self, wanted: &Wanted, fetch: &OneBlob) -> Result<Layer, Error> {
        let fetch: Arc<dyn Fetch> = Arc::new(fetch.clone());
        self.layers.open(wanted, &fetch, &Silent)
    }

    pub fn path(&self, below: &str) -> std::path::PathBuf {
        self.dir.path().join("cache").join(below)
    }
}

fn layers_in(dir: &tempfile::TempDir, record: &Arc<Record>, options: Options) -> Arc<Layers> {
    let store = Store::open(&dir.path().join("cache"), &[]).unwrap().recording(record.clone());
    Arc::new(Layers::new(Arc::new(store), options))
}

pub fn wanted(blob: &[u8], diff: &[u8]) -> Wanted {
    Wanted { digest: Digest::of(blob), size: blob.len() as u64, diff_id: Digest::of(diff) }
}

/// The table of contents of a layer, kept for as long as the tests run.
pub fn entries(layer: &Layer) -> Vec<Entry<'static>> {
    let leaked = |bytes: &[u8]| &*bytes.to_vec().leak();
    let mut entries = Vec::new();
    let each = layer.toc().each(|Entry { path, metadata, body, xattrs }| {
        let body = match body {
            Body::Empty => Body::Empty,
            Body::Content { offset, size } => Body::Content { offset, size },
            Body::Sparse { size, runs } => Body::Sparse { size, runs },
            Body::Symlink(target) => Body::Symlink(leaked(target)),
            Body::HardLink(target) => Body::HardLink(leaked(target)),
        };
        entries.push(Entry { path: leaked(path), metadata, body, xattrs });
        Ok::<_, Error>(())
    });
    each.unwrap();
    entries
}

/// A range of a source.
pub fn read(source: &dyn Source, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xaa; len];
    source.read_at(&mut bytes, offset).unwrap();
    bytes
}
