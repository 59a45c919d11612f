//! Gzip without compression: every byte stands at a known offset, so any range can be read; the checksum at the end is
//! gathered from what is read on the way there.
//!
//! ```text
//! header | 5 bytes, 65535 bytes | 5 bytes, 65535 bytes | ... | CRC-32, size
//! ```
//!
//! # Format
//! RFC 1952 (gzip), RFC 1951 section 3.2.4 (stored blocks).

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, PoisonError};

use crc32fast::Hasher;

use crate::base::{SECTOR, in_memory};
use crate::extent::{Origin, Piece, ReadError, SharedSource, Source, Traced, Visit, trace_as};

/// No name, no time (the output depends on the content alone), unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Largest stored block.
const BLOCK: u64 = 65535;
/// A stored block with its header.
const STRIDE: u64 = BLOCK + 5;
const TRAILER: u64 = 8;
/// Bytes whose checksum is gathered together: 8 bytes of memory for each.
const PART: u64 = 2048 * SECTOR;

/// Lays out `content` as a gzip member of stored blocks.
pub fn gzip_stored(content: SharedSource) -> SharedSource {
    let parts = in_memory(content.size().div_ceil(PART));
    let checksum = Mutex::new(vec![Progress::default(); parts]);
    Arc::new(GzipStored { content, checksum })
}

struct GzipStored {
    content: SharedSource,
    checksum: Mutex<Vec<Progress>>,
}

/// How far from its start a part's checksum is known.
#[derive(Clone, Copy, Default)]
struct Progress {
    len: u32,
    crc: u32,
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
            let len = usize::try_from(self.piece_end(at) - at).map_or(buf.len(), |len| len.min(buf.len()));
            let (head, rest) = buf.split_at_mut(len);
            self.read_piece(head, at)?;
            at += len as u64;
            buf = rest;
        }
        Ok(())
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        let mut at = range.start;
        while at < range.end {
            let end = self.piece_end(at).min(range.end);
            if self.trace_piece(&(at..end), visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            at = end;
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl GzipStored {
    /// Number of blocks; an empty content still has one.
    fn blocks(&self) -> u64 {
        self.content.size().div_ceil(BLOCK).max(1)
    }

    fn trailer_offset(&self) -> u64 {
        HEADER.len() as u64 + self.blocks() * 5 + self.content.size()
    }

    /// The end of the piece (header, block header, block, trailer) that holds offset `at`.
    fn piece_end(&self, at: u64) -> u64 {
        let header = HEADER.len() as u64;
        if at < header {
            return header;
        }
        if at >= self.trailer_offset() {
            return self.size();
        }
        let (block, skip) = ((at - header) / STRIDE, (at - header) % STRIDE);
        let start = header + block * STRIDE;
        if skip < 5 { start + 5 } else { (start + STRIDE).min(self.trailer_offset()) }
    }

    /// Fills `buf` from offset `at`, which do not leave their piece.
    fn read_piece(&self, buf: &mut [u8], at: u64) -> Result<(), ReadError> {
        let header = HEADER.len() as u64;
        if at < header {
            copy(&HEADER, at, buf);
        } else if at >= self.trailer_offset() {
            copy(&self.trailer()?, at - self.trailer_offset(), buf);
        } else {
            let (block, skip) = ((at - header) / STRIDE, (at - header) % STRIDE);
            if skip < 5 {
                copy(&self.block_header(block), skip, buf);
            } else {
                let offset = block * BLOCK + skip - 5;
                self.content.read_at(buf, offset)?;
                self.note(buf, offset);
            }
        }
        Ok(())
    }

    /// Traces a range that does not leave its piece.
    fn trace_piece(&self, range: &Range<u64>, visit: &mut Visit<'_>) -> Traced {
        let header = HEADER.len() as u64;
        let len = range.end - range.start;
        if range.start >= self.trailer_offset() {
            return trace_as(Origin::Checksum, range, visit);
        }
        let mut bytes = [0; HEADER.len()];
        if let Some((block, skip)) = range.start.checked_sub(header).map(|at| (at / STRIDE, at % STRIDE))
            && skip >= 5
        {
            let offset = block * BLOCK + skip - 5;
            return self.content.trace(offset..offset + len, visit);
        }
        let bytes = &mut bytes[..in_memory(len)];
        self.read_piece(bytes, range.start)?;
        Ok(visit(Piece::generated(bytes)))
    }

    fn block_header(&self, block: u64) -> [u8; 5] {
        let len = (self.content.size() - block * BLOCK).min(BLOCK);
        let [low, high] = u16::try_from(len).expect("at most 65535").to_le_bytes();
        [u8::from(block + 1 == self.blocks()), low, high, !low, !high]
    }

    /// Adds what passes by to the checksums of the parts it continues.
    fn note(&self, mut bytes: &[u8], mut offset: u64) {
        while !bytes.is_empty() {
            let part = offset / PART;
            let left = in_memory((part + 1) * PART - offset);
            let (head, rest) = bytes.split_at(left.min(bytes.len()));
            let mut progress = self.progress(part);
            if let Some(fresh) = continues(progress, head, offset % PART) {
                progress.add(fresh);
                self.advance(part, progress);
            }
            offset += head.len() as u64;
            bytes = rest;
        }
    }

    fn progress(&self, part: u64) -> Progress {
        let parts = self.checksum.lock().unwrap_or_else(PoisonError::into_inner);
        parts[in_memory(part)]
    }

    /// Keeps `progress` unless another reader came further meanwhile.
    fn advance(&self, part: u64, progress: Progress) {
        let mut parts = self.checksum.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &mut parts[in_memory(part)];
        if known.len < progress.len {
            *known = progress;
        }
    }

    /// CRC-32 and size modulo 2^32; reads only those bytes that nobody has read in order before.
    fn trailer(&self) -> Result<[u8; 8], ReadError> {
        let mut whole = Hasher::new();
        for part in 0..self.content.size().div_ceil(PART) {
            let range = part * PART..((part + 1) * PART).min(self.content.size());
            let progress = self.complete(part, range)?;
            whole.combine(&Hasher::new_with_initial_len(progress.crc, u64::from(progress.len)));
        }
        let [a, b, c, d, ..] = self.content.size().to_le_bytes();
        let [e, f, g, h] = whole.finalize().to_le_bytes();
        Ok([e, f, g, h, a, b, c, d])
    }

    fn complete(&self, part: u64, range: Range<u64>) -> Result<Progress, ReadError> {
        let mut progress = self.progress(part);
        let mut rest = vec![0; in_memory(range.end - range.start) - progress.len as usize];
        if !rest.is_empty() {
            let start = range.start + u64::from(progress.len);
            // In a hole the zeros are known without asking the sources below.
            if self.content.data_from(start).is_some_and(|data| data.start < range.end) {
                self.content.read_at(&mut rest, start)?;
            }
            progress.add(&rest);
            self.advance(part, progress);
        }
        Ok(progress)
    }
}

impl Progress {
    fn add(&mut self, bytes: &[u8]) {
        let mut hasher = Hasher::new_with_initial(self.crc);
        hasher.update(bytes);
        self.crc = hasher.finalize();
        self.len += u32::try_from(bytes.len()).expect("at most a part");
    }
}

/// The bytes that continue `progress`, of `bytes` at offset `start` of the part.
fn continues(progress: Progress, bytes: &[u8], start: u64) -> Option<&[u8]> {
    let known = usize::try_from(u64::from(progress.len).checked_sub(start)?).ok()?;
    bytes.get(known..).filter(|fresh| !fresh.is_empty())
}

fn copy(from: &[u8], skip: u64, to: &mut [u8]) {
    let skip = in_memory(skip);
    to.copy_from_slice(&from[skip..skip + to.len()]);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::extent::Bytes;

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

    #[test]
    fn an_empty_content_is_one_empty_block() {
        let gzip = gzip_stored(Arc::new(Bytes([].into())));
        assert_eq!(read(&*gzip, 0..gzip.size())[10..], [1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
