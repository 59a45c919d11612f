//! The seam to wherever blobs come from that are not here yet.

use std::io::Read;
use std::ops::Range;

use super::Error;
use crate::base::Digest;

/// One place that blobs can be had from, such as one repository of a registry.
pub trait Fetch: Send + Sync {
    /// The bytes `range` of the blob `digest`, as a stream that blocks and holds a bounded number of them.
    ///
    /// The stream ends after exactly the bytes asked for, or fails; its errors hold an [`Error`] that
    /// [`Error::from_stream`] takes out. Nothing is verified: who reads checks the digest.
    ///
    /// # Errors
    /// `Unreachable`, `Denied`, `ImageNotFound`, each with what was tried.
    fn fetch(&self, digest: &Digest, range: Range<u64>) -> Result<Box<dyn Read + Send>, Error>;
}
