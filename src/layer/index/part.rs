//! The part of an index that reading in one span needs: what verifies it, and its window.
//!
//! # Format
//! Sections: kind u32, length u32, as many bytes. Kinds: 1, digests of the pieces (32 bytes each, BLAKE3-256); 2, the
//! window, packed; 3 and 4, in place of 1, the SHA-256 of the whole span as it is stored (3) or decoded (4): 32 bytes, then
//! the end of its data in the blob u64, and how many decoded bytes come before it u64. Other kinds are passed over, so
//! that a part can say more of its span than a reader knows.

use std::sync::Arc;

use super::offset::BlobOffset;
use super::window::{self, WINDOW};
use crate::base::Digest;

const DIGESTS: u32 = 1;
const PACKED_WINDOW: u32 = 2;
const STORED: u32 = 3;
const DECODED: u32 = 4;

/// Most bytes of blob that a span may have which is verified as a whole: they are held while it is.
pub(crate) const WHOLE_BLOB_MAX: u64 = 32 << 20;
/// Most bytes that may be decoded before such a span begins.
pub(crate) const SKIP_MAX: u64 = 16 << 20;

/// BLAKE3-256 of the pieces of a span.
pub(crate) type Digests = Arc<[[u8; 32]]>;

/// What verifies a span that others indexed: they know no digests of our pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// The bytes that have the digest.
    pub(crate) hashed: Hashed,
    /// SHA-256 of them.
    pub(crate) digest: Digest,
    /// Where the data of the span ends in the blob.
    pub(crate) end: BlobOffset,
    /// Decoded bytes from where decoding starts to the first of the span.
    pub(crate) skip: u64,
}

/// The bytes of a span that a digest is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hashed {
    /// Those of the blob, from the byte where decoding starts to the end of its data.
    Stored,
    /// The decoded ones, all its pieces.
    Decoded,
}

/// What reading in a span needs.
pub(crate) struct Part {
    /// Of all its pieces; none where it is verified as a whole.
    pub(crate) digests: Digests,
    /// Set where it is verified as a whole.
    pub(crate) whole: Option<Whole>,
    /// The output before the span, as far as it is needed.
    pub(crate) window: Option<Box<[u8; WINDOW]>>,
}

impl Part {
    /// A part from its bytes; `None` when it is damaged, or has not got `pieces` digests.
    pub(super) fn decode(mut bytes: &[u8], pieces: usize) -> Option<Self> {
        let mut part = Self { digests: Arc::new([]), whole: None, window: None };
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_first_chunk::<8>()?;
            let [kind, len] =
                [&head[..4], &head[4..]].map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
            let (content, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            match kind {
                DIGESTS => part.digests = content.as_chunks().0.into(),
                PACKED_WINDOW => part.window = Some(window::unpack(content)?),
                STORED => part.whole = Some(Whole::decode(Hashed::Stored, content)?),
                DECODED => part.whole = Some(Whole::decode(Hashed::Decoded, content)?),
                _ => {}
            }
            bytes = rest;
        }
        let wanted = if part.whole.is_some() { 0 } else { pieces };
        (part.digests.len() == wanted).then_some(part)
    }
}

impl Whole {
    fn decode(hashed: Hashed, content: &[u8]) -> Option<Self> {
        let (digest, rest) = content.split_first_chunk::<32>()?;
        let (end, skip) = rest.split_first_chunk::<8>()?;
        let skip = u64::from_le_bytes(skip.try_into().ok()?);
        let end = BlobOffset(u64::from_le_bytes(*end));
        (skip <= SKIP_MAX).then_some(Self { hashed, digest: Digest::from_bytes(*digest), end, skip })
    }

    /// Compares the digest of what the span has.
    ///
    /// # Errors
    /// A clause that names both when they differ.
    pub(crate) fn check(&self, actual: Digest) -> Result<(), String> {
        let what = match self.hashed {
            Hashed::Stored => "data",
            Hashed::Decoded => "content",
        };
        let (end, expected) = (self.end.0, self.digest);
        let problem = || format!("the {what} of the span that ends at byte {end} is `{actual}`, not `{expected}`");
        if actual == expected { Ok(()) } else { Err(problem()) }
    }

    fn encode(&self, parts: &mut Vec<u8>) {
        let kind = match self.hashed {
            Hashed::Stored => STORED,
            Hashed::Decoded => DECODED,
        };
        let numbers = [self.end.0, self.skip].map(u64::to_le_bytes);
        section(parts, kind, &[self.digest.as_bytes(), numbers.as_flattened()].concat());
    }
}

/// Adds the part of a span that is verified as a whole, or whose pieces have these digests, and with this packed window,
/// which is empty where none is needed.
pub(super) fn encode(parts: &mut Vec<u8>, whole: Option<&Whole>, digests: &[[u8; 32]], window: &[u8]) {
    match whole {
        Some(whole) => whole.encode(parts),
        None => section(parts, DIGESTS, digests.as_flattened()),
    }
    if !window.is_empty() {
        section(parts, PACKED_WINDOW, window);
    }
}

fn section(parts: &mut Vec<u8>, kind: u32, content: &[u8]) {
    let len = u32::try_from(content.len()).expect("a span has few pieces, and a window 32 KiB");
    parts.extend_from_slice(&kind.to_le_bytes());
    parts.extend_from_slice(&len.to_le_bytes());
    parts.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_digests_of_its_pieces_or_one_of_the_whole() {
        let whole = |hashed| Whole { hashed, digest: Digest::of(b"span"), end: BlobOffset(1 << 40), skip: SKIP_MAX };
        for hashed in [Hashed::Stored, Hashed::Decoded] {
            let mut part = Vec::new();
            encode(&mut part, Some(&whole(hashed)), &[[7; 32]; 3], &[]);
            let decoded = Part::decode(&part, 3).unwrap();
            assert_eq!((decoded.whole, decoded.digests.len()), (Some(whole(hashed)), 0));
            encode(&mut part, None, &[[7; 32]; 3], &[]);
            assert!(Part::decode(&part, 3).is_none(), "both");
            // One byte of the skip too many.
            part[8 + 40] += 1;
            assert!(Part::decode(&part[..56], 3).is_none());
        }
        let mut part = Vec::new();
        encode(&mut part, None, &[[7; 32]; 3], &[]);
        assert!(Part::decode(&part, 3).is_some_and(|part| part.whole.is_none()) && Part::decode(&part, 2).is_none());
        assert!(Part::decode(&[], 3).is_none());
    }

    #[test]
    fn what_does_not_have_its_digest_is_told_with_both() {
        let whole = Whole { hashed: Hashed::Stored, digest: Digest::of(b"span"), end: BlobOffset(99), skip: 0 };
        assert_eq!(whole.check(Digest::of(b"span")), Ok(()));
        let problem = whole.check(Digest::of(b"other")).unwrap_err();
        let (actual, expected) = (Digest::of(b"other"), Digest::of(b"span"));
        assert_eq!(problem, format!("the data of the span that ends at byte 99 is `{actual}`, not `{expected}`"));
    }
}
