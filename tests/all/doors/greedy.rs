//! Clients that take more than their share, and one more that still gets its own.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};

use lkit::base::Digest;
use lkit::extent::{ReadError, Source, Zeros};
use lkit::output::Artifact;
use lkit::serve::Generation;

use super::server::{LARGE, LIMIT, Server, body, status};

/// Sends questions for a path, one behind the other, and reads no answer.
fn deaf(server: &Server, path: &str, questions: usize) -> TcpStream {
    let mut stream = server.connect();
    let question = format!("GET {path} HTTP/1.1\r\nHost: t\r\nRange: bytes=0-1048575\r\n\r\n");
    stream.write_all(question.repeat(questions).as_bytes()).unwrap();
    stream
}

/// A source that answers nobody before it is opened, and counts those who wait.
#[derive(Default)]
struct Stalled {
    /// How many wait, and whether it is open.
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Stalled {
    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    fn wait_for(&self, readers: usize) {
        let state = self.state.lock().unwrap();
        let (state, waited) = self.changed.wait_timeout_while(state, LIMIT, |(waiting, _)| *waiting < readers).unwrap();
        assert!(!waited.timed_out(), "{} of {readers} read", state.0);
    }
}

impl Source for Stalled {
    fn size(&self) -> u64 {
        LARGE
    }

    fn read_at(&self, buf: &mut [u8], _: u64) -> Result<(), ReadError> {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |(_, is_open)| !*is_open).unwrap());
        buf.fill(1);
        Ok(())
    }
}

fn generation(stalled: &Arc<Stalled>) -> Generation {
    let artifacts = vec![Artifact::ready("stalled", stalled.clone()), Artifact::ready("large", Arc::new(Zeros(LARGE)))];
    Generation::new(artifacts, Digest::of(b""))
}

fn gets_4_kib(server: &Server) {
    let answer = server.get("/large", "Range: bytes=8192-12287\r\n");
    assert_eq!((status(&answer), body(&answer).len()), ("206", 4096));
}

#[test]
fn clients_that_read_nothing_and_ask_for_thousands_of_ranges_hold_up_no_other() {
    let stalled = Arc::default();
    let server = Server::http(generation(&stalled));
    let _deaf: Vec<_> = (0..200).map(|_| deaf(&server, "/large", 1)).collect();
    let _greedy: Vec<_> = (0..5).map(|_| deaf(&server, "/large", 300)).collect();
    (0..20).for_each(|_| gets_4_kib(&server));
}

#[test]
fn reads_that_wait_for_a_registry_hold_up_no_other() {
    let stalled: Arc<Stalled> = Arc::default();
    let server = Server::http(generation(&stalled));
    let _waiting: Vec<_> = (0..200).map(|_| deaf(&server, "/stalled", 1)).collect();
    stalled.wait_for(200);
    gets_4_kib(&server);
    assert_eq!(status(&server.get("/", "")), "200");
    stalled.open();
    let answer = server.get("/stalled", "Range: bytes=5-8\r\n");
    assert_eq!(body(&answer), "\u{1}\u{1}\u{1}\u{1}");
}
