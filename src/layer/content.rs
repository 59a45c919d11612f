//! The diff of a layer as a source: any range, verified, decoding only the spans it touches.

use std::sync::Arc;

use super::cursor::Seekable;
use super::offset::DiffOffset;
use super::pool::Pool;
use crate::extent::{ReadError, Source};

/// The uncompressed bytes of an indexed blob.
pub(super) struct DiffSource {
    pub(super) layer: Arc<Seekable>,
    pub(super) pool: Arc<Pool>,
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
        self.pool.note(&self.layer, &(offset..end));
        let mut at = offset;
        let mut piece = self.layer.index.piece_at(DiffOffset(offset));
        while !buf.is_empty() {
            let bytes = self.pool.piece(&self.layer, piece)?;
            let start = at - self.layer.index.piece(piece).start;
            let start = usize::try_from(start).expect("the index bounds the length of pieces");
            let len = buf.len().min(bytes.len() - start);
            let (head, rest) = buf.split_at_mut(len);
            head.copy_from_slice(&bytes[start..start + len]);
            (buf, at, piece) = (rest, at + len as u64, piece + 1);
        }
        Ok(())
    }
}
