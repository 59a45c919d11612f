//! A kernel that is packed in one stream, by gzip, xz, zstd or LZ4, as the file that is in it.
//!
//! A gzip stream is indexed, see `nested`. The others have no place to start at but their beginning, and refer to all
//! that they hold, so they are decoded from front to back: a read behind the one before goes on from there, one that is
//! further back than what is kept begins again.
//!
//! # Invariants
//! - A file takes one decoder, of some [`MOST_MEMORY`] at most, and twice [`KEPT`]. The decoder goes at its end.
//! - Nothing but the last bytes is read before the content is.
//!
//! # Format
//! Linux `scripts/Makefile.lib`: what packs a kernel appends its size in four bytes (`size_append`), which are the last four
//! of a gzip file anyway. The .xz file format 1.2.1; RFC 8878; the legacy frame of lz4's `lz4_Frame_format.md`.

use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use liblzma::stream::Stream;

use super::error::Error;
use super::gunzip::Gunzip;
use super::layers::Layers;
use super::nested::{Inner, InnerReader};
use super::pass::diff_max;
#[cfg(any(test, fuzzing))]
use crate::base::{Digest, Hasher};
use crate::base::{GIB, KIB, MIB, in_memory};
use crate::extent::{ReadError, SharedSource, Source, Traced, Visit, trace_as};

/// Bytes that tell how a stream is packed.
const MAGIC: usize = 6;
/// The size behind the stream.
const TRAILER: u64 = 4;
/// The largest file that is unpacked: a kernel with all its symbols has half of it.
const LARGEST: u64 = GIB;
/// Memory of a decoder at most: the kernel's build lets xz and zstd refer back 128 MiB.
const MOST_MEMORY: u64 = 192 * MIB;
/// The same for zstd, as a power of two.
const WINDOW_LOG_MAX: u32 = 27;
/// Bytes that are decoded at a time.
const STEP: u64 = 256 * KIB;
/// Decoded bytes that are kept at least, for reads that come in another order than they were sent.
const KEPT: usize = 4 << 20;
/// Bytes of the stream that are read at a time.
const PART: usize = 64 << 10;
/// Bytes that a block of an LZ4 legacy frame holds, and that it takes at most when nothing of it can be packed.
const LZ4_BLOCK: u64 = 8 * MIB;
const LZ4_BOUND: u64 = LZ4_BLOCK + LZ4_BLOCK / 255 + 16;

/// How a stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952.
    Gzip,
    /// The .xz format.
    Xz,
    /// RFC 8878.
    Zstd,
    /// An LZ4 legacy frame.
    Lz4,
}

impl Packing {
    /// How a stream with these first bytes is packed; `None` for other ways.
    pub fn of(start: &[u8]) -> Option<Self> {
        let magics: [(&[u8], Self); 4] = [
            (&[0x1f, 0x8b], Self::Gzip),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Self::Xz),
            (&[0x28, 0xb5, 0x2f, 0xfd], Self::Zstd),
            (&[0x02, 0x21, 0x4c, 0x18], Self::Lz4),
        ];
        magics.into_iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, packing)| packing)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Lz4 => "LZ4",
        }
    }

    /// What decodes a stream from its beginning.
    fn decoder(self, input: impl BufRead + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Gzip => Box::new(Gunzip::new(input)),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(MOST_MEMORY, 0)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input)?.single_frame();
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
            Self::Lz4 => Box::new(Lz4::new(input)),
        })
    }
}

impl Layers {
    /// The content of a stream that lies in a layer, and has its size in its last four bytes, which are read now.
    ///
    /// # Errors
    /// `Corrupt` when it is not packed in a known way; what reading the layer says.
    pub fn open_packed(self: &Arc<Self>, file: &Inner) -> Result<SharedSource, Error> {
        let mut start = [0; MAGIC];
        let len = in_memory(file.size.min(MAGIC as u64));
        file.source.read_at(&mut start[..len], file.offset).map_err(Error::Content)?;
        match Packing::of(&start[..len]) {
            None | Some(Packing::Gzip) => self.open_gzip(file),
            Some(packing) => Ok(Arc::new(Unpacked::open(file.clone(), packing, self.stored_below(file)?)?)),
        }
    }
}

/// The content of a stream.
struct Unpacked {
    /// Without the size behind it.
    file: Inner,
    packing: Packing,
    size: u64,
    /// What is decoded, as long as nothing went wrong.
    decoding: Mutex<Option<Decoding>>,
}

impl Unpacked {
    /// `stored` are the bytes that are stored of what the file lies in.
    fn open(file: Inner, packing: Packing, stored: u64) -> Result<Self, Error> {
        let bad = |problem: &str| {
            let (format, at, problem) = (packing.name(), file.offset, problem.to_owned());
            Error::Stream { format, at, problem }.of(&file)
        };
        let len = file.size.checked_sub(TRAILER).ok_or_else(|| bad("it has no size behind it"))?;
        let mut size = [0; 4];
        file.source.read_at(&mut size, file.offset + len).map_err(Error::Content)?;
        let size = u64::from(u32::from_le_bytes(size));
        if size > LARGEST {
            return Err(bad("it says that it holds over 1 GiB"));
        }
        if size > diff_max(stored) {
            return Err(Error::Bloated.of(&file));
        }
        Ok(Self { file: Inner { size: len, ..file }, packing, size, decoding: Mutex::default() })
    }

    fn begin(&self) -> io::Result<Decoding> {
        let input = BufReader::with_capacity(PART, InnerReader::new(self.file.clone()));
        Ok(Decoding { input: Some(self.packing.decoder(input)?), kept: Vec::new(), start: 0, size: self.size })
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut decoding = self.decoding.lock().unwrap_or_else(PoisonError::into_inner);
        // What fails is begun again by the next read.
        let mut going = match decoding.take() {
            Some(going) if going.start <= offset => going,
            _ => self.begin()?,
        };
        going.read(buf, offset)?;
        *decoding = Some(going);
        Ok(())
    }
}

impl Source for Unpacked {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let out_of_range = || ReadError::out_of_range(offset, buf.len() as u64, self.size);
        offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size).ok_or_else(out_of_range)?;
        self.read(buf, offset).map_err(|error| match error.downcast::<ReadError>() {
            Ok(error) => error,
            Err(error) => {
                let (format, at, problem) = (self.packing.name(), self.file.offset, error.to_string());
                ReadError::wrap("cannot read compressed content", Error::Stream { format, at, problem }.of(&self.file))
            }
        })
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        trace_as(self.file.unpacked(range.start)?, &range, visit)
    }
}

/// A stream that is decoded, and what came out of it last.
struct Decoding {
    /// Nothing at its end.
    input: Option<Box<dyn Read + Send>>,
    kept: Vec<u8>,
    /// The offset of the first byte that is kept.
    start: u64,
    size: u64,
}

impl Decoding {
    /// Reads what is kept or comes later.
    fn read(&mut self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            let kept = self.kept.get(in_memory(offset - self.start)..).unwrap_or_default();
            if kept.is_empty() {
                self.step()?;
                continue;
            }
            let len = kept.len().min(buf.len());
            let (head, rest) = buf.split_at_mut(len);
            head.copy_from_slice(&kept[..len]);
            (buf, offset) = (rest, offset + len as u64);
        }
        Ok(())
    }

    /// Decodes the next bytes, and makes sure of the end behind the last ones.
    fn step(&mut self) -> io::Result<()> {
        if self.kept.len() >= 2 * KEPT {
            self.kept.drain(..KEPT);
            self.start += KEPT as u64;
        }
        let input = self.input.as_mut().ok_or(io::ErrorKind::UnexpectedEof)?;
        let before = self.kept.len();
        let left = self.size - self.start - before as u64;
        self.kept.resize(before + in_memory(left.min(STEP)), 0);
        input.read_exact(&mut self.kept[before..])?;
        if left <= STEP {
            if input.read(&mut [0])? > 0 {
                return Err(io::Error::other("it holds more than the size behind it says"));
            }
            self.input = None;
        }
        Ok(())
    }
}

/// Decodes an LZ4 legacy frame, block by block.
struct Lz4<R> {
    input: R,
    block: Vec<u8>,
    /// What of the block is read.
    at: usize,
    has_begun: bool,
}

impl<R: BufRead> Lz4<R> {
    fn new(input: R) -> Self {
        Self { input, block: Vec::new(), at: 0, has_begun: false }
    }

    /// Decodes the next block; none is left where the input ends.
    fn next(&mut self) -> io::Result<()> {
        let mut word = [0; 4];
        if !std::mem::replace(&mut self.has_begun, true) {
            self.input.read_exact(&mut word)?;
        }
        self.block.clear();
        self.at = 0;
        if self.input.fill_buf()?.is_empty() {
            return Ok(());
        }
        self.input.read_exact(&mut word)?;
        let len = u64::from(u32::from_le_bytes(word));
        if len > LZ4_BOUND {
            return Err(io::Error::other("a block is longer than one can be"));
        }
        let mut packed = Vec::new();
        if self.input.by_ref().take(len).read_to_end(&mut packed)? as u64 != len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.block.resize(in_memory(LZ4_BLOCK), 0);
        let room = i32::try_from(LZ4_BLOCK).map_err(io::Error::other)?;
        let len = lz4::block::decompress_to_buffer(&packed, Some(room), &mut self.block)?;
        self.block.truncate(len);
        Ok(())
    }
}

impl<R: BufRead> Read for Lz4<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            self.next()?;
        }
        let len = (&self.block[self.at..]).read(buf)?;
        self.at += len;
        Ok(len)
    }
}

/// Fuzz target of one stream with its size behind it: two orders of reads give the same bytes.
#[cfg(any(test, fuzzing))]
pub fn unpacked(data: &[u8]) {
    /// What is read of it at most; more takes the fuzzer too long.
    const MOST: u64 = 20 << 20;
    let Some(packing) = Packing::of(data).filter(|packing| *packing != Packing::Gzip) else { return };
    let file = Inner { source: Arc::new(crate::extent::Bytes(data.into())), offset: 0, size: data.len() as u64 };
    let Ok(content) = Unpacked::open(file, packing, data.len() as u64) else { return };
    let end = content.size.min(MOST);
    let read = |range: Range<u64>| -> Option<Digest> {
        let mut hash = Hasher::default();
        let mut part = [0; PART];
        for at in range.clone().step_by(PART) {
            let part = &mut part[..in_memory((range.end - at).min(PART as u64))];
            content.read_at(part, at).ok()?;
            hash.update(part);
        }
        Some(hash.finish())
    };
    let [tail, head] = [end / 2..end, 0..end / 2].map(read);
    let whole = [0..end / 2, end / 2..end].map(read);
    assert_eq!(whole[0].zip(whole[1]), head.zip(tail));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::base::{ErrorKind, Fault as _};

    /// Longer than what is kept, and not the same anywhere.
    fn content() -> Vec<u8> {
        (0..3_000_000_u32).flat_map(|number| (number / 3).to_le_bytes()).collect()
    }

    fn packed(packing: Packing, content: &[u8]) -> Vec<u8> {
        match packing {
            Packing::Gzip => unreachable!("it is indexed"),
            Packing::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            // As kernels are: with a window that reaches over all of it.
            Packing::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
                encoder.window_log(WINDOW_LOG_MAX).unwrap();
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Lz4 => {
                let blocks = content.chunks(in_memory(LZ4_BLOCK)).map(|block| {
                    let packed = lz4::block::compress(block, None, false).unwrap();
                    [&u32::try_from(packed.len()).unwrap().to_le_bytes()[..], &packed].concat()
                });
                [vec![0x02, 0x21, 0x4c, 0x18]].into_iter().chain(blocks).collect::<Vec<_>>().concat()
            }
        }
    }

    fn sized(stream: &[u8], size: usize) -> Vec<u8> {
        [stream, &u32::try_from(size).unwrap().to_le_bytes()].concat()
    }

    /// Counts what is read.
    struct Counted(Vec<u8>, AtomicU64);

    impl Source for Counted {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
            self.1.fetch_add(buf.len() as u64, Ordering::Relaxed);
            buf.copy_from_slice(&self.0[in_memory(offset)..][..buf.len()]);
            Ok(())
        }
    }

    fn open(file: Vec<u8>) -> Result<(Unpacked, Arc<Counted>), Error> {
        let packing = Packing::of(&file).expect("it has a known magic number");
        let source = Arc::new(Counted(file, AtomicU64::new(0)));
        let size = source.size();
        Ok((Unpacked::open(Inner { source: source.clone(), offset: 0, size }, packing, size)?, source))
    }

    fn read(content: &Unpacked, range: Range<usize>) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; range.len()];
        content.read_at(&mut bytes, range.start as u64).map(|()| bytes)
    }

    const PACKINGS: [Packing; 3] = [Packing::Xz, Packing::Zstd, Packing::Lz4];

    #[test]
    fn what_was_packed_is_read_in_any_order_and_decoded_once_from_front_to_back() {
        let whole = content();
        for packing in PACKINGS {
            let (unpacked, source) = open(sized(&packed(packing, &whole), whole.len())).unwrap();
            assert_eq!((unpacked.size(), source.1.swap(0, Ordering::Relaxed)), (whole.len() as u64, 4));
            assert!(read(&unpacked, 0..100).unwrap() == whole[..100]);
            let (stream, head) = (unpacked.file.size, source.1.load(Ordering::Relaxed));
            assert!(packing == Packing::Lz4 || head == stream.min(PART as u64), "{packing:?}: {head} of {stream}");
            for at in (0..whole.len()).step_by(1_000_000) {
                let end = whole.len().min(at + 1_000_000);
                assert!(read(&unpacked, at..end).unwrap() == whole[at..end], "{packing:?} at {at}");
                // Shortly before, as reads ahead come in.
                let back = at.saturating_sub(KEPT / 2);
                assert!(read(&unpacked, back..back + 10).unwrap() == whole[back..back + 10]);
            }
            assert_eq!(source.1.swap(0, Ordering::Relaxed), stream, "{packing:?}");
            assert!(unpacked.decoding.lock().unwrap().as_ref().unwrap().input.is_none());
            assert!(read(&unpacked, 5..9).unwrap() == whole[5..9]);
            assert!(read(&unpacked, whole.len() - 3..whole.len()).unwrap() == whole[whole.len() - 3..]);
            assert!(read(&unpacked, 0..whole.len()).unwrap() == whole);
            assert_eq!(read(&unpacked, whole.len()..whole.len() + 1).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn damage_and_sizes_that_are_wrong_are_errors_of_the_read_that_finds_them() {
        let whole = &content()[..1_000_000];
        for packing in PACKINGS {
            let stream = packed(packing, whole);
            for (size, problem) in [(whole.len() - 1, "holds more than the size"), (whole.len() + 1, "")] {
                let (unpacked, _) = open(sized(&stream, size)).unwrap();
                let error = read(&unpacked, 0..size).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{packing:?}");
                assert!(crate::base::in_line(&error).to_string().contains(problem), "{error:?}");
                assert!(read(&unpacked, 0..100).unwrap() == whole[..100]);
            }
            let (unpacked, _) = open(sized(&stream[..stream.len() - 5], whole.len())).unwrap();
            assert_eq!(read(&unpacked, 0..whole.len()).unwrap_err().kind(), ErrorKind::Corrupt, "{packing:?}");
            let mut damaged = stream;
            damaged[6..40].fill(0xff);
            let (unpacked, _) = open(sized(&damaged, whole.len())).unwrap();
            assert_eq!(read(&unpacked, 0..whole.len()).unwrap_err().kind(), ErrorKind::Corrupt, "{packing:?}");
        }
    }

    #[test]
    fn no_stream_makes_the_decoder_take_more_than_a_kernel_needs() {
        let error = open(sized(&packed(Packing::Lz4, b"x"), 1 << 31)).err().unwrap();
        assert!(crate::base::in_line(&error).to_string().contains("over 1 GiB"), "{error:?}");
        // A block of 4 GiB, a window of 2 GiB, a dictionary of 4 GiB - 1.
        let lz4 = [&[0x02, 0x21, 0x4c, 0x18][..], &[0xff; 40]].concat();
        let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3][..], &[0; 40]].concat();
        let mut xz = packed(Packing::Xz, &[b'x'; 1000]);
        assert_eq!(xz[14..16], [0x21, 1]);
        xz[16] = 40;
        let crc = crc32fast::hash(&xz[12..20]);
        xz[20..24].copy_from_slice(&crc.to_le_bytes());
        for (stream, problem) in [(lz4, "longer than one can be"), (zstd, "too much memory"), (xz, "memory limit")] {
            let (unpacked, _) = open(sized(&stream, 1000)).unwrap();
            let error = read(&unpacked, 0..1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(crate::base::in_line(&error).to_string().contains(problem), "{error:?}");
        }
    }
}
