//! Replies that are sent together: those to requests that were received together, each read where it is sent from.

use std::io;

use super::link::Link;

/// Bytes that are sent at the latest.
const FULL: usize = 64 << 10;
/// Bytes in front of what a reply reads, at most.
const HEADER: usize = 32;

/// Replies that are ready.
pub(super) struct Outbox<'a> {
    link: &'a Link,
    /// Of zeros at first: the system gives memory to what is used.
    bytes: Box<[u8]>,
    len: usize,
}

impl<'a> Outbox<'a> {
    /// For replies that read at most `longest` bytes.
    pub(super) fn new(link: &'a Link, longest: usize) -> Self {
        Self { link, bytes: vec![0; FULL + HEADER + longest].into(), len: 0 }
    }

    /// Room for a header and for what is read; what is in it is no reply before it is added.
    pub(super) fn room(&mut self, header: usize, len: usize) -> (&mut [u8], &mut [u8]) {
        self.bytes[self.len..][..header + len].split_at_mut(header)
    }

    /// Adds a reply that is in the room.
    ///
    /// # Errors
    /// When there are many, and they cannot be sent.
    pub(super) fn add(&mut self, len: usize) -> io::Result<()> {
        self.len += len;
        if self.len < FULL { Ok(()) } else { self.send() }
    }

    /// Sends all that is there.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(super) fn send(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.len) {
            0 => Ok(()),
            len => self.link.sender().send(&[&self.bytes[..len]]),
        }
    }
}
