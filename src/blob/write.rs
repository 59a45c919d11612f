//! Files on their way into the store: under a temporary name until they are whole.
//!
//! # Invariants
//! - A temporary file is locked by its writer for as long as that lives; the sweep takes only what it can lock.
//! - Blobs are not synced to the medium: a power cut can leave a blob with wrong bytes, but never wrong content in an
//!   artifact, since decoded spans are checked, and a damaged blob is discarded and fetched again. Waiting for the
//!   medium would double the time of a first mount on slow disks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::lock::still_named;
use super::{Blob, Error, Store};
use crate::base::Digest;

/// Receives the bytes of one blob; dropped before [`commit`](Self::commit), it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    store: &'a Store,
    digest: Digest,
    size: u64,
    written: u64,
    temporary: Temporary,
}

impl<'a> BlobWriter<'a> {
    pub(super) fn new(store: &'a Store, digest: Digest, size: u64) -> Result<Self, Error> {
        Ok(Self { store, digest, size, written: 0, temporary: Temporary::create(&store.temporary_dir())? })
    }

    /// Puts the blob in its place; `found` is the digest of all that was written, as the caller computed it.
    ///
    /// # Errors
    /// `Corrupt` when digest or size are not the blob's; nothing is kept then.
    pub fn commit(self, found: Digest) -> Result<Blob, Error> {
        let Self { store, digest, size, written, temporary } = self;
        if written != size {
            return Err(Error::WrongSize { digest, expected: size, found: written });
        }
        if found != digest {
            return Err(Error::WrongDigest { expected: digest, found });
        }
        let path = store.blob_path(&digest);
        temporary.rename(&path)?;
        store.opened(&digest, &path, size)
    }
}

impl Write for BlobWriter<'_> {
    /// Fails with what [`Error::from_stream`] takes out: a blob longer than its descriptor says, or a full disk.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let found = self.written.saturating_add(buf.len() as u64);
        if found > self.size {
            return Err(Error::WrongSize { digest: self.digest, expected: self.size, found }.into());
        }
        let written = self.temporary.file.write(buf).map_err(Error::io("write", &self.temporary.path))?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file under a temporary name, removed when it is dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    pub(super) fn create(dir: &Path) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let path = dir.join(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
            let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => file,
                // Of a process that had our id, perhaps in another container.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(Error::io("create", &path)(error)),
            };
            file.lock().map_err(Error::io("lock", &path))?;
            // A sweep may have come between creating and locking.
            if still_named(&file, &path)? {
                return Ok(Self { file, path, renamed: false });
            }
        }
    }

    /// Writes all of `bytes`.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))
    }

    /// Waits until what was written is on the medium.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::io("write", &self.path))
    }

    /// Gives the file its name, replacing what has it.
    pub(super) fn rename(mut self, path: &Path) -> Result<(), Error> {
        fs::rename(&self.path, path).map_err(Error::io("create", path))?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // Where this fails, the next sweep tries again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the files of writers and holders of locks that are gone.
pub(super) fn sweep(dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(Error::io("read", dir))? {
        let path = entry.map_err(Error::io("read", dir))?.path();
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() {
            // Best effort: another sweep may be faster, the cache may be someone else's.
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}
