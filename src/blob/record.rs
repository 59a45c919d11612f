//! Who takes note of the ranges of blobs that are read; a test double that notes all of them.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::Digest;

/// Takes note of what is read of blobs.
pub trait Note: Debug + Send + Sync {
    /// These bytes of a blob are read at random.
    fn note(&self, digest: Digest, range: Range<u64>);

    /// A pass reads these bytes, which goes through the blob from front to back.
    fn note_pass(&self, digest: Digest, range: Range<u64>) {
        self.note(digest, range);
    }
}

/// One read of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The blob.
    pub digest: Digest,
    /// The bytes of it.
    pub range: Range<u64>,
}

/// The reads so far, in order. Given to [`Store::recording`](super::Store::recording).
#[derive(Debug, Default)]
pub struct Record(Mutex<Vec<Read>>);

impl Record {
    /// The reads since the last call, and forgets them.
    pub fn take(&self) -> Vec<Read> {
        std::mem::take(&mut self.reads())
    }

    /// Bytes read of `digest` since the last `take`.
    pub fn bytes_of(&self, digest: &Digest) -> u64 {
        self.reads().iter().filter(|r| r.digest == *digest).map(|r| r.range.end - r.range.start).sum()
    }

    fn reads(&self) -> MutexGuard<'_, Vec<Read>> {
        // A push cannot leave the list half-done, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note for Record {
    fn note(&self, digest: Digest, range: Range<u64>) {
        self.reads().push(Read { digest, range });
    }
}
