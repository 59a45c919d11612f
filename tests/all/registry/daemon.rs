//! Images of a docker daemon, from a stand-in that listens on a socket and says what was recorded.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lkit::base::{Digest, Ending, ErrorKind, Fault as _, Silent};
use lkit::oci::{Daemon, DaemonError};
use serde_json::json;

use super::archives::tar;
use crate::common::{lkit, stderr, stdout};

/// A daemon that answers to paths.
struct StandIn {
    socket: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
}

impl StandIn {
    fn start(dir: &Path, answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let socket = dir.join("docker.sock");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let Some(path) = lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned)) else {
                    continue;
                };
                lines.find(String::is_empty);
                seen.lock().unwrap().push(path.clone());
                // The client may have had enough.
                let _ = stream.write_all(&answer(&path));
            }
        });
        Self { socket, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn http(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn inspected(id: &str) -> Vec<u8> {
    http(200, json!({"Id": id, "Size": 1000, "RepoTags": ["nginx:latest"]}).to_string().as_bytes())
}

fn id(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

/// What `docker save` writes of an image with one file, which holds a text.
fn saved(dir: &Path, text: &str) -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    layer.append_data(&mut header, "etc/version", text.as_bytes()).unwrap();
    let layer = layer.into_inner().unwrap();
    let config = json!({"architecture": "amd64", "os": "linux",
                        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]}});
    let list = json!([{"Config": "config.json", "RepoTags": ["nginx:latest"], "Layers": ["a/layer.tar"]}]);
    let (config, list) = (config.to_string(), list.to_string());
    let path = dir.join("saved.tar");
    let members: [(&str, &[u8]); 3] =
        [("config.json", config.as_bytes()), ("a/layer.tar", &layer), ("manifest.json", list.as_bytes())];
    tar(&path, &members);
    fs::read(path).unwrap()
}

/// The archives in a cache, and files that are on their way.
fn archives(cache: &Path) -> usize {
    let count = |part: &str| fs::read_dir(cache.join(part)).map_or(0, Iterator::count);
    assert_eq!(count("lkit/tmp"), 0);
    count("lkit/daemon")
}

#[test]
fn an_image_of_the_docker_daemon_is_sent_once() {
    let dir = tempfile::tempdir().unwrap();
    let versions = Arc::new(Mutex::new("one"));
    let (now, place) = (Arc::clone(&versions), dir.path().to_owned());
    let daemon = StandIn::start(dir.path(), move |path| {
        let version = *now.lock().unwrap();
        if path.ends_with("json") { inspected(&id(version)) } else { http(200, &saved(&place, version)) }
    });
    fs::write(dir.path().join("s.yml"), "init:\n  - nginx\n").unwrap();
    let cache = dir.path().join("cache");
    let tree = || {
        let mut lkit = lkit(&cache);
        lkit.current_dir(dir.path()).env("DOCKER_HOST", format!("unix://{}", daemon.socket.display()));
        lkit.args(["build", "--digest", "--offline", "-f", "tar", "--arch", "amd64"]);
        stdout("build", &lkit.args(["--layout", "docker-daemon:nginx:latest", "s.yml"]).output().unwrap())
    };
    let first = tree();
    assert_eq!(daemon.asked(), ["/images/nginx:latest/json", "/images/nginx:latest/get"]);
    assert_eq!((tree(), archives(&cache)), (first.clone(), 1));
    assert_eq!(daemon.asked(), ["/images/nginx:latest/json"]);
    // The tag has moved.
    *versions.lock().unwrap() = "two";
    assert_ne!(tree(), first);
    assert_eq!((daemon.asked().len(), archives(&cache)), (2, 2));
    stdout("clean", &lkit(&cache).args(["cache", "clean"]).output().unwrap());
    assert_eq!(archives(&cache), 0);
}

#[test]
fn the_daemon_is_asked_first_for_every_tag_and_what_it_lacks_comes_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (place, cache) = (dir.path().to_owned(), dir.path().join("cache"));
    let daemon = StandIn::start(dir.path(), move |path| match path {
        "/images/docker.io/library/nginx:latest/json" => inspected(&id("local")),
        "/images/docker.io/library/nginx:latest/get" => http(200, &saved(&place, "local")),
        _ => http(404, b"{}"),
    });
    fs::write(dir.path().join("s.yml"), "init:\n  - nginx\n  - nginx\n  - other:1\n").unwrap();
    let build = |socket: &Path, arguments: &[&str]| {
        let mut lkit = lkit(&cache);
        lkit.current_dir(dir.path()).env("DOCKER_HOST", format!("unix://{}", socket.display()));
        lkit.args(["build", "--docker", "--offline", "--arch", "amd64", "-o", "x.tar"]).args(arguments);
        lkit.output().unwrap()
    };
    let said = stderr(&build(&daemon.socket, &["s.yml"]));
    assert!(said.contains("cannot resolve image `other:1`") && !said.contains("warning"), "{said}");
    let get = "/images/docker.io/library/nginx:latest/get".to_owned();
    let asked = daemon.asked();
    assert!(asked.contains(&get) && asked.contains(&"/images/docker.io/library/other:1/json".to_owned()), "{asked:?}");
    fs::write(dir.path().join("s.yml"), "init:\n  - nginx\n").unwrap();
    let output = build(&daemon.socket, &["s.yml"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let tar = fs::read(dir.path().join("x.tar")).unwrap();
    assert!(tar.windows(5).any(|part| part == b"local"));
    // So is it for the images of an enclave's application.
    fs::write(dir.path().join("k.yml"), "kernel:\n  image: other:1\n").unwrap();
    for application in [["--eif-application", "s.yml"], ["--image", "nginx"]] {
        daemon.asked();
        stderr(&build(&daemon.socket, &["-f", "eif", application[0], application[1], "k.yml"]));
        let asked = daemon.asked();
        assert!(
            asked.contains(&"/images/docker.io/library/nginx:latest/json".to_owned()),
            "{application:?}: {asked:?}"
        );
    }
    // A daemon that is not there has nothing, and that is told.
    let said = stderr(&build(&dir.path().join("none.sock"), &["s.yml"]));
    assert!(said.contains("warning: cannot get `docker.io/library/nginx:latest` from the docker daemon"), "{said}");
    assert!(said.contains("; images are looked for elsewhere") && said.contains("cannot resolve image"), "{said}");
}

#[test]
fn a_daemon_that_lies_dies_or_sends_rubbish_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let good = saved(dir.path(), "text");
    let cut = format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n", good.len());
    let cut = [cut.as_bytes(), &good[..good.len() / 2]].concat();
    let endless = [b"HTTP/1.1 200 X\r\n\r\n".as_slice(), &vec![b'x'; 65 << 20]].concat();
    let rows: [(Vec<u8>, Vec<u8>, ErrorKind, &str); 9] = [
        (http(404, b"{}"), Vec::new(), ErrorKind::ImageNotFound, "it has no such image"),
        (http(500, b"{\"message\":\"oops\"}"), Vec::new(), ErrorKind::Unreachable, "it answered: 500 {\"message\":"),
        (http(200, b"<html>"), Vec::new(), ErrorKind::Unreachable, "it answered: no image, but text: "),
        (inspected("sha256:../x"), Vec::new(), ErrorKind::Unreachable, "its image has the id `sha256:../x`"),
        (Vec::new(), Vec::new(), ErrorKind::Unreachable, "it cannot be spoken with: "),
        (inspected(&id("x")), http(200, b"rubbish"), ErrorKind::Io, "is not an OCI image layout"),
        (inspected(&id("x")), cut, ErrorKind::Io, "transfer blob"),
        (inspected(&id("x")), endless, ErrorKind::Io, "it has over 67110864 bytes"),
        (http(200, &vec![b' '; 5 << 20]), Vec::new(), ErrorKind::Unreachable, "over 4194304 bytes of text"),
    ];
    for (of_json, of_get, kind, expected) in rows {
        let answer = move |path: &str| if path.ends_with("json") { of_json.clone() } else { of_get.clone() };
        let daemon = StandIn::start(dir.path(), answer);
        let cache = dir.path().join("cache");
        let error = archive(&daemon.socket, &cache).unwrap_err();
        let said = format!("{error}: {}", error.source);
        assert_eq!(error.kind(), kind, "{said}");
        assert!(said.contains(expected), "{said}");
        if cache.exists() {
            assert_eq!(archives(&cache), 0, "{said}");
        }
    }
}

fn archive(socket: &Path, cache: &Path) -> Result<PathBuf, DaemonError> {
    Daemon::at(socket, Ending::default())?.archive("nginx:latest", cache, &Silent)
}

#[test]
fn a_daemon_that_is_not_there_is_told_with_the_way_to_name_another() {
    let dir = tempfile::tempdir().unwrap();
    let error = archive(&dir.path().join("none.sock"), &dir.path().join("cache")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.hint().unwrap().contains("`DOCKER_HOST`"));
    fs::write(dir.path().join("s.yml"), "init:\n  - nginx\n").unwrap();
    let mut lkit = lkit(&dir.path().join("cache"));
    lkit.current_dir(dir.path()).env("DOCKER_HOST", "tcp://10.0.0.1:2375");
    let output = lkit.args(["lock", "--layout", "docker-daemon:nginx", "s.yml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("DOCKER_HOST: `tcp://10.0.0.1:2375` is no socket of this machine"), "{said}");
}
