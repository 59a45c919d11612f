//! The body of a small document, put together while it arrives, and bounded meanwhile.
//!
//! # Invariants
//! Neither what arrives nor what it comes to exceeds the limit, whatever a server says of it.

use std::io::{self, Write};

use flate2::write::GzDecoder;

/// What has come of a document.
pub(super) enum Body {
    /// As it is.
    Plain(Bounded),
    /// Compressed, though nobody asked for that.
    Gzip {
        /// What decodes it.
        decoder: Box<GzDecoder<Bounded>>,
        /// How many compressed bytes may come yet.
        left: u64,
    },
}

/// Bytes up to a limit.
pub(super) struct Bounded {
    bytes: Vec<u8>,
    limit: u64,
}

impl Body {
    /// A document in this encoding, as its server says, of at most `limit` bytes.
    ///
    /// # Errors
    /// A clause, when the encoding is not known.
    pub fn new(encoding: Option<&[u8]>, limit: u64) -> Result<Self, String> {
        let bounded = Bounded { bytes: Vec::new(), limit };
        match encoding {
            None | Some(b"identity") => Ok(Self::Plain(bounded)),
            Some(b"gzip" | b"x-gzip") => Ok(Self::Gzip { decoder: Box::new(GzDecoder::new(bounded)), left: limit }),
            Some(other) => {
                let encoding = String::from_utf8_lossy(other);
                Err(format!("it is compressed with `{encoding}`, which was not asked for"))
            }
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// A clause, when there is too much, or it cannot be decoded.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), String> {
        let (bounded, written) = match self {
            Self::Plain(bounded) => {
                let written = bounded.write_all(piece);
                (&*bounded, written)
            }
            Self::Gzip { decoder, left } => {
                *left = left.checked_sub(piece.len() as u64).ok_or_else(|| too_long(decoder.get_ref().limit))?;
                let written = decoder.write_all(piece);
                (decoder.get_ref(), written)
            }
        };
        written.map_err(|error| unusable(&error, bounded.limit))
    }

    /// The document.
    ///
    /// # Errors
    /// A clause, when it is cut.
    pub fn finish(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Plain(bounded) => Ok(bounded.bytes),
            Self::Gzip { decoder, .. } => {
                let limit = decoder.get_ref().limit;
                decoder.finish().map(|bounded| bounded.bytes).map_err(|error| unusable(&error, limit))
            }
        }
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() as u64).saturating_add(bytes.len() as u64) > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn unusable(error: &io::Error, limit: u64) -> String {
    match error.kind() {
        io::ErrorKind::FileTooLarge => too_long(limit),
        _ => format!("it is compressed with `gzip` and damaged: {error}"),
    }
}

fn too_long(limit: u64) -> String {
    format!("it has over {limit} bytes, which is the limit")
}
