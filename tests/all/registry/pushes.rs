//! What is put into registries: a real one, one in memory, and those that refuse.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lkit::base::{Digest, ErrorKind, Event, Fault as _, Silent};
use lkit::extent::{Bytes, ReadError, SharedSource, Source};
use lkit::oci::{CredentialPlace, Credentials, Descriptor, Options, PushError, Pushed, Pusher, Resolver, Timeouts};
use serde_json::json;

use super::{Notes, offline, reference, resolve, resolver};
use crate::common::registry::{DockerRegistry, Door};
use crate::common::scripted::{Answer, Request, Scripted};
use crate::common::shelf::{Lists, Shelf};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A descriptor of bytes, and the bytes to read from.
pub fn blob(bytes: &[u8]) -> (Descriptor, SharedSource) {
    let descriptor = Descriptor::new("application/octet-stream", Digest::of(bytes), bytes.len() as u64);
    (descriptor, Arc::new(Bytes(bytes.into())))
}

fn pusher(resolver: &Resolver, target: &str) -> Pusher {
    resolver.pusher(&reference(target), None).unwrap()
}

fn online() -> (tempfile::TempDir, Resolver) {
    let dir = tempfile::tempdir().unwrap();
    let resolver = resolver(&dir.path().join("cache"), &[], Options::default());
    (dir, resolver)
}

/// Message, cause and hint of an error.
fn told(error: &PushError) -> String {
    format!("{error}\n{}\n{}", error.problem, error.hint().unwrap_or_default())
}

/// An image of one layer: its manifest, and the blobs it needs.
fn image(layer: &[u8]) -> (String, Vec<Vec<u8>>) {
    let config = json!({"architecture": "amd64", "os": "linux",
                        "rootfs": {"type": "layers", "diff_ids": [Digest::of(layer).to_string()]}})
    .to_string();
    let descriptor = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "size": bytes.len(), "digest": Digest::of(bytes).to_string()});
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
                          "config": descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes()),
                          "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)]});
    (manifest.to_string(), vec![config.into_bytes(), layer.to_vec()])
}

#[test]
fn oracle_docker_registry_takes_an_image_and_no_blob_twice() {
    let (dir, resolver) = online();
    let Some(registry) = DockerRegistry::start(&dir.path().join("registry"), Door::Open) else { return };
    let target = format!("{}/a/b:1", registry.host());
    let pusher = pusher(&resolver, &target);
    let layer: Vec<u8> = (0..5_000_000_u32).map(|at| (at / 4096 % 251) as u8).collect();
    let (manifest, blobs) = image(&layer);
    let notes = Notes::default();
    for expected in [Pushed::Sent, Pushed::WasThere] {
        for bytes in &blobs {
            let (descriptor, content) = blob(bytes);
            assert_eq!(pusher.blob(&descriptor, content, &notes).unwrap(), expected);
        }
    }
    let last = notes.0.lock().unwrap().iter().rev().take(2).cloned().collect::<Vec<_>>();
    let digest = Digest::of(&layer);
    assert_eq!(last, [Event::BlobFinished { digest }, Event::BlobProgress { digest, done: 5_000_000 }]);
    let digest = pusher.manifest(manifest.as_bytes(), MANIFEST, Some("1")).unwrap();
    assert_eq!(resolve(&resolver, &target).unwrap().digest(), &digest);

    // Another repository of the registry need not be sent what this one has.
    let other = reference(&format!("{}/c:2", registry.host()));
    let pusher = resolver.pusher(&other, Some(&reference(&target))).unwrap();
    for bytes in &blobs {
        let (descriptor, content) = blob(bytes);
        assert_eq!(pusher.blob(&descriptor, content, &Silent).unwrap(), Pushed::Mounted);
    }
    assert_eq!(pusher.manifest(manifest.as_bytes(), MANIFEST, None).unwrap(), digest);
}

#[test]
fn an_empty_blob_and_a_place_with_a_query_are_taken() {
    let (_dir, resolver) = online();
    let shelf = Shelf::start(Lists::Not);
    let pusher = pusher(&resolver, &format!("{}/a:1", shelf.server.host));
    for bytes in [b"".as_slice(), b"{}"] {
        let (descriptor, content) = blob(bytes);
        assert_eq!(pusher.blob(&descriptor, content, &Silent).unwrap(), Pushed::Sent);
        let place = ("a".to_owned(), descriptor.digest.to_string());
        assert_eq!(shelf.held().blobs[&place], bytes);
    }
}

#[test]
fn faults_that_pass_are_met_by_sending_the_blob_again() {
    let (_dir, resolver) = online();
    let shelf = Shelf::meddled(Lists::Not, |request, before, _| {
        let is_faulty = before == 0 && ["HEAD", "POST", "PUT"].contains(&request.method.as_str());
        is_faulty.then(|| Answer::new(503, "").header("Retry-After", "0"))
    });
    let pusher = pusher(&resolver, &format!("{}/a:1", shelf.server.host));
    let (descriptor, content) = blob(b"content");
    assert_eq!(pusher.blob(&descriptor, content, &Silent).unwrap(), Pushed::Sent);
    assert_eq!([shelf.asked("HEAD").len(), shelf.asked("POST").len(), shelf.asked("PUT").len()], [2, 3, 2]);
    let manifest = br#"{"schemaVersion":2}"#;
    let digest = pusher.manifest(manifest, MANIFEST, None).unwrap();
    assert_eq!(digest, Digest::of(manifest));
    assert_eq!(shelf.held().manifests[&("a".to_owned(), digest.to_string())], (MANIFEST.to_owned(), manifest.to_vec()));
}

/// A source that fails, or is not what it should be.
struct Bad {
    size: u64,
    fails: bool,
}

impl Source for Bad {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        buf.fill(7);
        let fails = self.fails && offset > 0;
        if fails { Err(ReadError::new(ErrorKind::Io, "no such disk")) } else { Ok(()) }
    }
}

#[test]
fn damage_a_blob_that_is_not_what_it_should_be_is_not_pushed() {
    let (_dir, resolver) = online();
    let shelf = Shelf::start(Lists::Not);
    let pusher = pusher(&resolver, &format!("{}/a:1", shelf.server.host));
    let size = 3 << 20;
    let descriptor = Descriptor::new("a/b", Digest::of(b"other"), size);
    let rows = [
        (Bad { size, fails: true }, ErrorKind::Io, "no such disk"),
        (Bad { size, fails: false }, ErrorKind::Corrupt, "its bytes have another digest"),
        (Bad { size: 1, fails: false }, ErrorKind::Corrupt, "has 1 bytes, its descriptor says 3145728"),
    ];
    for (source, kind, says) in rows {
        let error = pusher.blob(&descriptor, Arc::new(source), &Silent).unwrap_err();
        assert!(error.kind() == kind && told(&error).contains(says), "{}", told(&error));
    }
    assert!(shelf.held().blobs.is_empty());
    let error = pusher.manifest(b"{", MANIFEST, Some("1")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", told(&error));
}

#[test]
fn a_refusal_says_what_it_means_and_what_to_do() {
    let (_dir, resolver) = online();
    let denied = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    let unsupported = r#"{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}"#;
    let unknown = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository does not exist"}]}"#;
    let rows = [
        (403, denied, "refused to take", "403 DENIED: requested access", "log in with `docker login 127.0.0.1:"),
        (401, "", "refused to take", "401 Unauthorized", "as a user who may push there"),
        (405, unsupported, "does not take", "405 UNSUPPORTED", "the registry only lets read"),
        (400, unsupported, "does not take", "400 UNSUPPORTED", "the registry only lets read"),
        (
            404,
            unknown,
            "does not take",
            "404 NAME_UNKNOWN: repository does not exist",
            "make the repository there first",
        ),
        (413, "", "does not take", "413 Payload Too Large", "ask its owner what it takes"),
    ];
    for (status, body, verb, answer, hint) in rows {
        let server = Scripted::start(move |request, _| {
            let status = if request.method == "HEAD" { 404 } else { status };
            if request.path == "/v2/" { Answer::new(200, "") } else { Answer::new(status, body) }
        });
        let pusher = pusher(&resolver, &format!("{}/a/b:1", server.host));
        let (descriptor, content) = blob(b"content");
        let of_blob = pusher.blob(&descriptor, content, &Silent).unwrap_err();
        let of_manifest = pusher.manifest(b"{}", MANIFEST, Some("1")).unwrap_err();
        for (error, wanted) in [(of_blob, format!("`a/b@{}`", descriptor.digest)), (of_manifest, "`a/b:1`".to_owned())]
        {
            let said = told(&error);
            assert_eq!(error.kind(), ErrorKind::Denied, "{said}");
            assert!(said.starts_with(&format!("cannot push to `{}/a/b`\n", server.host)), "{said}");
            assert!([verb, answer, hint, &wanted].iter().all(|part| said.contains(part)), "{status}: {said}");
        }
    }
}

#[test]
fn a_token_is_asked_for_that_may_push_and_goes_to_no_other_server() {
    let sent = Arc::new(Mutex::new(Vec::<Request>::new()));
    let kept = sent.clone();
    let store = Scripted::start(move |request, _| {
        kept.lock().unwrap().push(request.clone());
        Answer::new(201, "")
    });
    let place = format!("http://{}/store?sig=1", store.host);
    let server = Scripted::start(move |request, _| {
        let host = &request.headers["host"];
        let is_known = request.headers.get("authorization").is_some_and(|header| header == "Bearer t0ken");
        match (request.method.as_str(), request.path.split('?').next().unwrap()) {
            ("GET", "/token") => Answer::new(200, r#"{"token":"t0ken"}"#),
            _ if !is_known => Answer::new(401, "")
                .header("WWW-Authenticate", format!(r#"Bearer realm="http://{host}/token",service="s""#)),
            ("HEAD", _) => Answer::new(404, ""),
            ("POST", _) => Answer::new(202, "").header("Location", place.clone()),
            _ => Answer::new(201, ""),
        }
    });
    let (_dir, resolver) = online();
    let target = reference(&format!("{}/a/b:1", server.host));
    let pusher = resolver.pusher(&target, Some(&reference(&format!("{}/c", server.host)))).unwrap();
    let (descriptor, content) = blob(b"content");
    assert_eq!(pusher.blob(&descriptor, content, &Silent).unwrap(), Pushed::Sent);
    let asked = server.asked("/token");
    let scopes = "scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Ac%3Apull&service=s";
    assert_eq!(asked.iter().map(|request| request.path.as_str()).collect::<Vec<_>>(), [format!("/token?{scopes}")]);
    let sent = sent.lock().unwrap();
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].bytes.as_slice(), sent[0].headers.get("authorization")), (b"content".as_slice(), None));
    assert_eq!(sent[0].path, format!("/store?sig=1&digest={}", descriptor.digest.to_string().replace(':', "%3A")));
}

#[test]
fn a_registry_that_never_says_that_it_has_a_blob_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = Scripted::start(|request, _| match request.method.as_str() {
        "HEAD" => Answer::new(404, ""),
        "POST" => Answer::new(202, "").header("Location", "/v2/here"),
        _ => loop {
            std::thread::park();
        },
    });
    let timeouts = Timeouts { progress: Duration::from_millis(20), ..Timeouts::default() };
    let resolver = resolver(&dir.path().join("cache"), &[], Options { timeouts, ..Options::default() });
    let (descriptor, content) = blob(b"content");
    let pusher = pusher(&resolver, &format!("{}/a:1", server.host));
    let error = pusher.blob(&descriptor, content, &Silent).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", told(&error));
    assert_eq!(server.asked("/v2/here").len(), 1);
}

#[test]
fn a_locked_registry_takes_what_somebody_with_a_password_pushes() {
    let dir = tempfile::tempdir().unwrap();
    let Some(registry) = DockerRegistry::start(&dir.path().join("registry"), Door::Locked) else { return };
    let path = dir.path().join("config.json");
    fs::write(&path, format!(r#"{{"auths":{{"{}":{{"auth":"dXNlcjpzZWNyZXQ="}}}}}}"#, registry.host())).unwrap();
    let credentials = Credentials::of(vec![CredentialPlace::File(path)]);
    let target = format!("{}/a:1", registry.host());
    let (descriptor, content) = blob(b"content");
    let known = resolver(&dir.path().join("a"), &[], Options { credentials, ..Options::default() });
    let (_dir, nobody) = online();
    let error = pusher(&nobody, &target).blob(&descriptor, content.clone(), &Silent).unwrap_err();
    assert!(told(&error).contains("401 Unauthorized") && told(&error).contains("as a user who may push"));
    assert_eq!(pusher(&known, &target).blob(&descriptor, content, &Silent).unwrap(), Pushed::Sent);
    let unasked = resolver(&dir.path().join("b"), &[], offline()).pusher(&reference(&target), None).err().unwrap();
    assert_eq!((unasked.kind(), unasked.hint()), (ErrorKind::Usage, Some("leave out `--offline`".to_owned())));
}
