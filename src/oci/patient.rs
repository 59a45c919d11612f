//! A range of a blob for a reader that had better wait than fail, such as one behind a mount: an error there may end a
//! virtual machine that maps the file.
//!
//! # Invariants
//! Mirrors and registry are asked in turns, each with a person's patience, until one gives the bytes. What does not pass
//! by itself, such as a refusal, is an error at once; the rest is one when no progress was made for the time of a reader.

use std::io;
use std::time::{Duration, Instant};

use super::RegistryError;
use super::attempts::SOON;
use super::blocking::Blocking;
use super::resting::Flaw;
use super::stream::BlobStream;
use super::transport::LEAST;
use crate::base::{Digest, in_line};
use crate::blob;

/// Longest time between two rounds: a server that is back should not have to wait for long.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Opens the rest of a range, from this offset, at a server that has it; none is asked again after the instant.
pub(super) type Open = Box<dyn Fn(u64, Instant) -> Result<BlobStream, RegistryError> + Send>;

/// The bytes of a range.
pub(super) struct PatientStream {
    open: Open,
    stream: Option<BlobStream>,
    digest: Digest,
    next: u64,
    end: u64,
    blocking: Blocking,
    clock: Clock,
}

/// How long servers may fail yet.
struct Clock {
    limit: Duration,
    /// No server is asked later.
    until: Instant,
    pause: Duration,
    /// Bytes that came since the limit was set.
    came: u64,
}

impl Clock {
    fn new(limit: Duration) -> Self {
        Self { limit, until: later(limit), pause: SOON, came: 0 }
    }

    /// Bytes have come.
    fn came(&mut self, bytes: usize) {
        self.came += bytes as u64;
        if self.came >= LEAST {
            *self = Self::new(self.limit);
        }
    }

    /// How long to wait before the next round, if there is one.
    fn next_pause(&mut self) -> Option<Duration> {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        Some(pause).filter(|pause| later(*pause) < self.until)
    }
}

/// The instant after some time; now, where there is no such instant.
fn later(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now)
}

impl PatientStream {
    /// The `range` of a blob, from where it can be opened; its first bytes are on their way when this returns.
    ///
    /// # Errors
    /// When nobody gives it in time.
    pub fn start(
        open: Open,
        digest: &Digest,
        range: std::ops::Range<u64>,
        (blocking, limit): (Blocking, Duration),
    ) -> Result<Self, blob::Error> {
        let clock = Clock::new(limit);
        let (next, end) = (range.start, range.end);
        let mut patient = Self { open, stream: None, digest: *digest, next, end, blocking, clock };
        patient.stream = Some(patient.connect().map_err(|flaw| flaw.of(digest))?);
        Ok(patient)
    }

    fn connect(&mut self) -> Result<BlobStream, Flaw> {
        loop {
            match (self.open)(self.next, self.clock.until) {
                Ok(stream) => return Ok(stream),
                Err(error) => self.met(Flaw::Registry(error))?,
            }
        }
    }

    /// Returns when it is time for the next round.
    fn met(&mut self, flaw: Flaw) -> Result<(), Flaw> {
        let pause = if flaw.may_pass() { self.clock.next_pause() } else { None };
        if let (Some(SOON), Flaw::Registry(error)) = (pause, &flaw) {
            let (error, seconds) = (in_line(error), self.clock.limit.as_secs());
            tracing::warn!("{error}; what reads blob `{}` waits, for up to {seconds} s", self.digest);
        }
        match pause {
            Some(pause) if self.blocking.pause(pause) => Ok(()),
            _ => Err(flaw),
        }
    }

    fn take(&mut self, buf: &mut [u8]) -> Result<usize, Flaw> {
        if self.next >= self.end {
            return Ok(0);
        }
        loop {
            let mut stream = match self.stream.take() {
                Some(stream) => stream,
                None => self.connect()?,
            };
            match stream.take(buf) {
                Ok(count) => {
                    self.next += count as u64;
                    self.clock.came(count);
                    self.stream = Some(stream);
                    return Ok(count);
                }
                Err(flaw) => self.met(flaw)?,
            }
        }
    }
}

impl io::Read for PatientStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.take(buf).map_err(|flaw| flaw.of(&self.digest).into())
    }
}
