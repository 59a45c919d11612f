//! Making the cache smaller: what no name reaches is removed.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::regular::{self, Opened, remove};
use super::sweep::sweep;
use super::usage::files;
use super::{Contents, Error, Store, Tally};

impl Store {
    /// Removes blobs that no name of `index.json` leads to, index files that no name of it or of a layout leads to, and
    /// parts that nobody fetches just now; what was removed. A process that is just fetching an image fetches again what
    /// it loses by this; one that reads an image keeps what it has open. Locks of processes that were killed go too.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn clean(&self) -> Result<Contents, Error> {
        let _guard = self.lock_index()?;
        let named = self.entries()?;
        let reached = self.reach(named.iter().map(|entry| &entry.descriptor))?.digests;
        let mut indexed = reached.clone();
        for layout in self.layouts() {
            let named = layout.entries()?;
            indexed.extend(self.reach(named.iter().map(|entry| &entry.descriptor))?.digests);
        }
        let mut blobs = remove_others(&self.cache().blobs_dir(), &reached)?;
        blobs.add(remove_others(&self.sparse_dir(), &reached)?);
        let indexes = remove_others(&self.index_dir(), &indexed)?;
        let parts = sweep(&self.parts_dir())?;
        sweep(&self.lock_dir())?;
        Ok(Contents { blobs, indexes, parts })
    }
}

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

/// Removes the files of `dir` whose names do not begin with the 64 hex digits of one that is reached.
fn remove_others(dir: &Path, reached: &HashSet<String>) -> Result<Tally, Error> {
    let mut removed = Tally::default();
    for (name, bytes) in files(dir)? {
        let is_reached = name.get(..64).is_some_and(|hex| reached.contains(hex));
        if !is_reached && remove(&dir.join(name))? {
            removed.count(bytes);
        }
    }
    Ok(removed)
}
