//! The directory a mount lies on: what is mounted there now, and how that is ended.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::Error;
use super::mounts::{self, DEAD, DeviceNumber, Force, Mount, end};

/// Type of a place that is mounted when it is first used, as systemd's automount units are.
const AUTOMOUNT: &str = "autofs";

/// How long others are waited for who mount on the same directory, and how often they are looked at.
const TURN: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(10);

/// What lies on a directory.
#[derive(Debug, PartialEq, Eq)]
enum Occupant {
    Nothing,
    Ours,
    /// Type of the file system.
    Other(String),
}

impl Occupant {
    fn of(mount: Mount) -> Self {
        if mount.is_ours { Self::Ours } else { Self::Other(mount.kind) }
    }
}

/// Makes sure that `dir` can be mounted on, clearing the dead mount of a killed server; gives its full path.
///
/// # Errors
/// When it is missing, no directory, not empty, or shows a system already.
pub fn prepare(dir: &Path) -> Result<PathBuf, Error> {
    // A look into what is mounted on first use mounts it: systemd would start lkit, and lkit wait for itself.
    let path = full(dir)?;
    if occupant(&path)? == Occupant::Other(AUTOMOUNT.to_owned()) {
        return Ok(path);
    }
    let path = clear_dead(dir)?;
    if occupant(&path)? == Occupant::Ours {
        return Err(Error::MountPointBusy(dir.to_owned()));
    }
    let mount = |source| Error::Mount { path: dir.to_owned(), source };
    let mut entries = fs::read_dir(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory => Error::MountPointNotADirectory(dir.to_owned()),
        _ => mount(error),
    })?;
    match entries.next() {
        None => Ok(path),
        Some(_) => Err(Error::MountPointNotEmpty(dir.to_owned())),
    }
}

/// The same, for one of several that want to mount on `dir` at once: the others wait as long as the file is open, and then
/// find the mount.
///
/// # Errors
/// As [`prepare`].
pub fn take_turn(dir: &Path) -> Result<(PathBuf, Option<File>), Error> {
    let path = prepare(dir)?;
    // To open what is mounted on first use mounts it.
    let file = if occupant(&path)? == Occupant::Nothing { File::open(&path).ok() } else { None };
    // What has come meanwhile is found by another look.
    let Some(file) = file else { return prepare(dir).map(|path| (path, None)) };
    // Any user who may read the directory can lock it. lkit waits for five seconds at most, and then mounts all the same.
    let mut tries = TURN.as_millis() / LOOK.as_millis();
    while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() && tries > 0 {
        thread::park_timeout(LOOK);
        tries -= 1;
    }
    prepare(dir).map(|path| (path, Some(file)))
}

/// Detaches the mount of a server that no longer lives, if `dir` is one; gives the full path.
///
/// # Errors
/// When the directory is missing, or the dead mount cannot be detached.
pub fn clear_dead(dir: &Path) -> Result<PathBuf, Error> {
    let path = full(dir)?;
    // Not `stat`: the kernel may still know the attributes of a root whose server is gone.
    let dead = rustix::fs::statfs(&path).is_err_and(|error| is_dead(&error.into()));
    if !dead || occupant(&path)? != Occupant::Ours {
        return Ok(path);
    }
    end(&path, Force::Lazy).map_err(|source| Error::Unmount { path: dir.to_owned(), source })?;
    // Servers that died one after the other may lie on each other.
    clear_dead(dir)
}

/// Ends the mount on `dir`, dead or alive. A program that has a file of it open keeps that file until it closes it.
///
/// # Errors
/// When nothing of ours is mounted there, or the system refuses.
pub fn unmount(dir: &Path) -> Result<(), Error> {
    let path = full(dir).map_err(|error| match error {
        Error::MountPointMissing(dir) => Error::NotMounted(dir),
        error => error,
    })?;
    match occupant(&path)? {
        Occupant::Ours => {}
        Occupant::Nothing => return Err(Error::NotMounted(dir.to_owned())),
        Occupant::Other(kind) => {
            return Err(Error::NotOurs { path: dir.to_owned(), by: format!("a file system of type `{kind}`") });
        }
    }
    let ended = end(&path, Force::Gentle).or_else(|_| end(&path, Force::Lazy));
    ended.map_err(|source| Error::Unmount { path: dir.to_owned(), source })
}

/// Detaches a mount of our own process, when it is still there: another one may lie in its place.
pub(super) fn detach_own(path: &Path, device: DeviceNumber) -> Result<(), Error> {
    if mounts::topmost(path).map_err(unlisted())?.and_then(|mount| mount.device) != Some(device) {
        return Ok(());
    }
    end(path, Force::Lazy).map_err(|source| Error::Unmount { path: path.to_owned(), source })
}

/// Where mounts of ours are now, dead or alive.
///
/// # Errors
/// When the table of mounts cannot be read.
pub(super) fn points() -> Result<Vec<PathBuf>, Error> {
    let ours = mounts::list().map_err(unlisted())?.into_iter().filter(|mount| mount.is_ours);
    Ok(ours.map(|mount| mount.point).collect())
}

/// Whether this is what the kernel says of a mount whose server is gone.
fn is_dead(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| DEAD.map(rustix::io::Errno::raw_os_error).contains(&code))
}

/// The full path of a directory. Its last part is not looked at, since a dead mount cannot be.
fn full(dir: &Path) -> Result<PathBuf, Error> {
    let resolve = |path: &Path| {
        path.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::MountPointMissing(dir.to_owned()),
            _ => Error::Mount { path: dir.to_owned(), source: error },
        })
    };
    match (dir.canonicalize(), dir.file_name(), dir.parent()) {
        (Ok(path), ..) => Ok(path),
        (Err(error), Some(name), Some(parent)) if is_dead(&error) => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            Ok(resolve(parent)?.join(name))
        }
        _ => resolve(dir),
    }
}

fn occupant(path: &Path) -> Result<Occupant, Error> {
    let topmost = mounts::topmost(path).map_err(unlisted())?;
    Ok(topmost.map_or(Occupant::Nothing, Occupant::of))
}

/// For `map_err` on what is mounted.
fn unlisted() -> impl FnOnce(io::Error) -> Error {
    Error::server("read the table of mounts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_ours_or_that_of_another() {
        let mount = |is_ours| Mount { device: None, point: "/mnt".into(), kind: "tmpfs".to_owned(), is_ours };
        assert_eq!(Occupant::of(mount(true)), Occupant::Ours);
        assert_eq!(Occupant::of(mount(false)), Occupant::Other("tmpfs".to_owned()));
    }

    #[test]
    fn what_is_no_mount_point_is_told_by_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(matches!(prepare(&dir.path().join("no")), Err(Error::MountPointMissing(_))));
        assert!(matches!(prepare(&file), Err(Error::MountPointNotADirectory(_))));
        assert!(matches!(prepare(dir.path()), Err(Error::MountPointNotEmpty(_))));
        assert!(matches!(unmount(dir.path()), Err(Error::NotMounted(_))));
        assert!(matches!(unmount(&dir.path().join("no")), Err(Error::NotMounted(_))));
    }
}
