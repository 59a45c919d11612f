//! A system that boots before it is downloaded: `examples/ci/boot` on a builder with 20 MB of disk.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::{Compression, write::GzEncoder};
use lkit::base::Digest;
use serde_json::json;

use super::system::can_mount;
use crate::common::layout::LayoutMaker;
use crate::common::qemu::{Firmware, LIMIT, one_at_a_time, tail};
use crate::common::registry::{DockerRegistry, Door};
use crate::common::{self, stderr, stdout};

/// Size of the large file, of which this much cannot be compressed.
const SIZE: usize = 1 << 30;
const NOISE: usize = 64 << 20;
const MIB: usize = 1 << 20;

/// A mebibyte of the large file.
fn mebibyte(number: usize) -> Vec<u8> {
    let noise =
        |word: usize| (word as u64 ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).to_le_bytes();
    match number * MIB < NOISE {
        true => (0..MIB / 8).flat_map(|word| noise(number * MIB + word)).collect(),
        false => format!("{number:07}\n").into_bytes().repeat(MIB / 8),
    }
}

/// Puts an image with the large file into a layout; its layer is made piece by piece.
fn put_large(layout: &mut LayoutMaker) {
    let mut header = tar::Header::new_ustar();
    header.set_path("usr/share/large").unwrap();
    header.set_mode(0o644);
    header.set_size(SIZE as u64);
    header.set_cksum();
    let (mut layer, mut diff) = (GzEncoder::new(Vec::new(), Compression::fast()), lkit::base::Hasher::default());
    let pieces = (0..SIZE / MIB).map(mebibyte);
    for piece in std::iter::once(header.as_bytes().to_vec()).chain(pieces).chain([vec![0; 1024]]) {
        diff.update(&piece);
        layer.write_all(&piece).unwrap();
    }
    let layer = layout.described("application/vnd.oci.image.layer.v1.tar+gzip", &layer.finish().unwrap());
    let config = json!({"architecture": "amd64", "os": "linux",
                        "rootfs": {"type": "layers", "diff_ids": [diff.finish().to_string()]}});
    let config = layout.described("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                          "config": config, "layers": [layer]});
    let descriptor = layout.document(manifest, Some("amd64"));
    layout.name("large", &descriptor);
}

/// A file system of 20 MB in memory, taken away at the end.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn on(dir: &'a Path) -> Self {
        fs::create_dir(dir).unwrap();
        common::run("mount", ["-t", "tmpfs", "-o", "size=20m", "small", dir.to_str().unwrap()]);
        Self(dir)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).stderr(Stdio::null()).status();
    }
}

#[test]
fn boot_a_gigabyte_on_a_builder_with_20_mb_of_disk() {
    let Some(images) = common::example_images() else { return };
    if !can_mount() || !Firmware::Bios.available() || !common::have(&["mount", "umount"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let Some(registry) = DockerRegistry::start(&path("registry"), Door::Open) else { return };
    let mut layout = LayoutMaker::new(&path("layout"));
    put_large(&mut layout);
    registry.push(&layout.dir, "large", "test/large:1");
    for name in ["kernel", "init"] {
        registry.push(&images, &format!("docker.io/linuxkit/{name}:example"), &format!("test/{name}:1"));
    }
    let place = SIZE / MIB / 2;
    let verdict = format!(
        "#!/bin/sh\nf=/usr/share/large\necho \"verdict: $(stat -c %s $f) $(dd if=$f bs=1M skip={place} count=1 \
         2>/dev/null | sha256sum | cut -c1-64) $(awk '$2 == \"/\" {{ type = $3 }} END {{ print type }}' /proc/mounts)\"\n"
    );
    fs::write(path("verdict"), verdict).unwrap();
    let host = registry.host();
    let spec = format!(
        "kernel:\n  image: {host}/test/kernel:1\n  cmdline: console=ttyS0 panic=-1 quiet lkit.exec=/usr/bin/verdict \
         lkit.poweroff\ninit:\n  - {host}/test/init:1\n  - {host}/test/large:1\nfiles:\n  - path: usr/bin/verdict\n    \
         source: {}\n    mode: '0755'\n",
        path("verdict").display()
    );
    fs::write(path("a.yml"), spec).unwrap();
    for line in ["index push --arch amd64", "lock --arch amd64"] {
        let mut command = common::lkit(&path("maker"));
        stdout(line, &command.args(line.split(' ')).arg(path("a.yml")).output().unwrap());
    }
    let small = path("small");
    let _small = Small::on(&small);
    let mut command = Command::new("timeout");
    command.env("LKIT", env!("CARGO_BIN_EXE_lkit")).env("TMPDIR", &small).env("HOME", &small).stdin(Stdio::null());
    command.arg(LIMIT).arg(common::root().join("examples/ci/boot")).arg(path("a.yml"));
    command.args(["--arch", "amd64", "--accel", "tcg", "--cpus", "2"]);
    let output = {
        let _one = one_at_a_time();
        command.output().unwrap()
    };
    let console = String::from_utf8_lossy(&output.stdout).replace(['\r', '\u{1b}'], "");
    let said = format!("{}\n{}\n{}", output.status, stderr(&output), tail(&console));
    let sum = Digest::of(&mebibyte(place)).hex();
    assert!(output.status.success(), "{said}");
    assert!(console.contains(&format!("verdict: {SIZE} {sum} overlay")), "{said}");
    let used: u64 =
        console.lines().find_map(|line| line.strip_suffix(" KB of disk were used")).unwrap().trim().parse().unwrap();
    assert!(used < 4096, "{used} KB");
}
