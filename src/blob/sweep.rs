//! Files that nobody works on any more, since their writer is gone.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::Duration;

use super::Error;
use super::lock::{clear, still_named};
use super::regular::{self, Opened, remove};

/// How long a part waits for the transfer that goes on with it, since its last byte. Who pulls again does so the same
/// day or the next working day, also after a weekend; until then the part is disk space that nobody sees.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Some files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Tally {
    /// Counts what another has counted, too.
    pub(super) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
    }

    /// Counts a file of `bytes` bytes.
    pub(super) fn count(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// Removes the files of writers and holders of locks that are gone, and what only pretends to be such a file.
pub(super) fn sweep(dir: &Path) -> Result<Tally, Error> {
    sweep_those(dir, |_, _| true)
}

/// Removes the parts below `dir` that nobody goes on with: whose blob is in `blobs`, and old ones.
pub(super) fn sweep_parts(dir: &Path, blobs: &Path) -> Result<Tally, Error> {
    sweep_those(dir, |path, found| {
        let is_old = || found.modified().is_ok_and(|time| time.elapsed().is_ok_and(|age| age > LONGEST));
        path.file_name().is_some_and(|name| blobs.join(name).exists()) || is_old()
    })
}

fn sweep_those(dir: &Path, is_stale: impl Fn(&Path, &Metadata) -> bool) -> Result<Tally, Error> {
    let mut swept = Tally::default();
    for entry in fs::read_dir(dir).map_err(Error::io("read", dir))? {
        let path = entry.map_err(Error::io("read", dir))?.path();
        if let Some(bytes) = sweep_one(&path, &is_stale)? {
            swept.count(bytes);
        }
    }
    Ok(swept)
}

/// Removes one stale file if nobody works on it any more; its size. Best effort: another sweep may be faster, the cache
/// someone else's.
fn sweep_one(path: &Path, is_stale: &dyn Fn(&Path, &Metadata) -> bool) -> Result<Option<u64>, Error> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {
            if !is_stale(path, &found) {
                return Ok(None);
            }
            // One that cannot be opened is someone else's.
            let Ok(Opened::File(file, size)) = regular::open(path) else { return Ok(None) };
            let is_left = file.try_lock().is_ok() && still_named(&file, path)?;
            // `file` keeps its lock until here, so a writer who waited for it sees that its file lost its name.
            Ok((is_left && remove(path).is_ok_and(|removed| removed)).then_some(size))
        }
        Ok(_) => {
            let _ = clear(path, 0);
            Ok(None)
        }
        Err(_) => Ok(None),
    }
}
