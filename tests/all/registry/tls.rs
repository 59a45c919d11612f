//! Registries that speak TLS by an authority that the system does not know, on the loopback interface.

use std::fs;
use std::path::{Path, PathBuf};

use lkit::base::{Digest, ErrorKind, Fault as _};
use lkit::oci::{Options, Trust};

use super::{reference, resolve, resolver, told};
use crate::common::layout::LayoutMaker;
use crate::common::registry::{DockerRegistry, free_port};
use crate::common::scripted::{Answer, Scripted};
use crate::common::tls::Authority;
use crate::common::{lkit, run, stderr, stdout};

/// A registry with `a/b:1`, and its authority.
fn furnished(dir: &Path, clients: bool) -> Option<(DockerRegistry, Authority)> {
    let authority = Authority::new(&dir.join("authority"))?;
    let registry = DockerRegistry::start_secure(&dir.join("registry"), &authority, clients)?;
    let mut layout = LayoutMaker::new(&dir.join("layout"));
    let image = layout.image("amd64", &[b"layer"]);
    layout.name("image", &image);
    let certs = folder(&dir.join("push"), &registry.host(), &authority);
    let source = format!("oci:{}:image", layout.dir.display());
    let target = format!("docker://{}/a/b:1", registry.host());
    let certs = format!("--dest-cert-dir={}", certs.join(registry.host()).display());
    run("skopeo", ["copy", "-q", "--preserve-digests", &certs, &source, &target]);
    Some((registry, authority))
}

/// A folder of certificates, with all for the server.
fn folder(dir: &Path, host: &str, authority: &Authority) -> PathBuf {
    let own = dir.join(host);
    fs::create_dir_all(&own).unwrap();
    let (certificate, key) = authority.certificate("client");
    fs::copy(authority.root(), own.join("ca.crt")).unwrap();
    fs::copy(certificate, own.join("client.cert")).unwrap();
    fs::copy(key, own.join("client.key")).unwrap();
    dir.to_owned()
}

/// What looking for `a/b:1` comes to.
fn found(dir: &Path, host: &str, trust: Trust) -> Result<(), (ErrorKind, String)> {
    let cache = tempfile::tempdir_in(dir).unwrap();
    let here = resolver(cache.path(), &[], Options { trust, ..Options::default() });
    let image = resolve(&here, &format!("{host}/a/b:1"));
    image.map(drop).map_err(|error| (error.kind(), told(&error)))
}

#[test]
fn a_registry_of_an_unknown_authority_is_trusted_when_its_certificate_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let Some((registry, authority)) = furnished(dir.path(), false) else { return };
    let host = registry.host();
    let (kind, said) = found(dir.path(), &host, Trust::default()).unwrap_err();
    assert_eq!(kind, ErrorKind::Unreachable);
    let expected = format!(
        "registry `{host}` is not trusted: its certificate was made by an authority that is not known here\nif you \
         trust it, name the certificate of its authority with `--ca FILE`, or put it into \
         `/etc/containers/certs.d/{host}/ca.crt`"
    );
    assert!(said.ends_with(&expected), "{said}");
    found(dir.path(), &host, Trust { files: vec![authority.root()], ..Trust::default() }).unwrap();
    let certs = folder(&dir.path().join("certs.d"), &host, &authority);
    found(dir.path(), &host, Trust { folders: vec!["/no/such".into(), certs], ..Trust::default() }).unwrap();
    let others = folder(&dir.path().join("others"), "127.0.0.1", &authority);
    found(dir.path(), &host, Trust { folders: vec![others], ..Trust::default() }).unwrap_err();
}

#[test]
fn a_registry_that_wants_a_certificate_of_its_client_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some((registry, authority)) = furnished(dir.path(), true) else { return };
    let host = registry.host();
    let (kind, said) =
        found(dir.path(), &host, Trust { files: vec![authority.root()], ..Trust::default() }).unwrap_err();
    assert_eq!(kind, ErrorKind::Denied, "{said}");
    assert!(said.contains(&format!("registry `{host}` wants a certificate of its client")), "{said}");
    let certs = folder(&dir.path().join("certs.d"), &host, &authority);
    let trust = Trust { folders: vec![certs.clone()], ..Trust::default() };
    found(dir.path(), &host, trust.clone()).unwrap();
    fs::remove_file(certs.join(&host).join("client.key")).unwrap();
    let (kind, said) = found(dir.path(), &host, trust).unwrap_err();
    assert_eq!(kind, ErrorKind::Io);
    assert!(said.contains("client.key` for TLS: "), "{said}");
}

#[test]
fn certificates_are_named_on_the_command_line_or_lie_where_podman_looks() {
    let dir = tempfile::tempdir().unwrap();
    let Some((registry, authority)) = furnished(dir.path(), false) else { return };
    fs::write(dir.path().join("s.yml"), format!("init:\n  - {}/a/b:1\n", registry.host())).unwrap();
    let inspect = |cache: &str| {
        let mut lkit = lkit(&dir.path().join(cache));
        lkit.current_dir(dir.path()).args(["lock", "s.yml"]);
        lkit
    };
    let refused = inspect("refused").output().unwrap();
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.starts_with("error: "), "{said}");
    stdout("--ca", &inspect("argument").arg("--ca").arg(authority.root()).output().unwrap());
    stdout("LKIT_CA", &inspect("variable").env("LKIT_CA", authority.root()).output().unwrap());
    folder(&dir.path().join("containers/certs.d"), &registry.host(), &authority);
    stdout("certs.d", &inspect("folder").env("XDG_CONFIG_HOME", dir.path()).output().unwrap());
    let image = format!("{}/a/b:1", registry.host());
    let mut pull = lkit(&dir.path().join("pulled"));
    pull.args(["cache", "pull", "--platform", "linux/amd64", &image, "--ca"]).arg(authority.root());
    stdout("cache pull --ca", &pull.output().unwrap());
    let mut push = lkit(&dir.path().join("pulled"));
    push.args(["cache", "push", "--platform", "linux/amd64", "--to", &image.replace("b:1", "c:1"), &image]);
    stdout("cache push", &push.env("LKIT_CA", authority.root()).output().unwrap());
    let wrong = inspect("wrong").args(["--ca", "s.yml"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    let said = stderr(&wrong);
    assert!(said.contains("--ca: cannot use `s.yml` for TLS: it holds no certificate in PEM"), "{said}");
}

#[test]
fn a_redirect_from_https_to_plain_http_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let Some(authority) = Authority::new(dir.path()) else { return };
    let plain = Scripted::start(|request, _| Answer::part_of(b"content", request));
    let location = plain.host.clone();
    let host = authority.serve(move |line| match line.contains("/v2/ ") {
        true => "HTTP/1.1 200 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
        false => format!(
            "HTTP/1.1 307 X\r\nLocation: http://{location}/blob\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ),
    });
    let trust = Trust { files: vec![authority.root()], ..Trust::default() };
    let here = resolver(dir.path().join("cache").as_path(), &[], Options { trust, ..Options::default() });
    let fetch = here.fetcher(&reference(&format!("{host}/a/b")));
    let error = fetch.fetch(&Digest::of(b"content"), 0..7).err().unwrap();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, format!("registry `{host}` answered: it redirects from https to plain http"));
    assert_eq!(plain.asked("").len(), 0);
}

#[test]
fn a_registry_on_this_machine_that_speaks_plain_http_is_tried_by_tls_once() {
    let server = Scripted::start(|request, _| Answer::part_of(b"content", request));
    let dir = tempfile::tempdir().unwrap();
    let here = resolver(dir.path(), &[], Options::default());
    for name in ["a/b", "c/d"] {
        let fetch = here.fetcher(&reference(&format!("{}/{name}", server.host)));
        for _ in 0..3 {
            fetch.fetch(&Digest::of(b"content"), 0..7).unwrap();
        }
    }
    assert_eq!((server.asked("blobs").len(), server.others()), (6, 1));
    let gone = free_port();
    let (kind, said) = found(dir.path(), &format!("127.0.0.1:{gone}"), Trust::default()).unwrap_err();
    assert!(kind == ErrorKind::Unreachable && said.contains("Connection refused"), "{said}");
}
