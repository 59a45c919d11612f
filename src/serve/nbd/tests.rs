//! Clients by hand: each message that they send and get.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver as Gate, Sender as Opener, channel};
use std::thread;

use super::wire::{chunk, command, error, info, option, reply};
use super::*;
use crate::base::{Digest, ErrorKind};
use crate::extent::{Bytes, MapBuilder, ReadError, SharedSource, Sink as _, Source};
use crate::output::Artifact;
use crate::serve::Generation;

const DONE: u16 = 1;

fn exports(artifacts: Vec<Artifact>) -> Exports {
    Exports::new(Generation::new(artifacts, Digest::of(b"")))
}

fn numbers(len: u32) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// 600,000 numbers, a hole of 1 MiB, and 10 more bytes.
fn disk() -> SharedSource {
    let mut map = MapBuilder::default();
    map.bytes(&numbers(600_000));
    map.zeros(1 << 20);
    map.bytes(b"0123456789");
    map.share()
}

const DISK: u64 = 600_000 + (1 << 20) + 10;

fn one(source: SharedSource) -> Exports {
    exports(vec![Artifact::ready("disk", source)])
}

fn rules() -> Rules {
    Rules { security: Security::Plain, limits: Limits::default() }
}

/// A client that was greeted.
struct Client(UnixStream);

/// A chunk of a structured reply.
#[derive(Debug, PartialEq, Eq)]
struct Chunk {
    flags: u16,
    kind: u16,
    cookie: u64,
    payload: Vec<u8>,
}

impl Client {
    /// A connection on which the client has said nothing yet.
    fn silent(exports: &Exports, rules: Rules) -> UnixStream {
        let (here, there) = UnixStream::pair().unwrap();
        let exports = exports.clone();
        thread::spawn(move || converse(Arc::new(File::from(OwnedFd::from(there))), &exports, &rules));
        here
    }

    fn of(exports: &Exports) -> Self {
        let mut client = Self(Self::silent(exports, rules()));
        assert_eq!(client.take(18), [b"NBDMAGICIHAVEOPT".as_slice(), &[0, 3]].concat());
        client.0.write_all(&3_u32.to_be_bytes()).unwrap();
        client
    }

    /// A client that has chosen, and gets structured replies.
    fn structured(exports: &Exports) -> Self {
        let mut client = Self::of(exports);
        assert_eq!(client.ask(option::STRUCTURED_REPLY, &[]), (reply::ACK, vec![]));
        client.go()
    }

    /// The same, where holes are told, too.
    fn with_holes(exports: &Exports) -> Self {
        let mut client = Self::of(exports);
        assert_eq!(client.ask(option::STRUCTURED_REPLY, &[]).0, reply::ACK);
        let data = [&named("disk")[..], &1_u32.to_be_bytes(), &named("base:allocation")].concat();
        let context = [&1_u32.to_be_bytes()[..], b"base:allocation"].concat();
        assert_eq!(client.ask(option::SET_META_CONTEXT, &data), (reply::META_CONTEXT, context));
        assert_eq!(client.reply(option::SET_META_CONTEXT).0, reply::ACK);
        client.go()
    }

    fn simple(exports: &Exports) -> Self {
        Self::of(exports).go()
    }

    fn go(mut self) -> Self {
        assert_eq!(self.ask(option::GO, &[named("disk"), vec![0, 0]].concat()).0, reply::INFO);
        assert_eq!(self.reply(option::GO).0, reply::ACK);
        self
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn number<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap()
    }

    /// Sends an option; the first reply.
    fn ask(&mut self, option: u32, data: &[u8]) -> (u32, Vec<u8>) {
        self.0.write_all(&option_of(option, data)).unwrap();
        self.reply(option)
    }

    fn reply(&mut self, option: u32) -> (u32, Vec<u8>) {
        assert_eq!(u64::from_be_bytes(self.number()), 0x0003_e889_0455_65a9);
        assert_eq!(u32::from_be_bytes(self.number()), option);
        let reply = u32::from_be_bytes(self.number());
        let len = u32::from_be_bytes(self.number());
        (reply, self.take(len as usize))
    }

    /// Sends a request whose cookie is its offset.
    fn request(&mut self, command: u16, flags: u16, offset: u64, length: u32) {
        self.0.write_all(&request_of(command, flags, offset, length)).unwrap();
    }

    fn chunk(&mut self) -> Chunk {
        assert_eq!(u32::from_be_bytes(self.number()), 0x668e_33ef);
        let (flags, kind) = (u16::from_be_bytes(self.number()), u16::from_be_bytes(self.number()));
        let cookie = u64::from_be_bytes(self.number());
        let len = u32::from_be_bytes(self.number());
        Chunk { flags, kind, cookie, payload: self.take(len as usize) }
    }

    /// The error of a request and its text.
    fn failure(&mut self) -> (u32, String) {
        let Chunk { flags, kind, payload, .. } = self.chunk();
        assert_eq!((flags, kind), (DONE, chunk::ERROR));
        let len = usize::from(u16::from_be_bytes([payload[4], payload[5]]));
        assert_eq!(payload.len(), 6 + len);
        (u32::from_be_bytes(payload[..4].try_into().unwrap()), String::from_utf8(payload[6..].to_vec()).unwrap())
    }

    /// The error of a simple reply.
    fn simple_error(&mut self) -> u32 {
        assert_eq!(u32::from_be_bytes(self.number()), 0x6744_6698);
        let error = u32::from_be_bytes(self.number());
        self.take(8);
        error
    }

    /// Whether nothing more comes.
    fn is_closed(&mut self) -> bool {
        is_at_end(&mut self.0)
    }
}

fn is_at_end(stream: &mut UnixStream) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_))
}

fn named(name: &str) -> Vec<u8> {
    [&u32::try_from(name.len()).unwrap().to_be_bytes(), name.as_bytes()].concat()
}

fn option_of(option: u32, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap();
    [b"IHAVEOPT".as_slice(), &option.to_be_bytes(), &len.to_be_bytes(), data].concat()
}

fn request_of(command: u16, flags: u16, offset: u64, length: u32) -> Vec<u8> {
    let head = [&0x2560_9513_u32.to_be_bytes()[..], &flags.to_be_bytes(), &command.to_be_bytes()].concat();
    [&head[..], &offset.to_be_bytes(), &offset.to_be_bytes(), &length.to_be_bytes()].concat()
}

#[test]
fn exports_are_listed_with_the_sizes_that_are_known_and_nothing_is_laid_out() {
    let late = Artifact::new("late", || panic!("a list lays nothing out"));
    let mut client = Client::of(&exports(vec![Artifact::ready("disk", disk()), late]));
    assert_eq!(client.ask(option::LIST, &[]), (reply::SERVER, [named("disk"), b"1648586 bytes".to_vec()].concat()));
    assert_eq!(client.reply(option::LIST), (reply::SERVER, named("late")));
    assert_eq!(client.reply(option::LIST), (reply::ACK, vec![]));
    assert_eq!(client.ask(option::LIST, &[0]).0, reply::ERR_INVALID);
    assert_eq!(client.ask(option::ABORT, &[]), (reply::ACK, vec![]));
    assert!(client.is_closed());
}

#[test]
fn an_export_is_told_of_with_its_size_flags_and_block_sizes() {
    let mut client = Client::of(&one(disk()));
    let asked = [named("disk"), [2_u16, info::NAME, info::BLOCK_SIZE].map(u16::to_be_bytes).concat()].concat();
    let export = [&[0, 0][..], &DISK.to_be_bytes(), &0b101_0000_0111_u16.to_be_bytes()].concat();
    assert_eq!(client.ask(option::INFO, &asked), (reply::INFO, export));
    assert_eq!(client.reply(option::INFO), (reply::INFO, b"\0\x01disk".to_vec()));
    let sizes = [1_u32, 4096, 32 << 20].map(u32::to_be_bytes).concat();
    assert_eq!(client.reply(option::INFO), (reply::INFO, [&[0, 3], &sizes[..]].concat()));
    assert_eq!(client.reply(option::INFO), (reply::ACK, vec![]));
    for garbled in [vec![], named("disk"), vec![0, 0, 0, 9, 1], [named("disk"), vec![0, 1]].concat()] {
        assert_eq!(client.ask(option::INFO, &garbled).0, reply::ERR_INVALID);
    }
}

#[test]
fn the_oldest_way_to_choose_works_with_and_without_its_zeros() {
    for (flags, zeros) in [(3_u32, 0), (1, 124), (0, 124)] {
        let mut client = Client(Client::silent(&one(disk()), rules()));
        client.take(18);
        client.0.write_all(&flags.to_be_bytes()).unwrap();
        client.0.write_all(&option_of(option::EXPORT_NAME, b"disk")).unwrap();
        assert_eq!(u64::from_be_bytes(client.number()), DISK);
        assert_eq!(client.take(2 + zeros)[2..], vec![0; zeros]);
        client.request(command::READ, 0, DISK - 4, 4);
        assert_eq!((client.simple_error(), client.take(4)), (0, b"6789".to_vec()));
    }
    let mut client = Client::of(&one(disk()));
    client.0.write_all(&option_of(option::EXPORT_NAME, b"disc")).unwrap();
    assert!(client.is_closed());
}

#[test]
fn the_empty_name_is_the_only_export_and_else_a_question_for_one() {
    let asked = [named(""), vec![0, 0]].concat();
    assert_eq!(Client::of(&one(disk())).ask(option::INFO, &asked).0, reply::INFO);
    let two = exports(vec![Artifact::ready("a", disk()), Artifact::ready("b", disk())]);
    let mut client = Client::of(&two);
    let text = |reply: (u32, Vec<u8>)| (reply.0, String::from_utf8(reply.1).unwrap());
    let told = text(client.ask(option::GO, &asked));
    assert_eq!(told, (reply::ERR_UNKNOWN, "an export is to be named; there are a, b".to_owned()));
    let told = text(client.ask(option::GO, &[named("c\x1b"), vec![0, 0]].concat()));
    assert_eq!(told, (reply::ERR_UNKNOWN, "there is no export `c\\x1b`; there are a, b".to_owned()));
}

#[test]
fn an_artifact_that_cannot_be_made_is_refused_with_the_reason() {
    let why = || Err(ReadError::new(ErrorKind::Unsupported, "a file is over 4 GiB"));
    let mut client = Client::of(&exports(vec![Artifact::new("disk", why)]));
    let told = client.ask(option::GO, &[named("disk"), vec![0, 0]].concat());
    assert_eq!(told, (reply::ERR_UNKNOWN, b"a file is over 4 GiB".to_vec()));
    assert_eq!(client.ask(option::LIST, &[]), (reply::SERVER, named("disk")));
}

#[test]
fn metadata_contexts_are_listed_and_chosen_for_one_export() {
    let mut client = Client::of(&one(disk()));
    let asked = |name: &str, queries: &[&str]| {
        let count = u32::try_from(queries.len()).unwrap().to_be_bytes();
        [named(name), count.to_vec(), queries.iter().flat_map(|query| named(query)).collect()].concat()
    };
    let set = asked("disk", &["base:allocation"]);
    assert_eq!(client.ask(option::SET_META_CONTEXT, &set).0, reply::ERR_INVALID);
    assert_eq!(client.ask(option::STRUCTURED_REPLY, &[]).0, reply::ACK);
    let context = (reply::META_CONTEXT, [&[0; 4][..], b"base:allocation"].concat());
    for queries in [&[][..], &["base:"], &["x:y", "base:allocation"]] {
        assert_eq!(client.ask(option::LIST_META_CONTEXT, &asked("disk", queries)), context);
        assert_eq!(client.reply(option::LIST_META_CONTEXT).0, reply::ACK);
    }
    assert_eq!(client.ask(option::LIST_META_CONTEXT, &asked("disk", &["x:y"])).0, reply::ACK);
    assert_eq!(client.ask(option::SET_META_CONTEXT, &asked("disk", &["base:"])).0, reply::ACK);
    assert_eq!(client.ask(option::SET_META_CONTEXT, &asked("disc", &["base:"])).0, reply::ERR_UNKNOWN);
    for garbled in [named("disk"), asked("disk", &["x"])[..10].to_vec(), [asked("disk", &[]), vec![0]].concat()] {
        assert_eq!(client.ask(option::SET_META_CONTEXT, &garbled).0, reply::ERR_INVALID);
    }
    let mut client = client.go();
    client.request(command::BLOCK_STATUS, 0, 0, 10);
    assert_eq!(client.failure(), (error::EINVAL, "`base:allocation` was not chosen in the handshake".to_owned()));
}

#[test]
fn prop_reads_of_any_length_are_what_the_export_holds() {
    let mut whole = vec![0; usize::try_from(DISK).unwrap()];
    disk().read_at(&mut whole, 0).unwrap();
    let ranges = [(0, 1), (5, 4096), (0, 256 << 10), (1, 300_000), (599_000, 2000), (0, 1_648_586), (700_000, 500_000)];
    let (mut simple, mut structured) = (Client::simple(&one(disk())), Client::structured(&one(disk())));
    for (offset, length) in ranges {
        let expected = &whole[offset..offset + length];
        let (offset, length) = (offset as u64, u32::try_from(length).unwrap());
        simple.request(command::READ, 0, offset, length);
        assert_eq!(simple.simple_error(), 0);
        assert!(simple.take(expected.len()) == expected);
        structured.request(command::READ, 0, offset, length);
        let mut read = vec![0xff; expected.len()];
        loop {
            let Chunk { flags, kind, cookie, payload } = structured.chunk();
            assert_eq!(cookie, offset);
            let at = usize::try_from(u64::from_be_bytes(payload[..8].try_into().unwrap()) - offset).unwrap();
            match kind {
                chunk::OFFSET_DATA => read[at..at + payload.len() - 8].copy_from_slice(&payload[8..]),
                _ => {
                    assert_eq!(kind, chunk::OFFSET_HOLE);
                    let len = u32::from_be_bytes(payload[8..].try_into().unwrap()) as usize;
                    read[at..at + len].fill(0);
                }
            }
            if flags == DONE {
                break;
            }
        }
        assert!(read == expected, "{length} bytes at {offset}");
    }
}

#[test]
fn a_hole_is_one_chunk_and_one_range() {
    let mut client = Client::with_holes(&one(disk()));
    for (offset, length) in [(700_000_u64, 4096_u32), (600_000, 1 << 20)] {
        client.request(command::READ, 0, offset, length);
        let payload = [&offset.to_be_bytes()[..], &length.to_be_bytes()].concat();
        assert_eq!(client.chunk(), Chunk { flags: DONE, kind: chunk::OFFSET_HOLE, cookie: offset, payload });
    }
    let ranges = |ranges: &[u32]| [1].iter().chain(ranges).flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>();
    client.request(command::BLOCK_STATUS, 0, 0, 1_648_586);
    assert_eq!(client.chunk().payload, ranges(&[600_000, 0, 1 << 20, 3, 10, 0]));
    client.request(command::BLOCK_STATUS, wire::REQ_ONE, 599_999, 8192);
    assert_eq!(client.chunk().payload, ranges(&[1, 0]));
    client.request(command::READ, wire::DF, 599_000, 2000);
    let Chunk { flags, kind, payload, .. } = client.chunk();
    assert_eq!((flags, kind, payload.len()), (DONE, chunk::OFFSET_DATA, 2008));
    client.request(command::READ, wire::DF, 0, 600_000);
    assert_eq!(client.failure().0, error::EOVERFLOW);
}

#[test]
fn what_is_no_read_is_answered_or_refused_and_the_connection_goes_on() {
    let rows = [
        (command::WRITE, 0, 0, 8, error::EPERM),
        (command::TRIM, 0, 0, 8, error::EPERM),
        (command::WRITE_ZEROES, 0, 0, 8, error::EPERM),
        (command::READ, 0, DISK, 1, error::EINVAL),
        (command::READ, 0, DISK - 1, 2, error::EINVAL),
        (command::READ, 0, u64::MAX, u32::MAX, error::EINVAL),
        (command::READ, 0, 0, 0, error::EINVAL),
        (command::READ, 0, 0, (32 << 20) + 1, error::EINVAL),
        (command::READ, 1 << 15, 0, 1, error::EINVAL),
        (command::CACHE, 0, DISK, 1, error::EINVAL),
        (8, 0, 0, 1, error::EINVAL),
        (u16::MAX, 0, 0, 1, error::EINVAL),
        (command::FLUSH, 0, 0, 0, 0),
        (command::CACHE, 0, 0, 4096, 0),
    ];
    let (mut simple, mut structured) = (Client::simple(&one(disk())), Client::structured(&one(disk())));
    for (command, flags, offset, length, error) in rows {
        for client in [&mut simple, &mut structured] {
            client.request(command, flags, offset, length);
            if command == command::WRITE {
                client.0.write_all(&[7; 8]).unwrap();
            }
        }
        assert_eq!(simple.simple_error(), error, "{command}");
        if error == 0 {
            assert_eq!(structured.chunk(), Chunk { flags: DONE, kind: chunk::NONE, cookie: offset, payload: vec![] });
        } else {
            assert_eq!(structured.failure().0, error, "{command}");
        }
    }
    structured.request(command::DISC, 0, 0, 0);
    assert!(structured.is_closed());
}

/// A source whose first 4 KiB wait until a gate opens, and whose last ones fail.
struct Troubled {
    gate: Mutex<Gate<()>>,
    broken_from: u64,
}

impl Source for Troubled {
    fn size(&self) -> u64 {
        DISK
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        if offset < 4096 {
            self.gate.lock().unwrap().recv().unwrap();
        }
        if offset >= self.broken_from {
            return Err(ReadError::new(ErrorKind::Corrupt, "bytes are not what they were"));
        }
        buf.fill(1);
        Ok(())
    }
}

fn troubled(broken_from: u64) -> (Opener<()>, Exports) {
    let (opener, gate) = channel();
    (opener, one(Arc::new(Troubled { gate: Mutex::new(gate), broken_from })))
}

#[test]
fn a_slow_read_holds_up_no_other_of_its_connection() {
    let (opener, exports) = troubled(DISK);
    let mut client = Client::structured(&exports);
    client.request(command::READ, 0, 0, 1);
    for offset in [5000, 6000, 7000] {
        client.request(command::READ, 0, offset, 1);
        assert_eq!(client.chunk().cookie, offset);
    }
    opener.send(()).unwrap();
    assert_eq!(client.chunk().cookie, 0);
}

#[test]
fn clients_that_read_no_reply_hold_up_no_other() {
    let exports = one(disk());
    let deaf = |_| {
        let mut client = Client::structured(&exports);
        // More than the buffers of a socket take; the requests themselves fit.
        (0..200).for_each(|_| client.request(command::READ, 0, 0, 600_000));
        client
    };
    let _deaf: Vec<Client> = (0..40).map(deaf).collect();
    let mut other = Client::structured(&exports);
    for at in [0, 4096, 500_000] {
        other.request(command::READ, 0, at, 4096);
        let expected = &numbers(600_000)[usize::try_from(at).unwrap()..][..4096];
        assert_eq!(other.chunk().payload, [&at.to_be_bytes()[..], expected].concat());
    }
}

#[test]
fn a_client_that_has_ended_is_still_replied_to() {
    let (opener, exports) = troubled(DISK);
    let mut client = Client::structured(&exports);
    client.request(command::READ, 0, 0, 1);
    client.request(command::DISC, 0, 0, 0);
    opener.send(()).unwrap();
    assert_eq!(client.chunk().cookie, 0);
    assert!(client.is_closed());
}

#[test]
fn a_read_that_fails_is_an_error_with_its_reason_and_place() {
    let (_opener, exports) = troubled(1 << 20);
    let mut client = Client::structured(&exports);
    client.request(command::READ, 0, 1 << 20, 4096);
    assert_eq!(client.failure(), (error::EIO, "bytes are not what they were".to_owned()));
    client.request(command::READ, 0, (1 << 20) - (256 << 10), 300_000);
    assert_eq!(client.chunk().flags, 0);
    let Chunk { flags, kind, payload, .. } = client.chunk();
    assert_eq!((flags, kind), (DONE, chunk::ERROR_OFFSET));
    assert_eq!(payload[payload.len() - 8..], (1_u64 << 20).to_be_bytes());
    let mut client = Client::simple(&exports);
    client.request(command::READ, 0, 1 << 20, 4096);
    assert_eq!(client.simple_error(), error::EIO);
    client.request(command::READ, 0, (1 << 20) - (256 << 10), 300_000);
    assert_eq!(client.simple_error(), 0);
    client.take(256 << 10);
    // A simple reply that has begun can tell of no error.
    assert!(client.is_closed());
}

/// A source that panics.
struct Panicking;

impl Source for Panicking {
    fn size(&self) -> u64 {
        DISK
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> Result<(), ReadError> {
        std::panic::resume_unwind(Box::new("on purpose"))
    }
}

#[test]
fn a_panic_ends_the_connection_that_it_is_in() {
    let mut client = Client::structured(&one(Arc::new(Panicking)));
    client.request(command::READ, 0, 0, 1);
    assert!(client.is_closed());
}

#[test]
fn a_client_that_breaks_the_rules_is_let_go() {
    let flags = 3_u32.to_be_bytes();
    let after_go = |bytes: &[u8]| {
        let go = option_of(option::GO, &[named("disk"), vec![0, 0]].concat());
        [&flags[..], &go, bytes].concat()
    };
    let rows: [(&str, Vec<u8>); 10] = [
        ("it is silent and goes", vec![]),
        ("flags that are not known", 4_u32.to_be_bytes().to_vec()),
        ("more of them", (1_u32 << 16).to_be_bytes().to_vec()),
        ("half of an option", [&flags[..], b"IHAVE"].concat()),
        ("no option", [&flags[..], &[0; 16]].concat()),
        ("an endless option", [&flags[..], b"IHAVEOPT", &[0xff; 8]].concat()),
        ("less data than it says", [&flags[..], &option_of(option::GO, &[0; 9])[..20]].concat()),
        ("options without end", [&flags[..], &option_of(99, &[]).repeat(1000)].concat()),
        ("no request", after_go(&[0; 28])),
        ("an endless write", after_go(&request_of(command::WRITE, 0, 0, (32 << 20) + 1))),
    ];
    for (what, bytes) in rows {
        let mut stream = Client::silent(&one(disk()), rules());
        let mut writer = stream.try_clone().unwrap();
        // Written by another thread: replies have to be read meanwhile. Whether all could be written does not matter.
        let writer = thread::spawn(move || {
            let _ = writer.write_all(&bytes);
            let _ = writer.shutdown(std::net::Shutdown::Write);
        });
        let mut said = Vec::new();
        let ended = stream.read_to_end(&mut said);
        assert!(said.len() >= 18 && said.len() < 1 << 20, "{what}: {} bytes, {ended:?}", said.len());
        writer.join().unwrap();
    }
}

#[test]
fn a_client_that_does_not_choose_in_time_is_let_go() {
    let limits = Limits { handshake: Duration::from_millis(50), ..Limits::default() };
    let mut silent = Client::silent(&one(disk()), Rules { limits, ..rules() });
    let mut said = Vec::new();
    silent.read_to_end(&mut said).unwrap();
    assert_eq!(said.len(), 18);
    // One that has chosen may take its time.
    let limits = Limits { handshake: Duration::from_secs(20), ..limits };
    let mut client = Client(Client::silent(&one(disk()), Rules { limits, ..rules() }));
    client.take(18);
    client.0.write_all(&3_u32.to_be_bytes()).unwrap();
    let mut client = client.go();
    client.request(command::FLUSH, 0, 0, 0);
    assert_eq!(client.simple_error(), 0);
}

#[test]
fn a_client_beyond_the_limit_is_turned_away_and_the_end_of_the_server_ends_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = OwnedFd::from(UnixListener::bind(&path).unwrap());
    let limits = Limits { connections: 1, ..Limits::default() };
    let (stopper, stop) = Stop::pair().unwrap();
    let server = thread::spawn(move || serve(&listener, &one(disk()), &Rules { limits, ..rules() }, &stop));
    let mut first = Client(UnixStream::connect(&path).unwrap());
    first.take(18);
    assert!(is_at_end(&mut UnixStream::connect(&path).unwrap()));
    first.0.write_all(&3_u32.to_be_bytes()).unwrap();
    let mut first = first.go();
    first.request(command::FLUSH, 0, 0, 0);
    assert_eq!(first.simple_error(), 0);
    drop(stopper);
    server.join().unwrap().unwrap();
    assert!(first.is_closed());
}

#[test]
fn tls_is_refused_where_there_is_no_certificate() {
    let mut client = Client::of(&one(Arc::new(Bytes([].into()))));
    assert_eq!(client.ask(option::STARTTLS, &[]).0, reply::ERR_POLICY);
    assert_eq!(client.ask(99, &[]).0, reply::ERR_UNSUP);
}
