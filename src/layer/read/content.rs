//! The diff of a layer as a source: any range, verified, decoding only the spans it touches.

use std::sync::Arc;

use super::cursor::IndexedBlob;
use super::pool::Pool;
use crate::extent::{ReadError, Source};
use crate::layer::index::DiffOffset;

/// The uncompressed bytes of an indexed blob.
pub(crate) struct DiffSource {
    pub(crate) layer: Arc<IndexedBlob>,
    pub(crate) pool: Arc<Pool>,
}

impl Drop for DiffSource {
    fn drop(&mut self) {
        self.pool.forget(self.layer.id);
    }
}

impl Source for DiffSource {
    fn size(&self) -> u64 {
        self.layer.index.diff_size()
    }

    fn read_at(&self, mut buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size());
        let end = end.ok_or_else(|| ReadError::out_of_range(offset, buf.len() as u64, self.size()))?;
        if buf.is_empty() {
            return Ok(());
        }
        let _inside = self.pool.enter();
        self.pool.note(&self.layer, &(offset..end));
        let index = &self.layer.index;
        let last = index.piece_at(DiffOffset(end - 1));
        let mut at = offset;
        while at < end {
            let first = index.piece_at(DiffOffset(at));
            let block = self.pool.block(&self.layer, first, last)?;
            for piece in first..block.pieces().end.min(last + 1) {
                let range = index.piece(piece);
                let bytes = block.piece(index, piece).ok_or_else(|| self.pool.reject(&self.layer, &block, piece))?;
                let start = usize::try_from(at - range.start).expect("the index bounds the length of pieces");
                let len = buf.len().min(bytes.len() - start);
                let (head, rest) = buf.split_at_mut(len);
                head.copy_from_slice(&bytes[start..start + len]);
                (buf, at) = (rest, range.end.min(end));
            }
        }
        Ok(())
    }
}
