//! Gives a sequential reader more than he asks for.
//!
//! The kernel reads 128 KiB ahead, and only root may let it read more: everybody else waits for an answer every
//! 128 KiB. What already stands in the kernel's cache when he is answered, he need not ask for.
//!
//! # Invariants
//! Storing a page waits for reads of that page that are under way. So at most one thread stores at a time, and the
//! others answer what it waits for.

use std::sync::{Mutex, OnceLock, PoisonError};

use fuser::{INodeNo, Notifier, ReplyData};

use super::readers::Read;
use crate::base::MIB;
use crate::extent::Streams;
use crate::serve::Files;

/// Bytes stored behind an answer: what takes some twenty times as long to make as asking for it takes.
const BEHIND: u64 = 3 * MIB;
/// The longest request that is too short, in bytes: what the kernel reads ahead unless it is told otherwise.
const SHORT: u32 = 128 << 10;

/// The readers that are recognised, and the way into the kernel's cache.
pub(super) struct Ahead {
    streams: Mutex<Streams>,
    kernel: OnceLock<Notifier>,
    /// Held while storing: the answer, and what is stored behind it.
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
        let (size, both) = (u64::from(read.size), u64::from(read.size) + behind);
        buf.resize(usize::try_from(both).expect("a few megabytes fit in memory"), 0);
        // What is wrong behind the answer is told to who asks for it.
        let Ok(len) = files.read(read.inode, read.offset, &mut buf) else { return Err(reply) };
        let (answer, rest) = buf[..len].split_at(len.min(usize::try_from(size).expect("requests fit in memory")));
        if !rest.is_empty()
            && let Err(error) = kernel.store(INodeNo(read.inode), read.offset + size, rest)
        {
            tracing::debug!("cannot store what follows a read: {error}");
        }
        reply.data(answer);
        Ok(())
    }
}
