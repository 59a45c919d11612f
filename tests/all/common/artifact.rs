//! Artifacts in tests: written to disk for external judges, and the laws each of them keeps.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use lkit::extent::{ReadError, SharedSource, Source};

/// A size without bytes: reading it ends the test.
pub struct Unreadable(pub u64);

impl Source for Unreadable {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_at(&self, _: &mut [u8], offset: u64) -> Result<(), ReadError> {
        panic!("content was read at {offset}, though laying out needs none");
    }
}

/// Bytes that differ everywhere, made from their offset.
pub struct Noise(pub u64);

impl Source for Noise {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        for (byte, at) in buf.iter_mut().zip(offset..) {
            let word = (at / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            *byte = word.to_le_bytes()[(at % 8) as usize];
        }
        Ok(())
    }
}

/// A directory for the files of one test, empty at its start.
pub fn scratch(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    // A run that was killed leaves its mounts.
    let table = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts =
        table.lines().filter_map(|line| line.split(' ').nth(1)).filter(|point| Path::new(point).starts_with(&dir));
    mounts.for_each(|point| drop(std::process::Command::new("umount").args(["-l", point]).status()));
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", dir.display()),
        _ => std::fs::create_dir_all(&dir).unwrap(),
    }
    dir
}

/// Writes `artifact` to `path`, with holes where it has none but zeros.
pub fn write(artifact: &SharedSource, path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(artifact.size()).unwrap();
    let mut buf = vec![0; 1 << 20];
    let mut at = 0;
    while let Some(data) = artifact.data_from(at) {
        at = data.start;
        while at < data.end {
            let len = buf.len().min(usize::try_from(data.end - at).unwrap());
            artifact.read_at(&mut buf[..len], at).unwrap();
            file.write_all_at(&buf[..len], at).unwrap();
            at += len as u64;
        }
    }
}

/// Reads `len` bytes from `offset`.
pub fn read(artifact: &dyn Source, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    artifact.read_at(&mut bytes, offset).unwrap();
    bytes
}

/// Reads pieces of odd sizes at odd offsets and compares them with the file that was written in order.
pub fn assert_ranges_agree(artifact: &SharedSource, written: &Path) {
    let file = File::open(written).unwrap();
    assert_eq!(file.metadata().unwrap().len(), artifact.size());
    let mut state = 1_u64;
    for _ in 0..400 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let offset = (state >> 20) % artifact.size();
        let len = usize::try_from(((state >> 8) % 9000).min(artifact.size() - offset)).unwrap();
        let mut expected = vec![0; len];
        file.read_exact_at(&mut expected, offset).unwrap();
        assert_eq!(read(&**artifact, offset, len), expected, "{len} bytes at {offset}");
    }
}
