//! The decoders of all compressions behind one stepping interface, which tells where decoding can start again.

use super::gzip::{self, Gzip};
use super::inflate::{Place, Stop, Trailer};
use super::step::Step;
use super::zstd::{self, Zstd};
use crate::layer::error::Error;
use crate::layer::index::{Codec, Mark, WINDOW};

/// Recognises a compression by a blob's first bytes (six are enough); media types are known to lie.
///
/// # Errors
/// When it is one that OCI layers do not have.
pub(crate) fn sniff(start: &[u8]) -> Result<Codec, Error> {
    match start {
        _ if start.starts_with(&gzip::MAGIC) => Ok(Codec::Gzip),
        _ if zstd::starts_frame(start) => Ok(Codec::Zstd),
        _ if start.starts_with(b"BZh") => Err(Error::Compression("bzip2")),
        _ if start.starts_with(b"\xfd7zXZ\0") => Err(Error::Compression("xz")),
        _ => Ok(Codec::Plain),
    }
}

/// A decoder in the middle of a blob.
pub(crate) enum Decoder {
    /// Copies.
    Plain,
    /// Inflates. Boxed: rare, and much larger than the others.
    Gzip(Box<Gzip>),
    /// Decodes frames.
    Zstd(Zstd),
}

impl Decoder {
    /// A decoder at a [`Mark::Frame`].
    pub(crate) fn new(codec: Codec, trailer: Trailer) -> Self {
        match codec {
            Codec::Plain => Self::Plain,
            Codec::Gzip => Self::Gzip(Box::new(Gzip::new(trailer))),
            Codec::Zstd => Self::Zstd(Zstd::new()),
        }
    }

    /// A decoder at a [`Mark::Block`]; `last` is the byte before it, `window` the output before it.
    pub(crate) fn resume(bits: u8, last: u8, window: &[u8; WINDOW]) -> Self {
        Self::Gzip(Box::new(Gzip::resume(bits, last, window)))
    }

    /// A decoder at a [`Mark::Code`] with these bits and this byte before it, in a block with this header.
    ///
    /// # Errors
    /// When the block has no header.
    pub(crate) fn resume_within(
        header: (u8, u8, &[u8]),
        code: (u8, u8),
        window: &[u8; WINDOW],
    ) -> Result<Self, String> {
        Ok(Self::Gzip(Box::new(Gzip::resume_within(header, code, window)?)))
    }

    /// Where it stands between the codes of a block, after it has filled its output.
    pub(crate) fn place(&self) -> Place {
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
    pub(crate) fn step(&mut self, input: &[u8], output: &mut [u8], stop: Stop) -> Result<Step, String> {
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
    pub(crate) fn may_end(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Gzip(gzip) => gzip.may_end(),
            Self::Zstd(zstd) => zstd.may_end(),
        }
    }

    /// About how many bytes of memory it holds.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Gzip(_) => 2 * WINDOW,
            Self::Zstd(zstd) => zstd.weight(),
        }
    }
}
