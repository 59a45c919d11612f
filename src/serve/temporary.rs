//! A directory to mount on that lives as long as this process, and what killed processes left of theirs.
//!
//! # Format
//! `lkit-run-XXXXXX/mnt` in the directory for temporary files. Its process holds a lock on `lkit-run-XXXXXX`, flock(2),
//! which the kernel releases however the process ends. So who gets the lock knows that the mount below is dead, without
//! asking the file system, which might never answer.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;

use super::{Error, mountpoint};

/// How the names of our directories begin.
const PREFIX: &str = "lkit-run-";
/// The mount point in such a directory.
const POINT: &str = "mnt";

/// An empty directory of this process; removed when this is dropped, after what is mounted on it has ended.
pub struct TemporaryMountPoint {
    dir: PathBuf,
    point: PathBuf,
    /// Open, and locked, for as long as this lives; a program that is started does not inherit it.
    _lock: File,
}

impl TemporaryMountPoint {
    /// A new directory, which nobody else may enter.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self, Error> {
        Self::new_in(&std::env::temp_dir()).map_err(Error::server("make a directory to mount on"))
    }

    fn new_in(place: &Path) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
        let lock = File::open(dir.path())?;
        // Another process may look whether this is left behind: it lets go at once, since there is no mount point yet.
        if let Err(error) = flock(&lock, FlockOperation::LockExclusive) {
            tracing::warn!("cannot lock `{}`, so nobody clears it if this is killed: {error}", dir.path().display());
        }
        let point = dir.path().join(POINT);
        fs::create_dir(&point)?;
        Ok(Self { dir: dir.keep(), point, _lock: lock })
    }

    /// Full path of the mount point.
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// Full path of a socket next to the mount point, which goes when this goes.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Removes the sockets in one of our directories.
fn remove_sockets(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_socket() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

impl Drop for TemporaryMountPoint {
    /// Removes sockets, two empty directories, and nothing below them, which may be a mount that did not go away.
    fn drop(&mut self) {
        let removed = remove_sockets(&self.dir).and_then(|()| fs::remove_dir(&self.point));
        if let Err(error) = removed.and_then(|()| fs::remove_dir(&self.dir)) {
            tracing::warn!("cannot remove `{}`: {error}", self.point.display());
        }
    }
}

/// Ends the mounts that killed processes of this user left on their temporary directories, and removes these. What
/// cannot be removed is in nobody's way, and only noted.
pub fn sweep() {
    let points = match mountpoint::points() {
        Ok(points) => points,
        Err(error) => return tracing::warn!("cannot look for mounts that killed machines left: {error}"),
    };
    for dir in candidates(&std::env::temp_dir(), &points) {
        if let Err(error) = clear(&dir) {
            tracing::warn!("cannot remove what a killed machine left in `{}`: {error}", dir.display());
        }
    }
}

/// Directories named as ours: in the place for temporary files, and wherever something of ours is mounted.
fn candidates(place: &Path, points: &[PathBuf]) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(place).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mounted = points.iter().filter(|point| point.ends_with(POINT)).filter_map(|point| point.parent());
    let is_named = |dir: &PathBuf| dir.file_name().is_some_and(|name| name.as_bytes().starts_with(PREFIX.as_bytes()));
    entries.chain(mounted.map(Path::to_owned)).filter(is_named).collect()
}

/// Removes a directory with its mount, if it is ours and its process is dead.
fn clear(dir: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = match open(dir, flags, Mode::empty()) {
        Ok(lock) => File::from(lock),
        // Gone in this moment, or of somebody else.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if lock.metadata()?.uid() != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let point = match mountpoint::clear_dead(&dir.join(POINT)) {
        Ok(point) => point,
        // Its process has not come to make it.
        Err(Error::MountPointMissing(_)) => return Ok(()),
        Err(error) => return Err(io::Error::other(error)),
    };
    remove_sockets(dir)?;
    fs::remove_dir(point)?;
    fs::remove_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_in_use_stays_and_one_that_was_left_goes() {
        let place = tempfile::tempdir().unwrap();
        let used = TemporaryMountPoint::new_in(place.path()).unwrap();
        let left = TemporaryMountPoint::new_in(place.path()).unwrap();
        for point in [&used, &left] {
            std::os::unix::net::UnixListener::bind(point.socket("share")).unwrap();
        }
        let (left_dir, lock) = (left.dir.clone(), left._lock.try_clone().unwrap());
        // As a killed process leaves it: nothing removed, the lock released with the last descriptor.
        std::mem::forget(left);
        flock(&lock, FlockOperation::Unlock).unwrap();
        let found = candidates(place.path(), &[]);
        assert_eq!(found, BTreeSet::from([used.dir.clone(), left_dir.clone()]));
        found.iter().for_each(|dir| clear(dir).unwrap());
        assert!(used.path().is_dir() && !left_dir.exists());
        drop(used);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_not_provably_ours_and_dead_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        for dir in ["lkit-run-new", "lkit-run-full/mnt/x", "other/mnt"] {
            fs::create_dir_all(path(dir)).unwrap();
        }
        fs::write(path("lkit-run-file"), "").unwrap();
        std::os::unix::fs::symlink(path("other"), path("lkit-run-link")).unwrap();
        for name in ["lkit-run-new", "lkit-run-file", "lkit-run-link", "lkit-run-gone"] {
            clear(&path(name)).unwrap();
        }
        assert_eq!(clear(&path("lkit-run-full")).unwrap_err().kind(), io::ErrorKind::DirectoryNotEmpty);
        let points = [path("other/mnt"), path("lkit-run-full/mnt"), "/x/lkit-run-a/mnt".into(), "/lkit-run-b".into()];
        let names = ["lkit-run-file", "lkit-run-full", "lkit-run-link", "lkit-run-new"];
        let expected = names.into_iter().map(path).chain(["/x/lkit-run-a".into()]).collect();
        assert_eq!(candidates(place.path(), &points), expected);
        assert!(names.into_iter().all(|name| path(name).exists()) && path("other/mnt").is_dir());
    }
}
