//! The diff of a layer as a source: any range, verified, decoding only the spans it touches.

use std::any::Any;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::block::Block;
use super::cursor::IndexedBlob;
use super::pool::Pool;
use crate::base::{Digest, ErrorKind, Fault as _};
use crate::blob::RangedBlob;
use crate::extent::{Origin, ReadError, Source, Span, Traced, Visit, origins, trace_as};
use crate::layer::index::DiffOffset;

/// The uncompressed bytes of an indexed blob.
pub(crate) struct Diff {
    /// What the index is about.
    subject: Digest,
    pub(super) layer: Arc<IndexedBlob>,
    pub(super) pool: Arc<Pool>,
}

impl Diff {
    /// The diff of a blob whose index is about `subject`.
    pub(crate) const fn new(subject: Digest, layer: Arc<IndexedBlob>, pool: Arc<Pool>) -> Self {
        Self { subject, layer, pool }
    }

    /// Size in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.layer.index.diff_size()
    }

    /// Bytes decoded of it so far.
    pub(crate) fn decoded(&self) -> u64 {
        self.layer.decoded.load(Ordering::Relaxed)
    }

    /// The blob that it is decoded from, where that is fetched by ranges.
    pub(crate) fn remote(&self) -> Option<&RangedBlob> {
        let blob: &dyn Any = &*self.layer.blob;
        blob.downcast_ref()
    }

    /// Where the parts of its index are that decoding these bytes of the blob takes, if they are fetched by ranges.
    pub(crate) fn parts_of(&self, blob: &Range<u64>) -> Option<(&RangedBlob, Range<u64>)> {
        self.layer.index.parts_of(blob)
    }

    /// What the index of a source is about, if it is a diff.
    pub(crate) fn subject_of(source: &dyn Source) -> Option<Digest> {
        let source: &dyn Any = source;
        source.downcast_ref::<Self>().map(|diff| diff.subject)
    }

    /// Bytes that are stored of the layer that a source is the diff of, if it is one.
    pub(crate) fn stored_of(source: &dyn Source) -> Option<u64> {
        let source: &dyn Any = source;
        source.downcast_ref::<Self>().map(|diff| diff.layer.stored)
    }

    /// Where the byte at `offset` comes from: a layer's tar, or a file that is compressed in one.
    fn origin(&self, offset: u64) -> Result<Origin, ReadError> {
        let blob = &*self.layer.blob;
        let mut below = None;
        origins(Span { source: blob, offset: 0, len: blob.size().min(1) }, &mut |_, origin| {
            below = Some(origin.clone());
            ControlFlow::Break(())
        })?;
        Ok(match below {
            Some(Origin::Layer { digest, offset: at, .. }) => {
                Origin::Unpacked { digest: Some(digest), at, subject: self.subject, offset }
            }
            Some(Origin::Blob { digest, .. }) if digest == self.subject => {
                Origin::Layer { digest, diff_id: *self.layer.index.diff_id(), offset }
            }
            _ => Origin::Unpacked { digest: None, at: 0, subject: self.subject, offset },
        })
    }
}

impl Drop for Diff {
    fn drop(&mut self) {
        self.pool.forget(self.layer.id);
    }
}

impl Source for Diff {
    fn size(&self) -> u64 {
        self.layer.index.diff_size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        match self.read(buf, offset) {
            Err(error) if error.kind() == ErrorKind::Corrupt && self.layer.blob.renew() => self.read(buf, offset),
            read => read,
        }
    }

    fn read_at_once(&self, buf: &mut [u8], offset: u64) -> bool {
        let Some(end) = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size()) else { return false };
        let cached = |piece, _| self.pool.cached(&self.layer, piece).ok_or(());
        // What is wrong with a block is found again by the read that waits.
        let read = buf.is_empty() || self.copy(buf, offset..end, cached, |_, _| ()).is_ok();
        if read {
            self.pool.note(&self.layer, &(offset..end));
        }
        read
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        trace_as(self.origin(range.start)?, &range, visit)
    }
}

impl Diff {
    fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size());
        let end = end.ok_or_else(|| ReadError::out_of_range(offset, buf.len() as u64, self.size()))?;
        if buf.is_empty() {
            return Ok(());
        }
        let _inside = self.pool.enter();
        self.pool.note(&self.layer, &(offset..end));
        self.copy(
            buf,
            offset..end,
            |piece, last| self.pool.block(&self.layer, piece, last),
            |block, piece| self.pool.reject(&self.layer, block, piece),
        )
    }

    /// Fills `buf` with these bytes, out of the blocks that `block` gives for a piece and the last one; `bad` is called for
    /// a piece that is not what it is to be.
    fn copy<E>(
        &self,
        mut buf: &mut [u8],
        bytes: Range<u64>,
        block: impl Fn(usize, usize) -> Result<Arc<Block>, E>,
        bad: impl Fn(&Block, usize) -> E,
    ) -> Result<(), E> {
        let index = &self.layer.index;
        let last = index.piece_at(DiffOffset(bytes.end - 1));
        let mut at = bytes.start;
        while at < bytes.end {
            let first = index.piece_at(DiffOffset(at));
            let block = block(first, last)?;
            for piece in first..block.pieces().end.min(last + 1) {
                let range = index.piece(piece);
                let bytes_of_piece = block.piece(index, piece).ok_or_else(|| bad(&block, piece))?;
                let start = usize::try_from(at - range.start).expect("the index bounds the length of pieces");
                let len = buf.len().min(bytes_of_piece.len() - start);
                let (head, rest) = buf.split_at_mut(len);
                head.copy_from_slice(&bytes_of_piece[start..start + len]);
                (buf, at) = (rest, range.end.min(bytes.end));
            }
        }
        Ok(())
    }
}
