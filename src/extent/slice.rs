//! The simplest sources: bytes in memory, zeros, and a part of another source.

use std::ops::{ControlFlow, Range};

use super::{Origin, Piece, ReadError, SharedSource, Source, Traced, Visit, trace_as};
use crate::base::in_memory;

/// Bytes held in memory: generated files, headers. Never content of a layer.
pub struct Bytes(pub Box<[u8]>);

impl Source for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let out_of_range = || ReadError::out_of_range(offset, buf.len() as u64, self.size());
        let start = usize::try_from(offset).map_err(|_| out_of_range())?;
        let end = start.checked_add(buf.len()).ok_or_else(out_of_range)?;
        let bytes = self.0.get(start..end).ok_or_else(out_of_range)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }

    fn read_at_once(&self, buf: &mut [u8], offset: u64) -> bool {
        self.read_at(buf, offset).is_ok()
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        let bytes = &self.0[in_memory(range.start)..in_memory(range.end)];
        Ok(if bytes.is_empty() { ControlFlow::Continue(()) } else { visit(Piece::generated(bytes)) })
    }
}

/// As many zeros as its size in bytes says.
pub struct Zeros(pub u64);

impl Source for Zeros {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        check_range(offset, buf.len(), self.0)?;
        buf.fill(0);
        Ok(())
    }

    fn read_at_once(&self, buf: &mut [u8], offset: u64) -> bool {
        self.read_at(buf, offset).is_ok()
    }

    fn data_from(&self, _: u64) -> Option<Range<u64>> {
        None
    }

    fn data_len(&self, _: Range<u64>) -> u64 {
        0
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        trace_as(Origin::Zeros, &range, visit)
    }
}

/// A part of another source.
pub struct Slice {
    source: SharedSource,
    range: Range<u64>,
}

impl Slice {
    /// `len` bytes of `source` from `offset`.
    ///
    /// # Errors
    /// When the part leaves the source.
    pub fn new(source: SharedSource, offset: u64, len: u64) -> Result<Self, ReadError> {
        let end = offset.checked_add(len).filter(|end| *end <= source.size());
        let end = end.ok_or_else(|| ReadError::out_of_range(offset, len, source.size()))?;
        Ok(Self { source, range: offset..end })
    }
}

impl Source for Slice {
    fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        check_range(offset, buf.len(), self.size())?;
        self.source.read_at(buf, self.range.start + offset)
    }

    fn read_at_once(&self, buf: &mut [u8], offset: u64) -> bool {
        check_range(offset, buf.len(), self.size()).is_ok() && self.source.read_at_once(buf, self.range.start + offset)
    }

    fn will_read(&self, range: Range<u64>) {
        self.source.will_read(self.range.start + range.start..self.range.start + range.end);
    }

    fn renew(&self) -> bool {
        self.source.renew()
    }

    fn data_from(&self, offset: u64) -> Option<Range<u64>> {
        let start = self.range.start.checked_add(offset).filter(|start| *start < self.range.end)?;
        let run = self.source.data_from(start)?;
        let run = run.start.max(start)..run.end.min(self.range.end);
        (run.start < run.end).then(|| run.start - self.range.start..run.end - self.range.start)
    }

    fn data_len(&self, range: Range<u64>) -> u64 {
        self.source.data_len(self.range.start + range.start..self.range.start + range.end)
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        self.source.trace(self.range.start + range.start..self.range.start + range.end, visit)
    }
}

/// Refuses a read that leaves a source of `size` bytes.
pub(super) fn check_range(offset: u64, len: usize, size: u64) -> Result<(), ReadError> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= size => Ok(()),
        _ => Err(ReadError::out_of_range(offset, len as u64, size)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_slice_reads_its_part_and_nothing_else() {
        let whole: SharedSource = Arc::new(Bytes(b"0123456789".as_slice().into()));
        let part = Slice::new(whole.clone(), 3, 4).unwrap();
        let mut buf = [0; 4];
        part.read_at(&mut buf, 0).unwrap();
        assert_eq!(&buf, b"3456");
        assert!(part.read_at(&mut buf, 1).is_err() && Slice::new(whole, 8, 3).is_err());
    }

    #[test]
    fn zeros_have_no_data() {
        assert_eq!(Zeros(10).data_from(0), None);
        let part = Slice::new(Arc::new(Zeros(10)), 2, 4).unwrap();
        assert_eq!((part.data_from(1), part.data_len(0..4)), (None, 0));
    }
}
