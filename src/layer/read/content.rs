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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::base::{Digest, ErrorKind, Fault as _};
    use crate::layer::index::{Index, IndexBytes};
    use crate::layer::pass::{self, Expected, Plan, Transfer};
    use crate::layer::read::cursor::IndexedBlob;

    /// A blob of which so many reads in a row fail.
    struct Failing {
        blob: Vec<u8>,
        left: AtomicUsize,
    }

    impl Source for Failing {
        fn size(&self) -> u64 {
            self.blob.len() as u64
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
            let fails =
                self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
            if fails {
                return Err(ReadError::new(ErrorKind::Io, "the disk is asleep"));
            }
            let start = usize::try_from(offset).unwrap();
            buf.copy_from_slice(&self.blob[start..start + buf.len()]);
            Ok(())
        }
    }

    fn over(blob: Arc<Failing>) -> DiffSource {
        let expected = Expected { size: blob.size(), digest: None, diff_id: None };
        let transfer = Transfer { input: &mut &blob.blob[..], copy: None, progress: &|_| {} };
        let draft = pass::pass(transfer, &expected, Plan { span_size: 1 << 20, scanner: None }).unwrap();
        let subject = Digest::of(b"");
        let (index, _) = Index::open(IndexBytes::Memory(draft.encode(&subject)), &subject).unwrap();
        let pool = Arc::new(Pool::new(1 << 20, 0));
        let layer = IndexedBlob { id: pool.new_id(), name: "x".to_owned(), blob, index, forget: None };
        DiffSource { layer: Arc::new(layer), pool }
    }

    #[test]
    fn a_read_that_fails_once_is_tried_again() {
        let blob = Arc::new(Failing { blob: b"0123456789".to_vec(), left: AtomicUsize::new(1) });
        let diff = over(blob.clone());
        let mut bytes = [0; 4];
        diff.read_at(&mut bytes, 3).unwrap();
        assert_eq!(&bytes, b"3456");
    }

    #[test]
    fn a_read_that_fails_is_told_and_not_remembered() {
        let blob = Arc::new(Failing { blob: b"0123456789".to_vec(), left: AtomicUsize::new(2) });
        let diff = over(blob.clone());
        assert_eq!(diff.read_at(&mut [0; 4], 3).unwrap_err().kind(), ErrorKind::Io);
        let mut bytes = [0; 4];
        diff.read_at(&mut bytes, 6).unwrap();
        assert_eq!(&bytes, b"6789");
        assert_eq!(diff.read_at(&mut [0; 4], 7).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(diff.read_at(&mut [0; 1], u64::MAX).unwrap_err().kind(), ErrorKind::Corrupt);
        diff.read_at(&mut [], 10).unwrap();
    }
}
