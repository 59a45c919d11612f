//! The seam to wherever blobs come from that are not here yet.

use std::io::{self, Read, Write};
use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::{Blob, Descriptor, Error, Store};
use crate::base::{Digest, Event, Monitor, Silent};

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

    /// Whether anybody may be asked for `digest`. Nobody is.
    ///
    /// # Errors
    /// Why nobody may be.
    fn check(&self, _digest: &Digest) -> Result<(), Error> {
        Ok(())
    }

    /// All of the blob `digest` of `size` bytes. Unlike a range, it can be had from any server.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    fn fetch_whole(&self, digest: &Digest, size: u64) -> Result<Box<dyn Read + Send>, Error> {
        self.fetch(digest, 0..size)
    }

    /// The same as [`fetch`](Self::fetch) for the reader of a mount, to whom an error does more harm than a wait: where a
    /// server fails in a way that may pass, it is asked again for some minutes.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch), only later.
    fn read_range(&self, digest: &Digest, range: Range<u64>) -> Result<Box<dyn Read + Send>, Error> {
        self.fetch(digest, range)
    }
}

impl Store {
    /// The blob of `wanted` as it is, fetched and kept when it is not here. For blobs that are only copied: a layer that
    /// will be read is better fetched by the pass that indexes it.
    ///
    /// # Errors
    /// What `fetch` says; `Corrupt` when the bytes are not the blob's, and nothing is kept then.
    pub fn obtain(&self, wanted: &Descriptor, fetch: &dyn Fetch) -> Result<Blob, Error> {
        self.obtain_telling(wanted, fetch, &Silent)
    }

    /// The same, where `monitor` hears how far a blob is that is fetched.
    ///
    /// # Errors
    /// As [`obtain`](Self::obtain).
    pub fn obtain_telling(&self, wanted: &Descriptor, fetch: &dyn Fetch, monitor: &dyn Monitor) -> Result<Blob, Error> {
        let Descriptor { digest, size, .. } = wanted;
        if let Some(blob) = self.lookup(digest, *size)? {
            return Ok(blob);
        }
        let _guard = self.lock(digest)?;
        // Another process may have been faster.
        if let Some(blob) = self.lookup(digest, *size)? {
            return Ok(blob);
        }
        monitor.event(Event::BlobStarted { digest: *digest, size: *size });
        let mut told = |done| monitor.event(Event::BlobProgress { digest: *digest, done });
        let (blob, ()) = self.receive(digest, *size, fetch, |input, writer| {
            let copied = copy(input, writer, &mut told).map_err(|error| Error::from_stream(digest, error))?;
            Ok::<_, Error>((copied, ()))
        })?;
        monitor.event(Event::BlobFinished { digest: *digest });
        Ok(blob)
    }
}

/// Copies a stream, and tells how far it is; the digest of its bytes.
pub(super) fn copy(input: &mut dyn Read, output: &mut dyn Write, told: &mut dyn FnMut(u64)) -> io::Result<Digest> {
    let (mut hash, mut done) = (Sha256::new(), 0);
    let mut buf = vec![0; COPY];
    loop {
        let count = input.read(&mut buf)?;
        if count == 0 {
            return Ok(Digest::from_bytes(hash.finalize().into()));
        }
        hash.update(&buf[..count]);
        output.write_all(&buf[..count])?;
        done += count as u64;
        told(done);
    }
}
