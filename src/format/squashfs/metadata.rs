//! Metadata blocks: a stream of structures cut every 8 KiB, each piece behind its length.
//!
//! # Format
//! `squashfs_fs.h`: `SQUASHFS_METADATA_SIZE`, `SQUASHFS_COMPRESSED_BIT` (set here, for "not compressed").

use crate::base::in_memory;
use crate::extent::{ReadError, SharedSource, Sink, Source};
use crate::format::Codec;

/// Bytes of a stream in one block.
const BLOCK: u64 = 8192;
/// Bytes before them.
const HEAD: u64 = 2;
/// Marks a block that is stored as it is.
const STORED: u16 = 0x8000;

/// A stream of structures as metadata blocks.
pub(super) struct MetadataBlocks(pub SharedSource);

/// Where the blocks of a stream start, in bytes from the first of them.
pub(super) enum Starts {
    /// None is compressed, so that is arithmetic.
    Stored,
    /// As far as the stream is written.
    Packed(Vec<u32>),
}

impl Starts {
    /// The start of the block with this offset of the stream.
    pub fn block(&self, offset: u64) -> u64 {
        match self {
            Self::Stored => block_of(offset) * (BLOCK + HEAD),
            Self::Packed(starts) => starts[in_memory(block_of(offset))].into(),
        }
    }

    /// A structure's address: its block's start, and its offset within the block in the low 16 bits.
    pub fn reference(&self, offset: u64) -> u64 {
        self.block(offset) << 16 | u64::from(offset_in_block(offset))
    }
}

/// The number of the block with this offset of the stream.
pub(super) const fn block_of(offset: u64) -> u64 {
    offset / BLOCK
}

/// An offset of the stream within its block.
pub(super) fn offset_in_block(offset: u64) -> u16 {
    u16::try_from(offset % BLOCK).expect("a block is shorter than 64 KiB")
}

/// A stream that is compressed while it is written. What is compressed stays in memory.
pub(super) struct PackedBlocks {
    codec: Codec,
    /// The block that is being filled.
    block: Vec<u8>,
    position: u64,
    /// A block of zeros as it is stored, once there is one: lists of the blocks of sparse files have many.
    zeros: Option<Vec<u8>>,
    pub starts: Starts,
    pub bytes: Vec<u8>,
}

const ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

impl PackedBlocks {
    pub fn new(codec: Codec) -> Self {
        let block = Vec::with_capacity(in_memory(BLOCK));
        Self { codec, block, position: 0, zeros: None, starts: Starts::Packed(vec![0]), bytes: Vec::new() }
    }

    /// Ends the last block.
    pub fn finish(mut self) -> Self {
        if !self.block.is_empty() {
            self.end_block();
        }
        self
    }

    fn end_block(&mut self) {
        self.bytes.extend(stored(&self.block, Some(self.codec)));
        self.block.clear();
        self.note_start();
    }

    /// Adds a whole block of zeros where one begins.
    fn zero_block(&mut self) {
        self.position += BLOCK;
        self.bytes.extend_from_slice(self.zeros.get_or_insert_with(|| stored(&ZEROS, Some(self.codec))));
        self.note_start();
    }

    fn note_start(&mut self) {
        if let Starts::Packed(starts) = &mut self.starts {
            starts.push(u32::try_from(self.bytes.len()).expect("larger tables are refused"));
        }
    }
}

impl Sink for PackedBlocks {
    fn position(&self) -> u64 {
        self.position
    }

    fn bytes(&mut self, mut bytes: &[u8]) {
        self.position += bytes.len() as u64;
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(in_memory(BLOCK) - self.block.len()));
            self.block.extend_from_slice(head);
            bytes = rest;
            if self.block.len() as u64 == BLOCK {
                self.end_block();
            }
        }
    }

    fn zeros(&mut self, mut len: u64) {
        while len > 0 {
            let part = len.min(BLOCK - self.block.len() as u64);
            if part == BLOCK {
                self.zero_block();
            } else {
                self.bytes(&ZEROS[..in_memory(part)]);
            }
            len -= part;
        }
    }

    fn extent(&mut self, _: &SharedSource, _: u64, _: u64) {
        panic!("nothing but bytes is in compressed tables");
    }
}

/// A block as it is stored: its length, and the block itself, compressed where that makes it smaller.
fn stored(block: &[u8], codec: Option<Codec>) -> Vec<u8> {
    let packed = codec.and_then(|codec| codec.pack(block, 1));
    match &packed {
        Some(packed) => {
            let len = u16::try_from(packed.len()).expect("a block is shorter than 32 KiB");
            [&len.to_le_bytes(), packed.as_slice()].concat()
        }
        None => [&head_of(block.len() as u64), block].concat(),
    }
}

/// Adds a short stream as blocks; gives the list of their places, as it is stored.
pub(super) fn emit_blocks(stream: &[u8], codec: Option<Codec>, sink: &mut dyn Sink) -> Vec<u8> {
    let mut places = Vec::new();
    for block in stream.chunks(in_memory(BLOCK)) {
        places.extend(sink.position().to_le_bytes());
        sink.bytes(&stored(block, codec));
    }
    places
}

fn head_of(len: u64) -> [u8; 2] {
    (STORED | u16::try_from(len).expect("a block is shorter than 32 KiB")).to_le_bytes()
}

impl Source for MetadataBlocks {
    fn size(&self) -> u64 {
        self.0.size() + self.0.size().div_ceil(BLOCK) * HEAD
    }

    fn read_at(&self, mut buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size());
        end.ok_or_else(|| ReadError::out_of_range(offset, buf.len() as u64, self.size()))?;
        let mut at = offset;
        while !buf.is_empty() {
            let start = at / (BLOCK + HEAD) * BLOCK;
            let skip = at % (BLOCK + HEAD);
            let len = (self.0.size() - start).min(BLOCK);
            let left = in_memory(HEAD + len - skip).min(buf.len());
            let (head, rest) = buf.split_at_mut(left);
            self.read_block(head, start, len, skip)?;
            at += left as u64;
            buf = rest;
        }
        Ok(())
    }
}

impl MetadataBlocks {
    /// Reads within the block of `len` bytes from `start` of the stream, leaving out its first `skip` bytes.
    fn read_block(&self, buf: &mut [u8], start: u64, len: u64, skip: u64) -> Result<(), ReadError> {
        let (mut buf, mut skip) = (buf, skip);
        for byte in head_of(len).into_iter().skip(in_memory(skip.min(HEAD))) {
            let Some((first, rest)) = buf.split_first_mut() else { return Ok(()) };
            *first = byte;
            skip += 1;
            buf = rest;
        }
        if buf.is_empty() { Ok(()) } else { self.0.read_at(buf, start + skip - HEAD) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::extent::{Bytes, MapBuilder};

    #[test]
    fn prop_a_stream_is_cut_and_any_split_of_it_equals_the_whole() {
        let stream: Vec<u8> = (0..20_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        let blocks = MetadataBlocks(Arc::new(Bytes(stream.clone().into())));
        let mut whole = vec![0; 20_006];
        blocks.read_at(&mut whole, 0).unwrap();
        let mut expected = MapBuilder::default();
        assert_eq!(emit_blocks(&stream, None, &mut expected), [0_u64, 8194, 16_388].map(u64::to_le_bytes).concat());
        let expected = expected.finish();
        let mut other = vec![0; 20_006];
        expected.read_at(&mut other, 0).unwrap();
        assert!(other == whole && expected.size() == 20_006);
        assert_eq!((&whole[..2], &whole[16_388..16_390]), (&[0, 0xa0][..], &[0x20, 0x8e][..]));
        for start in [0, 1, 2, 3, 8191, 8192, 8193, 8194, 8195, 16_388, 20_005] {
            for end in [start, start + 1, start + 2, start + 9000, 20_006] {
                let end = end.min(20_006);
                let mut part = vec![0; end - start];
                blocks.read_at(&mut part, start as u64).unwrap();
                assert_eq!(part, whole[start..end]);
            }
        }
        assert!(blocks.read_at(&mut [0; 2], 20_005).is_err());
    }

    #[test]
    fn an_address_is_arithmetic_until_blocks_are_compressed() {
        assert_eq!(Starts::Stored.reference(8191), 8191);
        assert_eq!(Starts::Stored.reference(8192 * 3 + 5), (8194 * 3) << 16 | 5);
        assert_eq!(Starts::Packed(vec![0, 70, 99]).reference(8192 * 2 + 5), 99 << 16 | 5);
    }

    #[test]
    fn a_compressed_stream_is_cut_where_a_stored_one_is() {
        let mut blocks = PackedBlocks::new(Codec::Zstd(15));
        blocks.bytes(&[b'x'; 8000]);
        blocks.zeros(24_192);
        blocks.bytes(b"end");
        assert_eq!(blocks.position(), 32_195);
        let blocks = blocks.finish();
        let mut at = 0;
        let mut stream = Vec::new();
        for block in 0..4 {
            assert_eq!(blocks.starts.block(block * 8192), at as u64);
            let len = usize::from(u16::from_le_bytes([blocks.bytes[at], blocks.bytes[at + 1]]));
            assert!(len < 100);
            stream.extend(zstd::bulk::decompress(&blocks.bytes[at + 2..at + 2 + len], 8192).unwrap());
            at += 2 + len;
        }
        assert!(at == blocks.bytes.len() && stream.len() == 32_195);
        assert!(stream[..8000] == [b'x'; 8000] && stream[8000..32_192] == [0; 24_192] && stream.ends_with(b"end"));
    }
}
