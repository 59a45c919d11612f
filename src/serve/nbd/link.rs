//! A connection, plain or by TLS: one thread receives, many send.
//!
//! # Invariants
//! A message is sent whole before the next one begins; when that fails, nothing more is sent or received.

use std::fs::File;
use std::io::{self, IoSlice, Read as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{Shutdown, shutdown};
use rustls::{ServerConfig, ServerConnection};

/// Bytes received at a time, at least; many requests.
const ROOM: usize = 4096;
/// Bytes of TLS received at a time: as many as rustls takes at once.
const PART_OF_RECORD: usize = 4096;

/// A connection.
pub(super) struct Link {
    stream: Arc<File>,
    tls: OnceLock<Mutex<ServerConnection>>,
    sending: Mutex<()>,
    closed: AtomicBool,
}

impl Link {
    /// A connection that is plain at first.
    pub(super) fn new(stream: Arc<File>) -> Self {
        Self { stream, tls: OnceLock::new(), sending: Mutex::new(()), closed: AtomicBool::new(false) }
    }

    /// Whether it is by TLS.
    pub(super) fn is_secret(&self) -> bool {
        self.tls.get().is_some()
    }

    /// The right to send a message, which may have several parts.
    pub(super) fn sender(&self) -> Sender<'_> {
        Sender { link: self, _turn: self.sending.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Whether it was ended by this side.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Ends it, whatever is under way.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        // One that is closed already is what is wanted.
        let _ = shutdown(&*self.stream, Shutdown::Both);
    }

    /// Lets the client take this long, in all, for what is received until then, and for each part of what is sent.
    pub(super) fn limit(&self, until: Option<Instant>) -> io::Result<()> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        set_socket_timeout(&*self.stream, Timeout::Recv, left)?;
        Ok(set_socket_timeout(&*self.stream, Timeout::Send, left)?)
    }

    /// Goes on by TLS.
    ///
    /// # Errors
    /// When the client does not, or has no certificate that is asked for.
    pub(super) fn start_tls(&self, config: &Arc<ServerConfig>, until: Option<Instant>) -> io::Result<()> {
        let mut tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            self.limit(until)?;
            if !tls.wants_write() && tls.read_tls(&mut &*self.stream)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let understood = tls.process_new_packets();
            // Also what is wrong, if something is.
            self.flush(&mut tls)?;
            understood.map_err(io::Error::other)?;
        }
        self.flush(&mut tls)?;
        // It is only set here, and by one thread.
        drop(self.tls.set(Mutex::new(tls)));
        Ok(())
    }

    /// Says that nothing more is sent.
    pub(super) fn finish(&self) {
        if let Some(tls) = self.tls.get() {
            let mut tls = lock(tls);
            tls.send_close_notify();
            // A client that has gone need not be told.
            let _ = self.flush(&mut tls);
        }
        self.close();
    }

    fn flush(&self, tls: &mut ServerConnection) -> io::Result<()> {
        while tls.wants_write() {
            tls.write_tls(&mut &*self.stream)?;
        }
        Ok(())
    }

    /// Fills a part of `buf` with what comes next; 0 at the end.
    fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = self.tls.get() else { return received(&self.stream, buf) };
        let mut bytes = [0; PART_OF_RECORD];
        loop {
            match lock(tls).reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            // Others send while the client is waited for.
            let len = received(&self.stream, &mut bytes)?;
            if len == 0 {
                return Ok(0);
            }
            let mut tls = lock(tls);
            let mut new = &bytes[..len];
            while !new.is_empty() {
                tls.read_tls(&mut new)?;
                tls.process_new_packets().map_err(io::Error::other)?;
            }
            self.flush(&mut tls)?;
        }
    }
}

fn lock(tls: &Mutex<ServerConnection>) -> MutexGuard<'_, ServerConnection> {
    tls.lock().unwrap_or_else(PoisonError::into_inner)
}

fn received(mut stream: &File, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buf) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            read => return read,
        }
    }
}

/// One that sends a message.
pub(super) struct Sender<'a> {
    link: &'a Link,
    _turn: MutexGuard<'a, ()>,
}

impl Sender<'_> {
    /// Sends parts, one behind the other. An error ends the connection: what follows would be taken for the rest of it.
    pub(super) fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.try_send(parts).inspect_err(|_| self.link.close())
    }

    fn try_send(&self, parts: &[&[u8]]) -> io::Result<()> {
        let Some(tls) = self.link.tls.get() else { return write_all(&self.link.stream, parts) };
        let mut tls = lock(tls);
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                let len = tls.writer().write(rest)?;
                rest = &rest[len..];
                // There is no room in its buffer.
                if len == 0 {
                    self.link.flush(&mut tls)?;
                }
            }
        }
        self.link.flush(&mut tls)
    }
}

/// Writes all parts, at best by one call of the system.
fn write_all(mut stream: &File, parts: &[&[u8]]) -> io::Result<()> {
    /// Parts of a message, at most.
    const PARTS: usize = 4;
    let mut slices = [IoSlice::new(&[]); PARTS];
    assert!(parts.len() <= PARTS, "a message has few parts");
    slices.iter_mut().zip(parts).for_each(|(slice, part)| *slice = IoSlice::new(part));
    let mut rest = &mut slices[..parts.len()];
    // Empty parts at the front are passed over.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match stream.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => IoSlice::advance_slices(&mut rest, len),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What is received of a connection, by one thread.
pub(super) struct Receiver<'a> {
    link: &'a Link,
    buf: Box<[u8]>,
    /// What of the buffer was received and not taken yet.
    start: usize,
    end: usize,
    until: Option<Instant>,
}

impl<'a> Receiver<'a> {
    /// What comes until that moment, if there is one.
    pub(super) fn new(link: &'a Link, until: Option<Instant>) -> Self {
        Self { link, buf: vec![0; ROOM].into(), start: 0, end: 0, until }
    }

    /// From now on the client may take its time.
    pub(super) fn be_patient(&mut self) -> io::Result<()> {
        self.until = None;
        self.link.limit(None)
    }

    /// Until when the client is waited for.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether more was received than was taken.
    pub(super) const fn has_more(&self) -> bool {
        self.start < self.end
    }

    /// Whether `len` bytes were received and not taken.
    pub(super) const fn has(&self, len: usize) -> bool {
        self.end - self.start >= len
    }

    /// The next bytes; `None` when the client ends in front of them.
    ///
    /// # Errors
    /// When it ends amid them, or is too late.
    pub(super) fn next<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        if !self.has_more() && self.fill()? == 0 {
            return Ok(None);
        }
        self.read(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Fills all of `buf`.
    ///
    /// # Errors
    /// When the client ends before, or is too late.
    pub(super) fn read(&mut self, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            if !self.has_more() && self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let len = buf.len().min(self.end - self.start);
            let (head, rest) = buf.split_at_mut(len);
            head.copy_from_slice(&self.buf[self.start..self.start + len]);
            self.start += len;
            buf = rest;
        }
        Ok(())
    }

    /// Passes over bytes.
    pub(super) fn skip(&mut self, mut len: u64) -> io::Result<()> {
        while len > 0 {
            if !self.has_more() && self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let here = usize::try_from(len).map_or(self.end - self.start, |len| len.min(self.end - self.start));
            self.start += here;
            len -= here as u64;
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.until.is_some() {
            self.link.limit(self.until)?;
        }
        (self.start, self.end) = (0, 0);
        self.end = self.link.receive(&mut self.buf)?;
        Ok(self.end)
    }
}
