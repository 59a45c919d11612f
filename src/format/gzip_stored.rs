//! Gzip without compression, but for holes: every byte of data stands at a known offset, so any range can be read, and
//! long runs of zeros take a thousandth of their size. The checksum at the end is gathered from what is read on the way there.
//!
//! ```text
//! header | 5 bytes, 65535 bytes | 5 bytes, the rest | a block of zeros | 5 bytes, 65535 bytes | ... | CRC-32, size
//!        '---------------- a run -------------------------------------'
//! ```
//!
//! # Format
//! RFC 1952 (gzip), RFC 1951 section 3.2.4 (stored blocks), 3.2.7 (the block of zeros).

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::crc32::add_zeros;
use super::gzip_sums::Sums;
use super::used::Used;
use crate::base::{KIB, in_memory};
use crate::extent::{Origin, Piece, ReadError, SharedSource, Source, Traced, Visit, trace_as};

/// No name, no time (the output depends on the content alone), unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Largest stored block.
const BLOCK: u64 = 65535;
/// A stored block with its header.
const STRIDE: u64 = BLOCK + 5;
const TRAILER: u64 = 8;

/// The start of a block of zeros: its Huffman codes. A length of 258 and a distance of 1 have codes of one bit, which is 0,
/// so each byte that is 0 behind it stands for four matches.
const ZEROS_HEAD: [u8; 13] = [0xec, 0xc0, 0x81, 0, 0, 0, 0, 0x80, 0xa0, 0xfd, 0xa9, 0x17, 0x29];
/// Its end: the last matches, the code that ends the block, and an empty stored block up to the next byte.
const ZEROS_TAIL: [u8; 6] = [0x80, 0x01, 0, 0, 0xff, 0xff];
/// Zeros for which a block of zeros has eight bits.
const ZEROS_UNIT: u64 = 4 * 258;
/// Holes are looked for in units of this many bytes. Shorter ones are stored, which keeps the list of runs short.
const UNIT: u64 = 128 * KIB;

/// Lays out `content` as a gzip member.
pub fn gzip_stored(content: SharedSource) -> SharedSource {
    let runs = runs(&*content);
    let sums = Sums::new(runs.iter().map(|run| run.data));
    Arc::new(GzipStored { content, runs, sums })
}

struct GzipStored {
    content: SharedSource,
    /// In order; never empty. The last one ends with the last block, and has no zeros.
    runs: Vec<Run>,
    sums: Sums,
}

/// Data in stored blocks, then zeros in a block of their own.
struct Run {
    /// Offset of its first block header in the file.
    start: u64,
    /// Offset of its data in the content.
    content: u64,
    /// Bytes of data.
    data: u64,
    /// Zeros behind the data in units; none in the last run.
    zeros: u64,
}

impl Run {
    /// Number of stored blocks; the last run has at least one.
    fn blocks(&self) -> u64 {
        self.data.div_ceil(BLOCK).max(1)
    }

    /// Offset in the file at which its block of zeros begins, or would.
    fn zeros_start(&self) -> u64 {
        self.start + self.blocks() * 5 + self.data
    }

    /// Where the next run begins in the file.
    fn end(&self) -> u64 {
        let markers = (ZEROS_HEAD.len() + ZEROS_TAIL.len()) as u64;
        self.zeros_start() + if self.zeros > 0 { markers + self.zeros - 1 } else { 0 }
    }
}

/// Cuts a content at its holes. A match repeats the byte before it, so every run keeps the first zero of its hole as data.
fn runs(content: &dyn Source) -> Vec<Run> {
    let (mut runs, mut start, mut at) = (Vec::new(), HEADER.len() as u64, 0);
    for hole in Used::of(content, UNIT).holes(content.size()) {
        let zeros = (hole.end - hole.start - 1) / ZEROS_UNIT;
        let run = Run { start, content: at, data: hole.end - zeros * ZEROS_UNIT - at, zeros };
        (start, at) = (run.end(), hole.end);
        runs.push(run);
    }
    runs.push(Run { start, content: at, data: content.size() - at, zeros: 0 });
    runs
}

/// What stands somewhere in the file.
enum Place {
    Header,
    /// The header of a block of a run.
    BlockHeader(usize, u64),
    /// Data of a run, at this offset in it.
    Data(usize, u64),
    ZerosHead,
    /// The matches of a block of zeros.
    Zeros,
    ZerosTail,
    Trailer,
}

impl Source for GzipStored {
    fn size(&self) -> u64 {
        self.trailer_offset() + TRAILER
    }

    fn read_at(&self, mut buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size());
        end.ok_or_else(|| ReadError::out_of_range(offset, buf.len() as u64, self.size()))?;
        let mut at = offset;
        while !buf.is_empty() {
            let (place, piece) = self.piece_at(at);
            let len = usize::try_from(piece.end - at).map_or(buf.len(), |len| len.min(buf.len()));
            let (head, rest) = buf.split_at_mut(len);
            self.read_piece(&place, head, at - piece.start)?;
            at += len as u64;
            buf = rest;
        }
        Ok(())
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        let mut at = range.start;
        while at < range.end {
            let (place, piece) = self.piece_at(at);
            let end = piece.end.min(range.end);
            if self.trace_piece(&place, &(at - piece.start..end - piece.start), visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            at = end;
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl GzipStored {
    fn last_run(&self) -> &Run {
        self.runs.last().expect("there is always a run")
    }

    fn trailer_offset(&self) -> u64 {
        self.last_run().end()
    }

    /// What stands at offset `at`, and the range in the file that it fills.
    fn piece_at(&self, at: u64) -> (Place, Range<u64>) {
        let Some(number) = self.runs.partition_point(|run| run.start <= at).checked_sub(1) else {
            return (Place::Header, 0..HEADER.len() as u64);
        };
        let run = &self.runs[number];
        if at >= self.trailer_offset() {
            return (Place::Trailer, self.trailer_offset()..self.size());
        }
        if at >= run.zeros_start() {
            return zeros_piece(at, run.zeros_start()..run.end());
        }
        let block = (at - run.start) / STRIDE;
        let start = run.start + block * STRIDE;
        if at < start + 5 {
            return (Place::BlockHeader(number, block), start..start + 5);
        }
        (Place::Data(number, block * BLOCK), start + 5..(start + STRIDE).min(run.zeros_start()))
    }

    /// Fills `buf` with what stands `skip` bytes behind the start of a piece, and does not leave it.
    fn read_piece(&self, place: &Place, buf: &mut [u8], skip: u64) -> Result<(), ReadError> {
        match place {
            Place::Header => copy(&HEADER, skip, buf),
            Place::BlockHeader(run, block) => copy(&self.block_header(*run, *block), skip, buf),
            Place::Data(run, offset) => {
                self.content.read_at(buf, self.runs[*run].content + offset + skip)?;
                self.sums.note(*run, buf, offset + skip);
            }
            Place::ZerosHead => copy(&ZEROS_HEAD, skip, buf),
            Place::Zeros => buf.fill(0),
            Place::ZerosTail => copy(&ZEROS_TAIL, skip, buf),
            Place::Trailer => copy(&self.trailer()?, skip, buf),
        }
        Ok(())
    }

    /// Traces a range of a piece.
    fn trace_piece(&self, place: &Place, range: &Range<u64>, visit: &mut Visit<'_>) -> Traced {
        match place {
            Place::Trailer => trace_as(Origin::Checksum, range, visit),
            Place::Zeros => trace_as(Origin::Zeros, range, visit),
            Place::Data(run, offset) => {
                let start = self.runs[*run].content + offset;
                self.content.trace(start + range.start..start + range.end, visit)
            }
            _ => {
                let mut bytes = [0; ZEROS_HEAD.len()];
                let bytes = &mut bytes[..in_memory(range.end - range.start)];
                self.read_piece(place, bytes, range.start)?;
                Ok(visit(Piece::generated(bytes)))
            }
        }
    }

    fn block_header(&self, number: usize, block: u64) -> [u8; 5] {
        let run = &self.runs[number];
        let is_last = number + 1 == self.runs.len() && block + 1 == run.blocks();
        let len = (run.data - block * BLOCK).min(BLOCK);
        let [low, high] = u16::try_from(len).expect("at most 65535").to_le_bytes();
        [u8::from(is_last), low, high, !low, !high]
    }

    /// CRC-32 and size modulo 2^32; reads only those bytes that nobody has read in order before.
    fn trailer(&self) -> Result<[u8; 8], ReadError> {
        let mut whole = crc32fast::Hasher::new();
        for (number, run) in self.runs.iter().enumerate() {
            self.sums.add_run(&mut whole, number, &|buf, offset| self.content.read_at(buf, run.content + offset))?;
            add_zeros(&mut whole, run.zeros * ZEROS_UNIT);
        }
        let [a, b, c, d, ..] = self.content.size().to_le_bytes();
        let [e, f, g, h] = whole.finalize().to_le_bytes();
        Ok([e, f, g, h, a, b, c, d])
    }
}

/// What stands at offset `at` of a block of zeros.
fn zeros_piece(at: u64, block: Range<u64>) -> (Place, Range<u64>) {
    let zeros = block.start + ZEROS_HEAD.len() as u64..block.end - ZEROS_TAIL.len() as u64;
    if at < zeros.start {
        (Place::ZerosHead, block.start..zeros.start)
    } else if at < zeros.end {
        (Place::Zeros, zeros)
    } else {
        (Place::ZerosTail, zeros.end..block.end)
    }
}

fn copy(from: &[u8], skip: u64, to: &mut [u8]) {
    let skip = in_memory(skip);
    to.copy_from_slice(&from[skip..skip + to.len()]);
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::extent::{Bytes, MapBuilder, Sink as _};

    /// Counts the bytes that are read.
    struct Counting(Bytes, AtomicU64);

    impl Source for Counting {
        fn size(&self) -> u64 {
            self.0.size()
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
            self.1.fetch_add(buf.len() as u64, Ordering::Relaxed);
            self.0.read_at(buf, offset)
        }
    }

    fn content(len: u32) -> Vec<u8> {
        (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    fn read(source: &dyn Source, range: Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
        source.read_at(&mut bytes, range.start).unwrap();
        bytes
    }

    #[test]
    fn prop_any_split_of_a_read_equals_the_whole() {
        let bytes = content(200_000);
        let whole = read(&*gzip_stored(Arc::new(Bytes(bytes.clone().into()))), 0..200_038);
        assert_eq!(whole[200_030..], [crc32fast::hash(&bytes).to_le_bytes(), 200_000_u32.to_le_bytes()].concat());
        let gzip = gzip_stored(Arc::new(Bytes(bytes.into())));
        for (start, end) in [(0, 9), (9, 16), (12, 70_000), (65_549, 65_556), (131_000, 200_032), (200_031, 200_038)] {
            assert_eq!(read(&*gzip, start..end), whole[start as usize..end as usize], "{start}..{end}");
        }
    }

    #[test]
    fn lazy_a_copy_in_order_reads_the_content_once() {
        let counting = Arc::new(Counting(Bytes(content(3_000_000).into()), AtomicU64::new(0)));
        let gzip = gzip_stored(counting.clone());
        let mut offset = 0;
        while offset < gzip.size() {
            let end = (offset + 131_072).min(gzip.size());
            read(&*gzip, offset..end);
            offset = end;
        }
        assert_eq!(counting.1.load(Ordering::Relaxed), 3_000_000);
    }

    /// What another decoder makes of a file.
    fn gunzip(file: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Holes at both ends, of every remainder that matters, next to each other's limits.
    fn with_holes(holes: &[u64]) -> SharedSource {
        let mut map = MapBuilder::default();
        for (at, hole) in (0..).zip(holes) {
            map.zeros(*hole);
            map.bytes(&content(1 + at * 40_000));
        }
        map.zeros(2 * UNIT);
        map.share()
    }

    #[test]
    fn holes_are_blocks_of_zeros_and_unpack_to_what_they_were() {
        let holes = [UNIT, UNIT - 1, 2 * UNIT + 1, 0, 2 * UNIT + 1000, 3 * UNIT, 5_000_000];
        let source = with_holes(&holes);
        let whole = read(&*source, 0..source.size());
        let gzip = gzip_stored(source);
        assert_eq!(gzip.size(), 1_579_588);
        let file = read(&*gzip, 0..gzip.size());
        assert!(gunzip(&file) == whole);
        // Read from the middle of any piece to the middle of another, the trailer first.
        let other = gzip_stored(with_holes(&holes));
        for (start, len) in (0..gzip.size()).rev().step_by(4099).zip((1..20_000).step_by(7)) {
            let end = (start + len).min(gzip.size());
            assert!(read(&*other, start..end) == file[in_memory(start)..in_memory(end)], "{start}..{end}");
        }
    }

    #[test]
    fn a_gibibyte_of_zeros_is_a_megabyte() {
        let gzip = gzip_stored(Arc::new(crate::extent::Zeros(1 << 30)));
        assert_eq!(1 << 30, 520 + 1_040_447 * ZEROS_UNIT);
        assert_eq!(gzip.size(), 10 + (5 + 520) + (13 + 1_040_446 + 6) + 5 + 8);
    }

    #[test]
    fn an_empty_content_is_one_empty_block() {
        let gzip = gzip_stored(Arc::new(Bytes([].into())));
        assert_eq!(read(&*gzip, 0..gzip.size())[10..], [1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
