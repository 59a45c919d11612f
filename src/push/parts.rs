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
    /// CRC-32C.
    pub checksum: u32,
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
        let (mut lent, mut of_part) = (spare.lend(in_memory(range.end - range.start)), 0);
        for (at, bytes) in (range.start..).step_by(STEP).zip(lent.chunks_mut(STEP)) {
            if let Err(error) = source.read_at(bytes, at) {
                // Nobody listens any more: then nobody needs to know.
                let _ = sender.blocking_send(Err(error));
                return Whole::default();
            }
            hash.update(bytes);
            of_part = crc32c::crc32c_append(of_part, bytes);
        }
        checksum = crc32c::crc32c_combine(checksum, of_part, lent.len());
        let next = range.end..range.end.saturating_add(size).min(source.size());
        let part = Part { number, bytes: Bytes::from_owner(lent), checksum: of_part };
        if sender.blocking_send(Ok(part)).is_err() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::Bytes as InMemory;

    #[test]
    fn checksums_are_those_of_each_part_and_of_all() {
        let bytes: Vec<u8> = (0..5 * STEP / 2).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for size in [1, STEP, STEP + 1, 2 * STEP, bytes.len(), bytes.len() + 1] {
            let bytes = &bytes[..bytes.len().min(size * 9 / 2)];
            let source: SharedSource = std::sync::Arc::new(InMemory(bytes.into()));
            runtime.block_on(async {
                let parts = Parts::read(source, size as u64);
                for (number, expected) in (1..).zip(bytes.chunks(size)) {
                    let part = parts.next("x").await.unwrap().unwrap();
                    assert!(part.number == number && part.bytes == expected, "part {number} of {size} bytes");
                    assert_eq!(part.checksum, crc32c::crc32c(expected));
                }
                assert!(parts.next("x").await.unwrap().is_none());
                let whole = parts.whole().await;
                assert_eq!((whole.checksum, whole.digest), (crc32c::crc32c(bytes), Some(Digest::of(bytes))));
            });
        }
    }
}
