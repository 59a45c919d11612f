//! Parts of blobs: from the registry, from where it redirects to, and from servers that know no ranges or get them wrong.

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lkit::base::{Digest, ErrorKind, Fault as _};
use lkit::blob::{self, Fetch, Store};
use lkit::oci::{CredentialPlace, Credentials, Descriptor, Options, Resolver, Timeouts};

use super::{reference, resolver};
use crate::common::scripted::{Answer, Request, Rest, Scripted};

const SIZE: usize = 3_000_000;

fn content() -> Vec<u8> {
    (0..SIZE).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect()
}

fn fetcher(server: &Scripted, options: Options) -> Arc<dyn Fetch> {
    // Nothing is kept of a range that is read.
    let dir = tempfile::tempdir().unwrap();
    resolver(dir.path(), &[], options).fetcher(&reference(&format!("{}/a/b", server.host)))
}

fn read(fetch: &dyn Fetch, start: u64, end: u64) -> Result<Vec<u8>, blob::Error> {
    let digest = Digest::of(&content());
    let mut bytes = Vec::new();
    let mut stream = fetch.read_range(&digest, start..end)?;
    stream.read_to_end(&mut bytes).map_err(|error| blob::Error::from_stream(&digest, error))?;
    Ok(bytes)
}

/// Reads these ranges one after the other, and finds the right bytes.
fn read_all(fetch: &dyn Fetch, ranges: &[(usize, usize)]) {
    for (start, end) in ranges {
        let bytes = read(fetch, *start as u64, *end as u64).unwrap();
        assert!(bytes == content()[*start..*end], "{start}..{end}");
    }
}

#[test]
fn a_whole_blob_is_asked_for_without_a_range() {
    let server = Scripted::start(|request, _| Answer::part_of(&content(), request));
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path(), &[]).unwrap());
    let fetch = Resolver::new(store.clone(), Options::default()).fetcher(&reference(&format!("{}/a/b", server.host)));
    store.obtain(&Descriptor::new("", Digest::of(&content()), SIZE as u64), &*fetch).unwrap();
    let asked: Vec<_> = server.asked("blobs").iter().map(Request::range).collect();
    assert_eq!(asked, [None]);
}

/// A registry for `user` with the password `secret` that redirects to a storage, by a URL with a new signature each time;
/// the storage is asked for the n-th time with a signature, and answers as `answer` says.
fn redirecting(answer: impl Fn(usize, usize) -> Option<u16> + Send + Sync + 'static) -> (Scripted, Scripted, Options) {
    let storage = Scripted::start(move |request, before| {
        let signature = request.path.split_once("?sig=").unwrap().1.parse().unwrap();
        match answer(signature, before) {
            Some(status) => Answer::new(status, "signature expired"),
            None => Answer::part_of(&content(), request),
        }
    });
    let host = storage.host.clone();
    let registry = Scripted::start(move |request, before| match request.headers.get("authorization") {
        None => Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"r\""),
        Some(_) if request.path == "/v2/" => Answer::new(200, "{}"),
        Some(_) => Answer::new(307, "").header("Location", format!("http://{host}/storage/blob?sig={before}")),
    });
    // user:secret
    let text = format!(r#"{{"auths":{{"{}":{{"auth":"dXNlcjpzZWNyZXQ="}}}}}}"#, registry.host);
    let credentials = Credentials::of(vec![CredentialPlace::Text("text", text)]);
    (registry, storage, Options { credentials, ..Options::default() })
}

#[test]
fn the_place_that_a_redirect_led_to_is_asked_for_the_next_range() {
    let (registry, storage, options) = redirecting(|_, _| None);
    read_all(&*fetcher(&registry, options), &[(5, 10), (1_000_000, 2_000_000), (0, 7)]);
    assert_eq!((registry.asked("blobs").len(), storage.asked("blob").len()), (1, 3));
    for request in storage.asked("blob") {
        assert!(!request.headers.contains_key("authorization"), "a password is told to another server");
    }
}

#[test]
fn a_place_whose_signature_has_expired_is_asked_for_once_more() {
    for status in [401, 403, 404, 500] {
        let (registry, storage, options) = redirecting(move |sig, before| (sig == 0 && before > 0).then_some(status));
        read_all(&*fetcher(&registry, options), &[(5, 10), (10, 15), (15, 20)]);
        let signatures: Vec<_> = storage.asked("blob").into_iter().map(|request| request.path).collect();
        assert_eq!(signatures, [0, 0, 1, 1].map(|sig| format!("/storage/blob?sig={sig}")), "{status}");
        assert_eq!(registry.asked("blobs").len(), 2, "{status}");
    }
    let (registry, storage, options) = redirecting(|sig, before| (sig > 0 || before > 0).then_some(403));
    let fetch = fetcher(&registry, options);
    read_all(&*fetch, &[(5, 10)]);
    let error = read(&*fetch, 10, 15).unwrap_err();
    assert_eq!((error.kind(), registry.asked("blobs").len(), storage.asked("blob").len()), (ErrorKind::Denied, 2, 3));
    assert!(!format!("{error:?}").contains("sig="), "{error:?}");
}

#[test]
fn a_server_that_knows_no_ranges_is_read_in_order_once() {
    let server = Scripted::start(|_, _| Answer::new(200, content()));
    let fetch = fetcher(&server, Options::default());
    read_all(&*fetch, &[(5, 10), (10, 1_000_000), (1_500_000, 2_500_000), (SIZE - 5, SIZE)]);
    assert_eq!(server.asked("blobs").len(), 1);
    // What has passed is sent again.
    read_all(&*fetch, &[(2_000_000, 2_000_005), (0, 5), (5, 10), (2_000_005, 2_000_010)]);
    assert_eq!(server.asked("blobs").len(), 3);
}

#[test]
fn a_range_in_parts_is_gone_on_with() {
    let server = Scripted::start(|request, _| {
        let (start, end) = request.range().unwrap();
        let end = end.min(start + 400_000);
        Answer::new(206, &content()[start..end]).header("Content-Range", format!("bytes {start}-{}/{SIZE}", end - 1))
    });
    read_all(&*fetcher(&server, Options::default()), &[(7, 1_000_000)]);
    assert_eq!(server.asked("blobs").len(), 3);
}

#[test]
fn damage_other_bytes_than_those_that_were_asked_for_are_not_handed_on() {
    let ranges = ["11-19/3000000", "0-9/3000000", "10-20/3000000", "10-19/15", "9-19/3000000", "*/3000000", "x"];
    for range in ranges {
        let server = Scripted::start(move |_, _| {
            Answer::new(206, &content()[10..20]).header("Content-Range", format!("bytes {range}"))
        });
        let error = read(&*fetcher(&server, Options::default()), 10, 20).unwrap_err();
        assert_eq!((error.kind(), server.asked("blobs").len()), (ErrorKind::Corrupt, 1), "{range}");
    }
    for (status, body) in [(200, &b"short"[..]), (206, b"short"), (206, b"longer than that")] {
        let server = Scripted::start(move |_, _| Answer::new(status, body));
        let error = read(&*fetcher(&server, Options::default()), 10, 20).unwrap_err();
        assert_eq!((error.kind(), server.asked("blobs").len()), (ErrorKind::Corrupt, 1), "{status}");
    }
}

/// Docker's registry 2.8 announces the blob in front of 33 bytes of text.
#[test]
fn what_is_said_to_follow_a_refused_range_is_not_waited_for() {
    let server = Scripted::start(|_, _| Answer::new(416, "no such range").claiming(SIZE).then(Rest::Silence));
    let timeouts = Timeouts { silence: Duration::from_secs(300), ..Timeouts::default() };
    let begin = Instant::now();
    let error = read(&*fetcher(&server, Options { timeouts, ..Options::default() }), 10, 20).unwrap_err();
    assert_eq!((error.kind(), server.asked("blobs").len()), (ErrorKind::Corrupt, 1));
    assert!(begin.elapsed() < Duration::from_secs(100));
}
