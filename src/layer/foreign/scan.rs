//! One reading of a blob for its zTOC: SOCI's checkpoints, the digests of its spans, and its tar.
//!
//! A checkpoint stands behind the header of the first member, then at the first end of a block that is not its stream's
//! last, or header of a member, more than a span behind the checkpoint before.

use std::io::Read;

use super::archive::Archive;
use crate::base::{Digest, Hasher};
use crate::layer::engine::{Checks, Decoder, Flow, OVERHANG, Problem, Room, sniff};
use crate::layer::error::Error;
use crate::layer::index::{BlobOffset, Codec, ResumePoint, WINDOW};

/// Bytes of blob read at a time, and bytes of diff decoded at a time.
const CHUNK: usize = 256 << 10;
/// Bytes of blob that the engine may have read beyond a checkpoint.
const LAG: usize = 16;
/// Most checkpoints: each holds a window.
const POINTS_MAX: usize = 8000;
/// Steps without a byte read or written after which a decoder is stuck.
const IDLE: u32 = 3;

/// A place where SOCI starts to decode.
pub(super) struct Point {
    /// The first byte that is wholly unread.
    pub(super) at: u64,
    /// Offset in the diff.
    pub(super) out: u64,
    /// High bits of the byte before that are unread.
    pub(super) bits: u8,
    pub(super) window: Box<[u8; WINDOW]>,
}

/// What one reading of a blob finds.
pub(super) struct Scanned {
    pub(super) codec: Codec,
    /// Bytes of the blob, and its digest.
    pub(super) size: u64,
    pub(super) blob: Digest,
    pub(super) points: Vec<Point>,
    /// Of the spans, as they are stored.
    pub(super) digests: Vec<Digest>,
    /// The tar, or why there is no zTOC of this blob.
    pub(super) archive: Result<Archive, String>,
}

/// Reads a blob to its end, or one byte beyond `size`.
///
/// # Errors
/// When it cannot be read, or is damaged.
pub(super) fn scan(input: &mut dyn Read, size: u64, span_size: u64) -> Result<Scanned, Error> {
    let (mut hash, mut done) = (Hasher::default(), 0);
    let mut chunk = Vec::new();
    let mut scan: Option<Scan> = None;
    while done <= size {
        chunk.clear();
        input.take(CHUNK as u64).read_to_end(&mut chunk).map_err(Error::Read)?;
        if chunk.is_empty() {
            break;
        }
        hash.update(&chunk);
        done += chunk.len() as u64;
        if scan.is_none() {
            scan = Some(Scan::new(sniff(&chunk)?, size, span_size));
        }
        scan.iter_mut().try_for_each(|scan| scan.push(&chunk))?;
    }
    let scan = scan.unwrap_or_else(|| Scan::new(Codec::Plain, size, span_size));
    scan.finish(done, hash.finish())
}

/// A reading of a blob.
struct Scan {
    codec: Codec,
    decoder: Decoder,
    span_size: u64,
    /// The 32 KiB before what is decoded, and room for it.
    buffer: Vec<u8>,
    /// Bytes of the blob that were decoded, and of the diff.
    at: u64,
    out: u64,
    /// The last bytes that were decoded and are in no digest yet.
    pending: Vec<u8>,
    /// The digest of the span that is open; none before the first.
    open: Option<Hasher>,
    points: Vec<Point>,
    digests: Vec<Digest>,
    archive: Result<Archive, String>,
}

impl Scan {
    fn new(codec: Codec, blob_size: u64, span_size: u64) -> Self {
        let mut decoder = Decoder::new(codec, BlobOffset(0), Checks::Made);
        decoder.pause_at_blocks();
        let archive = match codec {
            Codec::Zstd => Err("SOCI knows no index of zstd".to_owned()),
            Codec::Plain | Codec::Gzip => Ok(Archive::new(blob_size)),
        };
        Self {
            codec,
            decoder,
            span_size,
            buffer: vec![0; WINDOW + CHUNK + OVERHANG],
            at: 0,
            out: 0,
            pending: Vec::new(),
            open: None,
            points: Vec::new(),
            digests: Vec::new(),
            archive,
        }
    }

    fn push(&mut self, chunk: &[u8]) -> Result<(), Error> {
        match (&self.archive, self.codec) {
            // Only the digest of the blob is left to be found out.
            (Err(_), _) | (_, Codec::Zstd) => Ok(()),
            (Ok(_), Codec::Plain) => {
                self.plain(chunk);
                Ok(())
            }
            (Ok(_), Codec::Gzip) => self.gzip(chunk),
        }
    }

    /// Spans of a plain tar have one length.
    fn plain(&mut self, mut chunk: &[u8]) {
        self.archive(chunk);
        while !chunk.is_empty() {
            let left = self.span_size - self.at % self.span_size;
            let len = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
            let open = self.open.get_or_insert_default();
            open.update(&chunk[..len]);
            self.at += len as u64;
            chunk = &chunk[len..];
            if self.at.is_multiple_of(self.span_size) {
                self.close();
            }
        }
    }

    fn gzip(&mut self, mut chunk: &[u8]) -> Result<(), Error> {
        let mut idle = 0;
        while idle < IDLE {
            let room = Room { buffer: &mut self.buffer, at: WINDOW, enough: WINDOW + CHUNK, window: &[] };
            let step = self.decoder.step(chunk, room).map_err(|problem| self.error(problem))?;
            self.pending.extend_from_slice(&chunk[..step.consumed]);
            chunk = &chunk[step.consumed..];
            self.at += step.consumed as u64;
            self.out += step.produced as u64;
            self.decoded(step.produced);
            if step.flow == Flow::Enough {
                self.consider();
            }
            self.settle();
            idle = if step.consumed + step.produced == 0 { idle + 1 } else { 0 };
        }
        if chunk.is_empty() { Ok(()) } else { Err(self.error(Problem::Start)) }
    }

    /// Scans what was decoded, and keeps the last 32 KiB in front of the buffer.
    fn decoded(&mut self, len: usize) {
        let bytes = std::mem::take(&mut self.buffer);
        self.archive(&bytes[WINDOW..WINDOW + len]);
        self.buffer = bytes;
        self.buffer.copy_within(len..WINDOW + len, 0);
    }

    fn archive(&mut self, bytes: &[u8]) {
        if let Ok(archive) = &mut self.archive
            && let Err(reason) = archive.push(bytes)
        {
            self.archive = Err(reason);
        }
    }

    /// Makes a checkpoint where there is to be one.
    fn consider(&mut self) {
        let Some(ResumePoint::Code { position, block }) = self.decoder.resume_point() else { return };
        let is_due = self.points.last().is_none_or(|last| self.out - last.out > self.span_size);
        if position != block || !is_due {
            return;
        }
        let at = position.byte_end().0;
        let bits = u8::try_from(at * 8 - position.0).expect("less than eight");
        let until = self.pending.len() - crate::base::in_memory(self.at - at);
        let before = until.checked_sub(1).map(|last| self.pending[last]);
        if let Some(open) = &mut self.open {
            open.update(&self.pending[..until]);
            self.close();
        }
        self.pending.drain(..until);
        let mut open = Hasher::default();
        if bits > 0 {
            open.update(before.as_slice());
        }
        self.open = Some(open);
        let window = self.buffer.first_chunk().expect("a buffer begins with a window");
        self.points.push(Point { at, out: self.out, bits, window: Box::new(*window) });
        if self.points.len() > POINTS_MAX {
            self.archive = Err(format!("it has more than {POINTS_MAX} spans"));
        }
    }

    /// Takes what no checkpoint can be before into the digest.
    fn settle(&mut self) {
        let len = self.pending.len().saturating_sub(LAG);
        if let Some(open) = &mut self.open {
            open.update(&self.pending[..len]);
        }
        self.pending.drain(..len);
    }

    fn close(&mut self) {
        self.digests.extend(self.open.take().map(Hasher::finish));
    }

    fn finish(mut self, size: u64, blob: Digest) -> Result<Scanned, Error> {
        let is_read = self.archive.is_ok() && self.codec == Codec::Gzip;
        if is_read && !self.decoder.may_end() {
            return Err(Error::Cut(self.codec.name()));
        }
        if let Some(open) = &mut self.open {
            open.update(&self.pending);
        }
        self.close();
        let Self { codec, points, digests, archive, .. } = self;
        Ok(Scanned { codec, size, blob, points, digests, archive })
    }

    fn error(&self, problem: Problem) -> Error {
        Error::Stream { format: self.codec.name(), at: self.at, problem: problem.to_string() }
    }
}
