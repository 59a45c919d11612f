//! Files on their way into the store: under another name until they are whole.
//!
//! # Invariants
//! - Such a file is locked by its writer for as long as that lives; the sweep takes only what it can lock, and what is
//!   not a regular file.
//! - Only its owner can read a temporary file (mode 0600). When it gets its name, it gets the read permissions of the
//!   folders of the cache, so that users who share a cache can read what others put there.
//! - Blobs are not synced to the medium: a power cut can leave a blob with wrong bytes, but never wrong content in an
//!   artifact, since decoded spans are checked, and a damaged blob is discarded and fetched again. Waiting for the
//!   medium would double the time of a first mount on slow disks.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Error;
use super::lock::{locked, still_named};
use super::regular::remove;

/// Where files are written before they get their name, relative to the cache.
pub(super) const TEMPORARY: &str = "lkit/tmp";

/// A file that has not got its name yet.
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
    /// Whether the file is left where it is when this is dropped.
    stays: bool,
}

impl Temporary {
    /// A new file in `dir`, removed when this is dropped.
    pub(super) fn create(dir: &Path) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let path = dir.join(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
            let file = match File::options().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => file,
                // Of a process that had our id, perhaps in another container.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(Error::write("create", &path)(error)),
            };
            file.lock().map_err(Error::io("lock", &path))?;
            // A sweep may have come between creating and locking.
            if still_named(&file, &path)? {
                return Ok(Self { file, path, stays: false });
            }
        }
    }

    /// The file `path`, made when it is missing, that stays when this is dropped. Waits for another writer.
    pub(super) fn part(path: &Path) -> Result<Self, Error> {
        Ok(Self { file: locked(path)?, path: path.to_owned(), stays: true })
    }

    /// Where it is for now.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Size of the file in bytes.
    pub(super) fn len(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(Error::io("look at", &self.path))?.len())
    }

    /// The file, to be read at offsets.
    pub(super) fn reader(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(Error::io("read", &self.path))
    }

    /// Cuts the file to no bytes.
    pub(super) fn empty(&self) -> Result<(), Error> {
        self.file.set_len(0).map_err(Error::io("write", &self.path))
    }

    /// Writes some of `bytes` at an offset; how many.
    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Error> {
        self.file.write_at(bytes, offset).map_err(Error::io("write", &self.path))
    }

    /// Removes the file.
    pub(super) fn discard(mut self) {
        self.stays = false;
    }

    /// Writes all of `bytes`.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))
    }

    /// Waits until what was written is on the medium.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::io("write", &self.path))
    }

    /// Gives the file its name, replacing what has it; a directory that is not empty stays.
    pub(super) fn rename(mut self, path: &Path) -> Result<(), Error> {
        self.open_up()?;
        let mut renamed = fs::rename(&self.path, path);
        if renamed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::IsADirectory) {
            remove(path)?;
            renamed = fs::rename(&self.path, path);
        }
        renamed.map_err(Error::write("create", path))?;
        self.stays = true;
        Ok(())
    }

    /// Lets those read the file who may read the folder it was made in.
    fn open_up(&self) -> Result<(), Error> {
        let folder = self.path.parent().unwrap_or(&self.path);
        let readers = fs::metadata(folder).map_err(Error::io("look at", folder))?.permissions().mode() & 0o044;
        if readers == 0 {
            return Ok(());
        }
        let permissions = Permissions::from_mode(0o600 | readers);
        self.file.set_permissions(permissions).map_err(Error::io("write", &self.path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.stays {
            // Where this fails, the next sweep tries again.
            let _ = fs::remove_file(&self.path);
        }
    }
}
