//! Files of a store that keeps nothing on the disk: manifests and image configs, in memory.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::layout::BlobBytes;

/// Files by their path, one behind the other in one file that has no name.
#[derive(Debug, Default)]
pub(super) struct Transient(Mutex<Files>);

#[derive(Debug, Default)]
struct Files {
    memory: Option<File>,
    len: u64,
    places: HashMap<PathBuf, (u64, u64)>,
}

impl Transient {
    /// Keeps the bytes of a file.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.files();
        let start = files.len;
        match &files.memory {
            Some(memory) => memory.write_all_at(bytes, start)?,
            None => {
                let memory = nameless()?;
                memory.write_all_at(bytes, start)?;
                files.memory = Some(memory);
            }
        }
        files.len += bytes.len() as u64;
        files.places.insert(path.to_owned(), (start, bytes.len() as u64));
        Ok(())
    }

    /// The bytes of a file, if it is here.
    ///
    /// # Errors
    /// When the process has too many open files.
    pub fn open(&self, path: &Path) -> io::Result<Option<BlobBytes>> {
        let files = self.files();
        let Some((memory, (start, size))) = files.memory.as_ref().zip(files.places.get(path)) else { return Ok(None) };
        Ok(Some(BlobBytes { file: memory.try_clone()?, start: *start, size: *size }))
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        // A place is put in whole, and bytes without one are not read.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file in memory.
#[cfg(target_os = "linux")]
fn nameless() -> io::Result<File> {
    Ok(rustix::fs::memfd_create("lkit", rustix::fs::MemfdFlags::CLOEXEC)?.into())
}

/// A file that was removed when it was made.
#[cfg(not(target_os = "linux"))]
fn nameless() -> io::Result<File> {
    tempfile::tempfile()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_read_back_and_the_newer_of_one_name_counts() {
        let transient = Transient::default();
        assert!(transient.open(Path::new("a")).unwrap().is_none());
        for (path, bytes) in [("a", "old"), ("b", "other"), ("a", "newer")] {
            transient.put(Path::new(path), bytes.as_bytes()).unwrap();
        }
        for (path, text) in [("a", "newer"), ("b", "other")] {
            let BlobBytes { file, start, size } = transient.open(Path::new(path)).unwrap().unwrap();
            let mut bytes = vec![0; usize::try_from(size).unwrap()];
            file.read_exact_at(&mut bytes, start).unwrap();
            assert_eq!(bytes, text.as_bytes());
        }
    }
}
