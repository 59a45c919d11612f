//! The decoders of all compressions behind one stepping interface, which tells where decoding can start again.

use super::error::Error;
use super::gzip::{self, Gzip};
use super::inflate::{Place, Stop, Trailer, WINDOW};
use super::zstd::{self, Zstd};

/// How a blob is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Codec {
    /// Not at all.
    Plain = 0,
    /// gzip, perhaps of several members.
    Gzip = 1,
    /// Zstandard, perhaps of several frames.
    Zstd = 2,
}

impl Codec {
    /// Recognises a compression by a blob's first bytes (six are enough); media types are known to lie.
    ///
    /// # Errors
    /// When it is one that OCI layers do not have.
    pub(super) fn sniff(start: &[u8]) -> Result<Self, Error> {
        match start {
            _ if start.starts_with(&gzip::MAGIC) => Ok(Self::Gzip),
            _ if zstd::starts_frame(start) => Ok(Self::Zstd),
            _ if start.starts_with(b"BZh") => Err(Error::Compression("bzip2")),
            _ if start.starts_with(b"\xfd7zXZ\0") => Err(Error::Compression("xz")),
            _ => Ok(Self::Plain),
        }
    }

    /// The codec with this number in an index.
    pub(super) fn from_number(number: u32) -> Option<Self> {
        [Self::Plain, Self::Gzip, Self::Zstd].into_iter().find(|codec| codec.number() == number)
    }

    /// Its number in an index.
    pub(super) const fn number(self) -> u32 {
        self as u32
    }

    /// The name in messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "tar",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// A place at which a decoder can start afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing before it is needed: a gzip member, a zstd frame, any byte of a plain tar.
    Frame,
    /// A deflate block: needs the 32 KiB of output before it. `bits` high bits of the byte before it are unread.
    Block {
        /// 0–7.
        bits: u8,
    },
    /// A code within a deflate block: needs that, and the header of the block.
    Code {
        /// 0–7.
        bits: u8,
        /// Where the header is.
        header: Header,
    },
}

/// Where the header of a deflate block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes from its first whole byte to the first whole byte behind the mark.
    pub(super) back: u32,
    /// Unread bits of the byte before it, 0–7.
    pub(super) bits: u8,
    /// The byte before it.
    pub(super) last: u8,
}

/// What one step did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Bytes read from the input.
    pub(super) consumed: usize,
    /// Bytes written to the output.
    pub(super) produced: usize,
    /// Set when the decoder now stands at such a place.
    pub(super) mark: Option<Mark>,
}

impl Step {
    /// A step that only read.
    pub(super) const fn consumed(consumed: usize) -> Self {
        Self { consumed, produced: 0, mark: None }
    }
}

/// A decoder in the middle of a blob.
pub(super) enum Decoder {
    /// Copies.
    Plain,
    /// Inflates. Boxed: rare, and much larger than the others.
    Gzip(Box<Gzip>),
    /// Decodes frames.
    Zstd(Zstd),
}

impl Decoder {
    /// A decoder at a [`Mark::Frame`].
    pub(super) fn new(codec: Codec, trailer: Trailer) -> Self {
        match codec {
            Codec::Plain => Self::Plain,
            Codec::Gzip => Self::Gzip(Box::new(Gzip::new(trailer))),
            Codec::Zstd => Self::Zstd(Zstd::new()),
        }
    }

    /// A decoder at a [`Mark::Block`]; `last` is the byte before it, `window` the output before it.
    pub(super) fn resume(bits: u8, last: u8, window: &[u8; WINDOW]) -> Self {
        Self::Gzip(Box::new(Gzip::resume(bits, last, window)))
    }

    /// A decoder at a [`Mark::Code`] with these bits and this byte before it, in a block with this header.
    ///
    /// # Errors
    /// When the block has no header.
    pub(super) fn resume_within(
        header: (u8, u8, &[u8]),
        code: (u8, u8),
        window: &[u8; WINDOW],
    ) -> Result<Self, String> {
        Ok(Self::Gzip(Box::new(Gzip::resume_within(header, code, window)?)))
    }

    /// Where it stands between the codes of a block, after it has filled its output.
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Gzip(gzip) => gzip.place(),
            Self::Plain | Self::Zstd(_) => Place::Elsewhere,
        }
    }

    /// Decodes some bytes of `input` to the front of `output`. A step that neither reads nor writes wants more of
    /// whichever is empty. Blocks are marked only where `stop` says so, frames always.
    ///
    /// # Errors
    /// What is wrong with the stream.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8], stop: Stop) -> Result<Step, String> {
        match self {
            Self::Plain => {
                let len = input.len().min(output.len());
                output[..len].copy_from_slice(&input[..len]);
                Ok(Step { consumed: len, produced: len, mark: Some(Mark::Frame) })
            }
            Self::Gzip(gzip) => gzip.step(input, output, stop),
            Self::Zstd(zstd) => zstd.step(input, output),
        }
    }

    /// Whether the blob may end here.
    pub(super) fn may_end(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Gzip(gzip) => gzip.may_end(),
            Self::Zstd(zstd) => zstd.may_end(),
        }
    }

    /// About how many bytes of memory it holds.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Gzip(_) => 2 * WINDOW,
            Self::Zstd(zstd) => zstd.weight(),
        }
    }
}
