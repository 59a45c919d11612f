//! What is in the cache: its names with what they lead to, and its files by what they are for.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use serde_json::Value;

use super::{Descriptor, Error, Store, Tally};
use crate::base::{Digest, Platform};

/// Largest blob that is looked into for further blobs, in bytes.
const MAX_MANIFEST: u64 = 8 << 20;

/// Files of a cache, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Blobs, whole or in part.
    pub blobs: Tally,
    /// What was made from them, such as layer indexes.
    pub indexes: Tally,
    /// What transfers left that broke off.
    pub parts: Tally,
}

impl Contents {
    /// Bytes of all.
    pub fn bytes(&self) -> u64 {
        [self.blobs, self.indexes, self.parts].iter().map(|tally| tally.bytes).sum()
    }
}

/// A name of the cache, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The full reference.
    pub name: String,
    /// The image index or manifest that it means.
    pub descriptor: Descriptor,
    /// Platforms of the images that are here.
    pub platforms: Vec<String>,
    /// Bytes of its files in the cache; what several names share counts for each.
    pub bytes: u64,
    /// When it was resolved last, where the file system tells.
    pub used: Option<SystemTime>,
}

/// What a descriptor leads to, as far as it is here.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// The hex digits of all digests, diff ids included.
    pub digests: HashSet<String>,
    platforms: BTreeSet<String>,
}

impl Store {
    /// The names of the cache, each once, in their order.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn kept(&self) -> Result<Vec<Kept>, Error> {
        let files = [self.cache().blobs_dir(), self.sparse_dir(), self.index_dir()].map(|dir| files(&dir));
        let files: Vec<(String, u64)> = files.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        let mut kept = Vec::new();
        for entry in self.entries()? {
            let reach = self.reach([&entry.descriptor])?;
            let is_reached = |name: &str| name.get(..64).is_some_and(|hex| reach.digests.contains(hex));
            let bytes = files.iter().filter(|(name, _)| is_reached(name)).map(|(_, bytes)| bytes).sum();
            let root = fs::metadata(self.blob_path(&entry.descriptor.digest));
            let used = root.and_then(|root| root.accessed()).ok();
            let platforms: Vec<String> = reach.platforms.into_iter().collect();
            kept.extend(entry.names.into_iter().map(|name| Kept {
                name,
                descriptor: entry.descriptor.clone(),
                platforms: platforms.clone(),
                bytes,
                used,
            }));
        }
        kept.sort_by(|one, other| one.name.cmp(&other.name));
        // Both annotations of an entry hold its name.
        kept.dedup_by(|one, other| (&one.name, one.descriptor.digest) == (&other.name, other.descriptor.digest));
        Ok(kept)
    }

    /// The files of the cache.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn contents(&self) -> Result<Contents, Error> {
        let tally = |dir: &Path| {
            let mut tally = Tally::default();
            files(dir)?.iter().for_each(|(_, bytes)| tally.count(*bytes));
            Ok(tally)
        };
        let mut blobs = tally(&self.cache().blobs_dir())?;
        blobs.add(tally(&self.sparse_dir())?);
        Ok(Contents { blobs, indexes: tally(&self.index_dir())?, parts: tally(&self.parts_dir())? })
    }

    /// All that some descriptors lead to; layers are not read.
    pub(super) fn reach<'a>(&self, roots: impl IntoIterator<Item = &'a Descriptor>) -> Result<Reach, Error> {
        let mut reach = Reach::default();
        let mut todo: Vec<(Digest, u64)> = roots.into_iter().map(|root| (root.digest, root.size)).collect();
        while let Some((digest, size)) = todo.pop() {
            if !reach.digests.insert(digest.hex()) || size > MAX_MANIFEST {
                continue;
            }
            let json = match self.verified(&digest, MAX_MANIFEST) {
                Ok(Some(bytes)) => serde_json::from_slice::<Value>(&bytes).unwrap_or_default(),
                Ok(None) | Err(Error::TooLarge { .. } | Error::Damaged { .. }) => continue,
                Err(error) => return Err(error),
            };
            let documents = list(&json["manifests"]).iter().chain([&json["config"]]);
            todo.extend(documents.filter_map(child));
            reach.digests.extend(list(&json["layers"]).iter().filter_map(child).map(|(digest, _)| digest.hex()));
            // Of an image config; indexes of tars within a layer are named by them.
            let diff_ids = list(&json["rootfs"]["diff_ids"]).iter().filter_map(Value::as_str);
            reach.digests.extend(diff_ids.filter_map(|id| id.split_once(':')).map(|(_, hex)| hex.to_owned()));
            reach.platforms.extend(platform(&json));
        }
        Ok(reach)
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The blob that a descriptor names.
fn child(descriptor: &Value) -> Option<(Digest, u64)> {
    let digest = descriptor["digest"].as_str()?.parse().ok()?;
    Some((digest, descriptor["size"].as_u64().unwrap_or(u64::MAX)))
}

/// What an image config says that the image runs on.
fn platform(config: &Value) -> Option<String> {
    config["rootfs"].as_object()?;
    let text = |key: &str| config[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let platform = Platform { os: text("os")?, architecture: text("architecture")?, variant: text("variant") };
    Some(platform.to_string())
}

/// Names and sizes in bytes of the files in a folder of the cache; none where a read-only cache has no such folder.
pub(super) fn files(dir: &Path) -> Result<Vec<(String, u64)>, Error> {
    let mut files = Vec::new();
    if !dir.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(dir).map_err(Error::io("read", dir))? {
        let entry = entry.map_err(Error::io("read", dir))?;
        // Of a blob that is here in part, the holes count nothing.
        let size = fs::symlink_metadata(entry.path()).map_or(0, |found| found.len().min(found.blocks() * 512));
        files.push((entry.file_name().to_string_lossy().into_owned(), size));
    }
    Ok(files)
}
