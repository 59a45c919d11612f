//! Gives a sequential reader more than it asks for.
//!
//! The kernel reads 128 KiB ahead, and only root may let it read more: everybody else waits for an answer every
//! 128 KiB. What already stands in the kernel's cache when it is answered, it need not ask for.
//!
//! # Invariants
//! Storing a page waits for reads of that page that are under way. So at most one thread stores at a time, and the
//! others answer what it waits for.

use std::sync::{Mutex, OnceLock, PoisonError};

use fuser::{INodeNo, Notifier, ReplyData};

use super::request::{Read, paged};
use crate::base::MIB;
use crate::extent::Streams;
use crate::serve::Files;

/// Bytes stored behind an answer: what takes some twenty times as long to make as asking for it takes.
const BEHIND: u64 = 3 * MIB;
/// Bytes read and stored at a time: few enough to stay near the processor from one to the other.
const STEP: usize = 512 << 10;
/// The longest request that is too short, in bytes: what the kernel reads ahead unless it is told otherwise.
const SHORT: u32 = 128 << 10;

/// The readers that are recognised, and the way into the kernel's cache.
pub(super) struct Ahead {
    streams: Mutex<Streams>,
    kernel: OnceLock<Notifier>,
    /// Held while storing: the answer, and a step of what is stored behind it.
    buf: Mutex<Vec<u8>>,
}

impl Ahead {
    /// One that stores nothing before it is connected.
    pub(super) fn new() -> Self {
        let streams = Streams::new(BEHIND, u64::MAX);
        Self { streams: Mutex::new(streams), kernel: OnceLock::new(), buf: Mutex::default() }
    }

    /// Gives it the way into the kernel's cache.
    pub(super) fn connect(&self, kernel: Notifier) {
        // The first stays.
        let _ = self.kernel.set(kernel);
    }

    /// Takes note of a read into the kernel's cache. Returns how many bytes behind it are worth storing.
    pub(super) fn note(&self, read: &Read) -> u64 {
        if read.size > SHORT {
            return 0;
        }
        let end = read.offset.saturating_add(read.size.into());
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.note(read.inode, &(read.offset..end)).map_or(0, |ahead| ahead.end - end)
    }

    /// Stores what follows a read, then answers it. Gives the reply back when that cannot be.
    pub(super) fn answer(&self, files: &Files, read: &Read, behind: u64, reply: ReplyData) -> Result<(), ReplyData> {
        let (Some(kernel), Ok(mut buf)) = (self.kernel.get().filter(|_| behind > 0), self.buf.try_lock()) else {
            return Err(reply);
        };
        let size = usize::try_from(read.size).expect("requests fit in memory");
        let (answer, step) = paged(&mut buf, size + STEP).split_at_mut(size);
        let Ok(len) = files.read(read.inode, read.offset, answer) else { return Err(reply) };
        let start = read.offset + u64::from(read.size);
        for at in (start..start + behind).step_by(STEP) {
            let wanted = usize::try_from(start + behind - at).map_or(STEP, |left| left.min(STEP));
            // An error behind the answer is left to the read that asks for those bytes, and so is the end of the file.
            let Ok(found @ 1..) = files.read(read.inode, at, &mut step[..wanted]) else { break };
            if let Err(error) = kernel.store(INodeNo(read.inode), at, &step[..found]) {
                tracing::debug!("cannot store what follows a read: {error}");
                break;
            }
        }
        reply.data(&answer[..len]);
        Ok(())
    }
}
