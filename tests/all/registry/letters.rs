//! What registries and lkit tell each other around the content: challenges, tokens, patience, digests, and secrets that
//! are told to nobody else.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use lkit::base::{Digest, ErrorKind, Fault as _};
use lkit::oci::{CredentialPlace, Credentials, Options, RegistryError};

use super::{reference, resolver, told};
use crate::common::registry::free_port;
use crate::common::scripted::{Answer, Request, Scripted};

/// An image index of nothing, whose digest is all that is asked for.
const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

/// What docker login leaves for `user` with the password `hush/hush`.
fn login(dir: &Path, server: &Scripted) -> Options {
    let path = dir.join("config.json");
    let auth = r#""auth":"dXNlcjpodXNoL2h1c2g=""#;
    std::fs::write(&path, format!(r#"{{"auths":{{"{}":{{{auth}}}}}}}"#, server.host)).unwrap();
    Options { credentials: Credentials::of(vec![CredentialPlace::File(path)]), ..Options::default() }
}

/// The digest that the server's `a/b` has.
fn digest(dir: &Path, server: &Scripted, options: Options) -> Result<Digest, lkit::oci::Error> {
    let cache = tempfile::tempdir_in(dir).unwrap();
    let name = reference(&format!("{}/a/b", server.host));
    resolver(cache.path(), &[], options).digest(&name, &lkit::base::Silent)
}

#[test]
fn challenges_are_understood_however_they_are_written() {
    let rows: [&[&str]; 10] = [
        &[r#"Bearer realm="http://HOST/token?for=x",service="s",scope="repository:a/b:pull,push""#],
        &[r#"bearer Realm="http://HOST/token?for=x" , SERVICE="s", error="invalid_token""#],
        &[r#"Bearer realm="http://HOST/token?for=x",service=s"#],
        &[r#"Basic realm="reg""#, r#"Bearer realm="http://HOST/token?for=x",service="s""#],
        &[r#"Basic realm="reg", Bearer realm="http://HOST/token?for=x",service="s""#],
        &[r#"Negotiate, Bearer service="s",realm="http://HOST/token?for=x""#],
        &["", r#"Bearer realm="http://HOST/token?for=x",service="s""#],
        &[r#"Bearer realm="http:\/\/HOST/token?for=x",service="s""#],
        &["Bearer realm=http://HOST/token?for=x,service=s,scope=repository:a/b:pull"],
        &[r#"Bearer service="s", realm=http://HOST/token?for=x"#],
    ];
    let dir = tempfile::tempdir().unwrap();
    for (field, challenges) in rows.into_iter().zip(["token", "access_token"].into_iter().cycle()).map(|(a, b)| (b, a))
    {
        let server = Scripted::start(move |request, _| {
            let authorization = request.headers.get("authorization").map(String::as_str);
            match (request.path.as_str(), authorization) {
                ("/token?for=x&scope=repository%3Aa%2Fb%3Apull&service=s", None) => {
                    Answer::new(200, format!(r#"{{"{field}":"good"}}"#))
                }
                ("/v2/a/b/manifests/latest", Some("Bearer good")) => Answer::new(200, INDEX),
                ("/v2/a/b/manifests/latest", None) => {
                    let text = challenges.iter().map(|text| text.replace("HOST", &request.headers["host"]));
                    text.fold(Answer::new(401, ""), |answer, text| answer.header("WWW-Authenticate", text))
                }
                _ => Answer::new(400, request.path.clone()),
            }
        });
        let found = digest(dir.path(), &server, Options::default());
        let found = found.unwrap_or_else(|error| panic!("{challenges:?}: {}", told(&error)));
        assert_eq!(found, Digest::of(INDEX.as_bytes()));
        assert_eq!((server.asked("token").len(), server.asked("manifests").len()), (1, 2), "{challenges:?}");
    }
}

#[test]
fn challenges_that_lead_nowhere_are_refusals() {
    let rows =
        ["", "nonsense \"", "Bearer", "Bearer realm=\"file:///etc/passwd\"", "Bearer realm=\"\"", "Digest realm=\"x\""];
    let dir = tempfile::tempdir().unwrap();
    for challenge in rows {
        let server = Scripted::start(move |_, _| Answer::new(401, "").header("WWW-Authenticate", challenge));
        let error = digest(dir.path(), &server, Options::default()).unwrap_err();
        let expected = if challenge.starts_with("Bearer") { ErrorKind::Unreachable } else { ErrorKind::Denied };
        assert_eq!(error.kind(), expected, "{challenge}: {}", told(&error));
    }
}

#[test]
fn a_user_with_a_password_is_introduced_before_anything_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    // What a user may not see does not exist, as some registries say.
    let server = Scripted::start(|request, _| match request.headers.get("authorization").map(String::as_str) {
        Some("Basic dXNlcjpodXNoL2h1c2g=") => Answer::new(200, INDEX),
        _ if request.path == "/v2/" => Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"reg\""),
        _ => Answer::new(404, ""),
    });
    let known = login(dir.path(), &server);
    assert_eq!(digest(dir.path(), &server, known).unwrap(), Digest::of(INDEX.as_bytes()));
    assert_eq!(digest(dir.path(), &server, Options::default()).unwrap_err().kind(), ErrorKind::ImageNotFound);
}

/// A token server may take identity tokens as OAuth's refresh tokens, or only as passwords.
#[test]
fn an_identity_token_is_exchanged_for_a_token() {
    let dir = tempfile::tempdir().unwrap();
    for takes_forms in [true, false] {
        let server = Scripted::start(move |request, _| {
            let authorization = request.headers.get("authorization").map(String::as_str);
            let form =
                "scope=repository%3Aa%2Fb%3Apull&service=s&grant_type=refresh_token&client_id=lkit&refresh_token=id";
            match (request.path.as_str(), request.body.as_str(), authorization) {
                ("/v2/", ..) => Answer::new(401, "").header("WWW-Authenticate", challenge(request)),
                ("/token", body, None) if takes_forms && body == form => Answer::new(200, r#"{"access_token":"good"}"#),
                ("/token", ..) => Answer::new(405, ""),
                // The convention of Azure's registry: `00000000-0000-0000-0000-000000000000:id`.
                (
                    "/token?scope=repository%3Aa%2Fb%3Apull&service=s",
                    "",
                    Some("Basic MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOmlk"),
                ) => Answer::new(200, r#"{"token":"good"}"#),
                ("/v2/a/b/manifests/latest", "", Some("Bearer good")) => Answer::new(200, INDEX),
                _ => Answer::new(400, request.path.clone()),
            }
        });
        let text = format!(r#"{{"auths":{{"{}/a":{{"identitytoken":"id"}}}}}}"#, server.host);
        let credentials = Credentials::of(vec![CredentialPlace::Text("text", text)]);
        let found = digest(dir.path(), &server, Options { credentials, ..Options::default() });
        assert_eq!(found.unwrap_or_else(|error| panic!("{}", told(&error))), Digest::of(INDEX.as_bytes()));
    }
}

fn challenge(request: &Request) -> String {
    format!(r#"Bearer realm="http://{}/token",service="s""#, request.headers["host"])
}

#[test]
fn a_server_that_repeats_secrets_tells_them_to_nobody_through_lkit() {
    let dir = tempfile::tempdir().unwrap();
    let echo = |request: &Request, status: u16| {
        let secrets = request.headers.get("authorization").cloned().unwrap_or_default();
        Answer::new(status, format!("you said {secrets}, hush/hush"))
    };
    for status in [400, 401, 403, 404, 500] {
        let server = Scripted::start(move |request, before| {
            let host = &request.headers["host"];
            match request.path.as_str() {
                "/v2/" => {
                    Answer::new(401, "").header("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
                }
                path if path.starts_with("/token") && status == 400 => echo(request, 403),
                path if path.starts_with("/token") => Answer::new(200, r#"{"token":"tok3n"}"#),
                _ if before > 0 => Answer::new(403, "tok3n"),
                _ => echo(request, status),
            }
        });
        let error = digest(dir.path(), &server, login(dir.path(), &server)).unwrap_err();
        for text in [told(&error), format!("{error:?}")] {
            for secret in ["hush", "tok3n", "dXNlcjpodXNoL2h1c2g"] {
                assert!(!text.contains(secret), "{status}: {text}");
            }
        }
    }
}

#[test]
fn a_registry_is_asked_again_when_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Scripted::start(|_, before| match before {
        0 | 1 => Answer::new([429, 503][before], "").header("Retry-After", "1"),
        _ => Answer::new(200, INDEX),
    });
    let begin = Instant::now();
    digest(dir.path(), &server, Options::default()).unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(server.asked("").len(), 3);
    let date = |seconds| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds));
    for date in [date(0), date(2)] {
        let server = Scripted::start(move |_, before| match before {
            0 => Answer::new(429, "").header("Retry-After", date.clone()),
            _ => Answer::new(200, INDEX),
        });
        let begin = Instant::now();
        digest(dir.path(), &server, Options::default()).unwrap();
        assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    }
    for late in ["86399".to_owned(), date(86_400)] {
        let later = Scripted::start(move |_, _| Answer::new(429, "").header("Retry-After", late.clone()));
        let error = digest(dir.path(), &later, Options::default()).unwrap_err();
        assert!(told(&error).contains("429 Too Many Requests; it wants to be asked again in 863"), "{}", told(&error));
        assert_eq!((error.kind(), later.asked("").len()), (ErrorKind::Unreachable, 1));
    }
}

#[test]
fn damage_a_manifest_with_another_digest_than_its_header_says_is_asked_for_once_more() {
    let dir = tempfile::tempdir().unwrap();
    for lies in [1, 2] {
        let server = Scripted::start(move |_, before| {
            let stated = if before < lies { Digest::of(b"other") } else { Digest::of(INDEX.as_bytes()) };
            Answer::new(200, INDEX).header("Docker-Content-Digest", stated.to_string())
        });
        let found = digest(dir.path(), &server, Options::default()).map_err(|error| error.kind());
        let expected = if lies == 1 { Ok(Digest::of(INDEX.as_bytes())) } else { Err(ErrorKind::Corrupt) };
        assert_eq!((found, server.asked("manifests").len()), (expected, 2));
    }
}

#[test]
fn a_manifest_that_was_compressed_without_being_asked_for_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(INDEX.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let (cut, mut damaged) = (gzip[..gzip.len() - 9].to_vec(), gzip.clone());
    let trailer = damaged.len() - 5;
    damaged[trailer] ^= 1;
    let rows = [
        ("gzip", gzip.clone(), Ok(())),
        ("x-gzip", gzip.clone(), Ok(())),
        ("gzip", cut, Err("it is compressed with `gzip` and damaged")),
        ("gzip", damaged, Err("it is compressed with `gzip` and damaged")),
        ("gzip", INDEX.into(), Err("it is compressed with `gzip` and damaged")),
        ("br", gzip, Err("it is compressed with `br`, which was not asked for")),
    ];
    for (encoding, body, expected) in rows {
        let server = Scripted::start(move |_, _| Answer::new(200, body.clone()).header("Content-Encoding", encoding));
        match (digest(dir.path(), &server, Options::default()), expected) {
            (Ok(found), Ok(())) => assert_eq!(found, Digest::of(INDEX.as_bytes())),
            (Err(error), Err(expected)) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(told(&error).contains(expected), "{}", told(&error));
            }
            (found, _) => panic!("{encoding}: {found:?}"),
        }
    }
}

#[test]
fn a_server_without_tls_is_told_with_the_way_to_use_it() {
    // What a server does that is spoken to by TLS and expects none.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.read_exact(&mut [0; 5]).unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let registry = format!("127.0.0.1:{}", free_port());
    let mirrors = vec![format!("{registry}=https://{host}").parse().unwrap()];
    let notes = super::Notes::default();
    let here = resolver(dir.path(), &[], Options { mirrors, ..Options::default() });
    here.digest(&reference(&format!("{registry}/a/b")), &notes).unwrap_err();
    let said = format!("{:?}", notes.0.into_inner().unwrap());
    assert!(said.contains(&format!("registry `{host}` does not speak https, but plain http as it seems")), "{said}");
    let hint = RegistryError::PlainHttp { registry: "h:1".to_owned() }.hint().unwrap();
    assert!(hint.contains("`--mirror h:1=http://h:1`"), "{hint}");
}
