//! The TFTP door as its clients see it, and what it does with packets that are none.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use lkit::base::{Digest, ErrorKind, MIB};
use lkit::extent::{ReadError, SharedSource};
use lkit::output::Artifact;
use lkit::serve::tftp::{self, Limits};
use lkit::serve::{Exports, Generation, Stop, Stopper};

use super::server::{Damaged, LIMIT, generation, plain, system};
use crate::common::artifact::{Noise, scratch};
use crate::common::have;
use crate::common::source::{Pattern, bytes};

/// Every packet is sent at once again: nothing is lost here but on purpose.
const QUICK: Limits = Limits { transfers: 2, wait: Duration::from_millis(100), tries: 3, first_tries: 2 };

/// A server on a thread, which ends with this.
struct Server {
    address: SocketAddr,
    stopper: Option<Stopper>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(generation: Generation, limits: Limits) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (address, exports) = (socket.local_addr().unwrap(), Exports::new(generation));
        let (stopper, stop) = Stop::pair().unwrap();
        let thread = std::thread::spawn(move || tftp::serve(&socket, &exports, limits, &stop).unwrap());
        Self { address, stopper: Some(stopper), thread: Some(thread) }
    }

    fn url(&self, name: &str) -> String {
        format!("tftp://{}/{name}", self.address)
    }

    /// A client that sent this packet.
    fn client(&self, packet: &[u8]) -> Client {
        let client = Client { socket: UdpSocket::bind("127.0.0.1:0").unwrap(), server: self.address };
        client.socket.set_read_timeout(Some(LIMIT)).unwrap();
        client.say(packet);
        client
    }

    /// The first answer to a request.
    fn answer(&self, packet: &[u8]) -> Vec<u8> {
        self.client(packet).hear()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stopper.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()), "the server panicked");
    }
}

struct Client {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Client {
    fn say(&self, packet: &[u8]) {
        self.socket.send_to(packet, self.server).unwrap();
    }

    /// The next packet; what is said from now on goes to where it came from.
    fn hear(&self) -> Vec<u8> {
        self.hear_from().0
    }

    fn hear_from(&self) -> (Vec<u8>, SocketAddr) {
        let mut packet = vec![0; 66_000];
        let (len, from) = self.socket.recv_from(&mut packet).unwrap();
        packet.truncate(len);
        (packet, from)
    }
}

fn request(text: &str) -> Vec<u8> {
    [b"\0\x01", text.as_bytes()].concat()
}

fn curl(path: &Path, args: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "60", "-o"]).arg(path).args(args).output().unwrap()
}

#[test]
fn oracle_curl_gets_files_in_blocks_of_every_size() {
    if !have(&["curl"]) {
        return;
    }
    let (server, path) = (Server::start(generation(), Limits::default()), scratch("tftp-curl").join("file"));
    for block in ["8", "512", "1468", "65464"] {
        let name = if block == "8" { "a%20%3Cb%3E%26'%22.img" } else { "plain" };
        let output = curl(&path, &["--tftp-blksize", block, &server.url(name)]);
        let content = if block == "8" { b"odd".to_vec() } else { bytes(&plain()) };
        assert!(output.status.success() && fs::read(&path).unwrap() == content, "{block}: {output:?}");
    }
    assert!(curl(&path, &["--tftp-no-options", &server.url("plain")]).status.success());
    assert!(fs::read(&path).unwrap() == bytes(&plain()));
    // curl takes a size of 0 for an error.
    assert!(curl(&path, &["--tftp-no-options", &server.url("empty")]).status.success());
    // 68: no such file; 69: refused.
    assert_eq!(curl(&path, &[&server.url("nothing")]).status.code(), Some(68));
    assert_eq!(curl(&path, &["-T", "/etc/hostname", &server.url("plain")]).status.code(), Some(69));
}

#[test]
fn oracle_tftp_and_atftp_get_files() {
    if !have(&["tftp", "atftp"]) {
        return;
    }
    // More blocks than there are numbers.
    let large: SharedSource = Pattern::shared(3, 33 * MIB);
    let artifacts = vec![Artifact::ready("large.efi", large.clone())];
    let server = Server::start(Generation::new(artifacts, Digest::of(b"")), Limits::default());
    let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
    let path = scratch("tftp-tools").join("file");
    let file = path.to_str().unwrap();
    let rows = [
        ("tftp", vec!["-m", "binary", &host, &port, "-c", "get", "large.efi", file]),
        ("atftp", vec!["--option", "windowsize 16", "-g", "-r", "/large.efi", "-l", file, &host, &port]),
    ];
    for (program, args) in rows {
        let output = Command::new(program).args(&args).output().unwrap();
        assert!(output.status.success() && fs::read(&path).unwrap() == bytes(&large), "{program}: {output:?}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn options_are_agreed_on_before_the_first_block() {
    let server = Server::start(generation(), Limits::default());
    let client = server.client(&request("plain\0octet\0tsize\x000\0blksize\x001000\0windowsize\x002\0"));
    let (agreed, from) = client.hear_from();
    assert_eq!(agreed, b"\0\x06blksize\x001000\0tsize\x003145805\0windowsize\x002\0");
    let mut client = client;
    client.server = from;
    client.say(b"\0\x04\0\0");
    let content = bytes(&plain());
    for number in [1, 2] {
        let packet = client.hear();
        assert_eq!(packet[..4], [0, 3, 0, number]);
        let at = usize::from(number - 1) * 1000;
        assert!(packet[4..] == content[at..at + 1000]);
    }
    // The client lost the second block.
    client.say(b"\0\x04\0\x01");
    assert_eq!([client.hear(), client.hear()].map(|packet| packet[3]), [2, 3]);
    client.say(b"\0\x05\0\0enough\0");
}

#[test]
fn what_nobody_acknowledges_is_sent_again_a_few_times() {
    let server = Server::start(generation(), QUICK);
    let client = server.client(&request("plain\0octet\0"));
    let first = client.hear();
    assert_eq!((first.len(), client.hear() == first), (516, true));
    // It is given up then, and its place is free: the third client would wait for ever else.
    let others = [(); 3].map(|()| server.client(&request("plain\0octet\0tsize\x000\0")));
    let mut heard = 0;
    for (at, other) in others.iter().enumerate() {
        other.socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut packet = [0; 600];
        while other.socket.recv(&mut packet).is_err() {
            other.say(&request("plain\0octet\0tsize\x000\0"));
        }
        assert_eq!(packet[1], 6, "{at}");
        heard += 1;
    }
    assert_eq!(heard, 3);
}

#[test]
fn a_client_that_asks_twice_gets_one_transfer() {
    let server = Server::start(generation(), Limits::default());
    let mut client = server.client(&request("empty\0octet\0"));
    let (packet, from) = client.hear_from();
    assert_eq!(packet, b"\0\x03\0\x01");
    // The answer was on its way when it asked again.
    client.say(&request("empty\0octet\0"));
    let lobby = std::mem::replace(&mut client.server, from);
    client.say(b"\0\x04\0\x01");
    // Whoever asks after the end asks anew, so an answer comes, and it is from another port.
    client.server = lobby;
    client.socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut again = [0; 600];
    let from_new = loop {
        client.say(&request("empty\0octet\0"));
        match client.socket.recv_from(&mut again) {
            Ok((_, other)) if other != from => break other,
            _ => {}
        }
    };
    assert_ne!(from_new, from);
}

#[test]
fn what_cannot_be_had_is_told_with_the_reason() {
    let mut generation = generation();
    generation.artifacts.push(Artifact::ready("half", Arc::new(Damaged(1000))));
    let server = Server::start(generation, Limits::default());
    let rows: [(&[u8], &[u8]); 11] = [
        (b"\0\x01nothing\0octet\0", b"\0\x05\0\x01there is no `nothing` here\0"),
        (b"\0\x01../plain\0octet\0", b"\0\x05\0\x01there is no `../plain` here\0"),
        (b"\0\x01/etc/passwd\0octet\0", b"\0\x05\0\x01there is no `etc/passwd` here\0"),
        (b"\0\x01a\x1b[2J\0octet\0", b"\0\x05\0\x01there is no `a\\x1b[2J` here\0"),
        (b"\0\x01\0octet\0", b"\0\x05\0\x01there is no `` here\0"),
        (b"\0\x01plain\0netascii\0", b"\0\x05\0\0files are sent as they are: use the mode octet (binary)\0"),
        (b"\0\x02plain\0octet\0", b"\0\x05\0\x02files can be read here, and nothing else\0"),
        (b"\0\x01plain", b"\0\x05\0\x04the request cannot be understood\0"),
        (b"\0\x01too-large\0octet\0", b"\0\x05\0\0a layer is missing\0"),
        (b"\0\x01ipxe\0octet\0", b"\0\x05\0\0the spec has no kernel, so nothing can be booted\0"),
        (b"\0\x01half\0octet\0blksize\x00500\0", b"\0\x06blksize\x00500\0"),
    ];
    for (packet, answer) in rows {
        let heard = server.answer(packet);
        assert!(heard == answer, "{}", String::from_utf8_lossy(&heard));
    }
    let mut client = server.client(&request("half\0octet\0blksize\x00500\0"));
    client.server = client.hear_from().1;
    client.say(b"\0\x04\0\0");
    assert_eq!(client.hear()[..4], [0, 3, 0, 1]);
    client.say(b"\0\x04\0\x01");
    assert_eq!(client.hear(), b"\0\x05\0\0a piece does not match its digest\0");
}

#[test]
fn packets_that_are_none_are_ignored_and_others_are_served() {
    let server = Server::start(generation(), Limits::default());
    let noise: Vec<u8> = (0..1500_u32).map(|at| (at * 7919).to_le_bytes()[1]).collect();
    for len in (0..40).chain([512, 1024, 1025, 1500]) {
        for operation in [[0, 3], [0, 4], [0, 5], [0, 6], [255, 255]] {
            let packet = [&operation[..], &noise[..len]].concat();
            server.client(&packet[..packet.len().min(len)]);
        }
    }
    // Within a transfer, too.
    let mut client = server.client(&request("empty\0octet\0"));
    client.server = client.hear_from().1;
    for packet in [&b""[..], b"\0", b"\0\x04", b"\0\x04\xff\xff", b"\0\x03\0\x01x", b"\0\x01x\0octet\0", &noise] {
        client.say(packet);
    }
    // Somebody else's word does not count.
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    other.send_to(b"\0\x05\0\0stop\0", client.server).unwrap();
    assert_eq!(client.hear(), b"\0\x03\0\x01");
    client.say(b"\0\x04\0\x01");
    assert_eq!(server.answer(&request("empty\0octet\0")), b"\0\x03\0\x01");
}

#[test]
fn the_script_for_ipxe_names_files_beside_it() {
    let server = Server::start(system(Arc::new(Noise(MIB))), Limits::default());
    let script = "#!ipxe\nkernel kernel initrd=initrd.img console=ttyS0\ninitrd initrd.img\nboot\n";
    assert_eq!(server.answer(&request("boot.ipxe\0octet\0")), [b"\0\x03\0\x01", script.as_bytes()].concat());
    let far = Artifact::new("far", || Err(ReadError::new(ErrorKind::Unreachable, "x".repeat(900))));
    let server = Server::start(Generation::new(vec![far], Digest::of(b"")), Limits::default());
    assert_eq!(server.answer(&request("far\0octet\0")).len(), 505);
}

#[test]
fn a_server_that_ends_waits_for_no_client() {
    let server = Server::start(generation(), Limits { wait: Duration::from_secs(600), ..Limits::default() });
    let client = server.client(&request("plain\0octet\0"));
    client.hear();
    drop(server);
}
