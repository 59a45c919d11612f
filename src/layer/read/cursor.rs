//! A decoder on its way through one span, which hands out its pieces in blocks.

use std::ops::Range;
use std::sync::Arc;

use super::cache::{Block, Buffer, PIECES_MAX, USUAL};
use crate::base::{ErrorKind, Fault as _};
use crate::extent::{ReadError, SharedSource};
use crate::layer::engine::{Decoder, HEADER, Stop, Trailer};
use crate::layer::error::Error;
use crate::layer::index::{BlobOffset, Codec, Header, Index, Mark, WINDOW};

/// Bytes of blob read at a time: about what one block of a usual layer takes.
const CHUNK: u64 = 128 << 10;
/// Bytes of diff decoded in one go, counted from the start of a span: every call to the decoder copies a window.
const BLOCK: u64 = USUAL as u64;
/// Steps without a byte read or written after which a decoder is stuck.
const IDLE: u32 = 3;

/// A blob that can be read at random: its bytes and its index.
pub(crate) struct Seekable {
    /// Tells it from others that share a cache.
    pub(crate) id: u64,
    /// Digest or path, for messages.
    pub(crate) name: String,
    /// The compressed bytes.
    pub(crate) blob: SharedSource,
    /// Where decoding can start, and what must come out.
    pub(crate) index: Index,
    /// Called when other bytes come out: forgets the blob, so that the next to open it fetches it anew.
    pub(crate) forget: Option<Forget>,
}

/// See [`Seekable::forget`].
pub(crate) type Forget = Box<dyn Fn() + Send + Sync>;

impl Seekable {
    /// An error for bytes that are not what they were; the blob is forgotten.
    pub(crate) fn corrupt(&self, problem: &str) -> ReadError {
        self.forget.iter().for_each(|forget| forget());
        ReadError::wrap(format!("cannot read layer `{}`", self.name), Error::Damaged(problem.to_owned()))
    }
}

/// A decoder in the middle of a span.
pub(crate) struct Cursor {
    layer: Arc<Seekable>,
    decoder: Decoder,
    /// The piece it stands before.
    next: usize,
    /// The pieces of its span.
    span: Range<usize>,
    /// The next byte of the blob to read.
    at: BlobOffset,
    /// Where the span's data ends in the blob.
    limit: BlobOffset,
    /// What was read of the blob, and how much of it is used up.
    input: Vec<u8>,
    used: usize,
}

impl Cursor {
    /// A cursor at the start of a span, with memory of one before.
    ///
    /// # Errors
    /// `Corrupt` when the index is damaged.
    pub(crate) fn start(layer: Arc<Seekable>, span: usize, input: Vec<u8>) -> Result<Self, ReadError> {
        let index = &layer.index;
        let start = index.span(span);
        let decoder = match start.mark {
            Mark::Frame => Decoder::new(index.codec(), Trailer::Ignored),
            Mark::Block { bits } => Decoder::resume(bits, start.last, &*window(&layer, span)?),
            Mark::Code { bits, header } => {
                let bytes = block_header(&layer, start.at, header)?;
                let header = (header.bits, header.last, &bytes[..]);
                let decoder = Decoder::resume_within(header, (bits, start.last), &*window(&layer, span)?);
                decoder.map_err(|problem| layer.corrupt(&problem))?
            }
        };
        let (pieces, limit) = (index.pieces_of(span), index.blob_end(span));
        let used = input.len();
        Ok(Self { decoder, next: pieces.start, span: pieces, at: start.at, limit, input, used, layer })
    }

    /// Its memory, for the next.
    pub(crate) fn into_input(self) -> Vec<u8> {
        self.input
    }

    /// The piece it stands before.
    pub(crate) const fn next(&self) -> usize {
        self.next
    }

    /// Whether it is through its span.
    pub(crate) const fn is_done(&self) -> bool {
        self.next == self.span.end
    }

    /// The blob it decodes.
    pub(crate) const fn layer(&self) -> &Arc<Seekable> {
        &self.layer
    }

    /// About how many bytes of memory it holds.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.input.capacity() + self.decoder.weight()
    }

    /// The pieces of the next block, which are decoded in one go: none behind `last`, except the next.
    pub(crate) fn block(&self, last: usize) -> Range<usize> {
        let index = &self.layer.index;
        let start = index.piece(self.span.start).start;
        let limit = start + ((index.piece(self.next).start - start) / BLOCK + 1) * BLOCK;
        let most = self.span.end.min(self.next + PIECES_MAX).min(last.saturating_add(1));
        let behind = (self.next + 1..most).find(|piece| index.piece(*piece).end > limit);
        self.next..behind.unwrap_or(most.max(self.next + 1))
    }

    /// How many bytes these pieces have.
    pub(crate) fn len_of(&self, pieces: &Range<usize>) -> usize {
        let index = &self.layer.index;
        let len = index.piece(pieces.end - 1).end - index.piece(pieces.start).start;
        usize::try_from(len).expect("the index bounds the length of pieces")
    }

    /// Decodes the pieces of the next block into `out`, which has their length; they are not verified.
    ///
    /// # Errors
    /// `Corrupt` when nothing comes out; else what reading the blob says.
    pub(crate) fn advance(&mut self, pieces: Range<usize>, mut out: Buffer) -> Result<Block, ReadError> {
        match self.layer.index.codec() {
            Codec::Plain => self.copy(&mut out)?,
            Codec::Gzip | Codec::Zstd => self.decode(&mut out)?,
        }
        self.next = pieces.end;
        Ok(Block::new(pieces, out))
    }

    fn copy(&mut self, out: &mut [u8]) -> Result<(), ReadError> {
        read_twice(&self.layer.blob, out, self.at)?;
        self.at = self.at.plus(out.len());
        Ok(())
    }

    fn decode(&mut self, out: &mut [u8]) -> Result<(), ReadError> {
        let (mut len, mut idle) = (0, 0);
        while len < out.len() {
            if self.used == self.input.len() {
                self.fill()?;
            }
            let step = self.decoder.step(&self.input[self.used..], &mut out[len..], Stop::Late);
            let step = step.map_err(|problem| self.layer.corrupt(&problem))?;
            self.used += step.consumed;
            len += step.produced;
            idle = if step.consumed + step.produced == 0 { idle + 1 } else { 0 };
            if idle == IDLE {
                return Err(self.layer.corrupt("the data ends too early"));
            }
        }
        Ok(())
    }

    /// Reads the next bytes of the span; none when it is used up.
    fn fill(&mut self) -> Result<(), ReadError> {
        let len = (self.limit.0 - self.at.0).min(CHUNK);
        self.input.resize(usize::try_from(len).expect("a chunk fits in memory"), 0);
        self.used = 0;
        read_twice(&self.layer.blob, &mut self.input, self.at)?;
        self.at = self.at.plus(self.input.len());
        Ok(())
    }
}

/// The window of a span.
fn window(layer: &Seekable, span: usize) -> Result<Box<[u8; WINDOW]>, ReadError> {
    layer.index.window(span).ok_or_else(|| layer.corrupt("a window in its index"))
}

/// The header of the block that a span starts in, and what follows.
fn block_header(layer: &Seekable, at: BlobOffset, header: Header) -> Result<Vec<u8>, ReadError> {
    let start = at.0.checked_sub(header.back.into()).ok_or_else(|| layer.corrupt("a block in its index"))?;
    let len = (layer.blob.size() - start).min(HEADER as u64);
    let mut bytes = vec![0; usize::try_from(len).expect("a header fits in memory")];
    read_twice(&layer.blob, &mut bytes, BlobOffset(start))?;
    Ok(bytes)
}

/// Reads, and reads once more when the system failed: a mapped artifact turns a failed read into a killed guest.
fn read_twice(blob: &SharedSource, buf: &mut [u8], at: BlobOffset) -> Result<(), ReadError> {
    match blob.read_at(buf, at.0) {
        Err(error) if error.kind() == ErrorKind::Io => blob.read_at(buf, at.0),
        result => result,
    }
}
