//! A real registry on the loopback interface, for the time of a test.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::tls::Authority;
use crate::common::{have, run};

/// What `htpasswd -B` makes of `user` and `secret`.
const HTPASSWD: &str = "user:$2y$05$.iY0qSh6YX5UNkOfQIAwheTt/chjsnYcBcCfhYI2/ztcAZV.mUYd6\n";

/// Who may use a registry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Everybody.
    Open,
    /// `user` with the password `secret`.
    Locked,
}

/// `docker-registry`, killed when it is dropped.
pub struct DockerRegistry {
    child: Option<Child>,
    config: PathBuf,
    door: Door,
    port: u16,
}

impl DockerRegistry {
    /// Starts a registry that keeps its blobs in `dir`; `None` where its program or skopeo is missing.
    pub fn start(dir: &Path, door: Door) -> Option<Self> {
        Self::start_with(dir, door, "")
    }

    /// The same, by TLS; with `clients` for those alone who have a certificate of the authority.
    pub fn start_secure(dir: &Path, authority: &Authority, clients: bool) -> Option<Self> {
        let (certificate, key) = authority.certificate("server");
        let clients = if clients { format!(", clientcas: [{}]", authority.root().display()) } else { String::new() };
        let tls = format!(", tls: {{certificate: {}, key: {}{clients}}}", certificate.display(), key.display());
        Self::start_with(dir, Door::Open, &tls)
    }

    fn start_with(dir: &Path, door: Door, tls: &str) -> Option<Self> {
        if !have(&["docker-registry", "skopeo"]) {
            return None;
        }
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("htpasswd"), HTPASSWD).unwrap();
        let port = free_port();
        let root = dir.display();
        let auth = match door {
            Door::Open => String::new(),
            Door::Locked => format!("auth: {{htpasswd: {{realm: test, path: {root}/htpasswd}}}}\n"),
        };
        let config = dir.join("config.yml");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {root}/data}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '127.0.0.1:{port}'{tls}}}\nlog: {{level: info}}\n{auth}"
        );
        fs::write(&config, text).unwrap();
        let mut registry = Self { child: None, config, door, port };
        registry.restart();
        Some(registry)
    }

    /// Host and port.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends it at once, in the middle of whatever it does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again, with the same blobs under the same address.
    pub fn restart(&mut self) {
        self.kill();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&self.config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("listening on") {
            assert_ne!(log.read_line(&mut said).unwrap(), 0, "docker-registry ended: {said}");
        }
        self.child = Some(child);
        // Its log is read to its end, so that it never waits for us.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
    }

    /// Copies what `layout` calls `from` to `to`, a repository and tag, byte for byte.
    pub fn push(&self, layout: &Path, from: &str, to: &str) {
        let source = format!("oci:{}:{from}", layout.display());
        let target = format!("docker://{}/{to}", self.host());
        let mut args = vec!["copy", "-q", "--all", "--preserve-digests", "--dest-tls-verify=false"];
        if self.door == Door::Locked {
            args.push("--dest-creds=user:secret");
        }
        run("skopeo", args.into_iter().chain([source.as_str(), target.as_str()]));
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
