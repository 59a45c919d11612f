//! The fixed-size records of an index file.
//!
//! # Format
//! Little-endian. A file of another version is dropped and made again.
//!
//! ```text
//! 0    head: magic "lkit-idx", version u32, codec u32 (0 none, 1 gzip, 2 zstd)
//! 16   blob size u64, diff size u64
//! 32   subject: digest of the blob, or what else the index is about (32 bytes)
//! 64   diff id (32 bytes)
//! 96   number of spans u64, number of pieces u64, length of the TOC u64, length of the parts u64
//! 128  BLAKE3-256 of the directory, of the TOC, of all parts
//! 224  BLAKE3-256 of the head before it
//! 256  directory: spans, 64 bytes each: first piece u32, kind u32 (0 frame, 1 code), start u64 and start of its block
//!      u64 (in bits of the blob; 0 for a frame's block), offset of its part within the parts u64, BLAKE3-256 of the part;
//!      then pieces: uncompressed offset u64 each
//!      TOC, packed
//!      parts, one for each span: what only reading in it needs, see `part`
//! ```
//!
//! Everything up to the end of the TOC answers `stat`; a read needs the part of its span.

use super::codec::Codec;
use super::offset::{BitOffset, BlobOffset};
use super::resume::ResumePoint;
use crate::base::Digest;

/// Version of the format and of what the tar scanner makes of a layer: raised whenever either changes.
const VERSION: u32 = 4;
const MAGIC: [u8; 8] = *b"lkit-idx";
/// Length of a head, in bytes.
pub(super) const HEAD: usize = 256;
/// Length of a head without its digest.
const CHECKED: usize = 224;
/// Length of a span in the directory.
pub(super) const SPAN: usize = 64;
/// Length of a piece in the directory.
pub(super) const PIECE: usize = 8;

/// The head of an index file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) codec: Codec,
    pub(super) blob_size: u64,
    pub(super) diff_size: u64,
    pub(super) subject: Digest,
    pub(super) diff_id: Digest,
    /// Number of spans, and of pieces.
    pub(super) spans: u64,
    pub(super) pieces: u64,
    /// Lengths of the TOC and of all parts, in bytes.
    pub(super) toc: u64,
    pub(super) parts: u64,
    /// BLAKE3-256 of the directory, of the TOC, of all parts.
    pub(super) digests: [[u8; 32]; 3],
}

impl Head {
    /// The head as bytes.
    pub(super) fn encode(&self) -> [u8; HEAD] {
        let mut bytes = Vec::with_capacity(HEAD);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.codec.number().to_le_bytes());
        bytes.extend_from_slice(&self.blob_size.to_le_bytes());
        bytes.extend_from_slice(&self.diff_size.to_le_bytes());
        bytes.extend_from_slice(self.subject.as_bytes());
        bytes.extend_from_slice(self.diff_id.as_bytes());
        for count in [self.spans, self.pieces, self.toc, self.parts] {
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        self.digests.iter().for_each(|digest| bytes.extend_from_slice(digest));
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes.try_into().expect("the fields of a head have 256 bytes")
    }

    /// A head from its bytes; `None` when it is damaged or of another version.
    pub(super) fn decode(bytes: &[u8; HEAD]) -> Option<Self> {
        let version = u32::from_le_bytes(bytes[8..12].try_into().ok()?);
        if bytes[..8] != MAGIC || version != VERSION || bytes[CHECKED..] != *blake3::hash(&bytes[..CHECKED]).as_bytes()
        {
            return None;
        }
        Some(Self {
            codec: Codec::from_number(u32::from_le_bytes(bytes[12..16].try_into().ok()?))?,
            blob_size: long(bytes, 16),
            diff_size: long(bytes, 24),
            subject: Digest::from_bytes(digest(bytes, 32)),
            diff_id: Digest::from_bytes(digest(bytes, 64)),
            spans: long(bytes, 96),
            pieces: long(bytes, 104),
            toc: long(bytes, 112),
            parts: long(bytes, 120),
            digests: [digest(bytes, 128), digest(bytes, 160), digest(bytes, 192)],
        })
    }

    /// Lengths of directory, TOC and parts, in bytes; `None` when there is no such length.
    pub(super) fn lengths(&self) -> Option<[u64; 3]> {
        let spans = self.spans.checked_mul(SPAN as u64)?;
        let directory = self.pieces.checked_mul(PIECE as u64)?.checked_add(spans)?;
        Some([directory, self.toc, self.parts])
    }
}

/// A span in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpanRecord {
    /// Number of its first piece.
    pub(super) first_piece: u32,
    /// Where decoding starts.
    pub(super) start: ResumePoint,
    /// Where its part starts within the parts; it ends where the next span's starts.
    pub(super) part: u64,
    /// BLAKE3-256 of the part.
    pub(super) digest: [u8; 32],
}

impl SpanRecord {
    /// Adds the record to a directory.
    pub(super) fn encode(&self, directory: &mut Vec<u8>) {
        let (kind, start, block) = match self.start {
            ResumePoint::Frame(BlobOffset(at)) => (0_u32, at * 8, 0),
            ResumePoint::Code { position, block } => (1, position.0, block.0),
        };
        directory.extend_from_slice(&self.first_piece.to_le_bytes());
        directory.extend_from_slice(&kind.to_le_bytes());
        for number in [start, block, self.part] {
            directory.extend_from_slice(&number.to_le_bytes());
        }
        directory.extend_from_slice(&self.digest);
    }

    /// A record from its bytes; `None` when there is no such start.
    pub(super) fn decode(record: &[u8; SPAN]) -> Option<Self> {
        let (start, block) = (long(record, 8), long(record, 16));
        let start = match u32::from_le_bytes(record[4..8].try_into().ok()?) {
            0 if block == 0 && start.is_multiple_of(8) => ResumePoint::Frame(BlobOffset(start / 8)),
            1 if block <= start => ResumePoint::Code { position: BitOffset(start), block: BitOffset(block) },
            _ => return None,
        };
        let first_piece = u32::from_le_bytes(record[..4].try_into().ok()?);
        Some(Self { first_piece, start, part: long(record, 24), digest: digest(record, 32) })
    }
}

/// The eight bytes at `at` as a number.
pub(super) fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the range has eight bytes"))
}

fn digest(bytes: &[u8], at: usize) -> [u8; 32] {
    bytes[at..at + 32].try_into().expect("the range has 32 bytes")
}
