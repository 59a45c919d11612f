//! An artifact that is compressed while it is sent.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::accepted::Encoding;
use super::body::{Pieces, Plain};
use crate::base::{Lent, Spare};
use crate::extent::ReadError;
use crate::serve::compress::{Compression, Compressor};

/// Encoders at once: each takes some megabytes and all processors.
const MOST: usize = 4;

impl Encoding {
    /// The lowest levels: the client waits.
    const fn compression(self) -> Compression {
        match self {
            Self::Zstd => Compression::Zstd(1),
            Self::Gzip => Compression::Gzip(1),
        }
    }
}

/// The encoders there may be.
#[derive(Clone)]
pub(super) struct Encoders(Arc<Semaphore>);

impl Default for Encoders {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Encoders {
    /// The right to run one; `None` when all of them run.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }
}

/// What the encoder wrote and was not sent yet.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The encoded bytes of an artifact.
pub(super) struct Encoded {
    plain: Plain,
    /// None when it has written its end.
    encoder: Option<Compressor<Written>>,
    written: Written,
    _permit: OwnedSemaphorePermit,
}

impl Encoded {
    /// The encoded bytes of `plain`.
    ///
    /// # Errors
    /// When the system has no room for the threads of an encoder.
    pub(super) fn new(plain: Plain, encoding: Encoding, permit: OwnedSemaphorePermit) -> io::Result<Self> {
        let (written, size) = (Written::default(), plain.range.end - plain.range.start);
        let encoder = Compressor::new(encoding.compression(), size, written.clone())?;
        Ok(Self { plain, encoder: Some(encoder), written, _permit: permit })
    }
}

impl Pieces for Encoded {
    fn next(&mut self, len: u64, spare: &Spare) -> Result<Option<Lent>, ReadError> {
        let failed = |error| ReadError::io("cannot compress", error);
        while let Some(encoder) = &mut self.encoder {
            match self.plain.next(len, spare)? {
                Some(bytes) => encoder.write_all(&bytes).map_err(failed)?,
                None => self.encoder.take().map_or(Ok(()), |encoder| encoder.finish().map(drop)).map_err(failed)?,
            }
            let written = self.written.take();
            if !written.is_empty() {
                return Ok(Some(written.into()));
            }
        }
        Ok(None)
    }
}
