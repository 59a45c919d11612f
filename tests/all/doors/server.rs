//! Servers in this process, and what they serve.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use lkit::base::{Digest, ErrorKind, MIB, Metadata};
use lkit::extent::{Bytes, ReadError, SharedSource, Source, Zeros};
use lkit::output::{Artifact, Catalog, Enclave, System};
use lkit::serve::http::{self, Limits, Rules};
use lkit::serve::{Exports, Generation, Stop, Stopper};
use lkit::tree::{Node, TreeBuilder};

use crate::common::source::Pattern;

/// Size of the file `plain`, in bytes: some pieces and a part of one.
pub const SIZE: u64 = 3 * MIB + 77;
/// Whoever waits this long for what is to happen has waited in vain.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A source whose second half cannot be read.
pub struct Damaged(pub u64);

impl Source for Damaged {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_at(&self, _: &mut [u8], offset: u64) -> Result<(), ReadError> {
        match offset < self.0 / 2 {
            true => Ok(()),
            false => Err(ReadError::new(ErrorKind::Corrupt, "a piece does not match its digest")),
        }
    }
}

/// What `plain` holds.
pub fn plain() -> SharedSource {
    Pattern::shared(7, SIZE)
}

/// Files with and without faults.
pub fn generation() -> Generation {
    let missing = |kind| move || Err(ReadError::new(kind, "a layer is missing"));
    let artifacts = vec![
        Artifact::ready("plain", plain()),
        Artifact::ready("empty", Arc::new(Bytes([].into()))),
        Artifact::ready("a <b>&'\".img", Arc::new(Bytes(b"odd"[..].into()))),
        Artifact::ready("damaged", Arc::new(Damaged(8 * MIB))),
        Artifact::new("too-large", missing(ErrorKind::Unsupported)),
        Artifact::new("far", missing(ErrorKind::Unreachable)),
    ];
    Generation::new(artifacts, Digest::of(b"seed"))
}

/// Size of the file `large`, in bytes: more than all buffers between a server and its client take.
pub const LARGE: u64 = 1 << 30;

/// One file that is large.
pub fn large() -> Generation {
    Generation::new(vec![Artifact::ready("large", Arc::new(Zeros(LARGE)))], Digest::of(b""))
}

/// A system whose kernel and initrd come out of a catalog.
pub fn system(kernel: SharedSource) -> Generation {
    let mut tree = TreeBuilder::new();
    tree.insert(b"etc/motd", Node::Generated(Metadata::file(), &b"hello ".repeat(200_000))).unwrap();
    Generation::of(&Catalog::new(
        "sys",
        System {
            kernel: Some(kernel),
            cmdline: Some(b"console=ttyS0".to_vec()),
            microcode: None,
            tree: Arc::new(tree.finish()),
            gunzip: None,
            systemd_boot: None,
            isolinux: None,
            root: None,
            enclave: Enclave::default(),
            board: None,
            disk_size: 0,
            data_size: 0,
            seed: Digest::of(b"system"),
        },
    ))
}

/// A server on a thread, which ends with this.
pub struct Server {
    pub address: SocketAddr,
    pub exports: Exports,
    stopper: Option<Stopper>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn http(generation: Generation) -> Self {
        Self::with(generation, Rules::default())
    }

    pub fn limited(generation: Generation, limits: Limits) -> Self {
        Self::with(generation, Rules { limits, ..Rules::default() })
    }

    pub fn with(generation: Generation, rules: Rules) -> Self {
        let exports = Exports::new(generation);
        let served = exports.clone();
        Self::start(exports, move |listener, stop| http::serve(listener, &served, &rules, stop))
    }

    /// The files of a directory.
    pub fn directory(root: &Path) -> Self {
        let directory = http::Directory::open(root.to_owned()).unwrap();
        let nothing = Exports::new(Generation::new(Vec::new(), Digest::of(b"")));
        Self::start(nothing, move |listener, stop| http::serve_directory(listener, directory, &Rules::default(), stop))
    }

    fn start(exports: Exports, serve: impl FnOnce(TcpListener, &Stop) -> io::Result<()> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stopper, stop) = Stop::pair().unwrap();
        let thread = std::thread::spawn(move || serve(listener, &stop).unwrap());
        Self { address, exports, stopper: Some(stopper), thread: Some(thread) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// A connection on which waiting in vain is an error.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    /// All that comes back for these bytes, until the server closes the connection.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        // A server that has heard enough may close before it has heard all.
        let _ = stream.write_all(request.as_ref());
        let mut answer = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "no end of the answer");
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The answer to GET of a path with more headers, each with its line feed.
    pub fn get(&self, path: &str, headers: &str) -> String {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stopper.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()), "the server panicked");
    }
}

/// The value of a header of an answer, whose name is in lower case.
pub fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The status of an answer.
pub fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

/// What follows the head of an answer.
pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}
