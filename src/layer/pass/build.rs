//! The pass: everything there is to know about a blob, from reading it once.
//!
//! ```text
//! thread   intake                       decode                     digest
//! does     read, SHA-256 of the blob,   decode, scan the tar,      SHA-256 of the diff, BLAKE3 of
//!          copy to the store            cut into stretches         the pieces, packing of windows
//!                      └── 256 KiB chunks ──┘└── stretches ───────────┘
//! ```
//!
//! Decoding is the slowest part by far; everything else runs beside it.
//!
//! # Invariants
//! Nothing of a pass is kept unless size and digest of the blob and the diff id are what they should be.

use std::io::{ErrorKind, Read, Write};
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{ScopedJoinHandle, scope};

use super::cut::{Cutter, Stretch, Stretches};
use super::tar::Scanner;
use super::window::Packer;
use crate::base::{Digest, Hasher};
use crate::layer::engine::{Checks, sniff};
use crate::layer::error::Error;
use crate::layer::index::{Codec, DiffOffset, Draft, Piece, Span, TocBuilder};

/// Bytes that any blob may unpack to.
const DIFF_FREE: u64 = 64 << 20;
/// Bytes read at a time.
const CHUNK: usize = 256 << 10;
/// Chunks and stretches that may wait between two threads: enough to even out, too few to matter in memory.
const AHEAD: usize = 8;
/// Buffers between two threads: what may wait, one that is read, one that is written, and one that is written next.
const BUFFERS: usize = AHEAD + 3;

/// What a blob must turn out to be.
pub(crate) struct Expected {
    /// Size of the blob in bytes.
    pub(crate) size: u64,
    /// Bytes that are stored of it. What it may unpack to, and how many files it may have, depends on them.
    pub(crate) stored: u64,
    /// Digest of the blob, unless the bytes come from something verified.
    pub(crate) digest: Option<Digest>,
    /// Digest of the diff, where somebody states it.
    pub(crate) diff_id: Option<Digest>,
}

/// Most bytes that a blob may unpack to of which `stored` bytes are stored: what no blob that is compressed once is beyond.
/// A block of zstd has four bytes at least, and becomes 128 KiB at most (RFC 8878, section 3.1.1.2).
pub(crate) const fn diff_max(stored: u64) -> u64 {
    stored.saturating_mul(1 << 15).saturating_add(DIFF_FREE)
}

/// What the pass looks for.
pub(crate) struct Search {
    /// Bytes of diff between two places where decoding can start.
    pub(crate) span_size: u64,
    /// Scanner of the tar, where there is one.
    pub(crate) scanner: Option<Scanner>,
}

/// The bytes of a blob, from front to back.
pub(crate) trait Input: Send {
    /// Fills the start of a buffer; returns how many bytes came, none at the end.
    ///
    /// # Errors
    /// When there are bytes that cannot be read.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error>;
}

impl<R: Read + Send> Input for R {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        loop {
            match Read::read(self, buf) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read.map_err(Error::Read),
            }
        }
    }
}

/// Where the bytes of a pass come from, and go to.
pub(crate) struct Transfer<'a> {
    /// The blob.
    pub(crate) input: &'a mut dyn Input,
    /// Gets a copy of every byte as it passes.
    pub(crate) copy: Option<&'a mut (dyn Write + Send)>,
    /// Told how many bytes have passed, about every megabyte.
    pub(crate) progress: &'a (dyn Fn(u64) + Sync),
}

/// Reads a blob to its end.
///
/// # Errors
/// When it cannot be read or copied, or is not what was expected; a wrong blob is told before what its bytes break.
pub(crate) fn pass(flow: Transfer<'_>, expected: &Expected, search: Search) -> Result<Draft, Error> {
    scope(|threads| {
        let (full, chunks) = sync_channel(AHEAD);
        let (emptied, spare) = buffers();
        let intake = threads.spawn(move || take_in(flow, expected.size, &full, &spare));
        let (cut, stretches) = sync_channel(AHEAD);
        let (used, unused) = buffers();
        let digest = threads.spawn(move || digest(&stretches, &used));
        // Whoever states the digest of the diff needs no other judge of it.
        let checks = if expected.diff_id.is_some() { Checks::Left } else { Checks::Made };
        let scanner = search.scanner.map(|scanner| scanner.within(expected.stored));
        let to = Cutting { scanner, left: diff_max(expected.stored), stretches: cut, unused };
        let decoded = decode(&chunks, &emptied, (checks, search.span_size), to);
        let decoded = decoded.map(|(codec, toc)| (codec, toc.finish()));
        // A damaged stream is often just a damaged blob: the digest tells, so the rest is hashed too.
        chunks.iter().for_each(|chunk| drop(emptied.send(chunk)));
        let (size, blob) = joined(intake)?;
        check_blob(expected, size, &blob)?;
        let (codec, toc) = decoded?;
        let digested = joined(digest);
        check_diff(expected, &digested.diff_id)?;
        Ok(digested.draft(codec, size, blob, toc))
    })
}

/// A ring of buffers, empty at first.
fn buffers() -> (Sender<Vec<u8>>, Receiver<Vec<u8>>) {
    let (full, empty) = channel();
    (0..BUFFERS).for_each(|_| full.send(Vec::new()).expect("the receiver is here"));
    (full, empty)
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn check_blob(expected: &Expected, size: u64, blob: &Digest) -> Result<(), Error> {
    if size > expected.size {
        return Err(Error::BlobLong { expected: expected.size });
    }
    if size < expected.size {
        return Err(Error::BlobShort { expected: expected.size, actual: size });
    }
    match &expected.digest {
        Some(digest) if digest != blob => Err(Error::BlobDigest { actual: *blob }),
        _ => Ok(()),
    }
}

fn check_diff(expected: &Expected, actual: &Digest) -> Result<(), Error> {
    match expected.diff_id {
        Some(expected) if expected != *actual => Err(Error::DiffId { expected, actual: *actual }),
        _ => Ok(()),
    }
}

/// Reads, hashes and copies the blob, at most one chunk beyond `size`. Returns its size and digest.
fn take_in(
    flow: Transfer<'_>,
    size: u64,
    full: &SyncSender<Vec<u8>>,
    spare: &Receiver<Vec<u8>>,
) -> Result<(u64, Digest), Error> {
    let Transfer { input, mut copy, progress } = flow;
    let (mut hash, mut done) = (Hasher::default(), 0);
    while done <= size {
        let mut chunk = spare.recv().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        let len = fill(input, &mut chunk)?;
        chunk.truncate(len);
        if chunk.is_empty() {
            break;
        }
        hash.update(&chunk);
        copy.iter_mut().try_for_each(|copy| copy.write_all(&chunk)).map_err(Error::Store)?;
        let megabytes = done >> 20;
        done += chunk.len() as u64;
        if done >> 20 != megabytes {
            progress(done);
        }
        if full.send(chunk).is_err() {
            break;
        }
    }
    Ok((done, hash.finish()))
}

/// Reads until the buffer is full or nothing more comes; returns how much came. (`read_to_end` would zero all of it
/// first.)
fn fill(input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Error> {
    let mut len = 0;
    while len < buf.len() {
        match input.read(&mut buf[len..])? {
            0 => break,
            more => len += more,
        }
    }
    Ok(len)
}

/// Scans stretches and hands them on.
struct Cutting {
    scanner: Option<Scanner>,
    /// Bytes that may still come.
    left: u64,
    stretches: SyncSender<Stretch>,
    unused: Receiver<Vec<u8>>,
}

impl Stretches for Cutting {
    fn buffer(&mut self) -> Vec<u8> {
        self.unused.recv().unwrap_or_default()
    }

    fn take(&mut self, stretch: Stretch) -> Result<(), Error> {
        let left = self.left.checked_sub(stretch.bytes().len() as u64);
        self.left = left.ok_or(Error::Bloated)?;
        if let Some(scanner) = &mut self.scanner {
            scanner.push(stretch.bytes())?;
        }
        // The receiver is gone only when it panicked, which joining it tells.
        self.stretches.send(stretch).ok();
        Ok(())
    }
}

/// Decodes all chunks.
fn decode(
    chunks: &Receiver<Vec<u8>>,
    emptied: &Sender<Vec<u8>>,
    (checks, span_size): (Checks, u64),
    mut to: Cutting,
) -> Result<(Codec, TocBuilder), Error> {
    let first = chunks.recv().unwrap_or_default();
    let codec = sniff(&first)?;
    let mut cutter = Cutter::new(codec, checks, span_size);
    for chunk in std::iter::once(first).chain(chunks) {
        cutter.push(&chunk, &mut to)?;
        emptied.send(chunk).ok();
    }
    cutter.finish(&mut to)?;
    let toc = to.scanner.map(Scanner::finish).transpose()?;
    Ok((codec, toc.unwrap_or_default()))
}

/// What the digest thread finds out.
struct Digested {
    diff_id: Digest,
    diff_size: u64,
    spans: Vec<Span>,
    pieces: Vec<Piece>,
}

impl Digested {
    fn draft(self, codec: Codec, blob_size: u64, blob: Digest, toc: Vec<u8>) -> Draft {
        let Self { diff_id, diff_size, spans, pieces } = self;
        Draft { codec, blob_size, blob, diff_size, diff_id, spans, pieces, toc }
    }
}

/// Hashes all pieces and packs the windows before spans.
fn digest(cut: &Receiver<Stretch>, used: &Sender<Vec<u8>>) -> Digested {
    let mut hash = Hasher::default();
    let mut at = DiffOffset(0);
    let (mut spans, mut pieces) = (Vec::new(), Vec::new());
    let mut packer = Packer::new();
    for stretch in cut {
        if let Some(start) = stretch.start {
            let window = stretch.used.as_ref().map(|used| packer.pack(stretch.window(), used)).unwrap_or_default();
            spans.push(Span { first_piece: pieces.len(), start, window, whole: None });
        }
        hash.update(stretch.bytes());
        for piece in stretch.pieces() {
            pieces.push(Piece { start: at, digest: *blake3::hash(piece).as_bytes() });
            at = at.plus(piece.len());
        }
        used.send(stretch.into_buffer()).ok();
    }
    let diff_id = hash.finish();
    Digested { diff_id, diff_size: at.0, spans, pieces }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Words and noise, in blocks of some hundred kilobytes.
    fn data(len: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut bytes = Vec::with_capacity(len + 100);
        while bytes.len() < len {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match state >> 62 {
                0 | 1 => bytes.extend_from_slice(&state.to_le_bytes()),
                2 => bytes.extend_from_slice(&b"a few words that come again and again"[(state >> 40) as usize % 20..]),
                _ => {
                    let back = (state >> 33) as usize % 30_000 + 1;
                    let start = bytes.len().saturating_sub(back);
                    let end = bytes.len().min(start + (state >> 20) as usize % 60);
                    bytes.extend_from_within(start..end);
                }
            }
        }
        bytes
    }

    #[test]
    fn spans_keep_to_their_size() {
        let content = data(6 << 20);
        for level in [1, 6, 9] {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
            encoder.write_all(&content).unwrap();
            let blob = encoder.finish().unwrap();
            let size = blob.len() as u64;
            let expected = Expected { size, stored: size, digest: None, diff_id: None };
            let transfer = Transfer { input: &mut &blob[..], copy: None, progress: &|_| {} };
            let draft = pass(transfer, &expected, Search { span_size: 256 << 10, scanner: None }).unwrap();
            let starts = draft.spans.iter().map(|span| draft.pieces[span.first_piece].start.0);
            let starts: Vec<u64> = starts.chain([draft.diff_size]).collect();
            let lengths: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
            // They end at the next step of 64 KiB.
            let (longest, shortest) =
                (lengths.iter().max().unwrap(), lengths[..lengths.len() - 1].iter().min().unwrap());
            assert!(*longest <= (320 << 10) + 260 && *shortest >= 128 << 10, "{level}: {shortest} to {longest}");
        }
    }
}
