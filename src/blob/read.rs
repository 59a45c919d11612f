//! A blob on disk, open for reading at any offset or from front to back.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Note;
use crate::base::{Digest, ErrorKind};
use crate::extent::{Origin, ReadError, Source, Traced, Visit, trace_as};

/// A blob that is here whole. Stays readable when its file is removed.
#[derive(Clone)]
pub struct Blob {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) file: Arc<File>,
    /// Offset of its first byte in the file.
    pub(super) start: u64,
    pub(super) record: Option<Arc<dyn Note>>,
}

impl Blob {
    /// Its digest. That the bytes have it is checked by who reads them.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// A stream of the whole blob from its first byte.
    pub fn reader(&self) -> BlobReader {
        self.reader_from(0)
    }

    /// The same from an offset on.
    pub fn reader_from(&self, offset: u64) -> BlobReader {
        BlobReader { blob: self.clone(), offset: offset.min(self.size) }
    }

    fn note(&self, offset: u64, len: usize) {
        if let Some(record) = &self.record {
            record.note(self.digest, offset..offset + len as u64);
        }
    }
}

impl Source for Blob {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            return Err(ReadError::out_of_range(offset, buf.len() as u64, self.size));
        }
        self.note(offset, buf.len());
        self.file.read_exact_at(buf, self.start + offset).map_err(|error| {
            let message = format!("cannot read blob `{}` at offset {offset}", self.digest);
            match error.kind() {
                io::ErrorKind::UnexpectedEof => ReadError::new(ErrorKind::Corrupt, format!("{message}: it was cut")),
                _ => ReadError::io(message, error),
            }
        })
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        trace_as(Origin::Blob { digest: self.digest, offset: range.start }, &range, visit)
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({}, {} bytes)", self.digest, self.size)
    }
}

/// Reads a blob from front to back.
#[derive(Debug)]
pub struct BlobReader {
    blob: Blob,
    offset: u64,
}

impl io::Read for BlobReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.blob.size - self.offset).unwrap_or(usize::MAX);
        let wanted = buf.len().min(left);
        let read = self.blob.file.read_at(&mut buf[..wanted], self.blob.start + self.offset)?;
        if read == 0 && wanted != 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(record) = &self.blob.record {
            record.note_pass(self.blob.digest, self.offset..self.offset + read as u64);
        }
        self.offset += read as u64;
        Ok(read)
    }
}
