//! Registries that send too much, too slowly, or nothing at all: bounded while it arrives, in memory and in time.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use lkit::base::{Digest, ErrorKind, Fault as _};
use lkit::blob;
use lkit::oci::{Options, Timeouts};
use serde_json::json;

use super::{reference, resolve, resolver, told};
use crate::common::measured::{Measured, can_measure, measured, measuring};
use crate::common::qemu::one_at_a_time;
use crate::common::scripted::{Answer, Request, Rest, Scripted};
use crate::common::{lkit, stderr};

/// Most resident memory of a run, in KiB. What is sent has no end, or 1 GiB.
const MOST_KIB: u64 = 100 << 10;
/// Far more than the runs take, and far less than the servers would.
const PATIENCE: Duration = Duration::from_secs(100);

/// Runs `lkit inspect` on an image of the server; it fails with `code`, within bounds. What it says.
fn inspected(name: &str, server: &Scripted, code: i32) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.yml"), format!("init: [{}/a/b:1]\n", server.host)).unwrap();
    let notes = dir.path().join("measured");
    let mut program = lkit(&dir.path().join("cache"));
    program.args(["inspect", "s.yml"]).current_dir(dir.path()).env("DOCKER_CONFIG", dir.path());
    let begin = Instant::now();
    let Measured { code: status, peak, output, .. } = measured(measuring(&program, &notes), &notes);
    let said = stderr(&output);
    eprintln!("{name}: exit {status}, {peak} KiB, {:?}", begin.elapsed());
    assert_eq!(status, code, "{name}: {said}");
    assert!(peak <= MOST_KIB, "{name}: {peak} KiB");
    assert!(begin.elapsed() < PATIENCE, "{name}: {:?}", begin.elapsed());
    assert!(said.contains("error: ") && !said.contains("panicked"), "{name}: {said}");
    let left = std::fs::read_dir(dir.path().join("cache/lkit/tmp")).unwrap().count();
    assert_eq!(left, 0, "{name}: nothing half is left");
    said
}

/// A manifest of an image whose config and layer are said to have these sizes.
fn manifest(config: usize, layer: usize) -> String {
    let described = |kind: &str, content: &[u8], size: usize| {
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "size": size,
               "digest": Digest::of(content).to_string()})
    };
    let config = described("config.v1+json", CONFIG.as_bytes(), config);
    json!({"schemaVersion": 2, "config": config, "layers": [described("layer.v1.tar", b"layer", layer)]}).to_string()
}

/// An image config for any platform, with one layer.
const CONFIG: &str =
    r#"{"rootfs":{"diff_ids":["sha256:0000000000000000000000000000000000000000000000000000000000000000"]}}"#;

/// A server of a good image, but for the answers to paths that hold `part`.
fn but(part: &'static str, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |request, _| match request.path.as_str() {
        path if path.contains(part) => answer(request),
        path if path.contains("manifests") => Answer::new(200, manifest(CONFIG.len(), 1000)),
        path if path.contains(&Digest::of(CONFIG.as_bytes()).to_string()) => {
            Answer::part_of(CONFIG.as_bytes(), request)
        }
        _ => Answer::new(404, ""),
    })
}

fn challenge(request: &Request) -> Answer {
    let realm = format!("Bearer realm=\"http://{}/token\"", request.headers["host"]);
    Answer::new(401, "{}").header("WWW-Authenticate", realm)
}

#[test]
fn what_never_ends_is_stopped_at_its_limit() {
    if !can_measure() {
        return;
    }
    let endless = |status, begin: &str| Answer::new(status, begin).then(Rest::Endless(b' '));
    let manifest = but("manifests", move |_| endless(200, "{\"schemaVersion\":2,"));
    assert!(inspected("a manifest", &manifest, 5).contains("it has over 8388608 bytes, which is the limit"));
    let long = but("manifests", move |_| endless(200, "{").claiming(1 << 30));
    assert!(inspected("a long manifest", &long, 5).contains("it has 1073741824 bytes, over the limit of 8388608"));
    let token = but("", move |request| match request.path.contains("token") {
        true => endless(200, "{\"token\":\""),
        false => challenge(request),
    });
    assert!(inspected("a token", &token, 4).contains("its token server sent no token: it has over 1048576 bytes"));
    let config = Digest::of(CONFIG.as_bytes()).to_string();
    let config = but(Box::leak(config.into_boxed_str()), move |_| endless(200, "{"));
    assert!(inspected("a config", &config, 5).contains("is corrupt: it has"));
    let layer = Digest::of(b"layer").to_string();
    let layer: &'static str = Box::leak(layer.into_boxed_str());
    assert!(inspected("a layer", &but(layer, move |_| endless(200, "x")), 5).contains("its descriptor says 1000"));
    let ranges = but(layer, move |_| endless(206, "x"));
    assert!(inspected("a range of a layer", &ranges, 5).contains("its descriptor says 1000"));
    assert!(
        inspected("the text of an error", &but("manifests", move |_| endless(404, "x")), 4).contains("has no `a/b:1`")
    );
    let fault = inspected("the text of a fault", &but("manifests", move |_| endless(500, "oops")), 4);
    assert!(fault.contains("answered: 500 oops"), "{fault}");
    inspected("headers", &but("manifests", move |_| Answer::new(200, "").then(Rest::Headers)), 4);
}

#[test]
fn entries_of_an_image_index_that_are_none_cost_no_memory() {
    if !can_measure() {
        return;
    }
    for entry in ["[],", "7,"] {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}0]}}"#, entry.repeat((8 << 20) / entry.len() - 20));
        let server = but("manifests", move |_| Answer::new(200, text.clone()));
        assert!(inspected("an index of nothing", &server, 4).contains("it is not made for"));
    }
}

#[test]
fn redirects_in_a_circle_end() {
    let server = but("", |request| {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        Answer::new(307, "").header("Location", format!("{path}?{query}x"))
    });
    if !can_measure() {
        return;
    }
    let said = inspected("a circle", &server, 4);
    assert!(said.contains("too many redirects"), "{said}");
    assert_eq!(server.asked("manifests").len(), 11);
}

#[test]
fn what_is_compressed_without_being_asked_for_is_decompressed_up_to_the_limit() {
    if !can_measure() {
        return;
    }
    // A quarter of a gigabyte of spaces.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    (0..1 << 8).for_each(|_| std::io::Write::write_all(&mut bomb, &[b' '; 1 << 20]).unwrap());
    let bomb = bomb.finish().unwrap();
    let server = but("manifests", move |_| Answer::new(200, bomb.clone()).header("Content-Encoding", "gzip"));
    let said = inspected("a bomb", &server, 5);
    assert!(said.contains("it has over 8388608 bytes, which is the limit"), "{said}");
    assert!(!server.asked("manifests")[0].headers.contains_key("accept-encoding"));
}

/// Options of somebody in a hurry.
fn hurried(timeouts: Timeouts) -> Options {
    Options { timeouts, ..Options::default() }
}

/// What resolving an image of the server comes to.
fn resolved(server: &Scripted, timeouts: Timeouts) -> (ErrorKind, String) {
    let dir = tempfile::tempdir().unwrap();
    let here = resolver(dir.path(), &[], hurried(timeouts));
    // A boot takes all processors, and answers would come too late.
    let _quiet = one_at_a_time();
    let begin = Instant::now();
    let error = resolve(&here, &format!("{}/a/b:1", server.host)).unwrap_err();
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    (error.kind(), told(&error))
}

#[test]
fn a_registry_that_says_nothing_is_not_waited_for_for_ever() {
    let timeouts = Timeouts { silence: Duration::from_millis(500), ..Timeouts::default() };
    let silent = but("manifests", |_| Answer::new(200, "{").then(Rest::Silence));
    let token = but("", |request| match request.path.contains("token") {
        true => Answer::new(200, "").then(Rest::Silence),
        false => challenge(request),
    });
    for server in [silent, token] {
        let (kind, said) = resolved(&server, timeouts);
        assert!(kind == ErrorKind::Unreachable && said.contains("no answer within 0 s"), "{said}");
        assert_eq!(server.asked("manifests").len(), 1, "a person waits");
    }
    // The text of an error is not worth the wait for it.
    let error = but("manifests", |_| Answer::new(404, "not").then(Rest::Silence));
    assert_eq!(resolved(&error, timeouts).0, ErrorKind::ImageNotFound);
}

#[test]
fn a_document_that_drips_has_its_time() {
    let timeouts = Timeouts { document: Duration::from_secs(1), ..Timeouts::default() };
    let manifest = but("manifests", |_| Answer::new(200, "{").then(Rest::Drip(b' ')));
    let (kind, said) = resolved(&manifest, timeouts);
    assert!(kind == ErrorKind::Unreachable && said.contains("no answer within 1 s"), "{said}");
    let head = but("manifests", |_| Answer::new(200, "").then(Rest::Headers).header("X", "y"));
    assert_eq!(resolved(&head, timeouts).0, ErrorKind::Unreachable);
}

/// How reading a blob of a thousand bytes from the server ends.
fn read(dir: &Path, server: &Scripted, timeouts: Timeouts) -> blob::Error {
    let here = resolver(dir, &[], hurried(timeouts));
    let fetch = here.fetcher(&reference(&format!("{}/a/b", server.host)));
    let digest = Digest::of(b"layer");
    let _quiet = one_at_a_time();
    let begin = Instant::now();
    let read = fetch.fetch(&digest, 0..1_000_000).and_then(|mut stream| {
        let read = stream.read_to_end(&mut Vec::new());
        read.map_err(|error| blob::Error::from_stream(&digest, error))
    });
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    read.unwrap_err()
}

#[test]
fn a_blob_that_drips_or_stops_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let quick = Duration::from_millis(300);
    let drips = but("blobs", |request| {
        let (start, end) = request.range().unwrap();
        Answer::new(206, "x").then(Rest::Drip(b'x')).claiming(end - start)
    });
    let error = read(dir.path(), &drips, Timeouts { progress: quick, ..Timeouts::default() });
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    let stops = but("blobs", |_| Answer::new(200, "x").then(Rest::Silence).claiming(1_000_000));
    let error = read(dir.path(), &stops, Timeouts { silence: quick, ..Timeouts::default() });
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    for server in [drips, stops] {
        assert_eq!(server.asked("blobs").len(), 5);
    }
}

#[test]
fn a_byte_for_each_connection_is_no_progress() {
    let dir = tempfile::tempdir().unwrap();
    let server = Scripted::start(|request, _| {
        let (start, end) = request.range().unwrap();
        Answer::new(206, "x").claiming(end - start)
    });
    let error = read(dir.path(), &server, Timeouts::default());
    assert_eq!((error.kind(), server.asked("blobs").len()), (ErrorKind::Unreachable, 5));
}
