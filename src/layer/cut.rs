//! Cutting the decoded stream into spans and pieces.
//!
//! ```text
//! blob     ├──────────────┼───────────────┤   deflate blocks, frames
//! spans    ├──────────────┼───────────────┤   start where decoding can start, about 1 MiB of diff apart
//! pieces   ├────┼────┼────┼────┼────┼────┼┤   128 KiB of diff each, verified by themselves
//! ```
//!
//! A reader decodes from the start of a span to the piece it wants: on average half a span, and never serves a byte
//! whose piece is not verified. What is very compressible gets longer spans and pieces, so that an index stays a small
//! part of its blob.

use super::decode::{Codec, Decoder, Mark};
use super::error::Error;
use super::index::PIECE_MAX;
use super::inflate::{Stop, Trailer, WINDOW};
use super::offset::{BlobOffset, DiffOffset};
use super::zstd::WINDOW_TOO_LARGE;

/// Bytes of diff in a piece: a digest of 32 bytes for each adds 0.025 % of the diff to an index, and verifying one takes
/// a fiftieth of a millisecond.
const PIECE: usize = 128 << 10;
/// Bytes of blob behind a piece at least, unless it gets too long.
const PIECE_BLOB: u64 = 8 << 10;
/// Bytes of blob behind a span at least, unless it gets too long.
const SPAN_BLOB: u64 = 64 << 10;
/// A span may be so many times the wanted size before compressibility no longer counts.
const SPAN_STRETCH: u64 = 8;
/// Steps without a byte read or written after which a decoder is stuck: a block may end without either, once.
const IDLE: u32 = 3;

/// Where a span starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpanStart {
    /// First whole byte of the blob to read.
    pub(super) at: BlobOffset,
    /// What is needed to start there.
    pub(super) mark: Mark,
    /// The byte before.
    pub(super) last: u8,
}

/// A piece that was cut.
pub(super) struct CutPiece {
    buffer: Vec<u8>,
    len: usize,
    /// Set when a span starts here.
    pub(super) span: Option<SpanStart>,
    /// Blob behind the first 32 KiB of a span that starts at a block: what tells which part of the window is used.
    pub(super) lookahead: Vec<u8>,
}

impl CutPiece {
    /// The decoded bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// Its buffer, to be used again.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    fn empty(buffer: Vec<u8>) -> Self {
        Self { buffer, len: 0, span: None, lookahead: Vec::new() }
    }

    /// Bytes of diff still missing of what the lookahead must cover.
    fn looking_ahead(&self) -> Option<usize> {
        let block = matches!(self.span, Some(SpanStart { mark: Mark::Block { .. }, .. }));
        (block && self.len < WINDOW).then(|| WINDOW - self.len)
    }
}

/// Takes pieces and gives a buffer for the next.
type Send<'a> = dyn FnMut(CutPiece) -> Result<Vec<u8>, Error> + 'a;

/// Decodes a blob and cuts the diff.
pub(super) struct Cutter {
    codec: Codec,
    decoder: Decoder,
    span_size: u64,
    blob_at: BlobOffset,
    diff_at: DiffOffset,
    /// The last byte of the blob that was read.
    last: u8,
    span_start: (BlobOffset, DiffOffset),
    piece_start: BlobOffset,
    piece: CutPiece,
}

impl Cutter {
    /// A cutter at the start of a blob.
    pub(super) fn new(codec: Codec, trailer: Trailer, span_size: u64) -> Self {
        let mut piece = CutPiece::empty(Vec::new());
        piece.span = Some(SpanStart { at: BlobOffset(0), mark: Mark::Frame, last: 0 });
        Self {
            codec,
            decoder: Decoder::new(codec, trailer),
            span_size,
            blob_at: BlobOffset(0),
            diff_at: DiffOffset(0),
            last: 0,
            span_start: (BlobOffset(0), DiffOffset(0)),
            piece_start: BlobOffset(0),
            piece,
        }
    }

    /// Decodes the next bytes of the blob.
    ///
    /// # Errors
    /// When they are damaged, or what `send` says.
    pub(super) fn push(&mut self, mut input: &[u8], send: &mut Send<'_>) -> Result<(), Error> {
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
    pub(super) fn finish(mut self, send: &mut Send<'_>) -> Result<(), Error> {
        if self.blob_at.0 > 0 && !self.decoder.may_end() {
            return Err(Error::Cut(self.codec.name()));
        }
        self.cut(send)
    }

    /// Makes one step; returns the bytes read, or `None` when nothing at all was done.
    fn step(&mut self, input: &[u8], send: &mut Send<'_>) -> Result<Option<usize>, Error> {
        let room = self.room(send)?;
        let start = self.piece.len;
        let stop = if self.span_is_long() { Stop::AtBlock } else { Stop::Late };
        let looking = self.piece.looking_ahead().is_some();
        let step = self.decoder.step(input, &mut self.piece.buffer[start..start + room], stop);
        let step = step.map_err(|problem| self.error(problem))?;
        if looking {
            self.piece.lookahead.extend_from_slice(&input[..step.consumed]);
        }
        self.piece.len += step.produced;
        self.blob_at = self.blob_at.plus(step.consumed);
        self.diff_at = self.diff_at.plus(step.produced);
        self.last = step.consumed.checked_sub(1).map_or(self.last, |at| input[at]);
        if let Some(mark) = step.mark {
            self.pass_mark(mark, send)?;
        }
        Ok((step.consumed + step.produced > 0).then_some(step.consumed))
    }

    /// Bytes that the next step may write; cuts the piece when it is long enough.
    fn room(&mut self, send: &mut Send<'_>) -> Result<usize, Error> {
        let enough = self.piece.len >= PIECE && self.blob_at.0 - self.piece_start.0 >= PIECE_BLOB;
        if self.piece.len == PIECE_MAX || (enough && self.piece.len.is_multiple_of(PIECE)) {
            self.cut(send)?;
        }
        let end = (self.piece.len + 1).next_multiple_of(PIECE);
        if self.piece.buffer.len() < end {
            self.piece.buffer.resize(end, 0);
        }
        let room = end - self.piece.len;
        Ok(self.piece.looking_ahead().map_or(room, |missing| missing.min(room)))
    }

    /// Starts a span where decoding can start, if the one before is long enough.
    fn pass_mark(&mut self, mark: Mark, send: &mut Send<'_>) -> Result<(), Error> {
        if !self.span_is_long() {
            return Ok(());
        }
        self.cut(send)?;
        self.span_start = (self.blob_at, self.diff_at);
        self.piece.span = Some(SpanStart { at: self.blob_at, mark, last: self.last });
        Ok(())
    }

    /// Whether the next place where decoding can start shall start a span.
    const fn span_is_long(&self) -> bool {
        let blob = self.blob_at.0 - self.span_start.0.0;
        let diff = self.diff_at.0 - self.span_start.1.0;
        diff >= self.span_size && (blob >= SPAN_BLOB || diff >= self.span_size.saturating_mul(SPAN_STRETCH))
    }

    fn cut(&mut self, send: &mut Send<'_>) -> Result<(), Error> {
        self.piece_start = self.blob_at;
        if self.piece.len > 0 {
            let piece = std::mem::replace(&mut self.piece, CutPiece::empty(Vec::new()));
            self.piece.buffer = send(piece)?;
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
