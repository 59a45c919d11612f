//! Making the cache smaller: what no name reaches is removed.

use std::path::Path;

use super::refs::{empty_index, write_index};
use super::regular::remove;
use super::sweep::sweep;
use super::usage::files;
use super::{Contents, Error, Named, Store, Tally};

impl Store {
    /// Forgets names, and removes the blobs and index files that only they lead to; what was removed. A process that
    /// reads such an image keeps what it has open.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn forget(&self, names: &[String]) -> Result<Contents, Error> {
        let is_named = |entry: &Named| entry.names.iter().any(|name| names.contains(name));
        let (gone, _): (Vec<_>, Vec<_>) = self.entries()?.into_iter().partition(is_named);
        names.iter().try_for_each(|name| self.forget_name(name).map(drop))?;
        let _guard = self.lock_index()?;
        // Looked at when the names are gone: what is named meanwhile stays.
        let mut lost = self.reach(gone.iter().map(|entry| &entry.descriptor))?.digests;
        let kept = self.reach(self.entries()?.iter().map(|entry| &entry.descriptor))?.digests;
        lost.retain(|hex| !kept.contains(hex));
        let remove = |dir: &Path| remove_those(dir, &|hex| hex.is_some_and(|hex| lost.contains(hex)));
        let mut blobs = remove(&self.cache().blobs_dir())?;
        blobs.add(remove(&self.sparse_dir())?);
        Ok(Contents { blobs, indexes: remove(&self.index_dir())?, parts: Tally::default() })
    }

    /// Removes all that is in the cache: names, blobs, index files, and parts that nobody fetches just now; what was
    /// removed.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn empty(&self) -> Result<Contents, Error> {
        {
            let _guard = self.lock_index()?;
            write_index(self.cache(), &self.temporary_dir(), &empty_index())?;
        }
        let all = |dir: &Path| remove_those(dir, &|_| true);
        let mut blobs = all(&self.cache().blobs_dir())?;
        blobs.add(all(&self.sparse_dir())?);
        blobs.add(all(&self.archives_dir())?);
        let indexes = all(&self.index_dir())?;
        let parts = sweep(&self.parts_dir())?;
        sweep(&self.lock_dir())?;
        Ok(Contents { blobs, indexes, parts })
    }

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
        let unreached = |hex: Option<&str>| !hex.is_some_and(|hex| reached.contains(hex));
        let mut blobs = remove_those(&self.cache().blobs_dir(), &unreached)?;
        blobs.add(remove_those(&self.sparse_dir(), &unreached)?);
        // A daemon is asked again for what it sent.
        blobs.add(remove_those(&self.archives_dir(), &|_| true)?);
        let indexes = remove_those(&self.index_dir(), &|hex| !hex.is_some_and(|hex| indexed.contains(hex)))?;
        let parts = sweep(&self.parts_dir())?;
        sweep(&self.lock_dir())?;
        Ok(Contents { blobs, indexes, parts })
    }
}

/// Removes files of `dir`, chosen by the 64 hex digits that their names begin with; some begin with none.
fn remove_those(dir: &Path, is_unwanted: &dyn Fn(Option<&str>) -> bool) -> Result<Tally, Error> {
    let mut removed = Tally::default();
    for (name, bytes) in files(dir)? {
        if is_unwanted(name.get(..64)) && remove(&dir.join(name))? {
            removed.count(bytes);
        }
    }
    Ok(removed)
}
