//! Passwords and signed URLs: used, and never told, neither in messages nor in logs nor in what is written.

use std::fs;
use std::process::{Command, Output};

use lkit::base::Digest;
use serde_json::json;

use super::system::{SPEC, System};
use crate::common::registry::free_port;
use crate::common::scripted::{Answer, Scripted};
use crate::common::{lkit, stderr};

/// What must not be told.
const SECRETS: [&str; 4] = ["hush", "s3cret", "dXNlcjpodXNo", "X-Sig"];

/// Fails when a run has told a secret; what it told instead.
fn told(line: &str, output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(output);
    for secret in SECRETS {
        assert!(!text.contains(secret), "{line} tells `{secret}`:\n{text}");
    }
    text
}

/// A command that logs every detail.
fn wordy(mut command: Command) -> Output {
    command.env("LKIT_LOG", "trace").output().unwrap()
}

#[test]
fn the_password_of_a_spec_s_url_is_used_and_not_told() {
    let system = System::new();
    let closed = free_port();
    let server = Scripted::start(move |request, _| {
        let known = request.headers.get("authorization").is_some_and(|given| given == "Basic dXNlcjpodXNo");
        match request.path.as_str() {
            _ if !known => Answer::new(401, ""),
            path if path.starts_with("/good.yml") => Answer::new(200, SPEC),
            path if path.starts_with("/bad.yml") => Answer::new(200, "init: 7"),
            path if path.starts_with("/moved.yml") => {
                Answer::new(302, "").header("Location", format!("http://127.0.0.1:{closed}/x?X-Sig=s3cret"))
            }
            path if path.starts_with("/circle.yml") => {
                Answer::new(302, "").header("Location", "/circle.yml?X-Sig=s3cret")
            }
            _ => Answer::new(404, ""),
        }
    });
    let url = |name: &str| format!("http://user:hush@{}/{name}.yml?X-Sig=s3cret", server.host);
    let shown = |name: &str| format!("http://***@{}/{name}.yml?***", server.host);
    for (name, code) in [("good", 0), ("bad", 3), ("moved", 4), ("circle", 4), ("missing", 4)] {
        let line = format!("build --digest {}", url(name));
        let output = wordy(system.command(&line));
        let text = told(&line, &output);
        assert_eq!(output.status.code(), Some(code), "{line}: {text}");
        assert!(text.contains(&shown(name)) || code == 0, "{text}");
    }
    let inspected = told("inspect", &wordy(system.command(&format!("inspect --json {}", url("good")))));
    assert!(inspected.contains("\"name\": \"good\""), "{inspected}");
    told("lock", &wordy(system.command(&format!("lock {}", url("good")))));
    told("mount", &wordy(system.command(&format!("mount --log log {} no-such-directory", url("good")))));
    let log = fs::read_to_string(system.path("log")).unwrap();
    assert!(SECRETS.iter().all(|secret| !log.contains(secret)), "{log}");
    let names = system.names();
    assert!(names.iter().all(|name| SECRETS.iter().all(|secret| !name.contains(secret))), "{names:?}");
}

#[test]
fn the_password_of_a_mirror_or_a_proxy_is_not_told() {
    let system = System::new();
    for mirror in ["docker.io=https://user:hush@127.0.0.1:1", "https://127.0.0.1:1/?X-Sig=s3cret", "user:hush@host"] {
        let line = format!("build --digest --mirror {mirror} a.yml");
        let output = system.command(&line).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(told(&line, &output).contains("is not a mirror"));
    }
    system.write("b.yml", "init: [quay.io/a/b:1]");
    let mut command = lkit(&system.cache());
    command.args(["build", "--digest", "b.yml"]).current_dir(system.dir.path());
    command.env("https_proxy", format!("http://user:hush@127.0.0.1:{}", free_port()));
    let output = wordy(command);
    assert!(told("proxy", &output).contains("cannot reach registry `quay.io`"));
}

#[test]
fn a_signed_url_that_a_registry_redirects_to_is_not_told() {
    let system = System::new();
    let config = Digest::of(b"{}").to_string();
    let manifest = json!({"schemaVersion": 2, "layers": [], "config":
        {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": config}});
    for (status, code) in [(0, 4), (403, 4), (500, 4)] {
        let storage = Scripted::start(move |_, _| Answer::new(status, "no"));
        let target = if status == 0 { format!("127.0.0.1:{}", free_port()) } else { storage.host.clone() };
        let manifest = manifest.to_string();
        let server = Scripted::start(move |request, _| match request.path.contains("manifests") {
            true => Answer::new(200, manifest.clone()),
            false => Answer::new(307, "").header("Location", format!("http://user:hush@{target}/x?X-Sig=s3cret")),
        });
        system.write("b.yml", format!("init: [{}/a/b:{status}]", server.host));
        let mut command = lkit(&system.path(&format!("cache {status}")));
        command.args(["build", "--digest", "b.yml"]).current_dir(system.dir.path());
        let output = wordy(command);
        let text = told("redirect", &output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert_eq!(storage.asked("X-Sig=s3cret").is_empty(), status == 0, "{text}");
    }
}
