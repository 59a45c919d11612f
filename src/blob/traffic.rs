//! What a store fetches, writes and waits for, counted since it was opened.

use std::collections::HashMap;
use std::io::{self, Read};
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Error, Fetch};
use crate::base::Digest;

/// Bytes that were fetched, and in how many requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes.
    pub bytes: u64,
    /// Ranges and whole blobs that were asked for.
    pub requests: u64,
}

/// The counts of a store.
#[derive(Debug, Default)]
pub struct Traffic {
    fetched: Mutex<HashMap<Digest, Fetched>>,
    written: AtomicU64,
    waits: AtomicU64,
    waited: AtomicU64,
}

impl Traffic {
    /// What was fetched of a blob.
    pub fn fetched_of(&self, digest: &Digest) -> Fetched {
        self.blobs().get(digest).copied().unwrap_or_default()
    }

    /// What was fetched of all blobs.
    pub fn fetched(&self) -> Fetched {
        self.blobs().values().fold(Fetched::default(), |sum, one| Fetched {
            bytes: sum.bytes + one.bytes,
            requests: sum.requests + one.requests,
        })
    }

    /// Bytes written into the cache.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// How often a reader waited for what was not here, and for how long in all.
    pub fn waits(&self) -> (u64, Duration) {
        (self.waits.load(Ordering::Relaxed), Duration::from_micros(self.waited.load(Ordering::Relaxed)))
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn waited(&self, time: Duration) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.waited.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn came(&self, digest: &Digest, bytes: u64, requests: u64) {
        let mut blobs = self.blobs();
        let fetched = blobs.entry(*digest).or_default();
        fetched.bytes += bytes;
        fetched.requests += requests;
    }

    fn blobs(&self) -> MutexGuard<'_, HashMap<Digest, Fetched>> {
        // A panic elsewhere may leave a count that is too low.
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks `fetch`, and counts what comes.
pub(super) struct Counted<F> {
    pub fetch: F,
    pub traffic: Arc<Traffic>,
}

impl<F> Counted<F> {
    fn counted(&self, digest: &Digest, stream: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        self.traffic.came(digest, 0, 1);
        Box::new(CountedStream { stream, digest: *digest, traffic: self.traffic.clone() })
    }
}

impl<F: Deref<Target: Fetch> + Send + Sync> Fetch for Counted<F> {
    fn fetch(&self, digest: &Digest, range: Range<u64>) -> Result<Box<dyn Read + Send>, Error> {
        self.fetch.fetch(digest, range).map(|stream| self.counted(digest, stream))
    }

    fn fetch_whole(&self, digest: &Digest, size: u64) -> Result<Box<dyn Read + Send>, Error> {
        self.fetch.fetch_whole(digest, size).map(|stream| self.counted(digest, stream))
    }

    fn read_range(&self, digest: &Digest, range: Range<u64>) -> Result<Box<dyn Read + Send>, Error> {
        self.fetch.read_range(digest, range).map(|stream| self.counted(digest, stream))
    }

    fn check(&self, digest: &Digest) -> Result<(), Error> {
        self.fetch.check(digest)
    }
}

struct CountedStream {
    stream: Box<dyn Read + Send>,
    digest: Digest,
    traffic: Arc<Traffic>,
}

impl Read for CountedStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buf)?;
        self.traffic.came(&self.digest, read as u64, 0);
        Ok(read)
    }
}
