//! Tokens over the life of a mount: asked for once by many readers, and again when they have expired.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};

use lkit::base::Digest;
use lkit::oci::{CredentialPlace, Credentials, Options};

use super::{reference, resolver};
use crate::common::scripted::{Answer, Request, Scripted};

fn content() -> Vec<u8> {
    (0..1_000_000_u32).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect()
}

fn challenge(request: &Request) -> Answer {
    let challenge = format!(r#"Bearer realm="http://{}/token",service="s""#, request.headers["host"]);
    Answer::new(401, "{}").header("WWW-Authenticate", challenge)
}

/// The token that a request comes with.
fn token(request: &Request) -> Option<&str> {
    request.headers.get("authorization")?.strip_prefix("Bearer ")
}

fn read(server: &Scripted, options: Options, readers: usize) {
    let dir = tempfile::tempdir().unwrap();
    let here = resolver(dir.path(), &[], options);
    let fetch = here.fetcher(&reference(&format!("{}/a/b", server.host)));
    std::thread::scope(|scope| {
        for _ in 0..readers {
            scope.spawn(|| {
                let mut bytes = Vec::new();
                let stream = fetch.read_range(&Digest::of(&content()), 7..900_000);
                stream.unwrap().read_to_end(&mut bytes).unwrap();
                assert!(bytes == content()[7..900_000]);
            });
        }
    });
}

#[test]
fn many_readers_ask_for_one_token() {
    // user:secret
    let text = |server: &Scripted| format!(r#"{{"auths":{{"{}":{{"auth":"dXNlcjpzZWNyZXQ="}}}}}}"#, server.host);
    for is_known in [false, true] {
        let server = Scripted::start(|request, before| match (request.path.as_str(), token(request)) {
            (path, _) if path.starts_with("/token") => Answer::new(200, format!(r#"{{"token":"t{before}"}}"#)),
            ("/v2/", _) | (_, None) => challenge(request),
            (_, Some(_)) => Answer::part_of(&content(), request),
        });
        let login = || Credentials::of(vec![CredentialPlace::Text("text", text(&server))]);
        let credentials = if is_known { login() } else { Credentials::default() };
        read(&server, Options { credentials, ..Options::default() }, 12);
        assert_eq!(server.asked("token").len(), 1, "{is_known}");
    }
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_read_is_renewed_once() {
    let expired = AtomicBool::new(false);
    let server = Scripted::start(move |request, before| match (request.path.as_str(), token(request)) {
        (path, _) if path.starts_with("/token") => {
            Answer::new(200, format!(r#"{{"access_token":"t{before}","expires_in":3600}}"#))
        }
        (_, Some("t0")) if !expired.swap(true, Ordering::SeqCst) => {
            let mut cut = Answer::part_of(&content(), request);
            cut.claims = Some(cut.body.len());
            cut.body.truncate(500_000);
            cut
        }
        (_, Some("t1")) => Answer::part_of(&content(), request),
        _ => challenge(request),
    });
    read(&server, Options::default(), 1);
    assert_eq!((server.asked("token").len(), server.asked("blobs").len()), (2, 4));
}

/// Some registries tell everybody at their own address that all is well.
#[test]
fn a_challenge_of_the_repository_alone_is_answered() {
    let rows: [(&[&str], &str); 4] = [
        (&[r#"Basic realm="r""#], "Basic dXNlcjpzZWNyZXQ="),
        (&[r#"Bearer realm="http://HOST/token",service="s""#], "Bearer good"),
        (&[r#"Basic realm="r""#, r#"Bearer realm="http://HOST/token",service="s""#], "Bearer good"),
        (&["Negotiate", r#"basic realm=r"#], "Basic dXNlcjpzZWNyZXQ="),
    ];
    for (challenges, expected) in rows {
        let server = Scripted::start(move |request, _| match request.path.as_str() {
            "/v2/" => Answer::new(200, "{}"),
            path if path.starts_with("/token") => Answer::new(200, r#"{"token":"good"}"#),
            _ if request.headers.get("authorization").is_some_and(|text| text == expected) => {
                Answer::part_of(&content(), request)
            }
            _ => challenges.iter().fold(Answer::new(401, ""), |answer, text| {
                answer.header("WWW-Authenticate", text.replace("HOST", &request.headers["host"]))
            }),
        });
        let text = format!(r#"{{"auths":{{"{}":{{"auth":"dXNlcjpzZWNyZXQ="}}}}}}"#, server.host);
        let credentials = Credentials::of(vec![CredentialPlace::Text("text", text)]);
        read(&server, Options { credentials, ..Options::default() }, 1);
        assert_eq!(server.asked("blobs").len(), 2, "{challenges:?}");
    }
}
