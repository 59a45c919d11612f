//! Locks between processes (and threads) by `flock` on files that vanish with their holder's work.
//!
//! # Invariants
//! - A lock file is removed only by who holds its lock, and a lock counts only while its file still has its name; so two
//!   holders of one name never meet, and no lock file stays behind but those of killed processes, which lock nothing
//!   until they are cleaned away.
//! - What is in the place of a lock file and is not a regular file, such as a fifo, is removed only by who holds the
//!   lock of the folder; so nobody removes a lock file that another process has just put there.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::Error;
use super::regular::{name_of, remove};

/// How often something in the place of a lock file is removed before that is an error: another process that puts it
/// there again and again must not keep us busy.
const TRIES: u32 = 8;

/// How opening something else than a regular file fails.
const IS_NO_FILE: [Errno; 4] = [Errno::NXIO, Errno::LOOP, Errno::ISDIR, Errno::NODEV];

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Guard {
    /// Held open for its flock; none where nothing can be made that another process could make, too.
    held: Option<(File, PathBuf)>,
}

impl Guard {
    /// Waits until nobody holds the lock `path`, in this process or another, and takes it.
    ///
    /// # Errors
    /// When the file system fails; `InTheWay` when something else keeps being in its place.
    pub(super) fn acquire(path: &Path) -> Result<Self, Error> {
        Ok(Self { held: Some((locked(path)?, path.to_owned())) })
    }

    /// A guard where nothing can be made that another process could make, too.
    pub(super) fn of_nothing() -> Self {
        Self { held: None }
    }

    /// The same for a lock that guards only what is made: where nothing can be, nobody is waited for.
    ///
    /// # Errors
    /// When the file system fails.
    pub(super) fn acquire_to_make(path: &Path) -> Result<Self, Error> {
        match Self::acquire(path) {
            Err(Error::ReadOnly { .. }) => Ok(Self::of_nothing()),
            other => other,
        }
    }
}

/// Waits until nobody has the file `path` locked, and locks it; it is made when it is missing.
///
/// # Errors
/// When the file system fails; `InTheWay` when something else keeps being in its place.
pub(super) fn locked(path: &Path) -> Result<File, Error> {
    let mut tries = 0;
    loop {
        let Some(file) = open(path)? else {
            tries += 1;
            clear(path, tries)?;
            continue;
        };
        file.lock().map_err(Error::io("lock", path))?;
        if still_named(&file, path)? {
            return Ok(file);
        }
    }
}

/// Opens a lock file, made when it is missing; `None` when something else is in its place.
fn open(path: &Path) -> Result<Option<File>, Error> {
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY).bits().cast_signed();
    let mut options = File::options();
    let opened = options.create(true).truncate(false).read(true).write(true).mode(0o600).custom_flags(flags).open(path);
    match opened {
        Ok(file) => {
            let is_file = file.metadata().map_err(Error::io("look at", path))?.is_file();
            Ok(is_file.then_some(file))
        }
        // A fifo that nobody reads, a socket, a link, a directory.
        Err(error) if IS_NO_FILE.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) => Ok(None),
        Err(error) => Err(Error::write("create", path)(error)),
    }
}

/// Removes what is in the place of a lock file and is not a regular file.
pub(super) fn clear(path: &Path, tries: u32) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(path);
    let held = File::open(folder).map_err(Error::io("open", folder))?;
    held.lock().map_err(Error::io("lock", folder))?;
    match fs::symlink_metadata(path) {
        Ok(found) if tries > TRIES => Err(Error::InTheWay { path: path.to_owned(), what: name_of(found.file_type()) }),
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => remove(path).map(drop),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((_file, path)) = &self.held {
            // A lock file that cannot be removed is litter, not a fault: its flock ends with `_file` all the same.
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether `path` still names `file`: not so when its last holder removed it while we waited for it.
pub(super) fn still_named(file: &File, path: &Path) -> Result<bool, Error> {
    let ours = file.metadata().map_err(Error::io("look at", path))?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}
