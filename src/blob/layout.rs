//! An OCI image layout: a folder of blobs, and names for some of them; or an archive of images, which is used as one.
//!
//! # Format
//! OCI image specification 1.1, image-layout.md.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::Error;
use super::archive::{Archive, Member};
use super::documents::{INDEX, MARK, MAX_INDEX, Named, entries, mark_flaw};
use super::regular::{self, Opened, Unusable};
use crate::base::Digest;

/// Longest `oci-layout` lkit reads, in bytes: what is written there is a line.
const MAX_MARK: u64 = 64 << 10;

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

impl Layout {
    /// The layout at `path`: a folder, or an archive of images: a tar of such a folder, or what `docker save` writes.
    ///
    /// # Errors
    /// When it is missing or no layout.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let no_layout = |reason| Error::NotALayout { path: path.to_owned(), reason };
        match regular::open(path)? {
            Opened::File(file, _) => {
                let archive = Archive::open(file).map_err(no_layout)?;
                return Ok(Self { archive: Some(archive), ..Self::at(path) });
            }
            Opened::Missing => return Err(no_layout("it is missing".to_owned())),
            Opened::Other(_) => {}
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

    /// Whether it is an archive of images, which cannot be added to.
    pub(super) fn is_archive(&self) -> bool {
        self.archive.is_some()
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
        self.index().map(entries)
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

    /// Whether the layout has a blob of this digest and size; its bytes are not looked at.
    ///
    /// # Errors
    /// When the file system fails, or something else has the place of a blob.
    pub fn has(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        Ok(self.open_blob(digest)?.is_some_and(|bytes| bytes.size == size))
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
