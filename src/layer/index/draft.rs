//! What one pass over a blob finds out, and how it is written as an index file.

use super::codec::Codec;
use super::directory::{Directory, SpanRecord};
use super::layout::Head;
use super::offset::DiffOffset;
use super::part::{self, Whole};
use super::resume::ResumePoint;
use crate::base::Digest;

/// A place from which decoding can start, and the pieces from there to the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Number of its first piece.
    pub(crate) first_piece: usize,
    /// Where decoding starts.
    pub(crate) start: ResumePoint,
    /// The packed window; empty where none is needed.
    pub(crate) window: Vec<u8>,
    /// Set where it is verified as a whole, in place of its pieces.
    pub(crate) whole: Option<Whole>,
}

/// A run of decoded bytes that is verified by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// First byte in the diff.
    pub(crate) start: DiffOffset,
    /// BLAKE3-256 of its bytes; zeros where its span is verified as a whole.
    pub(crate) digest: [u8; 32],
}

/// What one pass over a blob finds out.
#[derive(Debug)]
pub(crate) struct Draft {
    /// How the blob is compressed.
    pub(crate) codec: Codec,
    /// Size of the blob in bytes.
    pub(crate) blob_size: u64,
    /// SHA-256 of the blob.
    pub(crate) blob: Digest,
    /// Size of the diff in bytes.
    pub(crate) diff_size: u64,
    /// SHA-256 of the diff.
    pub(crate) diff_id: Digest,
    /// In order.
    pub(crate) spans: Vec<Span>,
    /// In order.
    pub(crate) pieces: Vec<Piece>,
    /// Packed.
    pub(crate) toc: Vec<u8>,
}

impl Draft {
    /// The same for a tar that is read through the layer it lies in.
    pub(crate) fn without_spans(self) -> Self {
        Self { spans: Vec::new(), pieces: Vec::new(), diff_size: 0, ..self }
    }

    /// The index as a file, about `subject`.
    pub(crate) fn encode(&self, subject: &Digest) -> Vec<u8> {
        let count = |len: usize| u32::try_from(len).expect("2^32 pieces would be some 100 TiB");
        let (mut spans, mut parts) = (Vec::new(), Vec::new());
        for (number, span) in self.spans.iter().enumerate() {
            let end = self.spans.get(number + 1).map_or(self.pieces.len(), |next| next.first_piece);
            let part_start = parts.len();
            let digests: Vec<_> = self.pieces[span.first_piece..end].iter().map(|piece| piece.digest).collect();
            part::encode(&mut parts, span.whole.as_ref(), &digests, &span.window);
            let first_piece = count(span.first_piece);
            let digest = *blake3::hash(&parts[part_start..]).as_bytes();
            spans.push(SpanRecord { first_piece, start: span.start, part: part_start as u64, digest });
        }
        let directory = Directory { spans, pieces: self.pieces.iter().map(|piece| piece.start.0).collect() }.encode();
        let sections = [&directory, &self.toc, &parts];
        let head = Head {
            codec: self.codec,
            blob_size: self.blob_size,
            diff_size: self.diff_size,
            subject: *subject,
            diff_id: self.diff_id,
            spans: count(self.spans.len()),
            pieces: count(self.pieces.len()),
            lengths: sections.map(|section| section.len() as u64),
            digests: sections.map(|section| *blake3::hash(section).as_bytes()),
        };
        [&head.encode()[..], &directory, &self.toc, &parts].concat()
    }
}
