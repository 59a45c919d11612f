//! How the blocks of a compressed root are compressed, each by itself, so that a kernel reads any of them alone.

use flate2::{Compress, Compression, FlushCompress, Status};
use liblzma::stream::{Action, Check, Filters, LzmaOptions, Stream};
use lz4::block::{CompressionMode, compress};

/// The largest block that is compressed by itself, in bytes: that of a squashfs.
const LARGEST_BLOCK: u32 = 128 << 10;

/// An algorithm with its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// zlib, at a level from 1 to 9.
    Gzip(u32),
    /// LZ4, at a level from 1 to 12.
    Lz4(i32),
    /// xz, at a level from 1 to 9.
    Xz(u32),
    /// Zstandard, at a level from 1 to 19.
    Zstd(i32),
}

impl Codec {
    /// Reads the name of an algorithm, or one with a level, such as `zstd:19`. The levels without one are those of
    /// mksquashfs and of `mkfs.erofs -zlz4hc`.
    pub fn parse(text: &str) -> Option<Self> {
        let signed = |level| i32::try_from(level).ok();
        match text.split(':').next()? {
            "gzip" => level_of(text, 9, 9).map(Self::Gzip),
            "lz4" => level_of(text, 9, 12).and_then(signed).map(Self::Lz4),
            "xz" => level_of(text, 6, 9).map(Self::Xz),
            "zstd" => level_of(text, 15, 19).and_then(signed).map(Self::Zstd),
            _ => None,
        }
    }

    /// The name of the algorithm.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gzip(_) => "gzip",
            Self::Lz4(_) => "lz4",
            Self::Xz(_) => "xz",
            Self::Zstd(_) => "zstd",
        }
    }

    /// A block compressed; `None` where that saves no `unit` of bytes. A library that fails, which only a lack of memory makes
    /// it do, leaves the block as it is.
    pub(super) fn pack(self, block: &[u8], unit: usize) -> Option<Vec<u8>> {
        let packed = match self {
            Self::Gzip(level) => deflated(block, level),
            Self::Lz4(level) => compress(block, Some(CompressionMode::HIGHCOMPRESSION(level)), false).ok(),
            Self::Xz(level) => xz(block, level),
            // A new context for each block: what one has compressed before can change what it finds.
            Self::Zstd(level) => zstd::bulk::compress(block, level).ok(),
        };
        packed.filter(|packed| packed.len().div_ceil(unit) < block.len().div_ceil(unit))
    }
}

/// The level behind the colon in `text`, from 1 to `most`; `default` where there is none.
pub fn level_of(text: &str, default: u32, most: u32) -> Option<u32> {
    match text.split_once(':') {
        None => Some(default),
        Some((_, digits)) => digits.parse().ok().filter(|level| (1..=most).contains(level)),
    }
}

/// A block as a zlib stream, if that is shorter.
fn deflated(block: &[u8], level: u32) -> Option<Vec<u8>> {
    let mut output = Vec::with_capacity(block.len());
    let mut deflate = Compress::new(Compression::new(level), true);
    let status = deflate.compress_vec(block, &mut output, FlushCompress::Finish).ok()?;
    (status == Status::StreamEnd).then_some(output)
}

/// A block as an xz stream, if that is shorter. Kernels hold as much of what they have decoded as a block is long, and know
/// no other checksum.
fn xz(block: &[u8], level: u32) -> Option<Vec<u8>> {
    let mut output = Vec::with_capacity(block.len());
    let mut options = LzmaOptions::new_preset(level).ok()?;
    options.dict_size(LARGEST_BLOCK);
    let mut filters = Filters::new();
    filters.lzma2(&options);
    let mut stream = Stream::new_stream_encoder(&filters, Check::Crc32).ok()?;
    let status = stream.process_vec(block, &mut output, Action::Finish).ok()?;
    (status == liblzma::stream::Status::StreamEnd).then_some(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_level_of_mksquashfs_unless_it_says_another() {
        let rows = [
            ("gzip", Some(Codec::Gzip(9))),
            ("gzip:1", Some(Codec::Gzip(1))),
            ("gzip:10", None),
            ("xz", Some(Codec::Xz(6))),
            ("lz4", Some(Codec::Lz4(9))),
            ("lz4:12", Some(Codec::Lz4(12))),
            ("lz4:13", None),
            ("zstd", Some(Codec::Zstd(15))),
            ("zstd:19", Some(Codec::Zstd(19))),
            ("zstd:0", None),
            ("zstd:", None),
            ("brotli", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(Codec::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_block_that_saves_nothing_stays_as_it_is() {
        let noise: Vec<u8> =
            (0..1000_u32).flat_map(|n| blake3::hash(&n.to_le_bytes()).as_bytes()[..8].to_vec()).collect();
        for codec in ["gzip", "lz4", "xz", "zstd"].map(|name| Codec::parse(name).unwrap()) {
            assert_eq!((codec.pack(&noise, 1), codec.pack(b"a", 1), codec.pack(b"", 1)), (None, None, None));
            assert!(codec.pack(&[b'x'; 10_000], 1).unwrap().len() < 200);
            assert!(codec.pack(&[b'x'; 4097], 4096).is_some() && codec.pack(&[b'x'; 4096], 4096).is_none());
        }
    }
}
