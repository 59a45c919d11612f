//! Spans and pieces of an index that others made, checked as they are added.

use crate::base::Digest;
use crate::layer::index::{
    BlobOffset, Codec, DiffOffset, Draft, PIECE_MAX, Piece, ResumePoint, SKIP_MAX, Span, WHOLE_BLOB_MAX, Whole,
};

/// Bytes of a piece, and how many of them a span has before pieces get longer.
const PIECE: u64 = 64 << 10;
const PIECES: u64 = 64;
/// Longest span in bytes: what the first read in it has to decode.
const SPAN_MAX: u64 = 256 << 20;
/// Pieces that any layer may have, and those for each byte that came of its index, which has some forty for a chunk of
/// 4 MiB.
const PIECES_FREE: u64 = 4096;
const PIECES_SHARE: u64 = 2;
/// Bytes in front of spans that may be decoded to be thrown away, and those for each byte that came of the index: a chunk
/// lies within the first megabytes of its member.
const SKIP_FREE: u64 = 1 << 30;
const SKIP_SHARE: u64 = 1 << 15;

/// What of a layer can be read, and how.
pub(super) struct Places {
    codec: Codec,
    blob_size: u64,
    spans: Vec<Span>,
    pieces: Vec<Piece>,
    /// End of what was added.
    end: u64,
    /// How many pieces there may be, and how much may still be thrown away.
    pieces_max: u64,
    skip_left: u64,
}

impl Places {
    /// None yet, of an index of which `came` bytes came.
    pub(super) const fn new(codec: Codec, blob_size: u64, came: u64) -> Self {
        let pieces_max = came.saturating_mul(PIECES_SHARE).saturating_add(PIECES_FREE);
        let skip_left = came.saturating_mul(SKIP_SHARE).saturating_add(SKIP_FREE);
        Self { codec, blob_size, spans: Vec::new(), pieces: Vec::new(), end: 0, pieces_max, skip_left }
    }

    /// Adds a span of `len` bytes of content.
    ///
    /// # Errors
    /// A clause that says why there cannot be such a span, or why lkit takes none of that size.
    pub(super) fn push(&mut self, start: ResumePoint, window: Vec<u8>, len: u64, whole: Whole) -> Result<(), String> {
        let byte = start.byte();
        if self.spans.last().is_some_and(|last| last.start.byte() > byte) {
            return Err(format!("the span at byte {} is out of order", byte.0));
        }
        let stored = whole.end.0.checked_sub(byte.0).filter(|_| whole.end.0 <= self.blob_size);
        let stored = stored.ok_or_else(|| format!("the span at byte {} leaves the blob", byte.0))?;
        if len == 0 || len.saturating_add(whole.skip) > most_of(self.codec, stored) {
            return Err(format!("{stored} bytes at {} cannot hold {len}", byte.0));
        }
        if stored > WHOLE_BLOB_MAX || len > SPAN_MAX || whole.skip > SKIP_MAX {
            return Err(format!("its span at byte {} is too long to be verified as a whole", byte.0));
        }
        let skip_left = self.skip_left.checked_sub(whole.skip);
        self.skip_left = skip_left.ok_or("its spans lie too far behind the places where decoding can start")?;
        self.spans.push(Span { first_piece: self.pieces.len(), start, window, whole: Some(whole) });
        let (end, piece) = (self.end + len, (len / PIECES).clamp(PIECE, PIECE_MAX as u64));
        while self.end < end {
            self.pieces.push(Piece { start: DiffOffset(self.end), digest: [0; 32] });
            self.end += piece.min(end - self.end);
        }
        if self.pieces.len() as u64 > self.pieces_max {
            return Err("it has more content than an index of its size describes".to_owned());
        }
        Ok(())
    }

    /// All of it as an index of blob `blob`.
    pub(super) fn finish(self, blob: Digest, diff_id: Digest, toc: Vec<u8>) -> Draft {
        let Self { codec, blob_size, spans, pieces, end, .. } = self;
        Draft { codec, blob_size, blob, diff_size: end, diff_id, spans, pieces, toc }
    }
}

/// Most bytes that `stored` bytes can decode to: a code of deflate has a bit at least and gives 258 bytes at most, two of them in
/// one; a block of zstd has four bytes, and 128 KiB at most.
fn most_of(codec: Codec, stored: u64) -> u64 {
    match codec {
        Codec::Plain => stored,
        Codec::Gzip => stored.saturating_mul(8 * 258 / 2),
        Codec::Zstd => stored.div_ceil(4).saturating_mul(128 << 10),
    }
}

/// Where a frame starts.
pub(super) const fn frame(at: u64) -> ResumePoint {
    ResumePoint::Frame(BlobOffset(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::index::Hashed;

    #[test]
    fn spans_that_cannot_be_are_refused() {
        let push = |starts: &[u64], end: u64, len: u64, skip: u64| {
            let mut places = Places::new(Codec::Gzip, 40 << 20, 0);
            let whole = Whole { hashed: Hashed::Decoded, digest: Digest::of(b""), end: BlobOffset(end), skip };
            starts.iter().try_for_each(|start| places.push(frame(*start), Vec::new(), len, whole))
        };
        let table = [
            (push(&[0, 0, 5], 100, 1 << 10, 0), None),
            (push(&[0], 40 << 20, 1, 0), Some("its span at byte 0 is too long to be verified as a whole")),
            (push(&[0], 1 << 20, 1, SKIP_MAX + 1), Some("its span at byte 0 is too long to be verified as a whole")),
            (push(&[0], 1 << 20, SPAN_MAX + 1, 0), Some("its span at byte 0 is too long to be verified as a whole")),
            (push(&[5, 4], 100, 1, 0), Some("the span at byte 4 is out of order")),
            (push(&[101], 100, 1, 0), Some("the span at byte 101 leaves the blob")),
            (push(&[0], (40 << 20) + 1, 1, 0), Some("the span at byte 0 leaves the blob")),
            (push(&[0], 100, 0, 0), Some("100 bytes at 0 cannot hold 0")),
            (push(&[0], 100, 103_201, 0), Some("100 bytes at 0 cannot hold 103201")),
            (push(&[0], 100, u64::MAX, 1), Some("100 bytes at 0 cannot hold 18446744073709551615")),
        ];
        for (result, expected) in table {
            assert_eq!(result.err().as_deref(), expected);
        }
    }

    #[test]
    fn pieces_and_what_is_thrown_away_are_bounded_by_what_came() {
        let push = |came: u64, count: u64, len: u64, skip: u64| {
            let mut places = Places::new(Codec::Zstd, 1 << 40, came);
            let whole = |end| Whole { hashed: Hashed::Decoded, digest: Digest::of(b""), end: BlobOffset(end), skip };
            (0..count).try_for_each(|at| places.push(frame(at << 20), Vec::new(), len, whole((at + 1) << 20)))
        };
        let pieces = "it has more content than an index of its size describes";
        let skips = "its spans lie too far behind the places where decoding can start";
        // 256 pieces each.
        assert_eq!((push(0, 16, SPAN_MAX, 0), push(0, 17, SPAN_MAX, 0)), (Ok(()), Err(pieces.to_owned())));
        assert_eq!(push(128, 17, SPAN_MAX, 0), Ok(()));
        assert_eq!((push(0, 64, 1, SKIP_MAX), push(0, 65, 1, SKIP_MAX)), (Ok(()), Err(skips.to_owned())));
        assert_eq!(push(512, 65, 1, SKIP_MAX), Ok(()));
    }

    #[test]
    fn pieces_have_64_kib_unless_their_span_is_long_and_end_with_it() {
        let mut places = Places::new(Codec::Plain, 32 << 20, 0);
        for (at, len) in [(0, 100_000), (100_000, 65_536), (165_536, 8 << 20)] {
            let end = BlobOffset(at + len);
            let whole = Whole { hashed: Hashed::Decoded, digest: Digest::of(b""), end, skip: 0 };
            places.push(frame(at), Vec::new(), len, whole).unwrap();
        }
        let draft = places.finish(Digest::of(b""), Digest::of(b""), Vec::new());
        let starts: Vec<u64> = draft.pieces.iter().map(|piece| piece.start.0).collect();
        assert_eq!((&starts[..5], starts.len()), (&[0, 65_536, 100_000, 165_536, 296_608][..], 3 + 64));
        assert_eq!(draft.diff_size, 165_536 + (8 << 20));
    }
}
