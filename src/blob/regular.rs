//! Opening a file in whose place there may be anything: a fifo, a device, a directory, links in a circle.
//!
//! # Invariants
//! Opening never waits and never changes anything: what is not a regular file is refused before a byte of it is read,
//! and no more is read than the caller allows.

use std::fs::{self, File, FileType};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
use rustix::io::Errno;

use super::Error;

const HOUR: Duration = Duration::from_secs(3600);

/// What there is at a path.
pub(super) enum Opened {
    /// Nothing, or a link to nothing.
    Missing,
    /// A regular file, or a link to one, and its size in bytes.
    File(File, u64),
    /// Something else, named with its article.
    Other(&'static str),
}

/// Why a small file cannot be used.
pub(super) enum Unusable {
    /// It is missing, too large, or not a regular file; a clause that says so.
    Flaw(String),
    /// The file system failed.
    Failed(Error),
}

/// Opens a regular file for reading. Links are followed.
///
/// # Errors
/// When the file system fails.
pub(super) fn open(path: &Path) -> Result<Opened, Error> {
    let found = attempt(path);
    found.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Opened::Missing),
        // Opening follows too many links, or what was found is a socket or a fifo by now.
        _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(Opened::Other("a link in a circle")),
        _ if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => Ok(Opened::Other("a socket")),
        _ => Err(Error::io("open", path)(error)),
    })
}

/// Opens a regular file that the user keeps, such as a state or a login; never waits for a fifo.
///
/// # Errors
/// When it is missing or something else; what the file system says.
pub fn open_regular(path: &Path) -> io::Result<File> {
    match attempt(path)? {
        Opened::File(file, _) => Ok(file),
        Opened::Missing => Err(io::ErrorKind::NotFound.into()),
        Opened::Other(what) => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}"))),
    }
}

fn attempt(path: &Path) -> io::Result<Opened> {
    // Looked at first: opening a device can do something.
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Ok(Opened::Other(name_of(found.file_type())));
    }
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    // Another file may have come between the two.
    Ok(if found.is_file() { Opened::File(file, found.len()) } else { Opened::Other(name_of(found.file_type())) })
}

/// The bytes of a regular file, which has at most `limit` of them.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Unusable> {
    let flaw = |reason: String| Err(Unusable::Flaw(reason));
    match open(path).map_err(Unusable::Failed)? {
        Opened::Missing => flaw("it is missing".to_owned()),
        Opened::Other(what) => flaw(format!("it is {what}")),
        Opened::File(_, size) if size > limit => flaw(format!("it has {size} bytes, over the limit of {limit}")),
        Opened::File(file, _) => {
            let mut bytes = Vec::new();
            // It may grow while it is read.
            let read = file.take(limit).read_to_end(&mut bytes).map_err(Error::io("read", path));
            read.map(|_| bytes).map_err(Unusable::Failed)
        }
    }
}

/// A type of file that is not a regular one, with its article.
pub(super) fn name_of(file_type: FileType) -> &'static str {
    match file_type {
        file_type if file_type.is_dir() => "a directory",
        file_type if file_type.is_fifo() => "a fifo",
        file_type if file_type.is_socket() => "a socket",
        file_type if file_type.is_symlink() => "a symbolic link",
        file_type if file_type.is_block_device() || file_type.is_char_device() => "a device",
        _ => "not a regular file",
    }
}

/// Makes now the time of the last access of a file, which many file systems are mounted not to keep; a time of this hour
/// stays, so that what is started again and again writes nothing. Best effort: in a cache of someone else, or on a read-only
/// medium, the time stays.
pub(super) fn note_use(path: &Path) {
    let used = fs::symlink_metadata(path).and_then(|found| found.accessed());
    if used.is_ok_and(|used| used.elapsed().is_ok_and(|ago| ago < HOUR)) {
        return;
    }
    let [now, omit] = [UTIME_NOW, UTIME_OMIT].map(|tv_nsec| Timespec { tv_sec: 0, tv_nsec });
    let times = Timestamps { last_access: now, last_modification: omit };
    let _ = utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}

/// Says that a file of the cache is in use for as long as it is open, and that it was used now. Best effort: on a file
/// system without locks everything seems unused, and what is removed stays readable for who has it open.
pub(super) fn hold(file: &File, path: &Path) {
    let _ = file.lock_shared();
    note_use(path);
}

/// Lets what a read-only cache does not allow be undone.
pub(super) fn unless_read_only(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::ReadOnly { .. }) => Ok(()),
        other => other,
    }
}

/// Removes a file or an empty directory of the cache; whether there was one.
///
/// # Errors
/// `InTheWay` for a directory with something in it; when the file system fails.
pub(super) fn remove(path: &Path) -> Result<bool, Error> {
    let is_directory = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    match if is_directory { fs::remove_dir(path) } else { fs::remove_file(path) } {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            Err(Error::InTheWay { path: path.to_owned(), what: "a directory that is not empty" })
        }
        Err(error) => Err(Error::write("remove", path)(error)),
    }
}
