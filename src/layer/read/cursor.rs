//! A decoder on its way through one span, which hands out its pieces in blocks.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::block::{Block, Buffer, USUAL};
use super::proof::Proofs;
use crate::base::{Digest, ErrorKind, Fault as _, Hasher, in_memory};
use crate::blob::RangedBlob;
use crate::extent::{ReadError, SharedSource};
use crate::layer::engine::{Decoder, Flow, HEADER_MAX, Room};
use crate::layer::error::Error;
use crate::layer::index::{
    BlobOffset, Codec, Digests, Hashed, Index, NoPart, ResumePoint, WHOLE_BLOB_MAX, WINDOW, Whole,
};

/// Bytes of blob read at a time: about what one block of a usual layer takes.
const CHUNK: u64 = 128 << 10;
/// Bytes between the header of a block and a span that are fetched rather than asked for around: blocks of zlib are
/// shorter.
const NEAR: u64 = 64 << 10;
/// Most bytes of memory that go from one cursor to the next.
const INPUT_MAX: usize = 128 << 10;
/// Bytes that are fetched beyond an estimate: more than the header of a block.
const SPARE: u64 = 16 << 10;
/// Pieces decoded in one go, counted from the start of a span.
pub(super) const BLOCK: usize = 4;
/// Steps without a byte read or written after which a decoder is stuck.
const IDLE: u32 = 3;

/// A blob that can be read at random: its bytes and its index.
pub(crate) struct IndexedBlob {
    /// Tells it from others that share a cache.
    pub(crate) id: u64,
    /// Digest or path, for messages.
    pub(crate) name: String,
    /// The compressed bytes.
    pub(crate) blob: SharedSource,
    /// Bytes that are stored of it: fewer than the blob has where that lies in a layer, compressed again.
    pub(crate) stored: u64,
    /// Where decoding can start, and what must come out.
    pub(crate) index: Index,
    /// Bytes decoded so far.
    pub(crate) decoded: AtomicU64,
    /// Called when one of them is found damaged: forgets it, so that the next to open the layer gets it anew.
    pub(crate) forget: Option<Forget>,
    /// What is known of spans that are verified as a whole.
    pub(crate) proofs: Proofs,
}

/// What is found damaged when a layer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damaged {
    /// The blob, or both.
    Blob,
    /// The index, which is made anew from the blob.
    Index,
}

/// See [`IndexedBlob::forget`].
pub(crate) type Forget = Box<dyn Fn(Damaged) + Send + Sync>;

impl IndexedBlob {
    /// A blob whose bytes are here, and of which nobody needs to know when it is damaged.
    pub(crate) fn local(id: u64, name: String, blob: SharedSource, index: Index) -> Self {
        let (decoded, proofs, stored) = (AtomicU64::new(0), Proofs::default(), blob.size());
        Self { id, name, blob, stored, index, decoded, forget: None, proofs }
    }

    /// Whether its bytes are fetched when they are read.
    pub(crate) fn is_far(&self) -> bool {
        let blob: &dyn Any = &*self.blob;
        blob.is::<RangedBlob>()
    }

    /// An error for bytes that are not what they were; the blob is forgotten.
    pub(crate) fn corrupt(&self, problem: &str) -> ReadError {
        self.forgotten(Damaged::Blob, Error::Damaged(problem.to_owned()))
    }

    /// An error for an index that is not what it was; it is forgotten.
    fn corrupt_index(&self) -> ReadError {
        self.forgotten(Damaged::Index, Error::DamagedIndex)
    }

    fn forgotten(&self, damaged: Damaged, error: Error) -> ReadError {
        if let Some(forget) = &self.forget {
            forget(damaged);
        }
        ReadError::wrap(format!("cannot read layer `{}`", self.name), error)
    }
}

/// What a span is decoded with.
struct Opening {
    window: Box<[u8; WINDOW]>,
    /// Where its data ends in the blob.
    limit: BlobOffset,
    digests: Digests,
}

/// A decoder in the middle of a span.
pub(crate) struct Cursor {
    layer: Arc<IndexedBlob>,
    decoder: Decoder,
    /// The piece it stands before.
    next: usize,
    /// The pieces of its span, and their digests.
    span: Range<usize>,
    digests: Digests,
    /// The last 32 KiB of output, as far as they are needed.
    window: Box<[u8; WINDOW]>,
    /// The next byte of the blob to read.
    at: BlobOffset,
    /// Where the span's data ends in the blob, and up to where it was fetched for what is wanted now.
    limit: BlobOffset,
    fetched: BlobOffset,
    /// What was read of the blob, and how much of it is used up.
    input: Vec<u8>,
    used: usize,
}

impl Cursor {
    /// A cursor at the start of a span, with memory of one before. `last` is the last piece that is wanted for now, which
    /// says how much to fetch of a blob that is not here.
    ///
    /// # Errors
    /// `Corrupt` when the index is damaged; else what reading the blob says.
    pub(crate) fn start(layer: Arc<IndexedBlob>, span: usize, last: usize, input: Vec<u8>) -> Result<Self, ReadError> {
        let part = layer.index.part(span).map_err(|problem| match problem {
            NoPart::Damaged => layer.corrupt_index(),
            NoPart::Unread(error) => error,
        })?;
        let window = part.window.unwrap_or_else(|| Box::new([0; WINDOW]));
        let Some(whole) = part.whole else {
            let limit = layer.index.blob_end(span);
            let worth = worth_fetching(&layer.index, span, last);
            layer.blob.will_read(worth.clone());
            let cursor = Self::at(layer, span, Opening { window, limit, digests: part.digests }, input)?;
            return Ok(Self { fetched: BlobOffset(worth.end), ..cursor });
        };
        let opening = |digests| Opening { window: window.clone(), limit: whole.end, digests };
        if let Some(digests) = layer.proofs.of(span) {
            let mut cursor = Self::at(layer, span, opening(digests), input)?;
            return cursor.pass_over(whole.skip).map(|()| cursor);
        }
        let proving = Self::at(layer.clone(), span, opening(Digests::default()), input)?.with_all_input()?;
        let (digests, input) = proving.prove(&whole)?;
        layer.proofs.keep(span, &digests);
        let mut cursor = Self::at(layer, span, opening(digests), input)?.over_input();
        cursor.pass_over(whole.skip).map(|()| cursor)
    }

    fn at(layer: Arc<IndexedBlob>, span: usize, opening: Opening, input: Vec<u8>) -> Result<Self, ReadError> {
        let (start, pieces) = (layer.index.start(span), layer.index.pieces_of(span));
        let header = block_header(&layer, start)?;
        let decoder = Decoder::resume(layer.index.codec(), start, &header);
        let decoder = decoder.map_err(|problem| layer.corrupt(&problem.to_string()))?;
        let (next, used) = (pieces.start, input.len());
        let Opening { window, limit, digests } = opening;
        Ok(Self {
            decoder,
            next,
            span: pieces,
            digests,
            window,
            at: start.byte(),
            limit,
            fetched: limit,
            input,
            used,
            layer,
        })
    }

    /// The same with all data of its span in memory.
    fn with_all_input(mut self) -> Result<Self, ReadError> {
        let len = self.limit.0.checked_sub(self.at.0).filter(|len| *len <= WHOLE_BLOB_MAX);
        let len = len.filter(|_| self.limit.0 <= self.layer.blob.size()).ok_or_else(|| self.layer.corrupt_index())?;
        self.layer.blob.will_read(self.at.0..self.limit.0);
        self.input.resize(usize::try_from(len).expect("32 MiB fit in memory"), 0);
        read_twice(&self.layer.blob, &mut self.input, self.at)?;
        Ok(self.over_input())
    }

    /// The same where the input holds all data of its span.
    const fn over_input(mut self) -> Self {
        (self.used, self.at) = (0, self.limit);
        self
    }

    /// Its memory, for the next; what one span that was verified as a whole took is given back.
    pub(crate) fn into_input(mut self) -> Vec<u8> {
        self.input.truncate(INPUT_MAX);
        self.input.shrink_to(INPUT_MAX);
        self.input
    }

    /// Compares its span, whose data is in memory, with the digest of the whole. Returns the digests of its pieces, taken of
    /// the same bytes, and the memory with the data.
    fn prove(mut self, whole: &Whole) -> Result<(Digests, Vec<u8>), ReadError> {
        if whole.hashed == Hashed::Stored {
            whole.check(Digest::of(&self.input)).map_err(|problem| self.layer.corrupt(&problem))?;
        }
        self.pass_over(whole.skip)?;
        let (mut hash, mut bytes) = (Hasher::default(), Vec::new());
        let mut digests = Vec::with_capacity(self.span.len());
        for piece in self.span.clone() {
            bytes.resize(self.len_of(&(piece..piece + 1)), 0);
            self.next_bytes(&mut bytes)?;
            digests.push(*blake3::hash(&bytes).as_bytes());
            if whole.hashed == Hashed::Decoded {
                hash.update(&bytes);
            }
        }
        if whole.hashed == Hashed::Decoded {
            whole.check(hash.finish()).map_err(|problem| self.layer.corrupt(&problem))?;
        }
        Ok((digests.into(), self.input))
    }

    /// Decodes bytes that nobody wants.
    fn pass_over(&mut self, mut len: u64) -> Result<(), ReadError> {
        let mut scratch = vec![0; in_memory(len.min(CHUNK))];
        while len > 0 {
            let part = in_memory(len.min(CHUNK));
            self.next_bytes(&mut scratch[..part])?;
            len -= part as u64;
        }
        Ok(())
    }

    /// The blob it decodes.
    pub(crate) const fn layer(&self) -> &Arc<IndexedBlob> {
        &self.layer
    }

    /// About how many bytes of memory it holds.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + WINDOW + self.input.capacity() + self.decoder.weight()
    }

    /// The pieces of the next block, which are decoded in one go: none behind `last`, except the next.
    pub(crate) fn block(&self, last: usize) -> Range<usize> {
        let group = self.span.start + ((self.next - self.span.start) / BLOCK + 1) * BLOCK;
        let mut pieces = self.next..group.min(self.span.end).min(last.saturating_add(1)).max(self.next + 1);
        while pieces.len() > 1 && self.len_of(&pieces) > USUAL {
            pieces.end -= 1;
        }
        pieces
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
        self.next_bytes(&mut out)?;
        self.next = pieces.end;
        Ok(Block::new(pieces, out, (self.digests.clone(), self.span.start)))
    }

    /// Decodes the next bytes.
    fn next_bytes(&mut self, out: &mut [u8]) -> Result<(), ReadError> {
        match self.layer.index.codec() {
            Codec::Plain if self.used == self.input.len() => self.copy(out),
            Codec::Gzip => {
                self.decode(out)?;
                remember(&mut self.window, out);
                Ok(())
            }
            Codec::Plain | Codec::Zstd => self.decode(out),
        }
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
            let room = Room { at: len, enough: out.len(), buffer: &mut *out, window: &*self.window };
            let step = self.decoder.step(&self.input[self.used..], room);
            let step = step.map_err(|problem| self.layer.corrupt(&problem.to_string()))?;
            self.used += step.consumed;
            len += step.produced;
            let is_idle = step.consumed + step.produced == 0 && step.flow == Flow::Input;
            idle = if is_idle { idle + 1 } else { 0 };
            if idle == IDLE {
                return Err(self.layer.corrupt("the data ends too early"));
            }
        }
        Ok(())
    }

    /// Reads the next bytes of the span; none when it is used up.
    fn fill(&mut self) -> Result<(), ReadError> {
        if self.at >= self.fetched {
            self.fetched = self.limit;
            self.layer.blob.will_read(self.at.0..self.limit.0);
        }
        let len = (self.fetched.0.saturating_sub(self.at.0)).min(CHUNK);
        self.input.resize(in_memory(len), 0);
        self.used = 0;
        read_twice(&self.layer.blob, &mut self.input, self.at)?;
        self.at = self.at.plus(self.input.len());
        Ok(())
    }
}

/// The bytes of the blob to fetch before a span is decoded up to its piece `last`: where that is near its start, the part of
/// the span that they take if all its bytes are compressed alike, and some more; else all of it.
fn worth_fetching(index: &Index, span: usize, last: usize) -> Range<u64> {
    let (start, limit, pieces) = (first_byte(index.start(span)), index.blob_end(span).0, index.pieces_of(span));
    let first = index.piece(pieces.start).start;
    let whole = index.piece(pieces.end - 1).end - first;
    let wanted = index.piece(last.clamp(pieces.start, pieces.end - 1)).end - first;
    if wanted > whole / 2 {
        return start..limit;
    }
    let share = u128::from(limit.saturating_sub(start)) * u128::from(wanted) * 5 / (u128::from(whole) * 4);
    let share = u64::try_from(share).unwrap_or(u64::MAX);
    start..limit.min(start.saturating_add(share).saturating_add(SPARE))
}

/// The first byte of the blob that decoding from `start` reads, unless the header of its block lies far before.
fn first_byte(start: ResumePoint) -> u64 {
    match start {
        ResumePoint::Code { block, .. } if start.byte().0 - block.byte().0 <= NEAR => block.byte().0,
        ResumePoint::Code { .. } | ResumePoint::Frame(_) => start.byte().0,
    }
}

/// Moves the last 32 KiB on by `bytes`.
fn remember(window: &mut [u8; WINDOW], bytes: &[u8]) {
    let new = &bytes[bytes.len().saturating_sub(WINDOW)..];
    window.copy_within(new.len().., 0);
    window[WINDOW - new.len()..].copy_from_slice(new);
}

/// The header of the block that a span starts in, and what follows; nothing where there is none.
fn block_header(layer: &IndexedBlob, start: ResumePoint) -> Result<Vec<u8>, ReadError> {
    let ResumePoint::Code { position, block } = start else { return Ok(Vec::new()) };
    if position == block {
        return Ok(Vec::new());
    }
    let len = layer.blob.size().saturating_sub(block.byte().0).min(HEADER_MAX as u64);
    let mut bytes = vec![0; usize::try_from(len).expect("a header fits in memory")];
    read_twice(&layer.blob, &mut bytes, block.byte())?;
    Ok(bytes)
}

/// Reads, and reads once more when the system failed: a mapped artifact turns a failed read into a killed guest.
fn read_twice(blob: &SharedSource, buf: &mut [u8], at: BlobOffset) -> Result<(), ReadError> {
    match blob.read_at(buf, at.0) {
        Err(error) if error.kind() == ErrorKind::Io => blob.read_at(buf, at.0),
        result => result,
    }
}
