//! Making the cache smaller: what no name reaches is removed.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::regular::remove;
use super::write::sweep;
use super::{Error, Store};
use crate::base::Digest;

/// Largest blob that is looked into for further blobs, in bytes.
const MAX_MANIFEST: u64 = 8 << 20;

/// What a [`Store::clean`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Store {
    /// Removes blobs and index files that no name of `index.json` leads to. A process that is just fetching an image
    /// fetches again what it loses by this; one that reads an image keeps what it has open. Locks of processes that were
    /// killed go too.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn clean(&self) -> Result<Cleaned, Error> {
        let _guard = self.lock_index()?;
        let reached = self.reached()?;
        let mut cleaned = Cleaned::default();
        remove_others(&self.cache().blobs_dir(), &reached, &mut cleaned)?;
        remove_others(&self.index_dir(), &reached, &mut cleaned)?;
        sweep(&self.lock_dir())?;
        Ok(cleaned)
    }

    /// The hex digits of all digests that names lead to, diff ids included.
    fn reached(&self) -> Result<HashSet<String>, Error> {
        let mut reached = HashSet::new();
        let mut todo: HashMap<Digest, u64> =
            self.entries()?.into_iter().map(|e| (e.descriptor.digest, e.descriptor.size)).collect();
        while let Some(digest) = todo.keys().next().copied() {
            let size = todo.remove(&digest).expect("its key was just seen");
            if !reached.insert(digest.hex()) || size > MAX_MANIFEST {
                continue;
            }
            let json = match self.small(&digest, MAX_MANIFEST) {
                Ok(Some(bytes)) => serde_json::from_slice::<Value>(&bytes).unwrap_or_default(),
                Ok(None) | Err(Error::TooLarge { .. } | Error::Damaged { .. }) => continue,
                Err(error) => return Err(error),
            };
            let lists = [&json["manifests"], &json["layers"]];
            let children = lists.into_iter().filter_map(Value::as_array).flatten().chain([&json["config"]]);
            for child in children {
                if let Some(digest) = child["digest"].as_str().and_then(|d| d.parse().ok()) {
                    todo.insert(digest, child["size"].as_u64().unwrap_or(u64::MAX));
                }
            }
            // Of an image config; indexes of tars within a layer are named by them.
            let diff_ids = json["rootfs"]["diff_ids"].as_array().into_iter().flatten();
            reached
                .extend(diff_ids.filter_map(Value::as_str).filter_map(|d| d.split_once(':')).map(|d| d.1.to_owned()));
        }
        Ok(reached)
    }
}

/// Removes the files of `dir` whose names do not begin with the 64 hex digits of one that is reached.
fn remove_others(dir: &Path, reached: &HashSet<String>, cleaned: &mut Cleaned) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(Error::io("read", dir))? {
        let path = entry.map_err(Error::io("read", dir))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.get(..64).is_some_and(|hex| reached.contains(hex)) {
            continue;
        }
        let size = fs::symlink_metadata(&path).map_err(Error::io("look at", &path))?.len();
        if remove(&path)? {
            cleaned.files += 1;
            cleaned.bytes += size;
        }
    }
    Ok(())
}
