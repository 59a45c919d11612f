//! Locks between processes (and threads) by `flock` on files that vanish with their holder's work.
//!
//! # Invariants
//! A lock file is removed only by who holds its lock, and a lock counts only while its file still has its name; so two
//! holders of one name never meet, and no lock file stays behind but those of killed processes, which lock nothing until
//! they are cleaned away.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Error;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Guard {
    // Held open for its flock.
    _file: File,
    path: PathBuf,
}

impl Guard {
    /// Waits until nobody holds the lock `path`, in this process or another, and takes it.
    pub(super) fn acquire(path: &Path) -> Result<Self, Error> {
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
            let file = file.map_err(Error::io("create lock file", path))?;
            file.lock().map_err(Error::io("lock", path))?;
            if still_named(&file, path)? {
                return Ok(Self { _file: file, path: path.to_owned() });
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // A lock file that cannot be removed is litter, not a fault: its flock ends with `_file` all the same.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether `path` still names `file`: not so when its last holder removed it while we waited for it.
pub(super) fn still_named(file: &File, path: &Path) -> Result<bool, Error> {
    let ours = file.metadata().map_err(Error::io("look at", path))?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}
