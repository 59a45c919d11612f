//! The seam to wherever blobs come from that are not here yet.

use std::io::{Read, Write};
use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::{Blob, Descriptor, Error, Store};
use crate::base::Digest;

/// Bytes copied at once: enough that system calls do not count.
const COPY: usize = 256 << 10;

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

impl Store {
    /// The blob of `wanted` as it is, fetched and kept when it is not here. For blobs that are only copied: a layer that
    /// will be read is better fetched by the pass that indexes it.
    ///
    /// # Errors
    /// What `fetch` says; `Corrupt` when the bytes are not the blob's, and nothing is kept then.
    pub fn obtain(&self, wanted: &Descriptor, fetch: &dyn Fetch) -> Result<Blob, Error> {
        let Descriptor { digest, size, .. } = wanted;
        if let Some(blob) = self.lookup(digest, *size)? {
            return Ok(blob);
        }
        let _guard = self.lock(digest)?;
        // Another process may have been faster.
        if let Some(blob) = self.lookup(digest, *size)? {
            return Ok(blob);
        }
        let mut writer = self.create(digest, *size)?;
        let mut stream = fetch.fetch(digest, 0..*size)?;
        let mut hash = Sha256::new();
        let mut buf = vec![0; COPY];
        loop {
            let count = stream.read(&mut buf).map_err(|error| Error::from_stream(digest, error))?;
            if count == 0 {
                return writer.commit(Digest::from_bytes(hash.finalize().into()));
            }
            hash.update(&buf[..count]);
            writer.write_all(&buf[..count]).map_err(|error| Error::from_stream(digest, error))?;
        }
    }
}
