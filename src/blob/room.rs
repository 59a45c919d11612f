//! Keeping the cache within its limit: what was used least recently goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::regular::{self, Opened, remove};
use super::usage::files;
use super::{Error, Store, Tally};

impl Store {
    /// Removes what was used least recently until the cache has no more bytes than its limit; what was removed. What a live
    /// process reads stays, and so does the cache above its limit then. Without a limit nothing is done.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn make_room(&self) -> Result<Tally, Error> {
        let mut removed = Tally::default();
        let Some(limit) = self.limit() else { return Ok(removed) };
        let mut kept = self.by_use()?;
        let mut bytes: u64 = kept.iter().map(|kept| kept.bytes).sum();
        kept.sort_by_key(|kept| kept.used);
        for Kept { path, bytes: size, .. } in kept {
            if bytes <= limit {
                break;
            }
            if remove_unused(&path)? {
                bytes -= size;
                removed.count(size);
            }
        }
        Ok(removed)
    }

    /// The files of the cache that can be made or fetched again.
    fn by_use(&self) -> Result<Vec<Kept>, Error> {
        let mut kept = Vec::new();
        for dir in [self.cache().blobs_dir(), self.sparse_dir(), self.index_dir()] {
            for (name, bytes) in files(&dir)? {
                let path = dir.join(name);
                let used = fs::symlink_metadata(&path).and_then(|found| found.accessed());
                kept.push(Kept { used: used.unwrap_or(SystemTime::UNIX_EPOCH), path, bytes });
            }
        }
        Ok(kept)
    }
}

/// A file of the cache, and when it was used.
struct Kept {
    used: SystemTime,
    path: PathBuf,
    bytes: u64,
}

/// Removes a file unless somebody reads it; whether it was removed.
fn remove_unused(path: &Path) -> Result<bool, Error> {
    let Ok(Opened::File(file, _)) = regular::open(path) else { return Ok(false) };
    Ok(file.try_lock().is_ok() && remove(path)?)
}
