//! An OCI image layout: a folder of blobs, and names for some of them.
//!
//! # Format
//! OCI image specification 1.1, image-layout.md.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde_json::Value;

use super::{Descriptor, Error};
use crate::base::Digest;

/// Annotations of `index.json` that hold a reference; containerd's comes first since it is always a full one.
pub(super) const NAME_ANNOTATIONS: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// Longest `index.json` lkit reads, in bytes: some hundred thousand images.
const MAX_INDEX: u64 = 64 << 20;

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
        let not_a_layout = |reason: String| Error::NotALayout { path: dir.to_owned(), reason };
        let text = fs::read(dir.join("oci-layout")).map_err(|e| not_a_layout(format!("`oci-layout`: {e}")))?;
        let mark: Value = serde_json::from_slice(&text).map_err(|e| not_a_layout(format!("`oci-layout`: {e}")))?;
        match mark["imageLayoutVersion"].as_str() {
            Some(version) if version.starts_with("1.") => Ok(Self { dir: dir.to_owned() }),
            _ => Err(not_a_layout("`oci-layout` does not say version 1".to_owned())),
        }
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
        let index = self.index()?;
        let manifests = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(manifests.iter().filter_map(named).collect())
    }

    /// `index.json` as it is.
    pub(super) fn index(&self) -> Result<Value, Error> {
        let path = self.index_path();
        let not_a_layout = |reason: String| Error::NotALayout { path: self.dir.clone(), reason };
        let size = fs::metadata(&path).map_err(Error::io("read", &path))?.len();
        if size > MAX_INDEX {
            return Err(not_a_layout(format!("`index.json` has {size} bytes, over the limit of {MAX_INDEX}")));
        }
        let text = fs::read(&path).map_err(Error::io("read", &path))?;
        let index: Value = serde_json::from_slice(&text).map_err(|e| not_a_layout(format!("`index.json`: {e}")))?;
        if index["manifests"].is_array() || index["manifests"].is_null() && index.is_object() {
            return Ok(index);
        }
        Err(not_a_layout("`index.json` is no image index".to_owned()))
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.dir.join("index.json")
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
        // Opening a fifo would wait for ever.
        let opened = fs::File::options().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", &path)(error)),
        };
        let metadata = file.metadata().map_err(Error::io("look at", &path))?;
        if !metadata.is_file() {
            let reason = "it is not a regular file".to_owned();
            return Err(Error::Damaged { digest: *digest, path, reason });
        }
        Ok(Some((file, metadata.len())))
    }
}

/// The names of an entry of `index.json`.
pub(super) fn names(entry: &Value) -> impl Iterator<Item = &str> {
    NAME_ANNOTATIONS.iter().filter_map(|key| entry["annotations"][*key].as_str())
}

fn named(entry: &Value) -> Option<Named> {
    let descriptor = serde_json::from_value(entry.clone()).ok()?;
    Some(Named { names: names(entry).map(str::to_owned).collect(), descriptor })
}
