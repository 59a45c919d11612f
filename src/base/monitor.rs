//! How the library tells what happens: it reports events, the command line draws them, tests assert them.

use super::Digest;

/// Something that happened, or goes on, while images are made ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A reference is being looked up.
    Resolving {
        /// The expanded reference.
        reference: String,
    },
    /// A reference was found.
    Resolved {
        /// The expanded reference.
        reference: String,
        /// Digest of the manifest for the platform.
        digest: Digest,
    },
    /// A layer starts its one pass: fetched when it is not here yet, hashed and indexed.
    LayerStarted {
        /// Blob digest.
        digest: Digest,
        /// Blob size in bytes.
        size: u64,
    },
    /// More of that layer has passed.
    LayerProgress {
        /// Blob digest.
        digest: Digest,
        /// Bytes of the blob that have passed so far.
        done: u64,
    },
    /// The layer is verified and its index kept.
    LayerFinished {
        /// Blob digest.
        digest: Digest,
    },
    /// A blob is to be copied as it is, from a registry or to one.
    BlobStarted {
        /// Blob digest.
        digest: Digest,
        /// Blob size in bytes.
        size: u64,
    },
    /// More of that blob is copied.
    BlobProgress {
        /// Blob digest.
        digest: Digest,
        /// Bytes copied so far.
        done: u64,
    },
    /// All of the blob is where it was to go.
    BlobFinished {
        /// Blob digest.
        digest: Digest,
    },
    /// Something odd in a spec that is no error.
    SpecWarning {
        /// One line.
        message: String,
        /// The place in the spec, ready to be printed below the message.
        excerpt: String,
    },
    /// Something odd that is no error; one line.
    Warning(
        /// The line.
        String,
    ),
}

/// Receives events; called from any thread.
pub trait Monitor: Send + Sync {
    /// Takes note of one event.
    fn event(&self, event: Event);
}

/// A monitor that forgets everything.
pub struct Silent;

impl Monitor for Silent {
    fn event(&self, _: Event) {}
}
