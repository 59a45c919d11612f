//! A directory with images made from text and specs, and the program that builds them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use lkit::base::Digest;
use serde_json::{Value, json};

use crate::common;
use crate::common::entries::{Entry, Kind, of_cpio, of_tar, tar_of};
use crate::common::layout::LayoutMaker;

/// Architecture of images that do not say another one; every build asks for it.
pub const ARCH: &str = "amd64";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub struct Workshop {
    pub dir: tempfile::TempDir,
    pub layout: LayoutMaker,
}

impl Workshop {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = LayoutMaker::new(&dir.path().join("layout"));
        Self { dir, layout }
    }

    /// Makes the image `q.io/NAME` of layers written as text.
    pub fn image(&mut self, name: &str, layers: &[&str]) -> &mut Self {
        self.image_with(name, layers, json!({}))
    }

    /// The same with a `config` part of the image config.
    pub fn image_with(&mut self, name: &str, layers: &[&str], config: Value) -> &mut Self {
        let tars: Vec<Vec<u8>> = layers.iter().map(|text| tar_of(text)).collect();
        let descriptor = self.described(ARCH, &tars, config);
        self.layout.name(&format!("q.io/{name}:latest"), &descriptor);
        self
    }

    /// The same of layers that are tars already.
    pub fn image_of_tars(&mut self, name: &str, tars: &[Vec<u8>]) -> &mut Self {
        let descriptor = self.described(ARCH, tars, json!({}));
        self.layout.name(&format!("q.io/{name}:latest"), &descriptor);
        self
    }

    /// The descriptor of an image without a name.
    pub fn described(&self, arch: &str, tars: &[Vec<u8>], config: Value) -> Value {
        let diff_ids: Vec<String> = tars.iter().map(|tar| Digest::of(tar).to_string()).collect();
        let document = json!({"architecture": arch, "os": "linux", "config": config,
                              "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let layers: Vec<Value> = tars.iter().map(|tar| self.layout.described(LAYER, tar)).collect();
        self.manifest(arch, &document.to_string(), &layers)
    }

    /// The descriptor of an image with this config and these layers.
    pub fn manifest(&self, arch: &str, config: &str, layers: &[Value]) -> Value {
        let config = self.layout.described(CONFIG, config.as_bytes());
        let document = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.layout.document(document, Some(arch))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The program in this directory; `line` is split at spaces.
    pub fn command(&self, line: &str) -> Command {
        let mut command = common::lkit(&self.path("cache"));
        command.current_dir(self.dir.path()).env("HOME", self.dir.path()).stdin(Stdio::null());
        let (first, rest) = line.split_once(' ').unwrap();
        command.args([first, "--offline", "--layout", "layout", "--arch", ARCH]).args(rest.split(' '));
        command
    }

    pub fn output(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Runs the program, which is to succeed; its standard output.
    pub fn good(&self, line: &str) -> String {
        common::stdout(line, &self.output(line))
    }

    /// Runs the program, which is to end with `code`; what it says.
    pub fn bad(&self, line: &str, code: i32) -> String {
        let output = self.output(line);
        let said = common::stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        assert!(said.contains("error: ") && output.stdout.is_empty(), "{line}: {said}");
        said
    }

    /// Writes a spec and builds it; the entries of the tar, as another program reads it.
    pub fn tar(&self, spec: &str) -> Root {
        self.write("x.yml", spec);
        let output = self.output("build -f tar -o - x.yml");
        common::stdout(spec, &output);
        Root(of_tar(&output.stdout))
    }

    /// Writes a spec and builds it; the entries of the initrd, as another program reads it.
    pub fn initrd(&self, spec: &str) -> Root {
        self.write("x.yml", spec);
        self.good("build -f kernel+initrd --name x x.yml");
        Root(of_cpio(&fs::read(self.path("x-initrd.img")).unwrap()))
    }

    /// Writes a spec that is to be refused with `code`; what the program says.
    pub fn refused(&self, spec: &str, code: i32) -> String {
        self.write("x.yml", spec);
        self.bad("build -f tar -o - x.yml", code)
    }
}

/// The files of a built system, in the order of the archive.
pub struct Root(pub Vec<Entry>);

impl Root {
    /// The entry of a path; fails when there is none, or several.
    pub fn entry(&self, path: &str) -> &Entry {
        let found: Vec<&Entry> = self.0.iter().filter(|entry| entry.path == path).collect();
        let [entry] = found[..] else { panic!("{} entries of `{path}`", found.len()) };
        entry
    }

    pub fn has(&self, path: &str) -> bool {
        self.0.iter().any(|entry| entry.path == path)
    }

    /// The line of a path.
    pub fn line(&self, path: &str) -> String {
        self.entry(path).to_string()
    }

    /// The lines of what is at and below a path, sorted.
    pub fn lines(&self, path: &str) -> Vec<String> {
        let below = |entry: &&Entry| entry.path.strip_prefix(path).is_some_and(|r| r.is_empty() || r.starts_with('/'));
        let mut lines: Vec<String> = self.0.iter().filter(below).map(ToString::to_string).collect();
        lines.sort();
        lines
    }

    pub fn content(&self, path: &str) -> &[u8] {
        let Kind::File(content) = &self.entry(path).kind else { panic!("`{path}` is no file") };
        content
    }

    pub fn json(&self, path: &str) -> Value {
        serde_json::from_slice(self.content(path)).unwrap()
    }
}
