//! The cache's own names for images: reading and changing its `index.json`.
//!
//! # Invariants
//! `index.json` is changed under a lock and replaced by a rename, so readers need none and always see a whole one.

use serde_json::{Value, json};

use super::layout::{NAME_ANNOTATIONS, names};
use super::write::Temporary;
use super::{Descriptor, Error, Named, Store};

impl Store {
    /// What the cache has names for. An `index.json` that cannot be read names nothing: it is made again.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn entries(&self) -> Result<Vec<Named>, Error> {
        match self.cache().entries() {
            Err(Error::NotALayout { .. }) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Lets `name`, a full reference, mean the blob of `descriptor`, and nothing else any more.
    ///
    /// # Errors
    /// When the file system fails; the old `index.json` is whole then.
    pub fn record_name(&self, name: &str, descriptor: &Descriptor) -> Result<(), Error> {
        self.change_index(|manifests| {
            manifests.retain(|entry| !names(entry).any(|n| n == name));
            manifests.push(entry(name, descriptor));
        })
    }

    /// Forgets `name`; whether it was there.
    ///
    /// # Errors
    /// When the file system fails; the old `index.json` is whole then.
    pub fn forget_name(&self, name: &str) -> Result<bool, Error> {
        let mut found = false;
        self.change_index(|manifests| {
            let before = manifests.len();
            manifests.retain(|entry| !names(entry).any(|n| n == name));
            found = manifests.len() != before;
        })?;
        Ok(found)
    }

    fn change_index(&self, change: impl FnOnce(&mut Vec<Value>)) -> Result<(), Error> {
        let _guard = self.lock_index()?;
        let mut index = match self.cache().index() {
            Err(Error::NotALayout { .. }) => empty_index(),
            other => other?,
        };
        match index["manifests"].as_array_mut() {
            Some(manifests) => change(manifests),
            None => {
                let mut manifests = Vec::new();
                change(&mut manifests);
                index["manifests"] = manifests.into();
            }
        }
        let mut temporary = Temporary::create(&self.temporary_dir())?;
        temporary.write_all(format!("{index:#}\n").as_bytes())?;
        // Unlike a blob, a lost `index.json` is not noticed and made again by itself.
        temporary.sync()?;
        temporary.rename(&self.cache().index_path())
    }
}

/// An `index.json` that names nothing.
pub(super) fn empty_index() -> Value {
    json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []})
}

fn entry(name: &str, descriptor: &Descriptor) -> Value {
    let mut descriptor = descriptor.clone();
    descriptor.annotations = Some(NAME_ANNOTATIONS.iter().map(|key| (key.to_string(), name.to_owned())).collect());
    serde_json::to_value(&descriptor).expect("a descriptor holds only text and numbers")
}
