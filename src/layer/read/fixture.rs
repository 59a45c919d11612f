//! A layer for tests: short pieces in short spans, over a blob that fails or panics when it is told to.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cursor::IndexedBlob;
use crate::base::{Digest, ErrorKind};
use crate::extent::{ReadError, Source};
use crate::layer::index::{
    BlobOffset, Codec, DiffOffset, Draft, Index, IndexBytes, Piece, ResumePoint, Span, TocBuilder,
};

/// Bytes of a piece.
pub(super) const PIECE: usize = 16;
/// Pieces of a span: more than a block has.
pub(super) const SPAN: usize = 100;

/// What reading a blob does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Error,
    /// Without a word on standard error.
    Panic,
}

/// A blob of numbers in memory.
pub(super) struct Blob {
    pub(super) bytes: Vec<u8>,
    trouble: Trouble,
    /// How many reads in a row are in trouble.
    left: AtomicUsize,
    /// Called by each read: another thread may run here.
    pause: fn(),
}

impl Blob {
    /// The blob of a layer with this many spans, whose first `left` reads are in trouble.
    pub(super) fn new(spans: usize, trouble: Trouble, left: usize) -> Self {
        let bytes = (0..spans * SPAN * PIECE).map(|at| u8::try_from(at % 251).expect("below 251")).collect();
        Self { bytes, trouble, left: AtomicUsize::new(left), pause: || {} }
    }

    /// The same, where other threads may run while it is read.
    pub(super) fn with_pause(self, pause: fn()) -> Self {
        Self { pause, ..self }
    }
}

impl Source for Blob {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        (self.pause)();
        let fails = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        match self.trouble {
            Trouble::Error if fails => return Err(ReadError::new(ErrorKind::Io, "the disk is asleep")),
            Trouble::Panic if fails => resume_unwind(Box::new("the disk is on fire")),
            Trouble::Error | Trouble::Panic => {}
        }
        let start = usize::try_from(offset).expect("the blob is in memory");
        buf.copy_from_slice(&self.bytes[start..start + buf.len()]);
        Ok(())
    }
}

/// The uncompressed layer that lies in a source.
pub(super) fn layer(id: u64, blob: Arc<dyn Source>, bytes: &[u8]) -> Arc<IndexedBlob> {
    let span = |number: usize| Span {
        first_piece: number * SPAN,
        start: ResumePoint::Frame(BlobOffset((number * SPAN * PIECE) as u64)),
        window: Vec::new(),
        whole: None,
    };
    let piece = |(number, bytes): (usize, &[u8])| Piece {
        start: DiffOffset((number * PIECE) as u64),
        digest: *blake3::hash(bytes).as_bytes(),
    };
    let draft = Draft {
        codec: Codec::Plain,
        blob_size: bytes.len() as u64,
        blob: Digest::of(bytes),
        diff_size: bytes.len() as u64,
        diff_id: Digest::of(bytes),
        spans: (0..bytes.len() / (SPAN * PIECE)).map(span).collect(),
        pieces: bytes.chunks(PIECE).enumerate().map(piece).collect(),
        toc: TocBuilder::default().finish(),
    };
    let subject = Digest::of(b"");
    let (index, _) =
        Index::open(IndexBytes::Memory(draft.encode(&subject)), &subject, draft.blob_size).expect("the index is sound");
    Arc::new(IndexedBlob::local(id, "x".to_owned(), blob, index))
}
