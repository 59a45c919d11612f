//! A small system for tests: a layout with images made from text, a spec, a cache and a mount point.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use lkit::base::Digest;
use serde_json::json;

use crate::common::layout::LayoutMaker;
use crate::common::{lkit, skip_unless, stderr, stdout};

/// The spec of the system.
pub const SPEC: &str = "kernel:\n  image: test/kernel:1\n  cmdline: console=ttyS0\ninit:\n  - test/init:1\n";
/// Bytes of the largest file.
pub const LARGE: usize = 3 << 20;

/// A system and where it is shown.
pub struct System {
    pub dir: tempfile::TempDir,
    pub layout: LayoutMaker,
}

impl System {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("lkit cli").tempdir().unwrap();
        let mut layout = LayoutMaker::new(&dir.path().join("layout"));
        let modules = tar(&[("lib/modules/1/a.ko", b"module")]);
        let kernel = tar(&[("kernel", &kernel()), ("kernel.tar", &modules)]);
        let descriptor = image(&layout, &[&kernel]);
        layout.name("docker.io/test/kernel:1", &descriptor);
        let lower = tar(&[("etc/motd", b"hello\n"), ("etc/gone", b"gone"), ("usr/large", &noise(LARGE))]);
        let upper = tar(&[("etc/.wh.gone", b""), ("bin/sh", b"#!/bin/true\n")]);
        let descriptor = image(&layout, &[&lower, &upper]);
        layout.name("docker.io/test/init:1", &descriptor);
        let system = Self { dir, layout };
        system.write("a.yml", SPEC);
        fs::create_dir(system.mount_point()).unwrap();
        system
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn mount_point(&self) -> PathBuf {
        self.path("mnt")
    }

    pub fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    /// The program in the directory of the system, with what follows the command's name split at spaces.
    pub fn command(&self, line: &str) -> Command {
        let mut command = lkit(&self.cache());
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        let mut words = line.split(' ');
        command.arg(words.next().unwrap());
        if !matches!(line.split(' ').next(), Some("umount" | "cache" | "doctor" | "index" | "metadata" | "stats")) {
            command.args(["--offline", "--layout", "layout"]);
        }
        command.args(words);
        command
    }

    /// Runs the program, which is to succeed; its standard output.
    pub fn good(&self, line: &str) -> String {
        stdout(line, &self.command(line).output().unwrap())
    }

    /// Runs the program, which is to end with `code`; what it says.
    pub fn bad(&self, line: &str, code: i32) -> String {
        refused(line, &self.command(line).output().unwrap(), code)
    }

    /// Mounts the system; `None` where that cannot be tried.
    pub fn mounted(&self) -> Option<Mounted> {
        if !can_mount() {
            return None;
        }
        self.good("mount a.yml mnt");
        Some(Mounted(self.mount_point()))
    }

    /// The names in the directory of the system.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// What a program says that ended with `code`, and is well-formed.
pub fn refused(line: &str, output: &Output, code: i32) -> String {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{line}: {}\n{said}", output.status);
    assert!(said.contains("error: ") && !said.contains("panicked"), "{line}: {said}");
    said
}

/// Fails unless `said` has each of `parts`.
pub fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
}

/// A mount; taken away at the end of the test, whatever happened.
pub struct Mounted(pub PathBuf);

impl Mounted {
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names that are listed and lead to something, sorted.
    pub fn that_are_there(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| fs::symlink_metadata(self.path(name)).is_ok()).collect();
        names.sort();
        names
    }

    /// The process that serves it.
    pub fn server(&self) -> u32 {
        server_of(&self.0).expect("a mount has a server")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if is_mounted(&self.0) {
            let _ = Command::new("umount").arg("-l").arg(&self.0).stderr(Stdio::null()).status();
        }
    }
}

/// Whether mounts can be tried here.
pub fn can_mount() -> bool {
    let device = fs::File::options().read(true).write(true).open("/dev/fuse");
    skip_unless(device.is_ok(), "no /dev/fuse that can be opened")
}

/// Whether something is mounted on `dir`.
pub fn is_mounted(dir: &Path) -> bool {
    let name = dir.to_str().unwrap().replace(' ', "\\040");
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().any(|line| line.split(' ').nth(4) == Some(&name))
}

/// The process that serves the mount on `dir`, from its arguments and working directory.
pub fn server_of(dir: &Path) -> Option<u32> {
    let parent = dir.parent().unwrap();
    fs::read_dir("/proc").unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        let words = fs::read(path.join("cmdline")).ok()?;
        let mut words = words.split(|byte| *byte == 0);
        let serves = words.next()?.ends_with(b"lkit") && words.any(|word| word == b"mount");
        (serves && fs::read_link(path.join("cwd")).ok()? == parent).then_some(pid)
    })
}

/// Waits until `condition` holds, for a minute at most.
pub fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Sends a signal by its name.
pub fn signal(name: &str, pid: u32) {
    crate::common::run("kill", [format!("-{name}"), pid.to_string()]);
}

/// A file that begins as a kernel for x86 does: a bzImage that is an EFI program as well.
pub fn kernel() -> Vec<u8> {
    let mut kernel = noise(300_000);
    let mut put = |at: usize, field: &[u8]| kernel[at..at + field.len()].copy_from_slice(field);
    put(0, b"MZ");
    put(0x3c, b"@\0\0\0PE\0\0\x64\x86");
    put(0x58, b"\x0b\x02");
    put(0x58 + 56, &0x0010_0000_u32.to_le_bytes());
    put(0x1fe, b"\x55\xaa\xeb\x66HdrS\x0f\x02");
    put(0x236, &[1, 0]);
    kernel
}

/// Bytes that do not compress, and differ everywhere.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A tar of these files.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(1_600_000_000);
        header.set_size(content.len() as u64);
        // Written as it is: `set_path` refuses the names that tests are about.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image for this machine, of a gzip layer for each of `tars`.
pub fn image(layout: &LayoutMaker, tars: &[&[u8]]) -> serde_json::Value {
    let layers: Vec<(Vec<u8>, Digest)> = tars.iter().map(|tar| (gzip(tar), Digest::of(tar))).collect();
    image_of(layout, &layers)
}

/// An image for this machine, of layer blobs and the diff ids its config claims.
pub fn image_of(layout: &LayoutMaker, layers: &[(Vec<u8>, Digest)]) -> serde_json::Value {
    image_that_runs(layout, &json!({"Cmd": ["sh"]}), layers)
}

/// The same with what runs in it.
pub fn image_that_runs(
    layout: &LayoutMaker,
    process: &serde_json::Value,
    layers: &[(Vec<u8>, Digest)],
) -> serde_json::Value {
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let diff_ids: Vec<String> = layers.iter().map(|(_, id)| id.to_string()).collect();
    let config = json!({"architecture": arch, "os": "linux", "config": process,
                        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = layout.described("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let blob = |(bytes, _): &(Vec<u8>, Digest)| layout.described("application/vnd.oci.image.layer.v1.tar+gzip", bytes);
    layout.document(
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
               "layers": layers.iter().map(blob).collect::<Vec<_>>()}),
        Some(arch),
    )
}
