//! An OCI image layout: a folder of blobs, and names for some of them.
//!
//! # Format
//! OCI image specification 1.1, image-layout.md.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::regular::{self, Opened, Unusable};
use super::{Descriptor, Descriptors, Error};
use crate::base::Digest;

/// Annotations of `index.json` that hold a reference; containerd's comes first since it is always a full one.
pub(super) const NAME_ANNOTATIONS: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// Longest `index.json` lkit reads, in bytes: some ten thousand images.
pub(super) const MAX_INDEX: u64 = 8 << 20;
/// Longest `oci-layout` lkit reads, in bytes: what is written there is a line.
const MAX_MARK: u64 = 64 << 10;

/// The file that makes a folder an OCI image layout.
pub(super) const MARK: &str = "oci-layout";
/// The file that names blobs.
pub(super) const INDEX: &str = "index.json";

/// What is read of an `index.json`.
#[derive(Deserialize)]
struct Entries {
    manifests: Option<Descriptors>,
}

/// A folder with `oci-layout`, `index.json` and `blobs`.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
}

/// An entry of `index.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name annotations, as they are written.
    pub names: Vec<String>,
    /// What it names: an image index or a manifest.
    pub descriptor: Descriptor,
}

impl Layout {
    /// The layout at `dir`.
    ///
    /// # Errors
    /// When the folder is missing or no layout.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        match check_mark(dir) {
            Ok(()) => Ok(Self::at(dir)),
            Err(unusable) => Err(unusable.of(dir, MARK)),
        }
    }

    /// The layout at `dir`, whatever there is.
    pub(super) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What `index.json` names, in its order; entries that are no descriptors of SHA-256 blobs are passed over, since
    /// other tools may know more than lkit.
    ///
    /// # Errors
    /// When `index.json` is missing or no image index.
    pub fn entries(&self) -> Result<Vec<Named>, Error> {
        let index: Entries = self.index()?;
        Ok(index.manifests.unwrap_or_default().0.into_iter().map(named).collect())
    }

    /// `index.json` as it is.
    pub(super) fn index<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let unusable = |unusable: Unusable| unusable.of(&self.dir, INDEX);
        let text = regular::read(&self.index_path(), MAX_INDEX).map_err(unusable)?;
        serde_json::from_slice(&text).map_err(|error| unusable(Unusable::Flaw(error.to_string())))
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.dir.join(INDEX)
    }

    pub(super) fn blobs_dir(&self) -> PathBuf {
        self.dir.join("blobs").join("sha256")
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs_dir().join(digest.hex())
    }

    /// The file of a blob and its size in bytes, opened; `None` when there is none.
    pub(super) fn open_blob(&self, digest: &Digest) -> Result<Option<(fs::File, u64)>, Error> {
        let path = self.blob_path(digest);
        match regular::open(&path)? {
            Opened::Missing => Ok(None),
            Opened::File(file, size) => Ok(Some((file, size))),
            Opened::Other(what) => Err(Error::Damaged { digest: *digest, reason: format!("it is {what}"), path }),
        }
    }
}

impl Unusable {
    /// The error of the file `name` of the layout `dir`.
    fn of(self, dir: &Path, name: &str) -> Error {
        match self {
            Self::Flaw(reason) => Error::NotALayout { path: dir.to_owned(), reason: format!("`{name}`: {reason}") },
            Self::Failed(error) => error,
        }
    }
}

/// Whether the `oci-layout` of a folder says that it is a layout of a version that lkit knows.
pub(super) fn check_mark(dir: &Path) -> Result<(), Unusable> {
    let text = regular::read(&dir.join(MARK), MAX_MARK)?;
    let mark: Value = serde_json::from_slice(&text).map_err(|error| Unusable::Flaw(error.to_string()))?;
    match mark["imageLayoutVersion"].as_str() {
        Some(version) if version.starts_with("1.") => Ok(()),
        _ => Err(Unusable::Flaw("it does not say version 1".to_owned())),
    }
}

/// The names of an entry of `index.json`.
pub(super) fn names(entry: &Value) -> impl Iterator<Item = &str> {
    NAME_ANNOTATIONS.iter().filter_map(|key| entry["annotations"][*key].as_str())
}

/// What an entry of `index.json` names.
pub(super) fn named(descriptor: Descriptor) -> Named {
    let names = NAME_ANNOTATIONS.iter().filter_map(|key| descriptor.annotation(key)).map(str::to_owned).collect();
    Named { names, descriptor }
}
