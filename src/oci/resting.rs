//! A transfer of a blob that waits for a reader, and why it may end before its blob does.

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

use super::RegistryError;
use crate::base::Digest;
use crate::blob::{self, Cause};

/// Why a stream ends before its part does.
#[derive(Debug)]
pub(super) enum Flaw {
    /// The server gives no more.
    Registry(RegistryError),
    /// What comes is not the blob.
    Wrong(blob::Error),
}

impl Flaw {
    /// As an error of the blob that is fetched.
    pub fn of(self, digest: &Digest) -> blob::Error {
        match self {
            Self::Registry(error) => blob::Error::Fetch { digest: *digest, source: Cause::new(error) },
            Self::Wrong(error) => error,
        }
    }

    /// Whether the bytes may come later.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Registry(error) if error.may_pass())
    }
}

/// A transfer that waits for a reader.
pub(super) struct Resting {
    pub digest: Digest,
    /// Offset in the blob of the next byte.
    pub next: u64,
    pub piece: Bytes,
    pub pieces: mpsc::Receiver<Result<Bytes, Flaw>>,
}

impl Resting {
    /// Whether nothing more comes of it.
    pub fn is_over(&self) -> bool {
        self.piece.is_empty() && self.pieces.is_empty() && self.pieces.is_closed()
    }

    /// Passes over `count` bytes of the piece.
    pub fn advance(&mut self, count: usize) {
        self.piece.advance(count);
        self.next += count as u64;
    }
}
