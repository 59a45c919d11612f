//! An artifact in parts of one size, read ahead of the network, in order.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use super::service::Sent;
use super::{Error, Step, Surroundings};
use crate::base::{Digest, Hasher, Spare, in_memory};
use crate::extent::{ReadError, SharedSource};

/// Parts that are sent at the same time.
pub(super) const AT_ONCE: usize = 2;
/// Parts in memory: those that are sent, one that waits, and one that is read.
pub(super) const IN_FLIGHT: u64 = AT_ONCE as u64 + 2;
/// Bytes that are read, then hashed while they are near the processor.
const STEP: usize = 256 << 10;
/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);

/// A part.
pub(super) struct Part {
    /// From 1 on.
    pub number: u32,
    pub bytes: Bytes,
}

/// The parts of an artifact.
pub(super) struct Parts {
    receiver: Mutex<mpsc::Receiver<Result<Part, ReadError>>>,
    reader: JoinHandle<Whole>,
}

/// What all parts come to.
#[derive(Clone, Copy, Default)]
pub(super) struct Whole {
    pub digest: Option<Digest>,
    /// CRC-32C.
    pub checksum: u32,
}

impl Parts {
    /// Starts to read parts of `size` bytes; one that is empty of an artifact that is. Needs a runtime around it.
    pub fn read(source: SharedSource, size: u64) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        // A source may wait for the network itself.
        let reader = tokio::task::spawn_blocking(move || read(&source, size, &sender));
        Self { receiver: Mutex::new(receiver), reader }
    }

    /// The next part.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn next(&self, name: &str) -> Result<Option<Part>, Error> {
        self.receiver.lock().await.recv().await.transpose().map_err(|error| Error::unreadable(name, error))
    }

    /// What all parts come to, when all were taken.
    pub async fn whole(self) -> Whole {
        self.reader.await.unwrap_or_default()
    }
}

fn read(source: &SharedSource, size: u64, sender: &mpsc::Sender<Result<Part, ReadError>>) -> Whole {
    let (mut hash, mut checksum, spare) = (Hasher::default(), 0, Spare::new(AT_ONCE + 2));
    let mut range = 0..size.min(source.size());
    for number in 1.. {
        let mut lent = spare.lend(in_memory(range.end - range.start));
        for (at, bytes) in (range.start..).step_by(STEP).zip(lent.chunks_mut(STEP)) {
            if let Err(error) = source.read_at(bytes, at) {
                // Nobody listens any more: then nobody needs to know.
                let _ = sender.blocking_send(Err(error));
                return Whole::default();
            }
            hash.update(bytes);
            checksum = crc32c::crc32c_append(checksum, bytes);
        }
        let next = range.end..range.end.saturating_add(size).min(source.size());
        if sender.blocking_send(Ok(Part { number, bytes: Bytes::from_owner(lent) })).is_err() {
            return Whole::default();
        }
        if next.is_empty() {
            break;
        }
        range = next;
    }
    Whole { digest: Some(hash.finish()), checksum }
}

/// Does `work` while progress is told.
pub(super) async fn watched<T>(
    work: impl Future<Output = T>,
    (name, size): (&str, u64),
    sent: &Sent,
    surroundings: &Surroundings,
) -> T {
    let told = || (surroundings.told)(Step::Sent { name, done: sent.load(Ordering::Relaxed).min(size), size });
    let ticking = async {
        loop {
            tokio::time::sleep(TICK).await;
            told();
        }
    };
    tokio::select! {
        done = work => {
            told();
            done
        }
        () = ticking => unreachable!("it ticks on until the work is done"),
    }
}
