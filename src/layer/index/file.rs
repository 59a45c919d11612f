//! The layer index as a file: mapped, checked once when it is opened, and read in place.
//!
//! # Format
//! Little-endian. A file of another version is dropped and made again.
//!
//! ```text
//! 0    magic "lkit-idx", version u32, codec u32
//! 16   blob size u64, diff size u64
//! 32   subject: digest of the blob, or what else the index is about (32 bytes)
//! 64   diff id (32 bytes)
//! 96   number of spans u64, number of pieces u64, length of the windows u64, length of the TOC u64
//! 128  spans, 32 bytes each: first piece u32, kind u8 (0 frame, 1 block, 2 code), unread bits u8, byte before u8,
//!      0 u8, compressed offset u64, offset within the windows u64; for a code where the header of its block is: bytes
//!      back u32, unread bits u8, byte before u8; else zeros
//!      pieces, 40 bytes each: uncompressed offset u64, BLAKE3-256 of the piece
//!      windows, packed, one behind the other
//!      TOC, packed
//!      BLAKE3-256 of everything before it (32 bytes)
//! ```
//!
//! # Invariants
//! Everything that an open index answers lies within its bounds; offsets rise from record to record.

use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

use super::codec::Codec;
use super::offset::{BlobOffset, DiffOffset};
use super::resume::{Header, Mark};
use super::toc::Toc;
use super::window::{self, WINDOW};
use crate::base::Digest;

/// Version of the format and of what the tar scanner makes of a layer: raised whenever either changes.
pub(crate) const VERSION: u32 = 3;
const MAGIC: [u8; 8] = *b"lkit-idx";
const HEAD: usize = 128;
const SPAN: usize = 32;
const PIECE: usize = 40;
const CHECKSUM: usize = 32;
/// Bytes of a file that is worth another thread.
const LARGE: usize = 512 << 10;
/// Longest piece, in bytes: what a reader must hold to verify one.
pub(crate) const PIECE_MAX: usize = 1 << 20;

/// A place from which decoding can start, and the pieces from there to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Number of its first piece.
    pub(crate) first_piece: u32,
    /// First whole byte of the blob to read.
    pub(crate) at: BlobOffset,
    /// What is needed to start there.
    pub(crate) mark: Mark,
    /// The byte before, some bits of which may belong here.
    pub(crate) last: u8,
    /// Where its packed window starts; it ends where the next span's starts.
    pub(crate) window: u64,
}

/// A run of decoded bytes that is verified by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// First byte in the diff.
    pub(crate) start: DiffOffset,
    /// BLAKE3-256 of its bytes.
    pub(crate) digest: [u8; 32],
}

/// What one pass over a blob finds out.
pub(crate) struct Draft {
    /// How the blob is compressed.
    pub(crate) codec: Codec,
    /// Size of the blob in bytes.
    pub(crate) blob_size: u64,
    /// SHA-256 of the blob.
    pub(crate) blob: Digest,
    /// Size of the diff in bytes.
    pub(crate) diff_size: u64,
    /// SHA-256 of the diff.
    pub(crate) diff_id: Digest,
    /// In order.
    pub(crate) spans: Vec<Span>,
    /// In order.
    pub(crate) pieces: Vec<Piece>,
    /// Packed, one behind the other.
    pub(crate) windows: Vec<u8>,
    /// Packed.
    pub(crate) toc: Vec<u8>,
}

impl Draft {
    /// The same for a tar that is read through the layer it lies in.
    pub(crate) fn without_spans(self) -> Self {
        Self { spans: Vec::new(), pieces: Vec::new(), windows: Vec::new(), diff_size: 0, ..self }
    }

    /// The index as a file, about `subject`.
    pub(crate) fn encode(&self, subject: &Digest) -> Vec<u8> {
        let counts = [self.spans.len(), self.pieces.len(), self.windows.len(), self.toc.len()];
        let mut file =
            Vec::with_capacity(HEAD + counts[0] * SPAN + counts[1] * PIECE + counts[2] + counts[3] + CHECKSUM);
        file.extend_from_slice(&MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&self.codec.number().to_le_bytes());
        file.extend_from_slice(&self.blob_size.to_le_bytes());
        file.extend_from_slice(&self.diff_size.to_le_bytes());
        file.extend_from_slice(subject.as_bytes());
        file.extend_from_slice(self.diff_id.as_bytes());
        counts.iter().for_each(|count| file.extend_from_slice(&(*count as u64).to_le_bytes()));
        self.spans.iter().for_each(|span| span.encode(&mut file));
        for piece in &self.pieces {
            file.extend_from_slice(&piece.start.0.to_le_bytes());
            file.extend_from_slice(&piece.digest);
        }
        file.extend_from_slice(&self.windows);
        file.extend_from_slice(&self.toc);
        let checksum = blake3::hash(&file);
        file.extend_from_slice(checksum.as_bytes());
        file
    }
}

impl Span {
    fn encode(&self, file: &mut Vec<u8>) {
        let none = Header { back: 0, bits: 0, last: 0 };
        let (kind, bits, header) = match self.mark {
            Mark::Frame => (0, 0, none),
            Mark::Block { bits } => (1, bits, none),
            Mark::Code { bits, header } => (2, bits, header),
        };
        file.extend_from_slice(&self.first_piece.to_le_bytes());
        file.extend_from_slice(&[kind, bits, self.last, 0]);
        file.extend_from_slice(&self.at.0.to_le_bytes());
        file.extend_from_slice(&self.window.to_le_bytes());
        file.extend_from_slice(&header.back.to_le_bytes());
        file.extend_from_slice(&[header.bits, header.last, 0, 0]);
    }

    fn decode(record: &[u8]) -> Option<Self> {
        let mark = match record[4..6] {
            [0, 0] => Mark::Frame,
            [1, bits @ 0..8] => Mark::Block { bits },
            [2, bits @ 0..8] if record[28] < 8 => {
                let back = u32::from_le_bytes(record[24..28].try_into().ok()?);
                Mark::Code { bits, header: Header { back, bits: record[28], last: record[29] } }
            }
            _ => return None,
        };
        let first_piece = u32::from_le_bytes(record[..4].try_into().ok()?);
        let (at, window) = (BlobOffset(long(record, 8)), long(record, 16));
        Some(Self { first_piece, at, mark, last: record[6], window })
    }
}

/// The bytes of an index file, mapped or in memory.
pub(crate) type IndexBytes = Box<dyn AsRef<[u8]> + Send + Sync>;

/// An open index.
pub(crate) struct Index {
    bytes: IndexBytes,
    codec: Codec,
    blob_size: u64,
    diff_size: u64,
    diff_id: Digest,
    spans: Range<usize>,
    pieces: Range<usize>,
    windows: Range<usize>,
    toc: Range<usize>,
}

impl Index {
    /// Opens the file of an index about `subject`, with its table of contents; `None` when it is damaged, of another
    /// version, or about something else.
    pub(crate) fn open(bytes: IndexBytes, subject: &Digest) -> Option<(Self, Toc)> {
        let index = Self::parse(bytes, subject)?;
        let toc = || Toc::decode(index.toc());
        let (is_whole, toc) = match index.file().len() {
            // Either takes about a millisecond for three megabytes.
            LARGE.. => thread::scope(|threads| {
                let is_whole = thread::Builder::new().spawn_scoped(threads, || index.is_whole());
                let toc = toc();
                let joined = is_whole.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
                (joined.unwrap_or_else(|_| index.is_whole()), toc)
            }),
            _ => (index.is_whole(), toc()),
        };
        toc.filter(|_| is_whole).map(|toc| (index, toc))
    }

    /// Whether the file has its checksum.
    fn is_whole(&self) -> bool {
        let (content, checksum) = self.file().split_at(self.file().len() - CHECKSUM);
        blake3::hash(content).as_bytes() == checksum
    }

    /// An index of a file whose checksum is not looked at.
    fn parse(bytes: IndexBytes, subject: &Digest) -> Option<Self> {
        let file = (*bytes).as_ref();
        let content = &file[..file.len().checked_sub(CHECKSUM)?];
        let head = content.get(..HEAD)?;
        if head[..8] != MAGIC || head[8..12] != VERSION.to_le_bytes() || head[32..64] != *subject.as_bytes() {
            return None;
        }
        let codec = Codec::from_number(u32::from_le_bytes(head[12..16].try_into().ok()?))?;
        let (blob_size, diff_size) = (long(head, 16), long(head, 24));
        let diff_id = Digest::from_bytes(head[64..96].try_into().ok()?);
        let mut at = HEAD;
        let mut part = |count_at: usize, size: usize| {
            let len = usize::try_from(long(head, count_at)).ok()?.checked_mul(size)?;
            let start = at;
            at = at.checked_add(len).filter(|end| *end <= content.len())?;
            Some(start..at)
        };
        let (spans, pieces, windows, toc) = (part(96, SPAN)?, part(104, PIECE)?, part(112, 1)?, part(120, 1)?);
        let whole = at == content.len();
        let index = Self { bytes, codec, blob_size, diff_size, diff_id, spans, pieces, windows, toc };
        (whole && index.is_sound()).then_some(index)
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

    /// The packed table of contents.
    fn toc(&self) -> &[u8] {
        &self.file()[self.toc.clone()]
    }

    /// Number of spans.
    pub(crate) fn span_count(&self) -> usize {
        self.spans.len() / SPAN
    }

    /// Number of pieces.
    pub(crate) fn piece_count(&self) -> usize {
        self.pieces.len() / PIECE
    }

    /// The span with this number.
    pub(crate) fn span(&self, number: usize) -> Span {
        self.span_record(number).expect("spans were checked when the index was opened")
    }

    /// The numbers of the pieces of a span.
    pub(crate) fn pieces_of(&self, span: usize) -> Range<usize> {
        let first = |span| usize::try_from(self.span(span).first_piece).expect("32 bits fit in usize");
        first(span)..if span + 1 < self.span_count() { first(span + 1) } else { self.piece_count() }
    }

    /// The offset in the blob at which a span's data is complete.
    pub(crate) fn blob_end(&self, span: usize) -> BlobOffset {
        if span + 1 < self.span_count() { self.span(span + 1).at } else { BlobOffset(self.blob_size) }
    }

    /// The span that holds a piece.
    pub(crate) fn span_of(&self, piece: usize) -> usize {
        partition(self.span_count(), |span| self.pieces_of(span).start <= piece) - 1
    }

    /// The window of a span that needs one; `None` when it is damaged.
    pub(crate) fn window(&self, span: usize) -> Option<Box<[u8; WINDOW]>> {
        let packed = self.window_range(span)?;
        window::unpack(self.file().get(packed)?)
    }

    /// The digest of a piece.
    pub(crate) fn digest(&self, piece: usize) -> [u8; 32] {
        let at = self.pieces.start + piece * PIECE + 8;
        self.file()[at..at + 32].try_into().expect("the range has 32 bytes")
    }

    /// The uncompressed range of a piece.
    pub(crate) fn piece(&self, piece: usize) -> Range<u64> {
        let start = |piece| long(self.file(), self.pieces.start + piece * PIECE);
        start(piece)..if piece + 1 < self.piece_count() { start(piece + 1) } else { self.diff_size }
    }

    /// The piece that holds the byte at `offset` of the diff, which must lie within.
    pub(crate) fn piece_at(&self, offset: DiffOffset) -> usize {
        partition(self.piece_count(), |piece| self.piece(piece).start <= offset.0) - 1
    }

    fn file(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    fn span_record(&self, number: usize) -> Option<Span> {
        let at = self.spans.start + number * SPAN;
        Span::decode(&self.file()[at..at + SPAN])
    }

    fn window_range(&self, span: usize) -> Option<Range<usize>> {
        let end = match span + 1 < self.span_count() {
            true => self.span_record(span + 1)?.window,
            false => self.windows.len() as u64,
        };
        let (start, end) = (usize::try_from(self.span_record(span)?.window).ok()?, usize::try_from(end).ok()?);
        (start <= end && end <= self.windows.len()).then(|| self.windows.start + start..self.windows.start + end)
    }

    /// Whether offsets rise, pieces are short enough to hold, and the first of everything starts at zero.
    fn is_sound(&self) -> bool {
        let (spans, pieces) = (self.span_count(), self.piece_count());
        let piece_sound = |piece: usize| {
            let range = self.piece(piece);
            range.start < range.end && range.end - range.start <= PIECE_MAX as u64
        };
        let span_sound = |number: usize| {
            let Some(span) = self.span_record(number) else { return false };
            let next = if number + 1 < spans { self.span_record(number + 1) } else { None };
            let end = next.map_or(pieces as u64, |next| next.first_piece.into());
            let blob_end = next.map_or(self.blob_size, |next| next.at.0);
            u64::from(span.first_piece) < end && span.at.0 <= blob_end && self.window_range(number).is_some()
        };
        let empty = spans == 0 && pieces == 0 && self.diff_size == 0;
        empty
            || (spans > 0
                && pieces > 0
                && self.piece(0).start == 0
                && (0..spans).all(span_sound)
                && self.span(0).first_piece == 0
                && (0..pieces).all(piece_sound))
    }
}

/// The number of leading numbers below `count` for which `holds`.
fn partition(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the range has eight bytes"))
}
