//! Blobs and entries that are put into a layout which is not the cache.
//!
//! # Invariants
//! Other tools may read the layout at the same time: a blob and `index.json` appear whole, by a rename. Another lkit that
//! writes there is waited for; what else changes `index.json` at the same time may be lost, since there is no lock that
//! others know.

use std::io;

use serde_json::{Value, json};

use super::lock::Guard;
use super::refs::{named_entry, write_index};
use super::write::Temporary;
use super::{Descriptor, Error, Layout};
use crate::base::{Digest, Hasher};
use crate::extent::{Source, read_through};

/// Name of the lock file while `index.json` is changed.
const LOCK: &str = ".lkit.lock";

impl Layout {
    /// Puts a blob here, unless it is here.
    ///
    /// # Errors
    /// When the layout is an archive, the file system fails, or `content` cannot be read or has another digest or size.
    pub fn put(&self, descriptor: &Descriptor, content: &dyn Source) -> Result<(), Error> {
        self.check_folder()?;
        let Descriptor { digest, size, .. } = descriptor;
        if self.has(digest, *size)? {
            return Ok(());
        }
        let mut temporary = Temporary::create(&self.blobs_dir())?;
        let found = copy(content, &mut temporary).map_err(|error| Error::from_stream(digest, error))?;
        if content.size() != *size {
            return Err(Error::WrongSize { digest: *digest, expected: *size, found: content.size() });
        }
        if found != *digest {
            return Err(Error::WrongDigest { expected: *digest, found });
        }
        temporary.rename(&self.blob_path(digest))
    }

    /// Adds an entry to `index.json` under a name, unless a manifest of its digest has one.
    ///
    /// # Errors
    /// When the layout is an archive, its `index.json` is none, or the file system fails; the old `index.json` is whole
    /// then.
    pub fn add_entry(&self, name: &str, entry: &Descriptor) -> Result<(), Error> {
        self.check_folder()?;
        let _guard = Guard::acquire(&self.dir().join(LOCK))?;
        let mut index: Value = self.index()?;
        let entries = &mut index["manifests"];
        if entries.is_null() {
            *entries = json!([]);
        }
        let digest = entry.digest.to_string();
        match entries.as_array_mut() {
            None => Err(Error::NotALayout { path: self.dir().to_owned(), reason: "`manifests` is no list".to_owned() }),
            Some(entries) if entries.iter().any(|entry| entry["digest"].as_str() == Some(&digest)) => Ok(()),
            Some(entries) => {
                entries.push(named_entry(name, entry));
                write_index(self, self.dir(), &index)
            }
        }
    }

    fn check_folder(&self) -> Result<(), Error> {
        if self.is_archive() {
            let reason = "it is an archive, and nothing can be added to it".to_owned();
            return Err(Error::NotALayout { path: self.dir().to_owned(), reason });
        }
        Ok(())
    }
}

/// Copies all bytes; their digest.
fn copy(content: &dyn Source, to: &mut Temporary) -> io::Result<Digest> {
    let (mut hash, mut written) = (Hasher::default(), Ok(()));
    read_through(content, &mut |bytes| {
        hash.update(bytes);
        if written.is_ok() {
            written = to.write_all(bytes);
        }
    })?;
    written?;
    Ok(hash.finish())
}
