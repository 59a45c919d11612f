//! A blob that is read by ranges: what is not here yet is fetched when it is read.
//!
//! # Invariants
//! - Nothing is fetched that nobody reads, but for what fills the first and the last grain of a range, and for readers that
//!   go on where they fetched last: at most as much again as they have fetched, and less where they did not read it.
//! - A grain is fetched once at a time: other threads wait for it, and so do other processes where the cache keeps it.
//! - Nothing is verified here: who decodes the bytes does so, and [renews](Source::renew) them when they are wrong.

use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use super::sparse::{GRAIN, SparseFile};
use super::stash::Stash;
use super::strides::Strides;
use super::{Blob, Error, Fetch, Guard, Keep, Note, Store, Traffic};
use crate::base::{Digest, in_memory};
use crate::extent::{Origin, ReadError, SharedSource, Source, Traced, Visit, trace_as};

/// Grains that processes lock together: about a span.
const SECTION: u64 = 16;
/// Most bytes that are fetched before they are read.
const AHEAD: u64 = 4 << 20;
/// Most bytes that a reader in order fetches at a time: a second of a slow network, and where they are kept in memory alone,
/// a quarter of that.
const STRIDE: u64 = 4 << 20;
const STRIDE_ON_DISK: u64 = 8 << 20;
/// Largest blob of which a part is kept on the disk, in bytes: the map of what is here of it takes 8 MiB there. A manifest may
/// claim any size.
const MOST_KEPT: u64 = 1 << 40;
/// How often bytes are looked for that others push out of memory before they are read.
const TRIES: u32 = 3;

/// A blob of which ranges can be fetched.
pub struct RangedBlob {
    digest: Digest,
    size: u64,
    fetch: Box<dyn Fetch>,
    /// Where fetched bytes are kept, if they are.
    sparse: Option<SparseFile>,
    stash: Arc<Stash>,
    traffic: Arc<Traffic>,
    locks: PathBuf,
    air: Mutex<Air>,
    /// More grains are here, or a flight has ended.
    landed: Condvar,
    record: Option<Arc<dyn Note>>,
}

/// What is being fetched, and what was.
#[derive(Default)]
struct Air {
    flights: Vec<Arc<Flight>>,
    strides: Strides,
}

/// Grains that are being fetched.
struct Flight {
    grains: Range<u64>,
    /// Where the grains end that a reader asked for. Those behind are fetched ahead: when that fails, a reader that waits for
    /// one of them fetches it itself.
    wanted: u64,
    error: OnceLock<ReadError>,
}

/// A blob, wherever its bytes are.
#[derive(Clone, Debug)]
pub enum AnyBlob {
    /// All of them are here.
    Here(Blob),
    /// They are fetched by the ranges that are read.
    There(Arc<RangedBlob>),
}

impl AnyBlob {
    /// Its bytes.
    pub fn source(&self) -> SharedSource {
        match self {
            Self::Here(blob) => Arc::new(blob.clone()),
            Self::There(ranged) => ranged.clone(),
        }
    }
}

impl Store {
    /// The blob `digest` of `size` bytes, from here or else by ranges from `fetch`.
    ///
    /// # Errors
    /// When it is not here and nobody may be asked; when the file system fails.
    pub fn reach_for(&self, digest: &Digest, size: u64, fetch: &Arc<dyn Fetch>) -> Result<AnyBlob, Error> {
        if let Some(blob) = self.lookup(digest, size)? {
            return Ok(AnyBlob::Here(blob));
        }
        self.ranged(digest, size, fetch).map(AnyBlob::There)
    }

    /// The blob `digest` of `size` bytes, of which `fetch` gives what is not here.
    ///
    /// # Errors
    /// When nobody may be asked; when the file system fails.
    pub fn ranged(&self, digest: &Digest, size: u64, fetch: &Arc<dyn Fetch>) -> Result<Arc<RangedBlob>, Error> {
        fetch.check(digest)?;
        let sparse = match self.keep() {
            Keep::Full if size <= MOST_KEPT => {
                // So that nobody empties a file that another has just made and put something into.
                let _guard = Guard::acquire_to_make(&self.lock_dir().join(format!("{}-sparse", digest.hex())))?;
                match SparseFile::open(&self.sparse_path(digest), size) {
                    Err(Error::ReadOnly { .. }) => None,
                    opened => Some(opened?),
                }
            }
            Keep::Full | Keep::Index | Keep::None => None,
        };
        Ok(Arc::new(RangedBlob {
            digest: *digest,
            size,
            fetch: Box::new(self.counted(fetch.clone())),
            sparse,
            stash: self.stash().clone(),
            traffic: self.traffic().clone(),
            locks: self.lock_dir(),
            air: Mutex::default(),
            landed: Condvar::new(),
            record: self.record().cloned(),
        }))
    }
}

impl RangedBlob {
    /// Whether what is fetched of it stays on the disk.
    pub const fn is_kept(&self) -> bool {
        self.sparse.is_some()
    }

    /// Drops what was fetched of the blob, since some of it is wrong.
    fn forget(&self) -> Result<(), Error> {
        self.stash.forget(self.digest);
        self.sparse.as_ref().map_or(Ok(()), SparseFile::discard)
    }

    /// Fetches what is missing of a range, in as few requests as that takes.
    ///
    /// # Errors
    /// When it cannot be fetched.
    pub fn prefetch(&self, range: Range<u64>) -> Result<(), ReadError> {
        let end = range.end.min(self.size);
        self.obtain(grains_of(&(range.start.min(end)..end)), Reach::Ahead)
    }

    /// Makes the grains of these bytes be here for a reader, and counts how long that takes.
    fn wait_for(&self, range: &Range<u64>) -> Result<(), ReadError> {
        let begin = Instant::now();
        let obtained = self.obtain(grains_of(range), Reach::Stride);
        self.traffic.waited(begin.elapsed());
        obtained
    }

    /// Makes these grains be here, at least for a moment.
    fn obtain(&self, grains: Range<u64>, reach: Reach) -> Result<(), ReadError> {
        let (mut air, mut from) = (self.air(), grains.start);
        while let Some(next) = (from..grains.end).find(|grain| !self.holds(*grain)) {
            if let Some(flight) = air.flights.iter().find(|flight| flight.grains.contains(&next)).cloned() {
                air = self.landed.wait(air).unwrap_or_else(PoisonError::into_inner);
                match flight.error.get() {
                    Some(error) if !self.holds(next) && next < flight.wanted => return Err(error.clone()),
                    _ => continue,
                }
            }
            let flight = self.take_off(&mut air, next..grains.end, reach);
            drop(air);
            let landing = Landing { blob: self, flight: &flight };
            let flown = self.fly(&flight.grains);
            let flown =
                flown.map_err(|error| flight.error.get_or_init(|| self.unreadable(next * GRAIN, error)).clone());
            drop(landing);
            // Fetching ahead may fail: a reader that wants those grains fetches them itself.
            let end = if reach == Reach::Ahead { flight.grains.end } else { flight.wanted };
            if (next..end).any(|grain| !self.holds(grain)) {
                flown?;
            }
            // What others have pushed out of memory meanwhile is not fetched again here.
            from = flight.grains.end;
            air = self.air();
        }
        Ok(())
    }

    /// A flight from the first of these grains on, up to one that is here or on its way.
    fn take_off(&self, air: &mut Air, grains: Range<u64>, reach: Reach) -> Arc<Flight> {
        let is_taken = |grain: &u64| self.holds(*grain) || air.flights.iter().any(|f| f.grains.contains(grain));
        let mut wanted = grains.clone().find(is_taken).unwrap_or(grains.end);
        let mut end = wanted;
        if reach == Reach::Ahead {
            wanted = grains.start;
        } else {
            if wanted == grains.end {
                let most = if self.sparse.is_some() { STRIDE_ON_DISK } else { STRIDE };
                let reached = air.strides.end_of(&grains, most / GRAIN).min(self.size.div_ceil(GRAIN));
                end = (wanted..reached).find(is_taken).unwrap_or(reached.max(wanted));
            }
            air.strides.note(&(grains.start..wanted), end);
        }
        let flight = Arc::new(Flight { grains: grains.start..end, wanted, error: OnceLock::new() });
        air.flights.push(flight.clone());
        flight
    }

    /// Fetches what is missing of these grains, after other processes that do.
    fn fly(&self, grains: &Range<u64>) -> Result<(), Error> {
        let _guards = self.lock(grains)?;
        let mut at = grains.start;
        while let Some(first) = (at..grains.end).find(|grain| !self.holds(*grain)) {
            let end = (first..grains.end).find(|grain| self.holds(*grain)).unwrap_or(grains.end);
            self.fetch_all(first..end)?;
            at = end;
        }
        Ok(())
    }

    /// Fetches these grains in one request.
    fn fetch_all(&self, grains: Range<u64>) -> Result<(), Error> {
        let range = grains.start * GRAIN..grains.end.saturating_mul(GRAIN).min(self.size);
        let mut stream = self.fetch.read_range(&self.digest, range)?;
        let mut bytes = vec![0; in_memory(GRAIN)];
        for grain in grains {
            let bytes = &mut bytes[..in_memory(GRAIN.min(self.size - grain * GRAIN))];
            stream.read_exact(bytes).map_err(|error| Error::from_stream(&self.digest, error))?;
            self.keep(grain, bytes);
            self.landed.notify_all();
        }
        Ok(())
    }

    /// Locks the sections of these grains, in their order, where processes share what they fetch.
    fn lock(&self, grains: &Range<u64>) -> Result<Vec<Guard>, Error> {
        let Some(sparse) = &self.sparse else { return Ok(Vec::new()) };
        let sections = grains.start / SECTION..=(grains.end - 1) / SECTION;
        let lock = |section| Guard::acquire_to_make(&self.locks.join(format!("{}-{section}", self.digest.hex())));
        let guards = sections.map(lock).collect::<Result<_, _>>()?;
        sparse.look_again()?;
        Ok(guards)
    }

    /// Keeps a grain on the disk, or in memory where that cannot be, as on a full disk.
    fn keep(&self, grain: u64, bytes: &[u8]) {
        let is_kept = self.sparse.as_ref().is_some_and(|sparse| sparse.put(grain, bytes).is_ok());
        if is_kept {
            self.traffic.wrote(bytes.len());
        } else {
            self.stash.put(self.digest, grain, bytes);
        }
    }

    fn holds(&self, grain: u64) -> bool {
        self.is_on_disk(grain) || self.stash.holds(self.digest, grain)
    }

    fn is_on_disk(&self, grain: u64) -> bool {
        self.sparse.as_ref().is_some_and(|sparse| sparse.holds(grain))
    }

    /// Fills `buf` from what is here; whether all of it is.
    fn read_here(&self, mut buf: &mut [u8], mut offset: u64) -> Result<bool, ReadError> {
        while !buf.is_empty() {
            let (grain, start) = (offset / GRAIN, offset % GRAIN);
            let (head, rest) = buf.split_at_mut(buf.len().min(in_memory(GRAIN - start)));
            match &self.sparse {
                Some(sparse) if sparse.holds(grain) => {
                    let read = sparse.read(head, offset);
                    read.map_err(|error| ReadError::io(self.message(offset), error))?;
                }
                _ if self.stash.read((self.digest, grain), in_memory(start), head) => {}
                _ => return Ok(false),
            }
            offset += head.len() as u64;
            buf = rest;
        }
        Ok(true)
    }

    /// Fetches exactly these bytes.
    fn read_there(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let stream = self.fetch.read_range(&self.digest, offset..offset + buf.len() as u64);
        let read = stream
            .and_then(|mut stream| stream.read_exact(buf).map_err(|error| Error::from_stream(&self.digest, error)));
        read.map_err(|error| self.unreadable(offset, error))
    }

    fn unreadable(&self, offset: u64, error: Error) -> ReadError {
        ReadError::wrap(self.message(offset), error)
    }

    fn message(&self, offset: u64) -> String {
        format!("cannot read blob `{}` at offset {offset}", self.digest)
    }

    fn air(&self) -> MutexGuard<'_, Air> {
        // The lists are whole after every step, whatever panics.
        self.air.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a flight goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// As far as is asked. No reader waits for it yet.
    Ahead,
    /// Further than is asked where somebody reads in order.
    Stride,
}

/// Ends a flight, also when fetching panics.
struct Landing<'a> {
    blob: &'a RangedBlob,
    flight: &'a Arc<Flight>,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.blob.air().flights.retain(|flight| !Arc::ptr_eq(flight, self.flight));
        self.blob.landed.notify_all();
    }
}

/// The grains that hold these bytes.
fn grains_of(range: &Range<u64>) -> Range<u64> {
    range.start / GRAIN..range.end.div_ceil(GRAIN)
}

impl Source for RangedBlob {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size);
        let end = end.ok_or_else(|| ReadError::out_of_range(offset, buf.len() as u64, self.size))?;
        if let Some(record) = &self.record {
            record.note(self.digest, offset..end);
        }
        self.air().strides.read(&grains_of(&(offset..end)));
        for _ in 0..TRIES {
            if self.read_here(buf, offset)? {
                return Ok(());
            }
            self.wait_for(&(offset..end))?;
        }
        self.read_there(buf, offset)
    }

    /// Fetches the first [`AHEAD`] bytes of it. What goes wrong is an error of the read that follows.
    fn will_read(&self, range: Range<u64>) {
        let end = range.end.min(self.size).min(range.start.saturating_add(AHEAD));
        let wanted = range.start..end.max(range.start);
        if !grains_of(&wanted).all(|grain| self.holds(grain)) {
            let _ = self.wait_for(&wanted);
        }
    }

    fn renew(&self) -> bool {
        self.forget().is_ok()
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        trace_as(Origin::Blob { digest: self.digest, offset: range.start }, &range, visit)
    }
}

impl fmt::Debug for RangedBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RangedBlob({}, {} bytes)", self.digest, self.size)
    }
}
