//! A front end at the socket, as monitors are one: it hands over memory, has rings answered, and leaves as it likes.
//!
//! # Format
//! Vhost-user Protocol (QEMU's docs/interop/vhost-user.rst).

use std::fs::File;
use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::serve;
use crate::base::{Digest, SECTOR};
use crate::extent::{ReadError, SharedSource, Source, Zeros};
use crate::serve::stop::{Stop, Stopper};
use crate::serve::{Artifact, Exports, Generation};

const GET_FEATURES: u32 = 1;
const SET_FEATURES: u32 = 2;
const SET_OWNER: u32 = 3;
const SET_MEM_TABLE: u32 = 5;
const SET_VRING_NUM: u32 = 8;
const SET_VRING_ADDR: u32 = 9;
const SET_VRING_BASE: u32 = 10;
const GET_VRING_BASE: u32 = 11;
const SET_VRING_KICK: u32 = 12;
const SET_VRING_CALL: u32 = 13;
const SET_VRING_ENABLE: u32 = 18;
const GET_CONFIG: u32 = 24;
/// Version 1, section "Header".
const VERSION: u32 = 1;

/// A socket that is served until this is dropped.
struct Server {
    dir: tempfile::TempDir,
    stopper: Option<Stopper>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(source: SharedSource) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let artifacts = vec![Artifact::ready("a-efi.img", source)];
        let exports = Exports::new(Generation::new(artifacts, Digest::of(b"")));
        let (stopper, stop) = Stop::pair().unwrap();
        let thread = thread::spawn(move || serve(listener, &exports, "a-efi.img", &stop).unwrap());
        Self { dir, stopper: Some(stopper), thread: Some(thread) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("s")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stopper.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

struct FrontEnd(UnixStream);

impl FrontEnd {
    fn at(path: &Path) -> Self {
        Self(UnixStream::connect(path).unwrap())
    }

    fn send(&mut self, request: u32, payload: &[u8], files: &[BorrowedFd<'_>]) {
        let size = u32::try_from(payload.len()).unwrap();
        let message = [&request.to_le_bytes()[..], &VERSION.to_le_bytes(), &size.to_le_bytes(), payload].concat();
        let mut space = [const { MaybeUninit::uninit() }; rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(files.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(files)));
        let sent = sendmsg(&self.0, &[IoSlice::new(&message)], &mut ancillary, SendFlags::empty()).unwrap();
        assert_eq!(sent, message.len());
    }

    fn send_numbers(&mut self, request: u32, numbers: [u32; 2]) {
        self.send(request, &numbers.map(u32::to_le_bytes).concat(), &[]);
    }

    /// The payload of the next reply; `None` when the server has hung up.
    fn reply(&mut self) -> Option<Vec<u8>> {
        let mut head = [0; 12];
        self.0.read_exact(&mut head).ok()?;
        let size = u32::from_le_bytes(head[8..].try_into().unwrap());
        let mut payload = vec![0; usize::try_from(size).unwrap()];
        self.0.read_exact(&mut payload).unwrap();
        Some(payload)
    }

    fn features(&mut self) -> Option<u64> {
        self.send(GET_FEATURES, &[], &[]);
        Some(u64::from_le_bytes(self.reply()?.try_into().unwrap()))
    }
}

/// Virtio 1, rings with tables of their own and events; segments, only read, block size, flush, several rings; and the bit of
/// vhost-user that says that its features can be asked for.
const FEATURES: u64 = 1 << 32 | 1 << 28 | 1 << 29 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 9 | 1 << 12 | 1 << 30;

#[test]
fn a_front_end_that_breaks_the_protocol_or_leaves_ends_nothing_but_its_own_device() {
    let server = Server::start(Arc::new(Zeros(1 << 20)));
    let mut staying = FrontEnd::at(&server.path());
    assert_eq!(staying.features(), Some(FEATURES));
    let mut wrong = FrontEnd::at(&server.path());
    wrong.0.write_all(&[0xff; 4096]).unwrap();
    assert_eq!(wrong.reply(), None);
    let mut leaving = FrontEnd::at(&server.path());
    leaving.0.write_all(&[1, 0]).unwrap();
    drop(leaving);
    assert_eq!(FrontEnd::at(&server.path()).features(), Some(FEATURES));
    let config = [0u32.to_le_bytes(), 8u32.to_le_bytes(), [0; 4], [0; 4], [0; 4]].concat();
    staying.send(16, &(1u64 << 9).to_le_bytes(), &[]);
    staying.send(GET_CONFIG, &config, &[]);
    assert_eq!(staying.reply().unwrap()[12..], 2048u64.to_le_bytes());
}

#[test]
fn who_comes_when_all_places_are_taken_waits_for_one() {
    let server = Server::start(Arc::new(Zeros(512)));
    let mut first: Vec<FrontEnd> = (0..16).map(|_| FrontEnd::at(&server.path())).collect();
    assert!(first.iter_mut().all(|front_end| front_end.features() == Some(FEATURES)));
    let mut last = FrontEnd::at(&server.path());
    last.send(GET_FEATURES, &[], &[]);
    last.0.set_nonblocking(true).unwrap();
    assert_eq!(last.0.read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    last.0.set_nonblocking(false).unwrap();
    first.pop();
    assert_eq!(last.reply().unwrap(), FEATURES.to_le_bytes());
}

/// A source whose reads say that they have begun, and end when they may.
struct Slow {
    begun: Sender<u64>,
    may_end: Mutex<Receiver<()>>,
}

impl Source for Slow {
    fn size(&self) -> u64 {
        8 * SECTOR
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        self.begun.send(offset / SECTOR).unwrap();
        self.may_end.lock().unwrap().recv().unwrap();
        buf.fill(7);
        Ok(())
    }
}

/// Where a ring lies, in a memory of 64 KiB; its guest and its monitor have it at other addresses.
const MEMORY: u64 = 1 << 16;
const GUEST: u64 = 1 << 32;
const MONITOR: u64 = 1 << 40;
const AVAIL: u64 = 0x1000;
const USED: u64 = 0x2000;
const HEADER: u64 = 0x3000;
const STATUS: u64 = 0x4000;
const DATA: u64 = 0x5000;

struct Ring {
    memory: File,
    kick: File,
    call: File,
}

impl Ring {
    fn new() -> Self {
        let event = || File::from(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        let memory = File::from(memfd_create("guest", MemfdFlags::CLOEXEC).unwrap());
        memory.set_len(MEMORY).unwrap();
        Self { memory, kick: event(), call: event() }
    }

    /// Hands all of it over, as a ring where nothing was offered yet.
    fn hand_over(&self, front_end: &mut FrontEnd) {
        self.memory.write_all_at(&[0; 0x3000], 0).unwrap();
        let region = [GUEST, MEMORY, MONITOR, 0].map(u64::to_le_bytes).concat();
        front_end.send(SET_MEM_TABLE, &[&1u64.to_le_bytes()[..], &region].concat(), &[self.memory.as_fd()]);
        front_end.send_numbers(SET_VRING_NUM, [0, 16]);
        front_end.send_numbers(SET_VRING_BASE, [0, 0]);
        let places = [0, MONITOR, MONITOR + USED, MONITOR + AVAIL, 0].map(u64::to_le_bytes).concat();
        front_end.send(SET_VRING_ADDR, &places, &[]);
        front_end.send(SET_VRING_CALL, &0u64.to_le_bytes(), &[self.call.as_fd()]);
        front_end.send(SET_VRING_KICK, &0u64.to_le_bytes(), &[self.kick.as_fd()]);
        front_end.send_numbers(SET_VRING_ENABLE, [0, 1]);
    }

    /// Offers to read a sector, as the request of this number.
    fn offer(&self, number: u16, sector: u64) {
        let chain = [(GUEST + HEADER, 16u32, 1u16, 1u16), (GUEST + DATA, 512, 3, 2), (GUEST + STATUS, 1, 2, 0)];
        for (at, (address, len, flags, next)) in chain.into_iter().enumerate() {
            let entry = [&address.to_le_bytes()[..], &len.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()];
            self.memory.write_all_at(&entry.concat(), 16 * at as u64).unwrap();
        }
        self.memory.write_all_at(&[[0; 8], sector.to_le_bytes()].concat(), HEADER).unwrap();
        self.memory.write_all_at(&[0xff], STATUS).unwrap();
        self.memory.write_all_at(&(number + 1).to_le_bytes(), AVAIL + 2).unwrap();
        (&self.kick).write_all(&1u64.to_ne_bytes()).unwrap();
    }

    /// Waits until the ring is set up, and its first request is answered.
    fn is_answered_once(&self, front_end: &mut FrontEnd) {
        assert_eq!(front_end.features(), Some(FEATURES), "it is set up");
        self.offer(0, 1);
        while self.answered() != (1, 0) {
            thread::yield_now();
        }
    }

    /// How many requests are answered, and the status of the last one.
    fn answered(&self) -> (u16, u8) {
        let (mut index, mut status) = ([0; 2], [0]);
        self.memory.read_exact_at(&mut index, USED + 2).unwrap();
        self.memory.read_exact_at(&mut status, STATUS).unwrap();
        (u16::from_le_bytes(index), status[0])
    }
}

#[test]
fn a_ring_that_is_reset_in_the_middle_of_a_request_is_given_back_with_its_answer_and_may_be_set_up_again() {
    let ((begun, reads), (end, may_end)) = (channel(), channel());
    let server = Server::start(Arc::new(Slow { begun, may_end: Mutex::new(may_end) }));
    let (mut front_end, ring) = (FrontEnd::at(&server.path()), Ring::new());
    front_end.send(SET_OWNER, &[], &[]);
    front_end.send(SET_FEATURES, &(1u64 << 32 | 1 << 30).to_le_bytes(), &[]);
    for sector in [3, 5] {
        ring.hand_over(&mut front_end);
        ring.offer(0, sector);
        assert_eq!(reads.recv().unwrap(), sector);
        front_end.send_numbers(GET_VRING_BASE, [0, 0]);
        end.send(()).unwrap();
        assert_eq!(front_end.reply().unwrap(), [0u32.to_le_bytes(), 1u32.to_le_bytes()].concat());
        assert_eq!(ring.answered(), (1, 0));
    }
    let mut data = [0; 513];
    ring.memory.read_exact_at(&mut data, DATA).unwrap();
    assert_eq!((&data[..512], data[512]), (&[7; 512][..], 0));
    // One that leaves while a request is read is not waited for by others.
    ring.hand_over(&mut front_end);
    ring.offer(0, 1);
    assert_eq!(reads.recv().unwrap(), 1);
    drop(front_end);
    assert_eq!(FrontEnd::at(&server.path()).features(), Some(FEATURES));
    end.send(()).unwrap();
}

#[test]
fn a_front_end_that_takes_back_its_memory_is_cut_off_and_others_go_on() {
    let server = Server::start(Arc::new(Zeros(1 << 20)));
    let mut staying = FrontEnd::at(&server.path());
    // All of it; the status and data of a request; the data alone.
    for left in [0, STATUS, DATA] {
        let (mut front_end, ring) = (FrontEnd::at(&server.path()), Ring::new());
        front_end.send(SET_FEATURES, &(1u64 << 32 | 1 << 30).to_le_bytes(), &[]);
        ring.hand_over(&mut front_end);
        ring.is_answered_once(&mut front_end);
        ring.memory.set_len(left).unwrap();
        (&ring.kick).write_all(&1u64.to_ne_bytes()).unwrap();
        if left > 0 {
            ring.memory.write_all_at(&2u16.to_le_bytes(), AVAIL + 2).unwrap();
            (&ring.kick).write_all(&1u64.to_ne_bytes()).unwrap();
        }
        assert_eq!(front_end.reply(), None, "{left}");
        assert_eq!(staying.features(), Some(FEATURES), "{left}");
    }
}

#[test]
fn a_front_end_whose_event_blocks_holds_up_neither_others_nor_the_end() {
    let server = Server::start(Arc::new(Zeros(1 << 20)));
    let (mut blocking, mut ring) = (FrontEnd::at(&server.path()), Ring::new());
    let full = File::from(eventfd(u32::MAX, EventfdFlags::CLOEXEC).unwrap());
    (&full).write_all(&(u64::MAX - 1 - u64::from(u32::MAX)).to_ne_bytes()).unwrap();
    ring.call = full;
    blocking.send(SET_FEATURES, &(1u64 << 32 | 1 << 30).to_le_bytes(), &[]);
    ring.hand_over(&mut blocking);
    ring.is_answered_once(&mut blocking);
    assert_eq!(FrontEnd::at(&server.path()).features(), Some(FEATURES));
    let (ended, ends) = channel();
    thread::spawn(move || {
        drop(server);
        ended.send(()).unwrap();
    });
    // As long as nobody takes a signal, the thread waits to give one.
    ends.recv_timeout(std::time::Duration::from_secs(30)).expect("the end comes");
    assert_eq!((&ring.call).read(&mut [0; 8]).unwrap(), 8);
}

#[test]
fn memory_that_was_never_there_harms_nobody_when_a_ring_is_set_up() {
    let server = Server::start(Arc::new(Zeros(1 << 20)));
    let (mut front_end, ring) = (FrontEnd::at(&server.path()), Ring::new());
    ring.memory.set_len(0).unwrap();
    let region = [GUEST, MEMORY, MONITOR, 0].map(u64::to_le_bytes).concat();
    front_end.send(SET_MEM_TABLE, &[&1u64.to_le_bytes()[..], &region].concat(), &[ring.memory.as_fd()]);
    let places = [0, MONITOR, MONITOR + USED, MONITOR + AVAIL, 0].map(u64::to_le_bytes).concat();
    front_end.send(SET_VRING_ADDR, &places, &[]);
    assert_eq!(front_end.features(), Some(FEATURES));
    assert_eq!(FrontEnd::at(&server.path()).features(), Some(FEATURES));
}
