//! `lkit serve --vhost-user` with front ends that leave, or take back what they handed over: the other doors go on.

use std::fs::File;
use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::served::Served;
use crate::cli::system::{System, wait_for};

/// A server of a disk and by HTTP.
struct Disk {
    served: Served,
    dir: tempfile::TempDir,
    /// What is served, which is not removed before.
    _system: System,
}

impl Disk {
    fn serve() -> Self {
        let (system, dir) = (System::new(), tempfile::tempdir().unwrap());
        let socket = dir.path().join("s");
        let options = format!("--listen http://127.0.0.1:0 --vhost-user {}=a-efi.img", socket.display());
        Self { served: Served::of(&system, &options), dir, _system: system }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    /// What HTTP answers for the first bytes of the disk.
    fn answer(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.served.port(0))).unwrap();
        stream
            .write_all(b"GET /a-efi.img HTTP/1.1\r\nHost: t\r\nRange: bytes=0-3\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A front end, as far as it sets up one ring.
struct FrontEnd(UnixStream);

impl FrontEnd {
    fn at(path: &Path) -> Self {
        Self(UnixStream::connect(path).unwrap())
    }

    /// Sends a request of the vhost-user protocol: its number, its words of 8 bytes, and a file.
    fn send(&mut self, request: u32, words: &[u64], file: Option<BorrowedFd<'_>>) {
        let payload: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let head = [request, 1, u32::try_from(payload.len()).unwrap()].map(u32::to_le_bytes).concat();
        let mut space = [const { MaybeUninit::uninit() }; rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(file.is_none() || ancillary.push(SendAncillaryMessage::ScmRights(file.as_slice())));
        let message = [IoSlice::new(&head), IoSlice::new(&payload)];
        sendmsg(&self.0, &message, &mut ancillary, SendFlags::empty()).unwrap();
    }

    /// Asks for the features, so that all before is done when it returns; whether it is answered.
    fn is_answered(&mut self) -> bool {
        self.send(1, &[], None);
        self.0.read_exact(&mut [0; 20]).is_ok()
    }
}

#[test]
fn a_front_end_that_shortens_its_memory_ends_neither_the_server_nor_another_front_end() {
    let disk = Disk::serve();
    let mut staying = FrontEnd::at(&disk.socket());
    let mut shortening = FrontEnd::at(&disk.socket());
    let (guest, monitor, size) = (1 << 32, 1 << 40, 1 << 16);
    let memory = File::from(memfd_create("guest", MemfdFlags::CLOEXEC).unwrap());
    memory.set_len(size).unwrap();
    let event = || File::from(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
    let (kick, call) = (event(), event());
    shortening.send(2, &[1 << 32 | 1 << 30], None);
    shortening.send(5, &[1, guest, size, monitor, 0], Some(memory.as_fd()));
    shortening.send(8, &[16 << 32], None);
    shortening.send(9, &[0, monitor, monitor + 0x2000, monitor + 0x1000, 0], None);
    shortening.send(13, &[0], Some(call.as_fd()));
    shortening.send(12, &[0], Some(kick.as_fd()));
    shortening.send(18, &[1 << 32], None);
    assert!(shortening.is_answered() && staying.is_answered());
    memory.set_len(0).unwrap();
    (&kick).write_all(&1u64.to_ne_bytes()).unwrap();
    assert_eq!(shortening.0.read(&mut [0; 1]).unwrap(), 0, "it is cut off");
    assert!(staying.is_answered());
    let answer = disk.answer();
    assert!(answer.starts_with("HTTP/1.1 206"), "{answer}");
    let (status, said) = disk.served.end("TERM");
    assert!(status.success(), "{status}: {said}");
}

#[test]
fn front_ends_that_leave_take_their_descriptors_along() {
    let disk = Disk::serve();
    let before = disk.served.descriptors();
    for _ in 0..5 {
        let mut front_ends = [(); 4].map(|()| FrontEnd::at(&disk.socket()));
        assert!(front_ends.iter_mut().all(FrontEnd::is_answered));
    }
    // The first one opens what is served; one left behind by each would be as many as there were front ends.
    wait_for("the descriptors of front ends to be closed", || disk.served.descriptors() < before + 20);
}
