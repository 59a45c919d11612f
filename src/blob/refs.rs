//! The cache's own names for images: reading and changing its `index.json`.
//!
//! # Invariants
//! `index.json` is changed under a lock and replaced by a rename, so readers need none and always see a whole one.

use std::collections::HashMap;
use std::path::Path;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::documents::{MAX_INDEX, NAME_ANNOTATIONS, named, names};
use super::regular::{self, Unusable};
use super::write::Temporary;
use super::{Descriptor, Error, Layout, Named, Store};

impl Store {
    /// What the cache has names for. Of an `index.json` that is damaged it is what can still be read.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn entries(&self) -> Result<Vec<Named>, Error> {
        if self.is_transient() {
            return Ok(Vec::new());
        }
        match self.cache().entries() {
            Err(Error::NotALayout { .. }) => {}
            other => return other,
        }
        let entries = salvage(self.cache())?;
        Ok(entries.iter().filter_map(|text| serde_json::from_str(text.get()).ok()).map(named).collect())
    }

    /// Lets `name`, a full reference, mean the blob of `descriptor`, and nothing else any more.
    ///
    /// # Errors
    /// When the file system fails, or the cache has too many names; the old `index.json` is whole then.
    pub fn record_name(&self, name: &str, descriptor: &Descriptor) -> Result<(), Error> {
        self.record_names(&[(name.to_owned(), descriptor.clone())])
    }

    /// The same for many names, of which the last of equal ones counts.
    ///
    /// # Errors
    /// As [`record_name`](Self::record_name).
    pub fn record_names(&self, wanted: &[(String, Descriptor)]) -> Result<(), Error> {
        if self.is_transient() {
            return Ok(());
        }
        let known = self.entries()?;
        let mut meanings: HashMap<&str, Vec<&Descriptor>> = HashMap::new();
        for entry in &known {
            entry.names.iter().for_each(|name| meanings.entry(name).or_default().push(&entry.descriptor));
        }
        let mut new: HashMap<&str, &Descriptor> = wanted.iter().map(|(name, meaning)| (&**name, meaning)).collect();
        // Nothing is written to record what is recorded: the cache may be read-only.
        new.retain(
            |name, wanted| !matches!(meanings.get(name).map(|found| &found[..]), Some([only]) if is_same(only, wanted)),
        );
        if new.is_empty() {
            return Ok(());
        }
        self.change_index(|manifests| {
            manifests.retain(|entry| !names(entry).any(|name| new.contains_key(name)));
            let added = wanted.iter().filter_map(|(name, _)| new.remove_entry(&**name));
            manifests.extend(added.map(|(name, descriptor)| named_entry(name, descriptor)));
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
        let mut index = cached_index(self.cache())?;
        match index["manifests"].as_array_mut() {
            Some(manifests) => change(manifests),
            None => {
                let mut manifests = Vec::new();
                change(&mut manifests);
                index["manifests"] = manifests.into();
            }
        }
        write_index(self.cache(), &self.temporary_dir(), &index)
    }
}

/// The `index.json` of the cache; what can still be read of one that is damaged.
pub(super) fn cached_index(cache: &Layout) -> Result<Value, Error> {
    match cache.index::<Value>() {
        Ok(index) if index.is_object() && (index["manifests"].is_array() || index["manifests"].is_null()) => {
            return Ok(index);
        }
        Ok(_) | Err(Error::NotALayout { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut index = empty_index();
    let entries = salvage(cache)?;
    let entries = entries.iter().filter_map(|text| serde_json::from_str::<Value>(text.get()).ok());
    index["manifests"] = entries.collect::<Vec<_>>().into();
    Ok(index)
}

/// Replaces the `index.json` of a layout, whose lock is held; it is written in `folder` first.
pub(super) fn write_index(layout: &Layout, folder: &Path, index: &Value) -> Result<(), Error> {
    let text = format!("{index:#}\n");
    if text.len() as u64 > MAX_INDEX {
        return Err(Error::TooManyNames { path: layout.index_path() });
    }
    let mut temporary = Temporary::create(folder)?;
    temporary.write_all(text.as_bytes())?;
    // Unlike a blob, a lost `index.json` is not noticed and made again by itself.
    temporary.sync()?;
    temporary.rename(&layout.index_path())
}

/// What can still be read of the entries of a damaged `index.json`.
fn salvage(cache: &Layout) -> Result<Vec<Box<RawValue>>, Error> {
    match regular::read(&cache.index_path(), MAX_INDEX) {
        Ok(text) => Ok(salvaged(&text)),
        Err(Unusable::Flaw(_)) => Ok(Vec::new()),
        Err(Unusable::Failed(error)) => Err(error),
    }
}

/// The descriptors in an `index.json` up to where it is damaged.
fn salvaged(text: &[u8]) -> Vec<Box<RawValue>> {
    let text = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let list = text.split_once("\"manifests\"").and_then(|(_, rest)| rest.split_once('['));
    let mut rest = list.map_or("", |(_, rest)| rest);
    let mut entries = Vec::new();
    loop {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let Some(Ok(entry)) = values.next() else { return entries };
        rest = rest[values.byte_offset()..].trim_start();
        if serde_json::from_str::<Descriptor>(entry.get()).is_ok() {
            entries.push(entry.to_owned());
        }
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return entries,
        }
    }
}

/// Whether two descriptors are of one blob.
fn is_same(one: &Descriptor, other: &Descriptor) -> bool {
    (one.digest, one.size, &one.media_type) == (other.digest, other.size, &other.media_type)
}

/// An `index.json` that names nothing.
pub(super) fn empty_index() -> Value {
    json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []})
}

/// An entry of `index.json`.
pub(super) fn named_entry(name: &str, descriptor: &Descriptor) -> Value {
    let mut descriptor = descriptor.clone();
    descriptor.annotations = Some(NAME_ANNOTATIONS.iter().map(|key| (key.to_string(), name.to_owned())).collect());
    serde_json::to_value(&descriptor).expect("a descriptor holds only text and numbers")
}
