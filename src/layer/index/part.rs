//! The part of an index that reading in one span needs: digests of its pieces, and its window.
//!
//! # Format
//! Sections: kind u32, length u32, as many bytes. Kinds: 1, digests of the pieces (32 bytes each, BLAKE3-256); 2, the
//! window, packed. Other kinds are passed over, so that a part can say more of its span than a reader knows.

use std::sync::Arc;

use super::window::{self, WINDOW};

const DIGESTS: u32 = 1;
const PACKED_WINDOW: u32 = 2;

/// BLAKE3-256 of the pieces of a span.
pub(crate) type Digests = Arc<[[u8; 32]]>;

/// What reading in a span needs.
pub(crate) struct Part {
    /// Of all its pieces.
    pub(crate) digests: Digests,
    /// The output before the span, as far as it is needed.
    pub(crate) window: Option<Box<[u8; WINDOW]>>,
}

impl Part {
    /// A part from its bytes; `None` when it is damaged, or has not got `pieces` digests.
    pub(super) fn decode(mut bytes: &[u8], pieces: usize) -> Option<Self> {
        let mut part = Self { digests: Arc::new([]), window: None };
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_first_chunk::<8>()?;
            let [kind, len] =
                [&head[..4], &head[4..]].map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
            let (content, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            match kind {
                DIGESTS => part.digests = content.as_chunks().0.into(),
                PACKED_WINDOW => part.window = Some(window::unpack(content)?),
                _ => {}
            }
            bytes = rest;
        }
        (part.digests.len() == pieces).then_some(part)
    }
}

/// Adds the part of a span whose pieces have these digests, and with this packed window, which is empty where none is
/// needed.
pub(super) fn encode(parts: &mut Vec<u8>, digests: &[[u8; 32]], window: &[u8]) {
    section(parts, DIGESTS, digests.as_flattened());
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
