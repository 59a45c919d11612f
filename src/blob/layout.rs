//! An OCI image layout: a folder of blobs, and names for some of them; or an archive of images, which is used as one.
//!
//! # Format
//! OCI image specification 1.1, image-layout.md.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::archive::{Archive, Member};
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
pub(super) struct Entries {
    pub(super) manifests: Option<Descriptors>,
}

/// A folder with `oci-layout`, `index.json` and `blobs`, or an archive of images.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
    archive: Option<Archive>,
}

/// The bytes of a blob: a file, or a part of one.
#[derive(Debug)]
pub(super) struct BlobBytes {
    pub(super) file: fs::File,
    /// Offset of the first one in the file.
    pub(super) start: u64,
    /// How many there are.
    pub(super) size: u64,
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
    /// The layout at `path`: a folder, or an archive as [`archive`](super::archive) has it.
    ///
    /// # Errors
    /// When it is missing or no layout.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if let Opened::File(file, _) = regular::open(path)? {
            let archive = Archive::open(file).map_err(|reason| Error::NotALayout { path: path.to_owned(), reason })?;
            return Ok(Self { archive: Some(archive), ..Self::at(path) });
        }
        match check_mark(path) {
            Ok(()) => Ok(Self::at(path)),
            Err(unusable) => Err(unusable.of(path, MARK)),
        }
    }

    /// The layout at `dir`, whatever there is.
    pub(super) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), archive: None }
    }

    /// The folder, or the archive.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What `index.json` names, in its order; entries that are no descriptors of SHA-256 blobs are passed over, since
    /// other tools may know more than lkit.
    ///
    /// # Errors
    /// When `index.json` is missing or no image index.
    pub fn entries(&self) -> Result<Vec<Named>, Error> {
        if let Some(archive) = &self.archive {
            return Ok(archive.entries().to_vec());
        }
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

    /// A manifest that the layout does not have as a blob, but says what is in it.
    pub(super) fn manifest(&self, digest: &Digest) -> Option<&[u8]> {
        self.archive.as_ref()?.manifest(digest)
    }

    /// The bytes of a blob; `None` when there is none.
    pub(super) fn open_blob(&self, digest: &Digest) -> Result<Option<BlobBytes>, Error> {
        let path = self.blob_path(digest);
        if let Some(archive) = &self.archive {
            let Some((file, Member { start, size })) = archive.blob(digest) else { return Ok(None) };
            let file = file.try_clone().map_err(Error::io("open", &path))?;
            return Ok(Some(BlobBytes { file, start, size }));
        }
        match regular::open(&path)? {
            Opened::Missing => Ok(None),
            Opened::File(file, size) => Ok(Some(BlobBytes { file, start: 0, size })),
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
    mark_flaw(&text).map_or(Ok(()), |flaw| Err(Unusable::Flaw(flaw)))
}

/// What is wrong with the content of an `oci-layout`.
pub(super) fn mark_flaw(text: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Value>(text) {
        Ok(mark) if mark["imageLayoutVersion"].as_str().is_some_and(|version| version.starts_with("1.")) => None,
        Ok(_) => Some("it does not say version 1".to_owned()),
        Err(error) => Some(error.to_string()),
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
