//! Registries that fail, lie, or want a token.

use std::io::Read as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lkit::base::{Digest, ErrorKind, Fault as _, Silent};
use lkit::blob::{self, Store};
use lkit::extent::Source as _;
use lkit::oci::{CredentialPlace, Credentials, Descriptor, Options, Resolver};
use lkit::system::{Origins, load_image};
use serde_json::json;

use super::{reference, resolve, resolver, told};
use crate::common::scripted::{Answer, Request, Rest, Scripted};

/// A blob that is longer than a few reads of a socket.
fn content() -> Vec<u8> {
    (0..3_000_000_u32).flat_map(|n| n.to_le_bytes()).take(3_000_000).collect()
}

/// Reads `size` bytes of a blob through a resolver that knows only `server`.
fn read(server: &Scripted, digest: &Digest, size: usize) -> Result<Vec<u8>, blob::Error> {
    let dir = tempfile::tempdir().unwrap();
    let here = resolver(dir.path(), &[], Options::default());
    let mut bytes = Vec::new();
    let mut stream = here.fetcher(&reference(&format!("{}/a/b:c", server.host))).fetch_whole(digest, size as u64)?;
    stream.read_to_end(&mut bytes).map_err(|error| blob::Error::from_stream(digest, error))?;
    Ok(bytes)
}

/// Serves `content` as the only blob, changed by `change`.
fn blob_server(change: impl Fn(Answer, &Request, usize) -> Answer + Send + Sync + 'static) -> Scripted {
    let bytes = content();
    Scripted::start(move |request, before| match request.path.as_str() {
        "/v2/" => Answer::new(200, "{}"),
        _ => change(Answer::part_of(&bytes, request), request, before),
    })
}

#[test]
fn a_transfer_that_breaks_is_taken_up_where_it_broke() {
    let server = blob_server(|answer, _, before| {
        let length = answer.body.len();
        let mut answer = answer.claiming(length);
        if before < 3 {
            answer.body.truncate(length / 2);
        }
        answer
    });
    assert_eq!(read(&server, &Digest::of(&content()), 3_000_000).unwrap(), content());
    let starts: Vec<_> =
        server.asked("blobs").iter().map(|request| request.range().map_or(0, |range| range.0)).collect();
    assert_eq!(starts, [0, 1_500_000, 2_250_000, 2_625_000]);
}

#[test]
fn a_registry_without_ranges_sends_the_start_again_and_it_is_passed_over() {
    let server = blob_server(|_, _, before| {
        let mut answer = Answer::new(200, content()).claiming(3_000_000);
        if before == 0 {
            answer.body.truncate(1_000_000);
        }
        answer
    });
    assert_eq!(read(&server, &Digest::of(&content()), 3_000_000).unwrap(), content());
}

#[test]
fn faults_of_the_server_are_met_with_patience() {
    let server = blob_server(|answer, _, before| if before < 2 { Answer::new(500, "oops") } else { answer });
    assert_eq!(read(&server, &Digest::of(&content()), 3_000_000).unwrap(), content());
    let server = blob_server(|_, _, _| Answer::new(502, "bad\ngateway"));
    let error = read(&server, &Digest::of(b""), 7).unwrap_err();
    assert_eq!((error.kind(), server.asked("blobs").len()), (ErrorKind::Unreachable, 5));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, format!("registry `{}` answered: 502 bad gateway", server.host));
}

#[test]
fn a_transfer_that_always_breaks_ends() {
    let server = blob_server(|answer, _, before| {
        let mut answer = answer.claiming(3_000_000);
        answer.body.truncate(if before == 0 { 1000 } else { 0 });
        if before > 0 {
            answer.claims = Some(2_999_000);
        }
        answer
    });
    let error = read(&server, &Digest::of(&content()), 3_000_000).unwrap_err();
    assert_eq!((error.kind(), server.asked("blobs").len()), (ErrorKind::Unreachable, 5));
}

#[test]
fn a_blob_longer_or_shorter_than_its_descriptor_is_corrupt() {
    let digest = Digest::of(&content());
    let longer = blob_server(|_, _, _| Answer::new(200, content()));
    let shorter = blob_server(|answer, _, _| answer);
    for (server, size) in [(&longer, 2_999_999), (&shorter, 3_000_001)] {
        let error = read(server, &digest, size).unwrap_err();
        assert!(matches!(error, blob::Error::WrongSize { expected, .. } if expected == size as u64), "{error}");
        assert_eq!(server.asked("blobs").len(), 1);
    }
}

#[test]
fn damage_other_bytes_under_a_digest_are_fetched_once_more_and_then_refused() {
    for damaged in [1, 2] {
        let server = blob_server(move |mut answer, _, before| {
            answer.body[5] ^= u8::from(before < damaged);
            answer
        });
        let dir = tempfile::tempdir().unwrap();
        let store = std::sync::Arc::new(Store::open(dir.path(), &[]).unwrap());
        let resolver = Resolver::new(store.clone(), Options::default());
        let wanted = Descriptor::new("", Digest::of(&content()), 3_000_000);
        let fetch = resolver.fetcher(&reference(&format!("{}/a/b", server.host)));
        let obtained = store.obtain(&wanted, &*fetch);
        assert_eq!(server.asked("blobs").len(), 2);
        if damaged == 1 {
            assert_eq!(obtained.unwrap().size(), 3_000_000);
            continue;
        }
        let error = obtained.unwrap_err();
        assert!(matches!(error, blob::Error::WrongDigest { .. }), "{error}");
        assert!(store.lookup(&wanted.digest, wanted.size).unwrap().is_none());
    }
}

#[test]
fn damage_an_image_config_is_fetched_once_more_and_then_refused() {
    for damaged in [1, 2] {
        let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"diff_ids":[]}}"#;
        let named = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(),
                           "digest": Digest::of(config).to_string()});
        let manifest = json!({"schemaVersion": 2, "config": named, "layers": []}).to_string();
        let server = Scripted::start(move |request, before| match request.path.contains("blobs") {
            true if before < damaged => Answer::new(200, vec![b' '; config.len()]),
            true => Answer::new(200, config),
            false => Answer::new(200, manifest.clone()),
        });
        let dir = tempfile::tempdir().unwrap();
        let image = resolve(&resolver(dir.path(), &[], Options::default()), &format!("{}/a/b", server.host));
        let found = image.map(|image| image.config_digest).map_err(|error| error.kind());
        let expected = if damaged == 1 { Ok(Digest::of(config)) } else { Err(ErrorKind::Corrupt) };
        assert_eq!((found, server.asked("blobs").len()), (expected, 2));
    }
}

#[test]
fn damage_a_manifest_that_is_none_or_another_is_refused() {
    let rows: [(&str, ErrorKind); 4] = [
        ("<html>log in</html>", ErrorKind::Corrupt),
        (r#"{"schemaVersion":1}"#, ErrorKind::Unsupported),
        (r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#, ErrorKind::Corrupt),
        (r#"{"schemaVersion":2,"manifests":[]}"#, ErrorKind::ImageNotFound),
    ];
    for (text, kind) in rows {
        let server = Scripted::start(move |_, _| Answer::new(200, text));
        let dir = tempfile::tempdir().unwrap();
        let here = resolver(dir.path(), &[], Options::default());
        let error = resolve(&here, &format!("{}/a/b", server.host)).unwrap_err();
        assert_eq!(error.kind(), kind, "{}", told(&error));
        let error = resolve(&here, &format!("{}/a/b@{}", server.host, Digest::of(b"x"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", told(&error));
    }
    let server = Scripted::start(|_, _| Answer::new(200, vec![b' '; 9 << 20]));
    let dir = tempfile::tempdir().unwrap();
    let error = resolve(&resolver(dir.path(), &[], Options::default()), &format!("{}/a/b", server.host)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn an_image_config_over_the_limit_is_not_fetched() {
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "size": 9 << 20,
                        "digest": Digest::of(b"config").to_string()});
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": []}).to_string();
    let server = Scripted::start(move |_, _| Answer::new(200, manifest.clone()));
    let dir = tempfile::tempdir().unwrap();
    let error = resolve(&resolver(dir.path(), &[], Options::default()), &format!("{}/a/b", server.host)).unwrap_err();
    assert_eq!((error.kind(), server.asked("blobs").len()), (ErrorKind::Unsupported, 0));
}

#[test]
fn a_token_is_got_with_the_credentials_and_renewed_when_it_is_refused() {
    let server = Scripted::start(|request, before| {
        let host = &request.headers["host"];
        let denied = || {
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
            Answer::new(401, "{}").header("WWW-Authenticate", challenge)
        };
        let token = request.headers.get("authorization").map(String::as_str);
        match (request.path.as_str(), token) {
            ("/v2/", _) => denied(),
            // user:secret
            (path, Some("Basic dXNlcjpzZWNyZXQ=")) if path.starts_with("/token?") => {
                Answer::new(200, format!(r#"{{"token":"t{before}"}}"#))
            }
            // The first token is refused, as one that has expired is.
            (_, Some("Bearer t1")) => Answer::part_of(&content(), request),
            _ => denied(),
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, format!(r#"{{"auths":{{"{}":{{"auth":"dXNlcjpzZWNyZXQ="}}}}}}"#, server.host)).unwrap();
    let name = reference(&format!("{}/a/b", server.host));
    let known = Options { credentials: Credentials::of(vec![CredentialPlace::File(path)]), ..Options::default() };
    let mut bytes = Vec::new();
    let here = resolver(&dir.path().join("known"), &[], known);
    here.fetcher(&name).fetch(&Digest::of(b""), 0..100).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, content()[..100]);
    let anonymous = resolver(&dir.path().join("anonymous"), &[], Options::default());
    let error = anonymous.fetcher(&name).fetch(&Digest::of(b""), 0..100).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[test]
fn a_manifest_with_digests_that_cannot_be_checked_is_refused_by_their_name() {
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "size": 3,
                        "digest": format!("sha512:{}", "0".repeat(128))});
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": []}).to_string();
    let server = Scripted::start(move |_, _| Answer::new(200, manifest.clone()));
    let dir = tempfile::tempdir().unwrap();
    let error = resolve(&resolver(dir.path(), &[], Options::default()), &format!("{}/a/b", server.host)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let reason = "cannot be used: digest algorithm `sha512` is not supported, only `sha256`";
    assert!(told(&error).contains(reason), "{}", told(&error));
}

#[test]
fn layers_that_nobody_can_use_any_more_are_not_fetched_to_their_end() {
    let config = r#"{"rootfs":{"diff_ids":["DIGEST","DIGEST","DIGEST"]}}"#;
    let config = config.replace("DIGEST", &Digest::of(b"").to_string());
    let named = |kind: &str, content: &[u8], size: usize| {
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "size": size,
               "digest": Digest::of(content).to_string()})
    };
    let layers = [&b"drips"[..], b"silent", b"missing"].map(|layer| named("layer.v1.tar", layer, 1_000_000));
    let manifest = json!({"schemaVersion": 2, "config": named("config.v1+json", config.as_bytes(), config.len()),
                          "layers": layers})
    .to_string();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let is = |request: &Request, content: &[u8]| request.path.contains(&Digest::of(content).to_string());
    let server = Scripted::start(move |request, _| match request {
        request if request.path.contains("manifests") => Answer::new(200, manifest.clone()),
        request if is(request, config.as_bytes()) => Answer::new(200, config.clone()),
        request if is(request, b"missing") => {
            while asked.load(Ordering::SeqCst) < 2 {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            Answer::new(404, "")
        }
        request => {
            asked.fetch_add(1, Ordering::SeqCst);
            let rest = if is(request, b"drips") { Rest::Drip(b'x') } else { Rest::Silence };
            Answer::new(200, "x").then(rest).claiming(1_000_000)
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    let name = reference(&format!("{}/a/b", server.host));
    let error = load_image(&name, &Origins::new(dir.path()), &Silent).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::ImageNotFound, "{error}");
    assert!(begin.elapsed() < Duration::from_secs(100), "{:?}", begin.elapsed());
}
