//! The lock next to a spec: which digest every reference meant, for each platform.
//!
//! # Format
//! JSON, sorted, one line a reference, so that differences read well:
//! `{"version": 1, "platforms": {"linux/amd64": {"docker.io/library/nginx:1": "sha256:…"}}}`. Where the layer indexes of an
//! image were published, `indexes` says for the digest of its manifest in which repository, and what their two blobs are:
//! `{"sha256:…": {"repository": "…", "summaries": {"digest": "…", "size": 1}, "parts": {…}}}`, and `reads` where a read list
//! was published with them. A read list that is recorded by itself is in `reads`, by platform.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Input, Problem};
use crate::base::{Digest, MIB, Platform, write_whole};
use crate::blob::open_regular;
use crate::layer::ReadList;
use crate::oci::{Descriptor, IndexManifest, PARTS_TYPE, READS_TYPE, Reference, SUMMARIES_TYPE};

/// The only version there is.
const VERSION: u32 = 1;

/// Locks have a line for each reference; a larger file is a mistake.
const LARGEST: u64 = 16 * MIB;

/// What references mean.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LockFile {
    version: u32,
    platforms: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    indexes: BTreeMap<String, LockedIndex>,
    /// What is read first, by platform.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    reads: BTreeMap<String, ReadList>,
}

/// Where the layer indexes of an image are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublishedAt {
    /// The repository.
    pub repository: Reference,
    /// Their blobs.
    pub blobs: IndexManifest,
}

/// The same as it is written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct LockedIndex {
    repository: String,
    summaries: LockedBlob,
    parts: LockedBlob,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reads: Option<LockedBlob>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct LockedBlob {
    digest: String,
    size: u64,
}

impl LockedBlob {
    fn of(descriptor: &Descriptor) -> Self {
        Self { digest: descriptor.digest.to_string(), size: descriptor.size }
    }

    fn descriptor(&self, media_type: &str) -> Option<Descriptor> {
        Some(Descriptor::new(media_type, self.digest.parse().ok()?, self.size))
    }
}

impl LockedIndex {
    fn of(found: &PublishedAt) -> Self {
        let PublishedAt { repository, blobs } = found;
        let repository = format!("{}/{}", repository.registry(), repository.repository());
        let [summaries, parts] = [&blobs.summaries, &blobs.parts].map(LockedBlob::of);
        Self { repository, summaries, parts, reads: blobs.reads.as_ref().map(LockedBlob::of) }
    }

    fn read(&self) -> Option<PublishedAt> {
        let [summaries, parts] = [(&self.summaries, SUMMARIES_TYPE), (&self.parts, PARTS_TYPE)]
            .map(|(blob, media_type)| blob.descriptor(media_type));
        let reads = match &self.reads {
            Some(reads) => Some(reads.descriptor(READS_TYPE)?),
            None => None,
        };
        let blobs = IndexManifest { summaries: summaries?, parts: parts?, reads };
        Some(PublishedAt { repository: self.repository.parse().ok()?, blobs })
    }
}

impl Default for LockFile {
    fn default() -> Self {
        Self { version: VERSION, platforms: BTreeMap::new(), indexes: BTreeMap::new(), reads: BTreeMap::new() }
    }
}

/// Where the lock of specs is: next to the last one, `.lock` in place of its extension.
pub(super) fn path_of(inputs: &[Input]) -> Result<PathBuf, Problem> {
    let last = inputs.last().and_then(Input::path).ok_or(Problem::NoPlaceForLock)?;
    Ok(last.with_extension("lock"))
}

impl LockFile {
    /// Reads a lock; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read or is no lock.
    pub fn read(path: &Path) -> Result<Option<Self>, Problem> {
        let read = open_regular(path).and_then(|file| {
            let mut text = Vec::new();
            file.take(LARGEST + 1).read_to_end(&mut text).map(|_| text)
        });
        let text = match read {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Problem::ReadLock { path: path.to_owned(), source }),
        };
        let bad = |reason: String| Problem::NotALock { path: path.to_owned(), reason };
        if text.len() as u64 > LARGEST {
            return Err(bad(format!("it has over {} MiB", LARGEST / MIB)));
        }
        let lock: Self = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        if lock.version != VERSION {
            return Err(bad(format!("version {} is not known", lock.version)));
        }
        for digest in lock.platforms.values().flat_map(BTreeMap::values) {
            digest.parse::<Digest>().map_err(|error| bad(error.to_string()))?;
        }
        if let Some((manifest, _)) = lock.indexes.iter().find(|(_, index)| index.read().is_none()) {
            return Err(bad(format!("what it says of the indexes of `{manifest}` is no repository and two digests")));
        }
        Ok(Some(lock))
    }

    /// The digest that a reference meant for a platform: of an image index or a manifest.
    pub fn digest(&self, platform: &Platform, reference: &str) -> Option<Digest> {
        self.platforms.get(&platform.to_string())?.get(reference)?.parse().ok()
    }

    /// All that is recorded, by platform and reference.
    pub fn digests(&self) -> BTreeMap<String, BTreeMap<String, Digest>> {
        let parsed = |digest: &String| digest.parse().expect("it was checked when the lock was read");
        let of_platform = |digests: &BTreeMap<String, String>| {
            digests.iter().map(|(reference, digest)| (reference.clone(), parsed(digest))).collect()
        };
        self.platforms.iter().map(|(platform, digests)| (platform.clone(), of_platform(digests))).collect()
    }

    /// Where the layer indexes of an image are, by the digest of its manifest.
    pub fn index(&self, manifest: &Digest) -> Option<PublishedAt> {
        self.indexes.get(&manifest.to_string())?.read()
    }

    /// What is read first on a platform.
    pub fn reads(&self, platform: &Platform) -> Option<&ReadList> {
        self.reads.get(&platform.to_string())
    }

    /// Replaces what is recorded to be read first on a platform.
    pub fn record_reads(&mut self, platform: &Platform, list: ReadList) {
        self.reads.insert(platform.to_string(), list);
    }

    /// Replaces what is recorded of an image's indexes.
    pub fn record_index(&mut self, manifest: &Digest, found: Option<&PublishedAt>) {
        match found {
            Some(found) => drop(self.indexes.insert(manifest.to_string(), LockedIndex::of(found))),
            None => drop(self.indexes.remove(&manifest.to_string())),
        }
    }

    /// Replaces what is recorded for a platform; other platforms stay.
    pub fn record(&mut self, platform: &Platform, digests: BTreeMap<String, Digest>) {
        let digests = digests.into_iter().map(|(reference, digest)| (reference, digest.to_string())).collect();
        self.platforms.insert(platform.to_string(), digests);
    }

    /// Writes the lock; it is whole or as before.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn write(&self, path: &Path) -> Result<(), Problem> {
        let mut text = serde_json::to_string_pretty(self).expect("maps with text keys become JSON");
        text.push('\n');
        write_whole(path, text.as_bytes()).map_err(|source| Problem::WriteLock { path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ErrorKind, Fault as _};

    #[test]
    fn a_lock_reads_back_and_keeps_other_platforms() {
        let dir = tempfile::tempdir().unwrap();
        let path = path_of(&[Input::named(dir.path().join("a.yml"))]).unwrap();
        assert!(LockFile::read(&path).unwrap().is_none());
        let (digest, arm) = (Digest::of(b"x"), Platform::linux("arm64"));
        let mut lock = LockFile::default();
        lock.record(&arm, BTreeMap::from([("docker.io/library/a:1".to_owned(), digest)]));
        lock.record(&Platform::linux("amd64"), BTreeMap::new());
        lock.write(&path).unwrap();
        let lock = LockFile::read(&path).unwrap().unwrap();
        assert_eq!(lock.digest(&arm, "docker.io/library/a:1"), Some(digest));
        assert_eq!(lock.digest(&Platform::linux("amd64"), "docker.io/library/a:1"), None);
    }

    #[test]
    fn what_is_no_lock_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        for text in ["", "{}", r#"{"version":2,"platforms":{}}"#, r#"{"version":1,"platforms":{"p":{"r":"md5:0"}}}"#] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(LockFile::read(&path).unwrap_err().kind(), ErrorKind::Spec, "{text}");
        }
        std::fs::File::create(&path).unwrap().set_len(17 << 20).unwrap();
        let refused = LockFile::read(&path).unwrap_err().to_string();
        assert!(refused.ends_with(" is no lock of lkit: it has over 16 MiB"), "{refused}");
        let device = LockFile::read(Path::new("/dev/zero")).unwrap_err();
        assert!(std::error::Error::source(&device).unwrap().to_string().contains("it is a device"));
        assert!(matches!(path_of(&[Input::named("a.yml"), Input::Stdin]), Err(Problem::NoPlaceForLock)));
    }
}
