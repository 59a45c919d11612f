//! An open index file: its directory is in memory, what reading in a span needs is read from it and verified when that
//! span is read.
//!
//! # Invariants
//! - Nothing that is used was not verified after it was read from the file, so a file that changes while it is open gives
//!   an error for the spans that changed, never other bytes.
//! - Everything that an open index answers lies within its bounds; offsets rise from record to record.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::panic::resume_unwind;
use std::thread;

use super::codec::Codec;
use super::directory::{Directory, SpanRecord};
use super::layout::{HEAD, Head, START};
use super::offset::{BlobOffset, DiffOffset};
use super::part::Part;
use super::resume::ResumePoint;
use super::toc::{Toc, toc_max, toc_max_of};
use crate::base::{Digest, in_memory};
use crate::blob::{AnyBlob, RangedBlob};
use crate::extent::ReadError;

/// Bytes of a file that is worth another thread.
const LARGE: u64 = 512 << 10;
/// Bytes of parts that are read at a time.
const CHUNK: usize = 256 << 10;
/// Longest piece, in bytes: what a reader must hold to verify one.
pub(crate) const PIECE_MAX: usize = 1 << 20;
/// Longest part, digests of pieces apart, in bytes: a packed window is shorter than what it unpacks to.
const PART_MAX: u64 = 64 << 10;
/// Most bytes of directory and packed TOC that are taken into memory: enough for ten million files.
const MEMORY_MAX: u64 = 1 << 30;

/// Where an index is kept.
pub(crate) enum IndexBytes {
    /// In a file, which may change at any time.
    File(File),
    /// In memory, made here.
    Memory(Vec<u8>),
    /// In memory, made by somebody else.
    Offered(Vec<u8>),
    /// The parts alone, in a blob that is fetched by range, from this byte on.
    Apart(AnyBlob, u64),
}

/// Why there is no part of a span.
pub(crate) enum NoPart {
    /// It is not what it was when the index was made.
    Damaged,
    /// It cannot be read.
    Unread(ReadError),
}

impl IndexBytes {
    fn size(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Memory(bytes) | Self::Offered(bytes) => Ok(bytes.len() as u64),
            Self::Apart(blob, start) => Ok(blob.source().size().saturating_sub(*start)),
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(buf, offset),
            Self::Memory(bytes) | Self::Offered(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                (&bytes[start..]).read_exact(buf)
            }
            Self::Apart(blob, start) => {
                blob.source().read_at(buf, start.saturating_add(offset)).map_err(io::Error::other)
            }
        }
    }

    /// This range, if its BLAKE3-256 is `digest`.
    fn verified(&self, range: Range<u64>, digest: &[u8; 32]) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).ok()?];
        self.read_at(&mut bytes, range.start).ok()?;
        (blake3::hash(&bytes).as_bytes() == digest).then_some(bytes)
    }

    /// Whether the BLAKE3-256 of this range is `digest`; read a chunk at a time.
    fn is_verified(&self, range: Range<u64>, digest: &[u8; 32]) -> bool {
        let part = |left: u64| usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        let (mut hash, mut chunk) = (blake3::Hasher::new(), vec![0; part(range.end - range.start)]);
        let mut at = range.start;
        while at < range.end {
            let len = part(range.end - at);
            if self.read_at(&mut chunk[..len], at).is_err() {
                return false;
            }
            hash.update(&chunk[..len]);
            at += len as u64;
        }
        hash.finalize().as_bytes() == digest
    }
}

/// An open index.
pub(crate) struct Index {
    /// What the parts are in.
    bytes: IndexBytes,
    codec: Codec,
    blob_size: u64,
    diff_size: u64,
    diff_id: Digest,
    spans: Vec<SpanRecord>,
    /// Where the pieces start in the diff.
    pieces: Vec<u64>,
    /// Where the parts are in it.
    parts: Range<u64>,
}

/// What answers `stat`: a head, and where directory, TOC and parts lie behind it.
struct Outset {
    head: Head,
    toc_at: u64,
    parts_at: u64,
    end: u64,
}

impl Outset {
    /// Looks at the head of an index about `subject`, a blob of `blob_size` bytes; `None` when it is damaged, of another
    /// version, or about something else.
    fn of(bytes: &IndexBytes, subject: &Digest, blob_size: u64) -> Option<Self> {
        let mut head = [0; HEAD];
        bytes.read_at(&mut head, 0).ok()?;
        let head = Head::decode(&head).filter(|head| (head.subject, head.blob_size) == (*subject, blob_size))?;
        let [directory, toc, parts] = head.lengths;
        let toc_at = directory.checked_add(HEAD as u64)?;
        let parts_at = toc_at.checked_add(toc)?;
        let end = parts_at.checked_add(parts)?;
        (directory.checked_add(toc)? <= MEMORY_MAX).then_some(Self { head, toc_at, parts_at, end })
    }

    fn toc(&self, bytes: &IndexBytes) -> Option<Toc> {
        let toc = bytes.verified(self.toc_at..self.parts_at, &self.head.digests[1])?;
        Toc::decode(&toc, self.most(bytes, &toc))
    }

    /// Most bytes that this section, as it is kept in `bytes`, may become.
    fn most(&self, bytes: &IndexBytes, section: &[u8]) -> u64 {
        match bytes {
            IndexBytes::File(_) | IndexBytes::Memory(_) => toc_max(self.head.blob_size),
            IndexBytes::Offered(_) | IndexBytes::Apart(..) => toc_max_of(self.head.blob_size, section.len() as u64),
        }
    }

    fn directory(&self, bytes: &IndexBytes) -> Option<Directory> {
        let directory = bytes.verified(HEAD as u64..self.toc_at, &self.head.digests[0])?;
        Directory::decode(&directory, [self.head.spans, self.head.pieces], self.most(bytes, &directory))
    }
}

impl Index {
    /// What every index file of this version begins with.
    pub(crate) const START: [u8; 12] = START;

    /// Opens an index about `subject`, a blob of `blob_size` bytes, with its table of contents; `None` when it is damaged, of
    /// another version, or about something else. All of it is verified.
    pub(crate) fn open(bytes: IndexBytes, subject: &Digest, blob_size: u64) -> Option<(Self, Toc)> {
        let outset = Outset::of(&bytes, subject, blob_size)?;
        let size = bytes.size().ok().filter(|size| *size == outset.end)?;
        let parts = outset.parts_at..size;
        let is_whole = || bytes.is_verified(parts.clone(), &outset.head.digests[2]);
        let (is_whole, toc) = match size {
            // Either takes about a millisecond for three megabytes.
            LARGE.. => beside(is_whole, || outset.toc(&bytes)),
            _ => (is_whole(), outset.toc(&bytes)),
        };
        let directory = outset.directory(&bytes)?;
        let index = Self::with_directory(bytes, &outset.head, directory, parts)?;
        toc.filter(|_| is_whole).map(|toc| (index, toc))
    }

    /// The same of an index whose parts lie in `parts`, which are verified when they are read; `summary` is what it has
    /// before them.
    pub(crate) fn open_summary(
        summary: Vec<u8>,
        parts: IndexBytes,
        subject: &Digest,
        blob_size: u64,
    ) -> Option<(Self, Toc)> {
        let summary = IndexBytes::Offered(summary);
        let outset = Outset::of(&summary, subject, blob_size)?;
        summary.size().ok().filter(|size| *size == outset.parts_at)?;
        let (toc, directory) = (outset.toc(&summary)?, outset.directory(&summary)?);
        let index = Self::with_directory(parts, &outset.head, directory, 0..outset.end - outset.parts_at)?;
        Some((index, toc))
    }

    /// What the index in `file` has before its parts, and where these are; `None` when its head is damaged, or of another
    /// version.
    pub(crate) fn summary_of(file: File) -> Option<(Vec<u8>, Range<u64>)> {
        let bytes = IndexBytes::File(file);
        let mut head = [0; HEAD];
        bytes.read_at(&mut head, 0).ok()?;
        let head = Head::decode(&head)?;
        let outset = Outset::of(&bytes, &head.subject, head.blob_size)?;
        let mut summary = vec![0; usize::try_from(outset.parts_at).ok()?];
        bytes.read_at(&mut summary, 0).ok()?;
        Some((summary, outset.parts_at..outset.end))
    }

    fn with_directory(bytes: IndexBytes, head: &Head, directory: Directory, parts: Range<u64>) -> Option<Self> {
        let Directory { spans, pieces } = directory;
        let Head { codec, blob_size, diff_size, diff_id, .. } = *head;
        let index = Self { bytes, codec, blob_size, diff_size, diff_id, spans, pieces, parts };
        index.is_sound().then_some(index)
    }

    /// How the blob is compressed.
    pub(crate) const fn codec(&self) -> Codec {
        self.codec
    }

    /// Size of the diff in bytes.
    pub(crate) const fn diff_size(&self) -> u64 {
        self.diff_size
    }

    /// SHA-256 of the diff.
    pub(crate) const fn diff_id(&self) -> &Digest {
        &self.diff_id
    }

    /// Where decoding of a span starts.
    pub(crate) fn start(&self, span: usize) -> ResumePoint {
        self.spans[span].start
    }

    /// The numbers of the pieces of a span.
    pub(crate) fn pieces_of(&self, span: usize) -> Range<usize> {
        let first = |span: &SpanRecord| usize::try_from(span.first_piece).expect("32 bits fit in usize");
        first(&self.spans[span])..self.spans.get(span + 1).map_or(self.pieces.len(), first)
    }

    /// The offset in the blob at which a span's data is complete.
    pub(crate) fn blob_end(&self, span: usize) -> BlobOffset {
        self.spans.get(span + 1).map_or(BlobOffset(self.blob_size), |next| next.start.byte_end())
    }

    /// The span that holds a piece.
    pub(crate) fn span_of(&self, piece: usize) -> usize {
        let first = |span: &SpanRecord| usize::try_from(span.first_piece).expect("32 bits fit in usize");
        self.spans.partition_point(|span| first(span) <= piece) - 1
    }

    /// The uncompressed range of a piece.
    pub(crate) fn piece(&self, piece: usize) -> Range<u64> {
        self.pieces[piece]..self.pieces.get(piece + 1).copied().unwrap_or(self.diff_size)
    }

    /// The piece that holds the byte at `offset` of the diff, which must lie within.
    pub(crate) fn piece_at(&self, offset: DiffOffset) -> usize {
        self.pieces.partition_point(|start| *start <= offset.0) - 1
    }

    /// What reading in a span needs, read and verified now.
    ///
    /// # Errors
    /// When it is damaged or cannot be read.
    pub(crate) fn part(&self, span: usize) -> Result<Part, NoPart> {
        let bytes = match &self.bytes {
            IndexBytes::Apart(blob, start) => self.fetched(blob, *start, span)?,
            bytes => self.part_range(span).and_then(|range| bytes.verified(range, &self.spans[span].digest)),
        };
        let part = bytes.and_then(|bytes| Part::decode(&bytes, self.pieces_of(span).len()));
        let needs_window = matches!(self.start(span), ResumePoint::Code { .. });
        part.filter(|part| part.window.is_some() == needs_window).ok_or(NoPart::Damaged)
    }

    /// Where the parts are of the spans that hold these bytes of the blob, if they are in a blob that is fetched by range.
    pub(crate) fn parts_of(&self, blob: &Range<u64>) -> Option<(&RangedBlob, Range<u64>)> {
        let IndexBytes::Apart(AnyBlob::There(parts), start) = &self.bytes else { return None };
        let end = self.spans.partition_point(|span| span.start.byte().0 < blob.end);
        let first = self.spans.partition_point(|span| span.start.byte().0 <= blob.start).saturating_sub(1);
        let (first, last) = (self.part_range(first.min(end.checked_sub(1)?))?, self.part_range(end - 1)?);
        Some((parts, start.checked_add(first.start)?..start.checked_add(last.end)?))
    }

    /// The part of a span out of the blob that has it, from `start` on; what came of it is forgotten when it is wrong.
    fn fetched(&self, blob: &AnyBlob, start: u64, span: usize) -> Result<Option<Vec<u8>>, NoPart> {
        let longest = PART_MAX + 64 * self.pieces_of(span).len() as u64;
        let Some(range) = self.part_range(span).filter(|range| range.end - range.start <= longest) else {
            return Ok(None);
        };
        let mut bytes = vec![0; in_memory(range.end - range.start)];
        let read = blob.source().read_at(&mut bytes, start.saturating_add(range.start));
        read.map_err(NoPart::Unread)?;
        if *blake3::hash(&bytes).as_bytes() == self.spans[span].digest {
            return Ok(Some(bytes));
        }
        blob.source().renew();
        Ok(None)
    }

    /// Where the part of a span is in the file.
    fn part_range(&self, span: usize) -> Option<Range<u64>> {
        let len = self.parts.end - self.parts.start;
        let (start, end) = (self.spans[span].part, self.spans.get(span + 1).map_or(len, |next| next.part));
        (start <= end && end <= len).then(|| self.parts.start + start..self.parts.start + end)
    }

    /// Whether offsets rise, pieces are short enough to hold, and the first of everything starts at zero.
    fn is_sound(&self) -> bool {
        if self.spans.is_empty() || self.pieces.is_empty() {
            return self.spans.is_empty() && self.pieces.is_empty() && self.diff_size == 0;
        }
        let piece_is_sound = |piece: usize| {
            let Range { start, end } = self.piece(piece);
            start < end && end - start <= PIECE_MAX as u64
        };
        let span_is_sound = |span: usize| {
            let pieces = self.pieces_of(span);
            let in_order = pieces.start < pieces.end && pieces.end <= self.pieces.len();
            in_order && self.start(span).byte() <= self.blob_end(span) && self.part_range(span).is_some()
        };
        self.pieces[0] == 0
            && self.spans[0].first_piece == 0
            && (0..self.spans.len()).all(span_is_sound)
            && (0..self.pieces.len()).all(piece_is_sound)
    }
}

/// Calls both, the first on a thread of its own if there is one to be had.
fn beside<A: Send, B>(first: impl Fn() -> A + Sync, second: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|threads| {
        let thread = thread::Builder::new().spawn_scoped(threads, &first);
        let second = second();
        let first = match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => first(),
        };
        (first, second)
    })
}
