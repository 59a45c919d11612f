//! Making the cache smaller: what no name reaches is removed.

use std::collections::HashSet;
use std::path::Path;

use super::regular::remove;
use super::spool::ARCHIVES;
use super::sweep::sweep;
use super::usage::files;
use super::{Contents, Error, Store, Tally};

impl Store {
    /// Removes blobs that no name of `index.json` leads to, archives of a docker daemon, index files that no name of it or of a layout leads to, and
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
        // A daemon is asked again for what it sent.
        let sent = remove_others(&self.cache().dir().join(ARCHIVES), &HashSet::new())?;
        (blobs.files, blobs.bytes) = (blobs.files + sent.files, blobs.bytes + sent.bytes);
        let indexes = remove_others(&self.index_dir(), &indexed)?;
        let parts = sweep(&self.parts_dir())?;
        sweep(&self.lock_dir())?;
        Ok(Contents { blobs, indexes, parts })
    }
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
