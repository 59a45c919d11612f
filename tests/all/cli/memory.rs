//! What an image of a gigabyte costs: anonymous memory while it is indexed and read, and disk for its index.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lkit::base::Hasher;
use serde_json::json;

use super::system::{Mounted, System, can_mount, is_mounted, noise, signal, wait_for};

/// Size of the file in the image, in bytes.
const HUGE: u64 = 1 << 30;
/// Most anonymous memory of a server at any time, in bytes.
const MEMORY: u64 = 100 << 20;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    Plain,
    Gzip,
    Zstd,
}

impl Codec {
    /// Compresses into `file` until it is dropped.
    fn encoder(self, file: File) -> Box<dyn Write> {
        match self {
            Self::Plain => Box::new(file),
            Self::Gzip => Box::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast())),
            Self::Zstd => Box::new(zstd::stream::write::Encoder::new(file, 1).unwrap().auto_finish()),
        }
    }
}

/// Writes the tar of one file that compresses like text.
fn write_tar(out: &mut dyn Write) {
    let mut header = tar::Header::new_ustar();
    header.set_path("huge").unwrap();
    header.set_mode(0o644);
    header.set_size(HUGE);
    header.set_cksum();
    out.write_all(header.as_bytes()).unwrap();
    let words = noise(8 * 256);
    let stretch: Vec<u8> = noise(1 << 17).into_iter().flat_map(|n| words[8 * usize::from(n)..][..8].to_vec()).collect();
    (0..HUGE >> 20).for_each(|_| out.write_all(&stretch).unwrap());
    out.write_all(&[0; 1024]).unwrap();
}

/// A system of one image with one huge layer; the size of its blob.
fn huge_system(codec: Codec) -> (System, u64) {
    let mut system = System::new();
    let path = system.layout.dir.join("huge");
    write_tar(&mut *codec.encoder(File::create(&path).unwrap()));
    let mut blob = Hasher::default();
    io::copy(&mut File::open(&path).unwrap(), &mut blob).unwrap();
    let blob = blob.finish();
    let size = fs::metadata(&path).unwrap().len();
    fs::rename(path, system.layout.path(&blob)).unwrap();
    let mut diff = Hasher::default();
    write_tar(&mut diff);
    let diff = diff.finish();
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config =
        json!({"architecture": arch, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff.to_string()]}});
    let config = system.layout.described("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let layer =
        json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": blob.to_string(), "size": size});
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                          "config": config, "layers": [layer]});
    let descriptor = system.layout.document(manifest, Some(arch));
    system.layout.name("docker.io/test/huge:1", &descriptor);
    system.write("a.yml", "init:\n  - test/huge:1\n");
    (system, size)
}

/// Anonymous memory of a process in bytes; 0 when it is gone.
fn anonymous(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10)
}

fn size_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let size = |entry: fs::DirEntry| match entry.metadata().unwrap() {
        metadata if metadata.is_dir() => size_below(&entry.path()),
        metadata => metadata.len(),
    };
    entries.map(size).sum()
}

/// Mounts, reads everything, unmounts; the most anonymous memory the server had.
fn peak_of_a_read(system: &System) -> u64 {
    let mut server = system.command("mount --foreground a.yml mnt").spawn().unwrap();
    let mounted = Mounted(system.mount_point());
    let (peak, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let pid = server.id();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                peak.fetch_max(anonymous(pid), Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_millis(5));
            }
        });
        wait_for("the mount", || is_mounted(&mounted.0));
        let read = io::copy(&mut File::open(mounted.path("initrd.img")).unwrap(), &mut io::sink());
        over.store(true, Ordering::Relaxed);
        assert!(read.unwrap() > HUGE);
    });
    signal("TERM", pid);
    assert!(server.wait().unwrap().success());
    peak.into_inner()
}

fn costs_little(codec: Codec) {
    if !can_mount() {
        return;
    }
    let (system, blob) = huge_system(codec);
    let peak = peak_of_a_read(&system);
    let kept = size_below(&system.cache());
    eprintln!("{codec:?}: {} MiB at most, {kept} bytes kept for a blob of {blob}", peak >> 20);
    assert!(peak > 0 && peak <= MEMORY, "{codec:?}: {peak} bytes");
    assert!(kept <= blob * 15 / 1000 + (64 << 10), "{codec:?}: {kept} bytes for a blob of {blob}");
}

#[test]
fn fuse_a_gigabyte_in_gzip_costs_little() {
    costs_little(Codec::Gzip);
}

#[test]
fn fuse_a_gigabyte_in_one_zstd_frame_costs_little() {
    costs_little(Codec::Zstd);
}

#[test]
fn fuse_a_plain_gigabyte_costs_little() {
    costs_little(Codec::Plain);
}
