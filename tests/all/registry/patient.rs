//! Readers that wait for servers that fail, where a pull gives up.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lkit::base::{Digest, Ending, ErrorKind, Fault as _};
use lkit::blob::{self, Fetch};
use lkit::oci::{Options, Timeouts};

use super::{reference, resolver};
use crate::common::registry::{DockerRegistry, Door};
use crate::common::scripted::{Answer, Request, Rest, Scripted};

/// Far more than a read takes, and far less than the time that a reader waits by default.
const SOON: Duration = Duration::from_secs(100);

const CONTENT: &[u8] = b"0123456789";

fn fetcher(server: &str, options: Options) -> Arc<dyn Fetch> {
    // Nothing is kept of a range that is read.
    let dir = tempfile::tempdir().unwrap();
    resolver(dir.path(), &[], options).fetcher(&reference(&format!("{server}/a/b")))
}

/// What a reader gets of bytes 2 to 5.
fn read(fetch: &dyn Fetch) -> Result<Vec<u8>, blob::Error> {
    let digest = Digest::of(CONTENT);
    let mut bytes = Vec::new();
    let mut stream = fetch.read_range(&digest, 2..5)?;
    stream.read_to_end(&mut bytes).map_err(|error| blob::Error::from_stream(&digest, error))?;
    Ok(bytes)
}

/// A server that gives the blob after `failures` answers of its own.
fn fails_first(failures: usize, fault: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Scripted {
    Scripted::start(
        move |request, before| {
            if before < failures { fault(request) } else { Answer::part_of(CONTENT, request) }
        },
    )
}

/// Options of a reader that waits for some time.
fn waiting(reader: Duration) -> Options {
    Options { timeouts: Timeouts { reader, ..Timeouts::default() }, ..Options::default() }
}

#[test]
fn a_reader_goes_on_asking_where_a_pull_gives_up() {
    let faults: [fn(&Request) -> Answer; 3] = [
        |_| Answer::new(500, "oops"),
        |_| Answer::new(206, "").claiming(3),
        |_| Answer::new(503, "").header("Retry-After", "0"),
    ];
    for fault in faults {
        let pulled = fetcher(&fails_first(6, fault).host, Options::default());
        let pulled = pulled.fetch(&Digest::of(CONTENT), 2..5).and_then(|mut stream| {
            let read = stream.read_to_end(&mut Vec::new());
            read.map_err(|error| blob::Error::from_stream(&Digest::of(CONTENT), error))
        });
        let server = fails_first(6, fault);
        assert_eq!(read(&*fetcher(&server.host, Options::default())).unwrap(), b"234");
        assert_eq!((server.asked("blobs").len(), pulled.unwrap_err().kind()), (7, ErrorKind::Unreachable));
    }
}

#[test]
fn a_reader_waits_for_a_registry_that_is_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut registry) = DockerRegistry::start(&dir.path().join("registry"), Door::Open) else { return };
    let mut layout = crate::common::layout::LayoutMaker::new(&dir.path().join("layout"));
    let image = layout.image("amd64", &[CONTENT]);
    layout.name("image", &image);
    registry.push(&layout.dir, "image", "a/b:1");
    let fetch = fetcher(&registry.host(), Options::default());
    registry.kill();
    let reader = {
        let fetch = Arc::clone(&fetch);
        std::thread::spawn(move || read(&*fetch))
    };
    let error = fetch.fetch(&Digest::of(CONTENT), 2..5).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "a person waits, and is told at once");
    registry.restart();
    assert_eq!(reader.join().unwrap().unwrap(), b"234");
}

#[test]
fn a_reader_asks_a_mirror_again_when_the_registry_has_gone_for_good() {
    let mirror = fails_first(1, |_| Answer::new(500, "").then(Rest::Nothing));
    let gone = crate::common::registry::free_port();
    let mirrors = vec![format!("127.0.0.1:{gone}=http://{}", mirror.host).parse().unwrap()];
    let fetch = fetcher(&format!("127.0.0.1:{gone}"), Options { mirrors, ..Options::default() });
    assert_eq!(read(&*fetch).unwrap(), b"234");
}

#[test]
fn a_reader_waits_no_longer_than_it_was_told() {
    let server = fails_first(usize::MAX, |_| Answer::new(500, "oops"));
    let begin = Instant::now();
    let error = read(&*fetcher(&server.host, waiting(Duration::from_secs(1)))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, format!("registry `{}` answered: 500 oops", server.host));
    assert!(server.asked("blobs").len() > 1 && begin.elapsed() < SOON);
    // One that wants to be asked when it is too late is not waited for.
    let later = fails_first(usize::MAX, |_| Answer::new(429, "").header("Retry-After", "120"));
    let error = read(&*fetcher(&later.host, waiting(Duration::from_secs(60)))).unwrap_err();
    assert_eq!((error.kind(), later.asked("blobs").len()), (ErrorKind::Unreachable, 1));
    assert!(begin.elapsed() < SOON);
}

#[test]
fn what_does_not_pass_by_itself_is_told_to_a_reader_at_once() {
    for (status, kind) in [(404, ErrorKind::ImageNotFound), (403, ErrorKind::Denied), (400, ErrorKind::Unreachable)] {
        let server = fails_first(usize::MAX, move |_| Answer::new(status, ""));
        let error = read(&*fetcher(&server.host, Options::default())).unwrap_err();
        assert_eq!((error.kind(), server.asked("blobs").len()), (kind, 1));
    }
}

#[test]
fn a_reader_waits_a_second_where_a_second_is_asked_for() {
    let server = fails_first(2, |_| Answer::new(429, "").header("Retry-After", "1"));
    let begin = Instant::now();
    assert_eq!(read(&*fetcher(&server.host, Options::default())).unwrap(), b"234");
    let waited = begin.elapsed();
    assert!(waited >= Duration::from_secs(2) && waited < Duration::from_secs(60), "{waited:?}");
}

#[test]
fn a_server_that_asks_for_patience_has_only_those_wait_who_ask_it() {
    let busy = fails_first(1, |_| Answer::new(503, "").header("Retry-After", "200"));
    let other = fails_first(0, |_| Answer::new(500, ""));
    let dir = tempfile::tempdir().unwrap();
    let here = resolver(dir.path(), &[], waiting(Duration::from_secs(100)));
    let [first, second, third] = [(&busy, "a/b"), (&busy, "c/d"), (&other, "a/b")]
        .map(|(server, name)| read(&*here.fetcher(&reference(&format!("{}/{name}", server.host)))));
    assert_eq!((first.unwrap_err().kind(), third.unwrap()), (ErrorKind::Unreachable, b"234".to_vec()));
    let cause = std::error::Error::source(&second.unwrap_err()).unwrap().to_string();
    assert!(cause.contains("it wants to be asked again in 19"), "{cause}");
    assert_eq!((busy.asked("a/b/blobs").len(), busy.asked("c/d").len()), (1, 0));
}

#[test]
fn a_reader_that_waits_is_let_go_when_the_program_ends() {
    let fails = fails_first(usize::MAX, |_| Answer::new(500, "oops"));
    let silent = fails_first(usize::MAX, |_| Answer::new(206, "2").then(Rest::Silence).claiming(3));
    for server in [fails, silent] {
        let flag = Arc::new(AtomicBool::new(false));
        let timeouts = Timeouts { silence: Duration::from_secs(300), ..Timeouts::default() };
        let options = Options { ending: Ending::when(flag.clone()), timeouts, ..Options::default() };
        let fetch = fetcher(&server.host, options);
        let begin = Instant::now();
        let reader = std::thread::spawn(move || read(&*fetch).unwrap_err());
        server.wait_for("blobs");
        flag.store(true, Ordering::SeqCst);
        reader.join().unwrap();
        assert!(begin.elapsed() < SOON);
    }
}
