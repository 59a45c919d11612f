//! Requests of a client that has chosen an export, and their replies.
//!
//! # Invariants
//! - What is in memory is replied to at once, by the thread that received the request. What may take its time is handed
//!   to one of a few others, so that it holds up nothing else.
//! - Each thread has one buffer of little more than [`PIECE`] bytes; longer replies are sent as they are read.

use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Scope};

use crossbeam_channel::{Receiver as Queue, Sender as Jobs, bounded};

use super::LONGEST_REQUEST;
use super::handshake::{ALLOCATION_ID, Chosen, Replies};
use super::holes::{Run, Runs};
use super::link::{Link, Receiver, Sender};
use super::outbox::Outbox;
use super::wire::{self, CHUNK_HEADER, REQUEST, Request, SIMPLE_HEADER, chunk, command, error};
use crate::base::{in_line, printable, printable_line};
use crate::extent::ReadError;

/// Bytes that are read and sent at a time: enough that sending them costs little more than copying.
const PIECE: usize = 256 << 10;
/// Requests of a connection that may take their time at once, in addition to one that does not.
const WORKERS: usize = 4;
/// Requests that wait for a worker; while there are more, nothing is received.
const WAITING: usize = 16;
/// Ranges that one reply tells of, at most.
const RANGES: usize = 512;
/// A range that reads as zeros, and that takes no room (`STATE_HOLE`, `STATE_ZERO`).
const HOLE: u32 = 1 | 1 << 1;
static ZEROS: [u8; 4096] = [0; 4096];

/// Replies to requests until the client has no more.
///
/// # Errors
/// When the connection breaks, or the client does not keep to the protocol.
pub(super) fn run(link: &Link, receiver: &mut Receiver<'_>, chosen: &Chosen) -> io::Result<()> {
    let server = Server { link, chosen, unfinished: AtomicUsize::new(0) };
    thread::scope(|threads| {
        let (jobs, queue) = bounded(WAITING);
        let mut crew = Crew { threads, server: &server, jobs, queue, count: 0 };
        // What was handed over is replied to when the client has ended; not when it breaks the rules.
        server.receive(receiver, &mut crew).inspect_err(|_| link.close())
    })
}

/// The threads that reply to what takes its time; they start when there is something to do.
struct Crew<'scope, 'env> {
    threads: &'scope Scope<'scope, 'env>,
    server: &'env Server<'env>,
    jobs: Jobs<Request>,
    queue: Queue<Request>,
    count: usize,
}

impl Crew<'_, '_> {
    /// Has a request replied to by one that is free, or as soon as one is.
    fn hand(&mut self, request: Request) -> io::Result<()> {
        let unfinished = self.server.unfinished.fetch_add(1, Ordering::Relaxed) + 1;
        if unfinished > self.count && self.count < WORKERS {
            let (server, queue) = (self.server, self.queue.clone());
            let started = thread::Builder::new().name("nbd-reply".to_owned());
            match started.spawn_scoped(self.threads, move || server.work(&queue)) {
                Ok(_) => self.count += 1,
                Err(error) if self.count == 0 => return Err(error),
                Err(error) => tracing::debug!("{} threads reply to a client: {error}", self.count),
            }
        }
        self.jobs.send(request).map_err(io::Error::other)
    }
}

/// A client and its export.
struct Server<'a> {
    link: &'a Link,
    chosen: &'a Chosen,
    /// Requests that were handed over and not replied to yet.
    unfinished: AtomicUsize,
}

impl Server<'_> {
    fn receive(&self, receiver: &mut Receiver<'_>, crew: &mut Crew<'_, '_>) -> io::Result<()> {
        let mut outbox = Outbox::new(self.link, PIECE);
        while let Some(bytes) = receiver.next::<REQUEST>()? {
            let request = Request::parse(&bytes).ok_or_else(|| violation("no request where one is to be"))?;
            match request.command {
                command::DISC => return Ok(()),
                command::WRITE if request.length > LONGEST_REQUEST => return Err(violation("a write is too long")),
                command::WRITE => receiver.skip(request.length.into())?,
                _ => {}
            }
            let is_ready = self.reply_at_once(&request, &mut outbox)?;
            // From here on this thread may wait.
            if !is_ready || !receiver.has(REQUEST) {
                outbox.send()?;
            }
            if !is_ready {
                crew.hand(request)?;
            }
        }
        Ok(())
    }

    fn work(&self, queue: &Queue<Request>) {
        let mut buf = Vec::new();
        for request in queue {
            let reply = || if self.link.is_closed() { Ok(()) } else { self.reply(&request, &mut buf) };
            match catch_unwind(AssertUnwindSafe(reply)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!("a reply is not sent: {error}"),
                Err(_) => {
                    tracing::error!("a read panicked");
                    // Nobody knows what of the reply was sent.
                    self.link.close();
                }
            }
            self.unfinished.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Replies to what takes no time. Returns whether it did.
    fn reply_at_once(&self, request: &Request, outbox: &mut Outbox<'_>) -> io::Result<bool> {
        if let Err((error, why)) = self.check(request) {
            return self.fail(request, error, why).map(|()| true);
        }
        match request.command {
            command::FLUSH => self.done(request).map(|()| true),
            command::READ => self.read_at_once(request, outbox),
            _ => Ok(false),
        }
    }

    /// Adds the reply to a read of what is in memory. Returns whether it is.
    fn read_at_once(&self, request: &Request, outbox: &mut Outbox<'_>) -> io::Result<bool> {
        let Some(len) = usize::try_from(request.length).ok().filter(|len| *len <= PIECE) else { return Ok(false) };
        let head = match self.chosen.replies {
            Replies::Simple => SIMPLE_HEADER,
            Replies::Structured => CHUNK_HEADER + 8,
        };
        let (header, bytes) = outbox.room(head, len);
        if !self.chosen.source.read_at_once(bytes, request.offset) {
            return Ok(false);
        }
        match self.chosen.replies {
            Replies::Simple => header.copy_from_slice(&wire::simple_reply(request.cookie, 0)),
            Replies::Structured if is_zero(bytes) => {
                self.hole(request, &extent_of(request.offset, len), true)?;
                return Ok(true);
            }
            Replies::Structured => {
                let (header, offset) = header.split_at_mut(CHUNK_HEADER);
                header.copy_from_slice(&wire::chunk_header(request.cookie, chunk::OFFSET_DATA, true, 8 + len));
                offset.copy_from_slice(&request.offset.to_be_bytes());
            }
        }
        outbox.add(head + len).map(|()| true)
    }

    /// Whether a request can be meant; else the error, and why.
    fn check(&self, request: &Request) -> Result<(), (u32, &'static str)> {
        let is_structured = self.chosen.replies == Replies::Structured;
        let known = match request.command {
            command::READ if is_structured => wire::DF,
            command::BLOCK_STATUS => wire::REQ_ONE,
            _ => 0,
        };
        let ends_within = request.end(self.chosen.source.size()).is_some();
        match request.command {
            command::WRITE | command::TRIM | command::WRITE_ZEROES => Err((error::EPERM, "the export is only read")),
            _ if request.flags & !known != 0 => Err((error::EINVAL, "the request has flags that are not known")),
            command::FLUSH => Ok(()),
            command::BLOCK_STATUS if !self.chosen.tells_holes => {
                Err((error::EINVAL, "`base:allocation` was not chosen in the handshake"))
            }
            command::READ | command::CACHE | command::BLOCK_STATUS if !ends_within => {
                Err((error::EINVAL, "the range is empty or leaves the export"))
            }
            command::READ if request.length > LONGEST_REQUEST => Err((error::EINVAL, "the read is longer than 32 MiB")),
            command::READ if request.flags & wire::DF != 0 && u64::from(request.length) > PIECE as u64 => {
                Err((error::EOVERFLOW, "the read is too long for one chunk"))
            }
            command::READ | command::CACHE | command::BLOCK_STATUS => Ok(()),
            _ => Err((error::EINVAL, "the command is not known")),
        }
    }

    /// Replies to a checked request, which may take its time.
    fn reply(&self, request: &Request, buf: &mut Vec<u8>) -> io::Result<()> {
        let range = request.offset..request.offset + u64::from(request.length);
        match request.command {
            command::CACHE => {
                self.chosen.source.will_read(range);
                self.done(request)
            }
            command::BLOCK_STATUS => self.block_status(request, range),
            _ => match (piece(buf, request), self.chosen.replies) {
                (Some(bytes), _) => match self.chosen.source.read_at(bytes, request.offset) {
                    Ok(()) => self.data(request, bytes),
                    Err(error) => self.fail(request, error::EIO, &self.told(&error)),
                },
                (None, Replies::Structured) => self.chunks(request, range, buf),
                (None, Replies::Simple) => self.stream(request, range, buf),
            },
        }
    }

    /// Reads that fit into a piece.
    fn data(&self, request: &Request, bytes: &[u8]) -> io::Result<()> {
        match self.chosen.replies {
            Replies::Simple => self.link.sender().send(&[&wire::simple_reply(request.cookie, 0), bytes]),
            Replies::Structured if is_zero(bytes) => self.hole(request, &extent_of(request.offset, bytes.len()), true),
            Replies::Structured => self.data_chunk(request, request.offset, bytes, true),
        }
    }

    fn data_chunk(&self, request: &Request, offset: u64, bytes: &[u8], is_last: bool) -> io::Result<()> {
        let header = wire::chunk_header(request.cookie, chunk::OFFSET_DATA, is_last, 8 + bytes.len());
        self.link.sender().send(&[&header, &offset.to_be_bytes(), bytes])
    }

    fn hole(&self, request: &Request, range: &Range<u64>, is_last: bool) -> io::Result<()> {
        let header = wire::chunk_header(request.cookie, chunk::OFFSET_HOLE, is_last, 12);
        self.link.sender().send(&[&header, &range.start.to_be_bytes(), &length(range).to_be_bytes()])
    }

    /// A long read in chunks: holes, and pieces of what is between them.
    fn chunks(&self, request: &Request, range: Range<u64>, buf: &mut [u8]) -> io::Result<()> {
        let end = range.end;
        for Run { range, is_hole } in Runs::of(&*self.chosen.source, range) {
            if is_hole {
                self.hole(request, &range, range.end == end)?;
                continue;
            }
            for at in range.clone().step_by(PIECE) {
                let len = usize::try_from(range.end - at).map_or(PIECE, |left| left.min(PIECE));
                if let Err(error) = self.chosen.source.read_at(&mut buf[..len], at) {
                    return self.error_chunk(request, error::EIO, &self.told(&error), Some(at));
                }
                self.data_chunk(request, at, &buf[..len], at + len as u64 == end)?;
            }
        }
        Ok(())
    }

    /// A long read as one message. An error amid it cannot be reported, and ends the connection.
    fn stream(&self, request: &Request, range: Range<u64>, buf: &mut [u8]) -> io::Result<()> {
        let mut sender: Option<Sender<'_>> = None;
        for at in range.clone().step_by(PIECE) {
            let len = usize::try_from(range.end - at).map_or(PIECE, |left| left.min(PIECE));
            let read = self.chosen.source.read_at(&mut buf[..len], at).map_err(|error| self.told(&error));
            match (read, &mut sender) {
                (Ok(()), Some(sender)) => sender.send(&[&buf[..len]])?,
                (Ok(()), none) => {
                    let sender = none.insert(self.link.sender());
                    sender.send(&[&wire::simple_reply(request.cookie, 0), &buf[..len]])?;
                }
                (Err(_), Some(_)) => {
                    self.link.close();
                    return Ok(());
                }
                (Err(why), None) => return self.fail(request, error::EIO, &why),
            }
        }
        Ok(())
    }

    fn block_status(&self, request: &Request, range: Range<u64>) -> io::Result<()> {
        let most = if request.flags & wire::REQ_ONE == 0 { RANGES } else { 1 };
        let mut told = ALLOCATION_ID.to_be_bytes().to_vec();
        for Run { range, is_hole } in Runs::of(&*self.chosen.source, range).take(most) {
            told.extend(length(&range).to_be_bytes());
            told.extend(if is_hole { HOLE } else { 0 }.to_be_bytes());
        }
        let header = wire::chunk_header(request.cookie, chunk::BLOCK_STATUS, true, told.len());
        self.link.sender().send(&[&header, &told])
    }

    fn done(&self, request: &Request) -> io::Result<()> {
        match self.chosen.replies {
            Replies::Simple => self.link.sender().send(&[&wire::simple_reply(request.cookie, 0)]),
            Replies::Structured => {
                self.link.sender().send(&[&wire::chunk_header(request.cookie, chunk::NONE, true, 0)])
            }
        }
    }

    fn fail(&self, request: &Request, error: u32, why: &str) -> io::Result<()> {
        match self.chosen.replies {
            Replies::Simple => self.link.sender().send(&[&wire::simple_reply(request.cookie, error)]),
            Replies::Structured => self.error_chunk(request, error, why, None),
        }
    }

    /// An error of a request, or of its bytes from `at` on.
    fn error_chunk(&self, request: &Request, error: u32, why: &str, at: Option<u64>) -> io::Result<()> {
        let why = wire::bounded(why);
        let mut payload = error.to_be_bytes().to_vec();
        payload.extend(u16::try_from(why.len()).expect("a text is bounded").to_be_bytes());
        payload.extend(why.as_bytes());
        payload.extend(at.iter().flat_map(|at| at.to_be_bytes()));
        let kind = if at.is_some() { chunk::ERROR_OFFSET } else { chunk::ERROR };
        let header = wire::chunk_header(request.cookie, kind, true, payload.len());
        self.link.sender().send(&[&header, &payload])
    }

    /// What a read says, which the log keeps.
    fn told(&self, error: &ReadError) -> String {
        let why = printable_line(&in_line(error)).to_string();
        tracing::error!("cannot read `{}`: {why}", printable(self.chosen.name.as_bytes()));
        why
    }
}

/// Room for what a request reads, if it fits into a piece. From then on `buf` has that length.
fn piece<'a>(buf: &'a mut Vec<u8>, request: &Request) -> Option<&'a mut [u8]> {
    buf.resize(PIECE, 0);
    buf.get_mut(..usize::try_from(request.length).ok()?)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|chunk| *chunk == ZEROS[..chunk.len()])
}

fn extent_of(offset: u64, len: usize) -> Range<u64> {
    offset..offset + len as u64
}

/// The length of a part of what a request is about.
fn length(range: &Range<u64>) -> u32 {
    u32::try_from(range.end - range.start).expect("a request is shorter than 4 GiB")
}

fn violation(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
