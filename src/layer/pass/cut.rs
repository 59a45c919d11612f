//! Cutting the decoded stream into spans and pieces.
//!
//! ```text
//! blob     ├──────────────┼───────────────┤   codes of deflate blocks, frames
//! spans    ├──────────────┼───────────────┤   start where decoding can start, about a mebibyte of diff apart
//! pieces   ├─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼┤   64 KiB of diff each, verified by themselves
//! ```
//!
//! A reader decodes from the start of a span to the piece it wants: on average half a span, and never serves a byte
//! whose piece is not verified. What is very compressible gets longer spans and pieces, so that an index stays a small
//! part of its blob.
//!
//! Deflate blocks can be megabytes long, so a span need not start at one: any literal will do. Its code begins at a bit
//! that zlib tells, and decoding starts there once the header of the block, which stays in the blob, has been read.

use crate::layer::engine::{Decoder, HEADER, Place, Stop, Trailer, WINDOW_TOO_LARGE};
use crate::layer::error::Error;
use crate::layer::index::{BlobOffset, Codec, DiffOffset, Header, Mark, PIECE_MAX, WINDOW};

/// Bytes of diff in a piece: a digest of 32 bytes for each adds 0.05 % of the diff to an index, and what lies before a
/// wanted byte in its piece is decoded in a twentieth of a millisecond.
const PIECE: usize = 64 << 10;
/// Bytes of blob behind a piece at least, unless it gets too long.
const PIECE_BLOB: u64 = 8 << 10;
/// Bytes of diff decoded in one go, unless a span starts: every call to the decoder copies a window.
const STRETCH: usize = 256 << 10;
/// The same, and a span, where nothing is compressed: starting anywhere costs nothing.
const PLAIN: usize = 128 << 10;
/// Inflating takes as long for a byte of blob as for so many bytes of diff; usual layers have a quarter as many, and cost
/// as much a byte of diff as [`USUAL_COST`] says.
const BLOB_COST: u64 = 12;
const USUAL_COST: u64 = 4;
/// Bytes of blob behind a span at least, unless it gets too long.
const SPAN_BLOB: u64 = 64 << 10;
/// A span may be so many times the wanted size before compressibility no longer counts.
const SPAN_STRETCH: u64 = 8;
/// Bytes that are written one at a time to find a literal: most data has one in every ten.
const PROBES: u32 = 1024;
/// Bytes of the blob before the place it was read to that are remembered: more than two codes have.
const RECENT: usize = 32;
/// Steps without a byte read or written after which a decoder is stuck: a block may end without either, once.
const IDLE: u32 = 3;

/// Where a span starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpanStart {
    /// First whole byte of the blob to read.
    pub(crate) at: BlobOffset,
    /// What is needed to start there.
    pub(crate) mark: Mark,
    /// The byte before.
    pub(crate) last: u8,
}

/// A stretch of the diff, decoded and cut.
pub(crate) struct Stretch {
    buffer: Vec<u8>,
    len: usize,
    /// Bytes of blob behind it.
    blob: u64,
    /// Set when a span starts here.
    pub(crate) span: Option<SpanStart>,
    /// Blob behind the first 32 KiB of a span that needs a window: what tells which part of it is used.
    pub(crate) lookahead: Vec<u8>,
    /// The header of the block, when a span starts within one.
    pub(crate) header: Vec<u8>,
}

/// The deflate block that is being decoded.
struct Block {
    /// The first whole byte of its header, and the first of what it holds.
    at: BlobOffset,
    diff_at: DiffOffset,
    /// Unread bits of the byte before, and that byte.
    bits: u8,
    last: u8,
    /// Its first bytes.
    bytes: Vec<u8>,
}

impl Stretch {
    /// The decoded bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// The same as pieces of one length, but for the last.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let worth = usize::try_from(self.blob / PIECE_BLOB).unwrap_or(usize::MAX);
        let count = ((self.len + PIECE / 2) / PIECE).min(worth).max(1);
        self.bytes().chunks(self.len.div_ceil(count))
    }

    /// Its buffer, to be used again.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    fn empty(buffer: Vec<u8>) -> Self {
        Self { buffer, len: 0, blob: 0, span: None, lookahead: Vec::new(), header: Vec::new() }
    }

    /// Bytes of diff still missing of what the lookahead must cover.
    fn looking_ahead(&self) -> Option<usize> {
        let windowed = self.span.is_some_and(|span| span.mark != Mark::Frame);
        (windowed && self.len < WINDOW).then(|| WINDOW - self.len)
    }
}

/// Takes stretches and gives a buffer for the next.
type Send<'a> = dyn FnMut(Stretch) -> Result<Vec<u8>, Error> + 'a;

/// Decodes a blob and cuts the diff.
pub(crate) struct Cutter {
    codec: Codec,
    decoder: Decoder,
    span_size: u64,
    stretch_size: usize,
    blob_at: BlobOffset,
    diff_at: DiffOffset,
    /// The last bytes of the blob that were read.
    recent: [u8; RECENT],
    /// The block it is in, where somebody has looked.
    block: Option<Block>,
    /// Whether the last block that was seen from end to end is so long that a span may start within the next.
    long_blocks: bool,
    /// Where a span may start, one byte of the diff ago, if that byte is a literal.
    candidate: Option<SpanStart>,
    /// Bytes still to be written one at a time.
    probes: u32,
    span_start: (BlobOffset, DiffOffset),
    stretch_start: BlobOffset,
    stretch: Stretch,
}

impl Cutter {
    /// A cutter at the start of a blob.
    pub(crate) fn new(codec: Codec, trailer: Trailer, span_size: u64) -> Self {
        let mut stretch = Stretch::empty(Vec::new());
        stretch.span = Some(SpanStart { at: BlobOffset(0), mark: Mark::Frame, last: 0 });
        let (span_size, stretch_size) = match codec {
            Codec::Plain => (PLAIN as u64, PLAIN),
            Codec::Gzip | Codec::Zstd => (span_size, STRETCH),
        };
        Self {
            codec,
            decoder: Decoder::new(codec, trailer),
            span_size,
            stretch_size,
            blob_at: BlobOffset(0),
            diff_at: DiffOffset(0),
            recent: [0; RECENT],
            block: None,
            long_blocks: true,
            candidate: None,
            probes: 0,
            span_start: (BlobOffset(0), DiffOffset(0)),
            stretch_start: BlobOffset(0),
            stretch,
        }
    }

    /// Decodes the next bytes of the blob.
    ///
    /// # Errors
    /// When they are damaged, or what `send` says.
    pub(crate) fn push(&mut self, mut input: &[u8], send: &mut Send<'_>) -> Result<(), Error> {
        let mut idle = 0;
        while idle < IDLE {
            let consumed = self.step(input, send)?;
            idle = consumed.map_or(idle + 1, |_| 0);
            input = &input[consumed.unwrap_or(0)..];
        }
        if input.is_empty() { Ok(()) } else { Err(self.error("the decoder does not go on".to_owned())) }
    }

    /// Ends the blob.
    ///
    /// # Errors
    /// When it ends too early, or what `send` says.
    pub(crate) fn finish(mut self, send: &mut Send<'_>) -> Result<(), Error> {
        if self.blob_at.0 > 0 && !self.decoder.may_end() {
            return Err(Error::Cut(self.codec.name()));
        }
        self.cut(send)
    }

    /// Makes one step; returns the bytes read, or `None` when nothing at all was done.
    fn step(&mut self, input: &[u8], send: &mut Send<'_>) -> Result<Option<usize>, Error> {
        let room = self.room(send)?;
        let room = if self.probes > 0 { 1 } else { room };
        let start = self.stretch.len;
        let stop = if self.looks_at_blocks() || self.block.is_some() { Stop::AtBlock } else { Stop::Late };
        let step = self.decoder.step(input, &mut self.stretch.buffer[start..start + room], stop);
        let step = step.map_err(|problem| self.error(problem))?;
        self.take(&input[..step.consumed]);
        self.stretch.len += step.produced;
        self.diff_at = self.diff_at.plus(step.produced);
        match step.mark {
            Some(mark) => self.pass_mark(mark, send)?,
            None if step.produced == room && self.block.is_some() && self.span_is_long() => self.probe(send)?,
            None => {}
        }
        Ok((step.consumed + step.produced > 0).then_some(step.consumed))
    }

    /// Takes note of what was read of the blob.
    fn take(&mut self, read: &[u8]) {
        if self.stretch.looking_ahead().is_some() {
            self.stretch.lookahead.extend_from_slice(read);
        }
        if let Some(block) = &mut self.block {
            let missing = HEADER - block.bytes.len();
            block.bytes.extend_from_slice(&read[..missing.min(read.len())]);
        }
        self.blob_at = self.blob_at.plus(read.len());
        let new = &read[read.len().saturating_sub(RECENT)..];
        self.recent.copy_within(new.len().., 0);
        self.recent[RECENT - new.len()..].copy_from_slice(new);
    }

    /// The last bytes of the blob that were read, from `at` on.
    fn recent(&self, at: BlobOffset) -> Option<&[u8]> {
        let count = usize::try_from(self.blob_at.0.checked_sub(at.0)?).ok()?;
        self.recent.get(RECENT.checked_sub(count)?..)
    }

    /// Bytes that the next step may write; cuts the stretch when it is long enough.
    fn room(&mut self, send: &mut Send<'_>) -> Result<usize, Error> {
        let enough = self.stretch.len >= self.stretch_size && self.blob_at.0 - self.stretch_start.0 >= PIECE_BLOB;
        if self.stretch.len == PIECE_MAX || (enough && self.stretch.len.is_multiple_of(self.stretch_size)) {
            self.cut(send)?;
        }
        let end = (self.stretch.len + 1).next_multiple_of(self.stretch_size);
        if self.stretch.buffer.len() < end {
            self.stretch.buffer.resize(end, 0);
        }
        let room = end - self.stretch.len;
        Ok(self.stretch.looking_ahead().map_or(room, |missing| missing.min(room)))
    }

    /// Starts a span where decoding can start, if the one before is long enough.
    fn pass_mark(&mut self, mark: Mark, send: &mut Send<'_>) -> Result<(), Error> {
        let (at, [.., last]) = (self.blob_at, self.recent);
        let mut bytes = Vec::new();
        if let Some(block) = self.block.take() {
            self.long_blocks = self.cost_since((block.at, block.diff_at)) >= self.span_size / 4;
            bytes = block.bytes;
        }
        if let Mark::Block { bits } = mark
            && self.looks_at_blocks()
        {
            bytes.clear();
            self.block = Some(Block { at, diff_at: self.diff_at, bits, last, bytes });
        }
        self.candidate = None;
        if self.span_is_long() {
            self.cut(send)?;
            self.start_span(SpanStart { at, mark, last });
        }
        Ok(())
    }

    /// Looks for a literal, and starts a span at it. A match is known by the byte behind its first: it is half written
    /// then.
    fn probe(&mut self, send: &mut Send<'_>) -> Result<(), Error> {
        let place = self.decoder.place();
        if let Some(start) = self.candidate.take()
            && place != Place::Within
            && let Some(lookahead) = self.recent(start.at).map(<[u8]>::to_vec)
        {
            let literal = self.stretch.buffer[self.stretch.len - 1];
            self.stretch.len -= 1;
            self.cut(send)?;
            self.stretch.buffer.resize(self.stretch.buffer.len().max(self.stretch_size), 0);
            self.stretch.buffer[0] = literal;
            self.stretch.len = 1;
            self.stretch.lookahead = lookahead;
            self.stretch.header = self.block.as_ref().map(|block| block.bytes.clone()).unwrap_or_default();
            self.start_span(start);
            self.span_start.1 = DiffOffset(self.diff_at.0 - 1);
            return Ok(());
        }
        self.probes = self.probes.checked_sub(1).unwrap_or(PROBES);
        self.candidate = match place {
            Place::Before { bits } if self.probes > 0 => self.candidate(bits),
            Place::Before { .. } | Place::Within | Place::Elsewhere => None,
        };
        Ok(())
    }

    /// A span that starts so many bits back.
    fn candidate(&self, bits: u32) -> Option<SpanStart> {
        let block = self.block.as_ref()?;
        let position = (self.blob_at.0 * 8).checked_sub(bits.into())?;
        let at = BlobOffset(position.div_ceil(8));
        let back = u32::try_from(at.0.checked_sub(block.at.0)?).ok()?;
        let bits = u8::try_from(at.0 * 8 - position).expect("at most seven bits");
        let last = *self.recent(BlobOffset(at.0.checked_sub(1)?))?.first()?;
        let header = Header { back, bits: block.bits, last: block.last };
        Some(SpanStart { at, mark: Mark::Code { bits, header }, last })
    }

    fn start_span(&mut self, start: SpanStart) {
        self.span_start = (start.at, self.diff_at);
        self.stretch.span = Some(start);
        self.probes = 0;
    }

    /// Whether the next place where decoding can start shall start a span.
    const fn span_is_long(&self) -> bool {
        let blob = self.blob_at.0 - self.span_start.0.0;
        let diff = self.diff_at.0 - self.span_start.1.0;
        self.cost_since(self.span_start) >= self.span_size
            && (blob >= SPAN_BLOB || diff >= self.span_size.saturating_mul(SPAN_STRETCH))
    }

    /// Whether the next span may start within the next block: coming back at each would take a twentieth longer.
    const fn looks_at_blocks(&self) -> bool {
        self.long_blocks || self.cost_since(self.span_start) >= self.span_size / 4 * 3
    }

    /// What decoding from there on takes, in bytes of diff of a usual layer.
    const fn cost_since(&self, (at, diff_at): (BlobOffset, DiffOffset)) -> u64 {
        let (blob, diff) = (self.blob_at.0 - at.0, self.diff_at.0 - diff_at.0);
        diff.saturating_add(blob.saturating_mul(BLOB_COST)) / USUAL_COST
    }

    fn cut(&mut self, send: &mut Send<'_>) -> Result<(), Error> {
        let blob = self.blob_at.0 - self.stretch_start.0;
        self.stretch_start = self.blob_at;
        if self.stretch.len > 0 {
            let mut stretch = std::mem::replace(&mut self.stretch, Stretch::empty(Vec::new()));
            stretch.blob = blob;
            self.stretch.buffer = send(stretch)?;
        }
        Ok(())
    }

    fn error(&self, problem: String) -> Error {
        if problem == WINDOW_TOO_LARGE {
            return Error::Window;
        }
        Error::Stream { format: self.codec.name(), at: self.blob_at.0, problem }
    }
}
