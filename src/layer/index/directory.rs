//! The directory of an index: where decoding can start, the parts for that, and the pieces that come out.
//!
//! # Format
//! BLAKE3-256 of the part of each span, 32 bytes each; then, packed, five columns of varints, one behind the other. Each
//! has a number for each span, the last one for each piece; all but the third are differences to the number before:
//! first piece; start, in bits of the blob; 0 for a frame, else 1 more than the bits from the start of its block to there;
//! offset of its part within the parts; uncompressed offset of the piece.

use super::columns::{Column, ColumnReader};
use super::offset::{BitOffset, BlobOffset};
use super::packed;
use super::resume::ResumePoint;

/// Length of a digest, in bytes.
pub(super) const DIGEST: usize = 32;
/// Columns with a number for each span.
const COLUMNS: u64 = 4;
/// Longest varint, in bytes.
const NUMBER_MAX: u64 = 10;
/// Bytes that a number takes in memory, which takes one at least as a varint.
const NUMBER_SIZE: u64 = 8;

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
    pub(super) digest: [u8; DIGEST],
}

/// What is known of a blob's spans, and where the pieces start in the diff.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) spans: Vec<SpanRecord>,
    pub(super) pieces: Vec<u64>,
}

impl Directory {
    /// The directory as bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut columns = Column::default();
        differences(&mut columns, self.spans.iter().map(|span| span.first_piece.into()));
        differences(&mut columns, self.spans.iter().map(|span| bits_of(span.start)));
        self.spans.iter().for_each(|span| columns.number(from_block(span.start)));
        differences(&mut columns, self.spans.iter().map(|span| span.part));
        differences(&mut columns, self.pieces.iter().copied());
        let mut bytes: Vec<u8> = self.spans.iter().flat_map(|span| span.digest).collect();
        if !self.spans.is_empty() {
            bytes.extend_from_slice(&packed::pack(columns.as_slice()));
        }
        bytes
    }

    /// A directory from its bytes, with these numbers of spans and pieces; `None` when it is damaged, or takes more than
    /// some `most` bytes of memory.
    pub(super) fn decode(bytes: &[u8], [spans, pieces]: [u32; 2], most: u64) -> Option<Self> {
        if spans == 0 {
            return (bytes.is_empty() && pieces == 0).then(|| Self { spans: Vec::new(), pieces: Vec::new() });
        }
        let [span_count, piece_count] = [usize::try_from(spans).ok()?, usize::try_from(pieces).ok()?];
        let (digests, columns) = bytes.split_at_checked(span_count.checked_mul(DIGEST)?)?;
        let longest = (u64::from(spans) * COLUMNS + u64::from(pieces)) * NUMBER_MAX;
        let columns = packed::unpack(columns, longest.min(most / NUMBER_SIZE))?;
        // One byte each.
        if columns.len() < span_count.checked_mul(4)?.checked_add(piece_count)? {
            return None;
        }
        let mut columns = ColumnReader::new(&columns);
        let first_pieces = summed(&mut columns, span_count)?;
        let starts = summed(&mut columns, span_count)?;
        let blocks = (0..span_count).map(|_| columns.number()).collect::<Option<Vec<_>>>()?;
        let parts = summed(&mut columns, span_count)?;
        let pieces = summed(&mut columns, piece_count)?;
        let span = |at: usize| {
            let (first_piece, digest) = (u32::try_from(first_pieces[at]).ok()?, *digests.as_chunks().0.get(at)?);
            Some(SpanRecord { first_piece, start: start_of(starts[at], blocks[at])?, part: parts[at], digest })
        };
        let spans = (0..span_count).map(span).collect::<Option<_>>()?;
        (columns.left() == 0).then_some(Self { spans, pieces })
    }
}

/// Adds rising numbers as differences. One that is less than the number before comes back too, but takes ten bytes.
fn differences(column: &mut Column, numbers: impl Iterator<Item = u64>) {
    let mut before = 0_u64;
    for number in numbers {
        column.number(number.wrapping_sub(before));
        before = number;
    }
}

/// `count` numbers that were added as differences.
fn summed(column: &mut ColumnReader<'_>, count: usize) -> Option<Vec<u64>> {
    let mut sum = 0_u64;
    (0..count)
        .map(|_| {
            sum = sum.wrapping_add(column.number()?);
            Some(sum)
        })
        .collect()
}

/// Where a span starts, in bits of the blob.
const fn bits_of(start: ResumePoint) -> u64 {
    match start {
        ResumePoint::Frame(BlobOffset(at)) => at * 8,
        ResumePoint::Code { position, .. } => position.0,
    }
}

/// 0 for a frame, else 1 more than the bits from the start of the block.
const fn from_block(start: ResumePoint) -> u64 {
    match start {
        ResumePoint::Frame(_) => 0,
        ResumePoint::Code { position, block } => position.0.wrapping_sub(block.0).wrapping_add(1),
    }
}

/// The start with these numbers; `None` when there is no such start.
fn start_of(bits: u64, from_block: u64) -> Option<ResumePoint> {
    match from_block.checked_sub(1) {
        None => bits.is_multiple_of(8).then_some(ResumePoint::Frame(BlobOffset(bits / 8))),
        Some(distance) => {
            let block = BitOffset(bits.checked_sub(distance)?);
            Some(ResumePoint::Code { position: BitOffset(bits), block })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room enough.
    const MOST: u64 = 1 << 20;

    fn sample() -> Directory {
        let code = |position, block| ResumePoint::Code { position: BitOffset(position), block: BitOffset(block) };
        let starts = [ResumePoint::Frame(BlobOffset(10)), code(1999, 1999), code(u64::MAX, 5), code(900, 81)];
        let span = |(at, start): (u32, ResumePoint)| {
            let digest = [u8::try_from(at).unwrap(); DIGEST];
            SpanRecord { first_piece: 2 * at, start, part: u64::from(at) << 40, digest }
        };
        let spans = (0..).zip(starts).map(span).collect();
        Directory { spans, pieces: vec![0, 65_536, 131_073, 131_072, u64::MAX] }
    }

    #[test]
    fn a_directory_reads_back_as_it_was_written() {
        let empty = Directory { spans: Vec::new(), pieces: Vec::new() };
        for (directory, counts) in [(sample(), [4, 5]), (empty, [0, 0])] {
            let bytes = directory.encode();
            assert_eq!(Directory::decode(&bytes, counts, MOST), Some(directory));
            for wrong in [[counts[0] + 1, counts[1]], [counts[0], counts[1] + 1], [u32::MAX; 2]] {
                assert_eq!(Directory::decode(&bytes, wrong, MOST), None, "{wrong:?}");
            }
        }
    }

    #[test]
    fn spans_of_usual_lengths_take_few_bytes_beside_their_digests() {
        let spans: Vec<SpanRecord> = (0..1000_u32)
            .map(|at| {
                let position = BitOffset(u64::from(at) * 2_000_000 + u64::from(at * at % 100_000));
                let start = ResumePoint::Code { position, block: BitOffset(position.0 - u64::from(at * 7 % 90_000)) };
                SpanRecord { first_piece: at * 9, start, part: u64::from(at) * 2500, digest: [0; DIGEST] }
            })
            .collect();
        let pieces = (0..9000_u64).map(|at| at * 65_536 + at * at % 100).collect();
        let len = Directory { spans, pieces }.encode().len();
        assert!(len < 1000 * (DIGEST + 20), "{len}");
    }

    #[test]
    fn damage_to_a_directory_is_told_or_harmless() {
        let bytes = sample().encode();
        let columns = packed::unpack(&bytes[4 * DIGEST..], 1000).unwrap();
        let with = |columns: &[u8]| [&bytes[..4 * DIGEST], &packed::pack(columns)].concat();
        assert_eq!(Directory::decode(&with(&columns), [4, 5], MOST), Some(sample()));
        for at in 0..columns.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, columns[at] ^ 1] {
                let mut damaged = columns.clone();
                damaged[at] = value;
                let decoded = Directory::decode(&with(&damaged), [4, 5], MOST);
                assert!(decoded.is_none_or(|directory| (directory.spans.len(), directory.pieces.len()) == (4, 5)));
            }
            assert_eq!(Directory::decode(&with(&columns[..at]), [4, 5], MOST), None);
        }
        assert_eq!(Directory::decode(&with(&[&columns[..], b"\0"].concat()), [4, 5], MOST), None, "one byte too many");
        let zeros = vec![0; 64 << 20];
        let bomb = [&bytes[..DIGEST], &packed::pack(&zeros)].concat();
        assert_eq!(Directory::decode(&bomb, [1, (64 << 20) - 4], 8 << 20), None, "64 million pieces take 512 MiB");
    }
}
