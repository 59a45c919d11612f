//! Content compressed while it is written: on all processors, a few blocks at a time, the same bytes whatever their
//! number.
//!
//! Linux unpacks an initrd one compressed stream at a time and wants a whole archive in each (`init/initramfs.c`), so
//! both kinds make one stream: one gzip member, one zstd frame.

mod gzip;

use std::io::{self, Write};

use liblzma::stream::{Check, Filters, LzmaOptions, MtStreamBuilder, Stream};

use self::gzip::Gzip;
use crate::base::processors;
use crate::format::level_of;

/// How far back a reference reaches in xz, and how much is compressed together, in bytes: a thread takes some 60 MB
/// with them, and three times as much with those of the xz tool.
const XZ_WINDOW: u32 = 4 << 20;
const XZ_BLOCK: u64 = 8 << 20;

/// How content is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Gzip, at a level from 1 to 9.
    Gzip(u32),
    /// xz, at a level from 1 to 9.
    Xz(u32),
    /// Zstandard, at a level from 1 to 19: above it takes windows for which a booting machine may lack the memory.
    Zstd(i32),
}

impl Compression {
    /// Reads `gzip`, `xz`, `zstd`, or one of them with a level, such as `zstd:19`.
    pub fn parse(text: &str) -> Option<Self> {
        // The levels of the tools that people know.
        match text.split(':').next()? {
            "gzip" => level_of(text, 6, 9).map(Self::Gzip),
            "xz" => level_of(text, 6, 9).map(Self::Xz),
            "zstd" => level_of(text, 3, 19).and_then(|level| i32::try_from(level).ok()).map(Self::Zstd),
            _ => None,
        }
    }
}

/// A writer that compresses what it is given. Without [`finish`](Self::finish) the stream has no end.
pub(super) enum Compressor<W: Write> {
    Gzip(Box<Gzip<W>>),
    Xz(liblzma::write::XzEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    /// A writer of `size` bytes.
    pub(super) fn new(compression: Compression, size: u64, output: W) -> io::Result<Self> {
        Self::with_workers(compression, size, output, processors())
    }

    fn with_workers(compression: Compression, size: u64, output: W, workers: usize) -> io::Result<Self> {
        match compression {
            Compression::Gzip(level) => Ok(Self::Gzip(Box::new(Gzip::new(output, level, workers)?))),
            Compression::Xz(level) => Ok(Self::Xz(liblzma::write::XzEncoder::new_stream(output, xz(level, workers)?))),
            Compression::Zstd(level) => {
                let mut encoder = zstd::Encoder::new(output, level)?;
                encoder.include_checksum(true)?;
                encoder.set_pledged_src_size(Some(size))?;
                encoder.multithread(u32::try_from(workers).unwrap_or(u32::MAX))?;
                Ok(Self::Zstd(encoder))
            }
        }
    }

    /// Ends the stream; the writer below.
    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::Gzip(gzip) => gzip.finish(),
            Self::Xz(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(gzip) => gzip.write(bytes),
            Self::Xz(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // A flush in the middle would change the bytes.
        Ok(())
    }
}

/// An xz stream of blocks that are compressed in parallel.
fn xz(level: u32, workers: usize) -> io::Result<Stream> {
    let mut options = LzmaOptions::new_preset(level)?;
    options.dict_size(XZ_WINDOW);
    let mut filters = Filters::new();
    filters.lzma2(&options);
    let threads = u32::try_from(workers).unwrap_or(u32::MAX);
    Ok(MtStreamBuilder::new().threads(threads).block_size(XZ_BLOCK).filters(filters).check(Check::Crc64).encoder()?)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const BOTH: [Compression; 2] = [Compression::Gzip(6), Compression::Zstd(3)];
    const LEVELS: [Compression; 7] = [
        Compression::Gzip(1),
        Compression::Gzip(3),
        Compression::Gzip(6),
        Compression::Gzip(9),
        Compression::Xz(1),
        Compression::Zstd(3),
        Compression::Zstd(12),
    ];

    /// Text with repetitions near and far, and noise between.
    fn content(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut bytes = Vec::with_capacity(len + 64);
        while bytes.len() < len {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bytes.extend_from_slice(format!("{:x} initrd {}\n", state >> 12, state % 7).as_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    fn compressed(compression: Compression, bytes: &[u8], piece: usize, workers: usize) -> Vec<u8> {
        let mut compressor = Compressor::with_workers(compression, bytes.len() as u64, Vec::new(), workers).unwrap();
        bytes.chunks(piece).for_each(|piece| compressor.write_all(piece).unwrap());
        compressor.finish().unwrap()
    }

    fn decompressed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        match compression {
            // One member: what follows it would be left.
            Compression::Gzip(_) => flate2::bufread::GzDecoder::new(bytes).read_to_end(&mut content).unwrap(),
            Compression::Xz(_) => liblzma::bufread::XzDecoder::new(bytes).read_to_end(&mut content).unwrap(),
            Compression::Zstd(_) => {
                zstd::Decoder::with_buffer(bytes).unwrap().single_frame().read_to_end(&mut content).unwrap()
            }
        };
        content
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_processors_nor_on_the_pieces() {
        let bytes = content(11_000_003);
        for compression in LEVELS {
            let one = compressed(compression, &bytes, 1 << 20, 1);
            assert!(one.len() < bytes.len() / 2);
            assert!(decompressed(compression, &one) == bytes);
            for workers in [5, 3, 16, 1] {
                assert!(one == compressed(compression, &bytes, 1 << 20, workers), "{compression:?}: {workers} workers");
            }
            assert!(one == compressed(compression, &bytes, 333_333, 2), "{compression:?}: other pieces");
        }
    }

    #[test]
    fn content_of_any_size_comes_back() {
        for len in [0, 1, 100, (1 << 20) - 1, 1 << 20, (1 << 20) + 1] {
            let bytes = content(len);
            for compression in BOTH {
                let packed = compressed(compression, &bytes, 1 << 20, 2);
                assert!(decompressed(compression, &packed) == bytes, "{compression:?}: {len} bytes");
            }
        }
    }

    #[test]
    fn a_level_is_read_with_its_name() {
        let rows = [
            ("gzip", Some(Compression::Gzip(6))),
            ("gzip:9", Some(Compression::Gzip(9))),
            ("xz", Some(Compression::Xz(6))),
            ("zstd", Some(Compression::Zstd(3))),
            ("zstd:19", Some(Compression::Zstd(19))),
        ];
        for (text, compression) in rows {
            assert_eq!(Compression::parse(text), compression);
        }
        for text in ["", "lz4", "xz:0", "gzip:0", "gzip:10", "zstd:20", "zstd:", "zstd:-1", "Gzip"] {
            assert_eq!(Compression::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_full_disk_is_told() {
        for compression in BOTH.into_iter().chain([Compression::Xz(1)]) {
            let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
            let written = Compressor::new(compression, 3 << 20, full).and_then(|mut compressor| {
                compressor.write_all(&content(3 << 20))?;
                compressor.finish()
            });
            assert_eq!(written.err().unwrap().kind(), io::ErrorKind::StorageFull);
        }
    }
}
