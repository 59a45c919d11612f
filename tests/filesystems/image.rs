//! Artifacts written to files, holes where they have zeros.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use lkit::extent::SharedSource;

/// A file below the build's own temporary directory; removed when it is dropped.
pub struct Image(PathBuf);

impl Image {
    /// Writes `source` to a file of this name.
    pub fn write(source: &SharedSource, name: &str) -> Self {
        let image = Self(scratch(name));
        let file = File::create(&image.0).unwrap();
        file.set_len(source.size()).unwrap();
        let mut at = 0;
        while let Some(run) = source.data_from(at) {
            copy(source, run.clone(), &file);
            at = run.end;
        }
        image
    }

    /// Its path as an argument.
    pub fn arg(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let removed = std::fs::remove_file(&self.0);
        assert!(removed.is_ok() || std::thread::panicking(), "{}", self.0.display());
    }
}

/// An empty directory that is removed when it is dropped.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        let path = scratch(name);
        if path.exists() {
            std::fs::remove_dir_all(&path).unwrap();
        }
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its path as an argument.
    pub fn arg(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let removed = std::fs::remove_dir_all(&self.0);
        assert!(removed.is_ok() || std::thread::panicking(), "{}", self.0.display());
    }
}

/// A path of this name below the build's own temporary directory.
pub fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn copy(source: &SharedSource, run: std::ops::Range<u64>, file: &File) {
    let mut buffer = vec![0; 1 << 20];
    let mut at = run.start;
    while at < run.end {
        let len = usize::try_from(run.end - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        source.read_at(&mut buffer[..len], at).unwrap();
        file.write_all_at(&buffer[..len], at).unwrap();
        at += len as u64;
    }
}
