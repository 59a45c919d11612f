//! Artifacts written to files, holes where they have zeros.

use std::path::{Path, PathBuf};

use lkit::extent::SharedSource;

use crate::common::artifact::write;

/// A file below the build's own temporary directory; removed when it is dropped.
pub struct Image(PathBuf);

impl Image {
    /// Writes `source` to a file of this name.
    pub fn write(source: &SharedSource, name: &str) -> Self {
        let image = Self(scratch(name));
        write(source, &image.0);
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
