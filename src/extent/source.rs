//! The one way bytes are read: a size, and any range of it.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::base::{ErrorKind, Fault};

/// Bytes at offsets. Immutable: the same range always reads the same, or fails.
pub trait Source: Any + Send + Sync {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Fills the whole of `buf` with the bytes at `offset`.
    ///
    /// # Errors
    /// `Corrupt` when bytes do not match their digest or the range leaves the source; else what the store below says.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError>;

    /// The first run at or after `offset` that may hold anything but zeros; `None` when only zeros follow.
    fn data_from(&self, offset: u64) -> Option<Range<u64>> {
        (offset < self.size()).then(|| offset..self.size())
    }

    /// At most how many bytes of `range`, which lies in the source, are no hole: what is known at once, without looking at
    /// every page of a layout.
    fn data_len(&self, range: Range<u64>) -> u64 {
        range.end - range.start
    }
}

/// A source that several layouts share.
pub type SharedSource = Arc<dyn Source>;

/// Why a range cannot be read. Cheap to clone, since one failed decode answers every reader that waits for it.
#[derive(Clone)]
pub struct ReadError(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ReadError {
    /// An error of `kind` with a one-line message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), hint: None, source: None }))
    }

    /// An error that wraps the module's own one below it.
    pub fn wrap(message: impl Into<String>, cause: impl Fault) -> Self {
        let (kind, hint) = (cause.kind(), cause.hint());
        Self(Arc::new(Inner { kind, message: message.into(), hint, source: Some(Box::new(cause)) }))
    }

    /// An error of the operating system.
    pub fn io(message: impl Into<String>, cause: std::io::Error) -> Self {
        let source: Box<dyn Error + Send + Sync> = Box::new(cause);
        Self(Arc::new(Inner { kind: ErrorKind::Io, message: message.into(), hint: None, source: Some(source) }))
    }

    /// The range `offset..offset + len` leaves a source of `size` bytes.
    pub fn out_of_range(offset: u64, len: u64, size: u64) -> Self {
        Self::new(ErrorKind::Corrupt, format!("{len} bytes at offset {offset} leave a source of {size} bytes"))
    }
}

impl Fault for ReadError {
    fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    fn hint(&self) -> Option<String> {
        self.0.hint.clone()
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)?;
        self.source().map_or(Ok(()), |cause| write!(f, ": {cause:?}"))
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}
