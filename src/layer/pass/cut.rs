//! Cutting the decoded stream into spans and pieces.
//!
//! ```text
//! blob     ├──────────────┼───────────────┤   codes of deflate blocks, frames
//! spans    ├──────────────┼───────────────┤   start where decoding can start
//! pieces   ├─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼┤   64 KiB of diff each, verified by themselves
//! ```
//!
//! A reader decodes from the start of a span to the piece it wants: on average half a span, and never serves a byte whose
//! piece is not verified. What is very compressible gets longer spans and pieces, so that an index stays a small part of
//! its blob.
//!
//! The engine can start at any code, so a span starts where the one before is long enough; at the start of a frame, which
//! needs no window, when it is half as long.

use crate::layer::engine::{Checks, Decoder, Flow, OVERHANG, Problem, Room};
use crate::layer::error::Error;
use crate::layer::index::{BlobOffset, Codec, DiffOffset, PIECE_MAX, ResumePoint, UsedBytes, WINDOW};

/// Bytes of diff in a piece: a digest of 32 bytes for each adds 0.05 % of the diff to an index, and what lies before a
/// wanted byte in its piece is decoded in some 30 microseconds.
const PIECE: usize = 64 << 10;
/// Bytes of blob behind a piece at least, unless it gets too long.
const PIECE_BLOB: u64 = 8 << 10;
/// Bytes of diff that are handed on together, unless a span starts.
const STRETCH: usize = 256 << 10;
/// The longest stretch, so that it can be one piece: a decoder may write some hundred bytes more.
const STRETCH_MAX: usize = PIECE_MAX - 1024;
/// Stretch and span where nothing is compressed: starting anywhere costs nothing.
const PLAIN: usize = 128 << 10;
/// Inflating takes as long for a byte of blob as for this many bytes of diff; usual layers have a quarter as many, and cost
/// as much a byte of diff as [`USUAL_COST`] says.
const BLOB_COST: u64 = 12;
const USUAL_COST: u64 = 4;
/// Bytes of blob behind a span at least, unless it gets too long.
const SPAN_BLOB: u64 = 64 << 10;
/// A span may be this many times the wanted size before compressibility no longer counts.
const SPAN_STRETCH: u64 = 8;
/// Steps without a byte read or written after which a decoder is stuck: a frame may end without either, once.
const IDLE: u32 = 3;

/// A stretch of the diff, decoded and cut, behind the 32 KiB before it.
pub(super) struct Stretch {
    buffer: Vec<u8>,
    len: usize,
    /// Bytes of blob behind it.
    blob: u64,
    /// Set when a span starts here.
    pub(super) start: Option<ResumePoint>,
    /// Which of the bytes before a span are used in it, where any are needed.
    pub(super) used: Option<UsedBytes>,
}

impl Stretch {
    /// The decoded bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[WINDOW..WINDOW + self.len]
    }

    /// The bytes before them.
    pub(super) fn window(&self) -> &[u8; WINDOW] {
        self.buffer.first_chunk().expect("a buffer begins with a window")
    }

    /// The decoded bytes as pieces of about one length.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let worth = usize::try_from(self.blob / PIECE_BLOB).unwrap_or(usize::MAX);
        let count = ((self.len + PIECE / 2) / PIECE).min(worth).max(1);
        self.bytes().chunks(self.len.div_ceil(count))
    }

    /// Its buffer, to be used again.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}

/// Where stretches go.
pub(super) trait Stretches {
    /// A buffer for the next stretch, with anything in it.
    fn buffer(&mut self) -> Vec<u8>;

    /// Takes a stretch.
    ///
    /// # Errors
    /// What is wrong with its bytes.
    fn take(&mut self, stretch: Stretch) -> Result<(), Error>;
}

/// Decodes a blob and cuts the diff.
pub(super) struct Cutter {
    codec: Codec,
    decoder: Decoder,
    /// Bytes of diff between two looks at whether to cut, in a stretch, and in a span.
    step: usize,
    stretch_size: usize,
    span_size: u64,
    blob_at: BlobOffset,
    diff_at: DiffOffset,
    span_start: (BlobOffset, DiffOffset),
    stretch_start: BlobOffset,
    stretch: Stretch,
}

impl Cutter {
    /// A cutter at the start of a blob.
    pub(super) fn new(codec: Codec, checks: Checks, span_size: u64) -> Self {
        let (step, stretch_size, span_size) = match codec {
            Codec::Plain => (PLAIN, PLAIN, PLAIN as u64),
            Codec::Gzip | Codec::Zstd => (PIECE, STRETCH, span_size),
        };
        let start = Some(ResumePoint::Frame(BlobOffset(0)));
        Self {
            codec,
            decoder: Decoder::new(codec, BlobOffset(0), checks),
            step,
            stretch_size,
            span_size,
            blob_at: BlobOffset(0),
            diff_at: DiffOffset(0),
            span_start: (BlobOffset(0), DiffOffset(0)),
            stretch_start: BlobOffset(0),
            stretch: Stretch { buffer: Vec::new(), len: 0, blob: 0, start, used: None },
        }
    }

    /// Decodes the next bytes of the blob.
    ///
    /// # Errors
    /// When they are damaged, or what `to` says.
    pub(super) fn push(&mut self, mut input: &[u8], to: &mut dyn Stretches) -> Result<(), Error> {
        let mut idle = 0;
        while idle < IDLE {
            let (consumed, produced) = self.step(input, to)?;
            input = &input[consumed..];
            idle = if consumed + produced == 0 { idle + 1 } else { 0 };
        }
        if input.is_empty() { Ok(()) } else { Err(self.error_at("the decoder does not go on".to_owned())) }
    }

    /// Ends the blob.
    ///
    /// # Errors
    /// When it ends too early, or what `to` says.
    pub(super) fn finish(mut self, to: &mut dyn Stretches) -> Result<(), Error> {
        if self.blob_at.0 > 0 && !self.decoder.may_end() {
            return Err(Error::Cut(self.codec.name()));
        }
        self.cut(to)
    }

    /// Decodes up to the next place to look at; returns the bytes read and written.
    fn step(&mut self, input: &[u8], to: &mut dyn Stretches) -> Result<(usize, usize), Error> {
        let Stretch { buffer, len, start, .. } = &mut self.stretch;
        let enough = (*len + 1).next_multiple_of(self.step).min(STRETCH_MAX);
        buffer.resize(buffer.len().max(WINDOW + enough + OVERHANG), 0);
        // Where a span starts, what was before it is apart, so that the engine marks what is used of it.
        let (window, rest) = buffer.split_at_mut(WINDOW);
        let room = match start {
            Some(_) => Room { buffer: rest, at: *len, enough, window },
            None => Room { buffer, at: WINDOW + *len, enough: WINDOW + enough, window: &[] },
        };
        let step = self.decoder.step(input, room);
        let step = step.map_err(|problem| self.error(problem))?;
        self.stretch.len += step.produced;
        self.blob_at = self.blob_at.plus(step.consumed);
        self.diff_at = self.diff_at.plus(step.produced);
        if self.stretch.len >= enough || step.flow == Flow::End {
            self.consider(to)?;
        }
        Ok((step.consumed, step.produced))
    }

    /// Cuts the stretch where it is long enough, and starts a span where that is.
    fn consider(&mut self, to: &mut dyn Stretches) -> Result<(), Error> {
        let (len, blob) = (self.stretch.len, self.blob_at.0 - self.stretch_start.0);
        match self.decoder.resume_point() {
            Some(start) if self.is_long(start) => {
                self.cut(to)?;
                self.start_span(start);
                Ok(())
            }
            _ if len >= STRETCH_MAX || (len >= self.stretch_size && blob >= PIECE_BLOB) => self.cut(to),
            _ => Ok(()),
        }
    }

    fn start_span(&mut self, start: ResumePoint) {
        self.span_start = (self.blob_at, self.diff_at);
        self.stretch.start = Some(start);
        if let ResumePoint::Code { .. } = start {
            self.decoder.watch();
        }
    }

    /// Whether the span has become so long that the next one can start here.
    const fn is_long(&self, start: ResumePoint) -> bool {
        let (at, diff_at) = self.span_start;
        let (blob, diff) = (self.blob_at.0 - at.0, self.diff_at.0 - diff_at.0);
        let cost = diff.saturating_add(blob.saturating_mul(BLOB_COST)) / USUAL_COST;
        let wanted = match start {
            ResumePoint::Frame(_) => self.span_size / 2,
            ResumePoint::Code { .. } => self.span_size,
        };
        diff > 0 && cost >= wanted && (blob >= SPAN_BLOB || diff >= self.span_size.saturating_mul(SPAN_STRETCH))
    }

    /// Hands the stretch on, if there is any of it, and goes on in another buffer.
    fn cut(&mut self, to: &mut dyn Stretches) -> Result<(), Error> {
        let blob = self.blob_at.0 - self.stretch_start.0;
        self.stretch_start = self.blob_at;
        if self.stretch.len == 0 {
            return Ok(());
        }
        let mut buffer = to.buffer();
        buffer.resize(buffer.len().max(WINDOW), 0);
        let end = self.stretch.len + WINDOW;
        buffer[..WINDOW].copy_from_slice(&self.stretch.buffer[end - WINDOW..end]);
        let next = Stretch { buffer, len: 0, blob: 0, start: None, used: None };
        let mut stretch = std::mem::replace(&mut self.stretch, next);
        stretch.blob = blob;
        stretch.used = self.decoder.watched();
        to.take(stretch)
    }

    fn error(&self, problem: Problem) -> Error {
        match problem {
            Problem::Window => Error::Window,
            problem => self.error_at(problem.to_string()),
        }
    }

    fn error_at(&self, problem: String) -> Error {
        Error::Stream { format: self.codec.name(), at: self.blob_at.0, problem }
    }
}
