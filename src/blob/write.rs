//! Files on their way into the store: under a temporary name until they are whole.
//!
//! # Invariants
//! - A temporary file is locked by its writer for as long as that lives; the sweep takes only what it can lock, and what
//!   is not a regular file.
//! - Only its owner can read a temporary file (mode 0600). When it gets its name, it gets the read permissions of the
//!   folders of the cache, so that users who share a cache can read what others put there.
//! - Blobs are not synced to the medium: a power cut can leave a blob with wrong bytes, but never wrong content in an
//!   artifact, since decoded spans are checked, and a damaged blob is discarded and fetched again. Waiting for the
//!   medium would double the time of a first mount on slow disks.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::lock::{clear, still_named};
use super::regular::{self, Opened, remove};
use super::{Blob, Error, Store};
use crate::base::Digest;

/// Where files are written before they get their name, relative to the cache.
pub(super) const TEMPORARY: &str = "lkit/tmp";

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
            let file = match File::options().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => file,
                // Of a process that had our id, perhaps in another container.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(Error::write("create", &path)(error)),
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

    /// Gives the file its name, replacing what has it; a directory that is not empty stays.
    pub(super) fn rename(mut self, path: &Path) -> Result<(), Error> {
        self.open_up()?;
        let mut renamed = fs::rename(&self.path, path);
        if renamed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::IsADirectory) {
            remove(path)?;
            renamed = fs::rename(&self.path, path);
        }
        renamed.map_err(Error::write("create", path))?;
        self.renamed = true;
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
        if !self.renamed {
            // Where this fails, the next sweep tries again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the files of writers and holders of locks that are gone, and what only pretends to be such a file.
pub(super) fn sweep(dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(Error::io("read", dir))? {
        sweep_one(&entry.map_err(Error::io("read", dir))?.path())?;
    }
    Ok(())
}

/// Removes one file if nobody works on it any more. Best effort: another sweep may be faster, the cache someone else's.
fn sweep_one(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {
            // One that cannot be opened is someone else's.
            let Ok(Opened::File(file, _)) = regular::open(path) else { return Ok(()) };
            if file.try_lock().is_ok() && still_named(&file, path)? {
                let _ = remove(path);
            }
            // `file` keeps its lock until here, so a writer who waited for it sees that its file lost its name.
        }
        Ok(_) => {
            let _ = clear(path, 0);
        }
        Err(_) => {}
    }
    Ok(())
}
