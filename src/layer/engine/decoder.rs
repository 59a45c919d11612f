//! The decoders of all compressions behind one stepping interface, which says where decoding can start again.

use super::gzip::Gzip;
use super::member::{Checks, MAGIC};
use super::problem::Problem;
use super::room::{Flow, Room, Step};
use super::zstd::{self, Zstd};
use crate::layer::error::Error;
use crate::layer::index::{BlobOffset, Codec, ResumePoint, UsedBytes, WINDOW};

/// Recognises a compression by a blob's first bytes (six are enough); media types are known to lie.
///
/// # Errors
/// When it is one that OCI layers do not have.
pub(crate) fn sniff(start: &[u8]) -> Result<Codec, Error> {
    match start {
        _ if start.starts_with(&MAGIC) => Ok(Codec::Gzip),
        _ if zstd::starts_frame(start) => Ok(Codec::Zstd),
        _ if start.starts_with(b"BZh") => Err(Error::Compression("bzip2")),
        _ if start.starts_with(b"\xfd7zXZ\0") => Err(Error::Compression("xz")),
        _ => Ok(Codec::Plain),
    }
}

/// A decoder in the middle of a blob.
pub(crate) enum Decoder {
    /// Copies; holds the next byte of the blob.
    Plain(BlobOffset),
    /// Inflates. Boxed: much larger than the others.
    Gzip(Box<Gzip>),
    /// Decodes frames.
    Zstd(Zstd),
}

impl Decoder {
    /// A decoder at a [`ResumePoint::Frame`] at this byte.
    pub(crate) fn new(codec: Codec, at: BlobOffset, checks: Checks) -> Self {
        match codec {
            Codec::Plain => Self::Plain(at),
            Codec::Gzip => Self::Gzip(Box::new(Gzip::new(at, checks))),
            Codec::Zstd => Self::Zstd(Zstd::new(at)),
        }
    }

    /// A decoder at any place. For a place between codes, `header` starts with the byte that its block starts in, and holds
    /// the header of the block. The next input starts with the [byte](ResumePoint::byte) of the place.
    ///
    /// # Errors
    /// When decoding cannot start there.
    pub(crate) fn resume(codec: Codec, point: ResumePoint, header: &[u8]) -> Result<Self, Problem> {
        match (codec, point) {
            (_, ResumePoint::Frame(at)) => Ok(Self::new(codec, at, Checks::Left)),
            (Codec::Gzip, ResumePoint::Code { position, block }) => {
                let mut gzip = Box::new(Gzip::new(position.byte(), Checks::Left));
                gzip.resume(position, block, header)?;
                Ok(Self::Gzip(gzip))
            }
            (Codec::Plain | Codec::Zstd, ResumePoint::Code { .. }) => Err(Problem::Start),
        }
    }

    /// Where it stands, if decoding can start there.
    pub(crate) fn resume_point(&self) -> Option<ResumePoint> {
        match self {
            Self::Plain(at) => Some(ResumePoint::Frame(*at)),
            Self::Gzip(gzip) => gzip.resume_point(),
            Self::Zstd(zstd) => zstd.resume_point(),
        }
    }

    /// Decodes some bytes of `input`.
    ///
    /// # Errors
    /// What is wrong with the stream.
    pub(crate) fn step(&mut self, input: &[u8], room: Room<'_>) -> Result<Step, Problem> {
        match self {
            Self::Plain(at) => {
                let step = copy(input, room);
                *at = at.plus(step.consumed);
                Ok(step)
            }
            Self::Gzip(gzip) => gzip.step(input, room),
            Self::Zstd(zstd) => zstd.step(input, room),
        }
    }

    /// Comes back before each deflate block from now on, also where nothing was written.
    pub(crate) fn pause_at_blocks(&mut self) {
        if let Self::Gzip(gzip) = self {
            gzip.pause_at_blocks();
        }
    }

    /// Takes note from now on of what is referred to before the buffer.
    pub(crate) fn watch(&mut self) {
        if let Self::Gzip(gzip) = self {
            gzip.watch();
        }
    }

    /// What was referred to since [`watch`](Self::watch).
    pub(crate) fn watched(&mut self) -> Option<UsedBytes> {
        match self {
            Self::Gzip(gzip) => gzip.watched(),
            Self::Plain(_) | Self::Zstd(_) => None,
        }
    }

    /// Whether the blob may end here.
    pub(crate) const fn may_end(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Gzip(gzip) => gzip.may_end(),
            Self::Zstd(zstd) => zstd.may_end(),
        }
    }

    /// About how many bytes of memory it holds.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Gzip(_) => WINDOW,
            Self::Zstd(zstd) => zstd.weight(),
        }
    }
}

fn copy(input: &[u8], room: Room<'_>) -> Step {
    let end = room.buffer.len().min(room.enough.max(room.at));
    let len = input.len().min(end - room.at);
    room.buffer[room.at..room.at + len].copy_from_slice(&input[..len]);
    let flow = if room.at + len == end { Flow::Enough } else { Flow::Input };
    Step { consumed: len, produced: len, flow }
}
