//! The head of an index file, and what follows it.
//!
//! # Format
//! Little-endian. A file of another version is dropped and made again.
//!
//! ```text
//! 0    head: magic "lkit-idx", version u32, codec u32 (0 none, 1 gzip, 2 zstd)
//! 16   blob size u64, diff size u64
//! 32   subject: digest of the blob, or what else the index is about (32 bytes)
//! 64   diff id (32 bytes)
//! 96   number of spans u32, number of pieces u32, lengths of directory, TOC and parts u64 each
//! 128  BLAKE3-256 of the directory, of the TOC, of all parts
//! 224  BLAKE3-256 of the head before it
//! 256  directory: where decoding can start and what it gives, see `directory`
//!      TOC, packed
//!      parts, one for each span: what only reading in it needs, see `part`
//! ```
//!
//! Everything up to the end of the TOC answers `stat`; a read needs the part of its span.

use super::codec::Codec;
use crate::base::Digest;

/// Magic and version. The version is that of the format and of what the tar scanner makes of a layer: raised whenever
/// either changes.
pub(super) const START: [u8; 12] = *b"lkit-idx\x05\0\0\0";
/// Length of a head, in bytes.
pub(super) const HEAD: usize = 256;
/// Length of a head without its digest.
const CHECKED: usize = 224;

/// The head of an index file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) codec: Codec,
    pub(super) blob_size: u64,
    pub(super) diff_size: u64,
    pub(super) subject: Digest,
    pub(super) diff_id: Digest,
    /// Number of spans, and of pieces.
    pub(super) spans: u32,
    pub(super) pieces: u32,
    /// Lengths of the directory, of the TOC and of all parts, in bytes.
    pub(super) lengths: [u64; 3],
    /// BLAKE3-256 of the directory, of the TOC, of all parts.
    pub(super) digests: [[u8; 32]; 3],
}

impl Head {
    /// The head as bytes.
    pub(super) fn encode(&self) -> [u8; HEAD] {
        let mut bytes = Vec::with_capacity(HEAD);
        bytes.extend_from_slice(&START);
        bytes.extend_from_slice(&self.codec.number().to_le_bytes());
        bytes.extend_from_slice(&self.blob_size.to_le_bytes());
        bytes.extend_from_slice(&self.diff_size.to_le_bytes());
        bytes.extend_from_slice(self.subject.as_bytes());
        bytes.extend_from_slice(self.diff_id.as_bytes());
        [self.spans, self.pieces].iter().for_each(|count| bytes.extend_from_slice(&count.to_le_bytes()));
        self.lengths.iter().for_each(|length| bytes.extend_from_slice(&length.to_le_bytes()));
        self.digests.iter().for_each(|digest| bytes.extend_from_slice(digest));
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes.try_into().expect("the fields of a head have 256 bytes")
    }

    /// A head from its bytes; `None` when it is damaged or of another version.
    pub(super) fn decode(bytes: &[u8; HEAD]) -> Option<Self> {
        if !bytes.starts_with(&START) || bytes[CHECKED..] != *blake3::hash(&bytes[..CHECKED]).as_bytes() {
            return None;
        }
        Some(Self {
            codec: Codec::from_number(word(bytes, 12))?,
            blob_size: long(bytes, 16),
            diff_size: long(bytes, 24),
            subject: Digest::from_bytes(digest(bytes, 32)),
            diff_id: Digest::from_bytes(digest(bytes, 64)),
            spans: word(bytes, 96),
            pieces: word(bytes, 100),
            lengths: [long(bytes, 104), long(bytes, 112), long(bytes, 120)],
            digests: [digest(bytes, 128), digest(bytes, 160), digest(bytes, 192)],
        })
    }
}

/// The eight bytes at `at` as a number.
pub(super) fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the range has eight bytes"))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the range has four bytes"))
}

fn digest(bytes: &[u8], at: usize) -> [u8; 32] {
    bytes[at..at + 32].try_into().expect("the range has 32 bytes")
}
