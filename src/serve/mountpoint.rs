//! The directory a mount lies on: what is mounted there now, and how that is ended.
//!
//! # Format
//! `/proc/self/mountinfo`, proc_pid_mountinfo(5).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::{UnmountFlags, unmount as detach};

use super::Error;

/// Type of our mounts, as mount tables show it.
const TYPE: &str = "fuse.lkit";
/// Type of a place that is mounted when it is first used, as systemd's automount units are.
const AUTOMOUNT: &str = "autofs";
const TABLE: &str = "/proc/self/mountinfo";
/// The helper that mounts and unmounts for ordinary users.
const FUSERMOUNT: &str = "fusermount3";
/// Where it usually is, for those whose PATH lacks it.
const USUAL: [&str; 5] = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"];

/// Major and minor number of the device of a file system.
pub(super) type DeviceNumber = (u32, u32);

/// What lies on a directory.
#[derive(Debug, PartialEq, Eq)]
enum Occupant {
    Nothing,
    Ours,
    /// Type of the file system.
    Other(String),
}

/// How long a mount may still be used once it is to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Force {
    /// Not at all; refused while a file is open.
    Gentle,
    /// It disappears now, and lives for those who have a file open.
    Lazy,
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
    let table = fs::read(TABLE).map_err(Error::server("read the table of mounts"))?;
    if topmost_row(&table, path).and_then(|row| row.device) != Some(device) {
        return Ok(());
    }
    end(path, Force::Lazy).map_err(|source| Error::Unmount { path: path.to_owned(), source })
}

/// The device of what is mounted on `path`.
///
/// # Errors
/// When nothing is, or the table of mounts cannot be read.
pub(super) fn device(path: &Path) -> Result<DeviceNumber, Error> {
    let table = fs::read(TABLE).map_err(Error::server("read the table of mounts"))?;
    topmost_row(&table, path).and_then(|row| row.device).ok_or_else(|| Error::NotMounted(path.to_owned()))
}

/// Where mounts of ours are now, dead or alive.
///
/// # Errors
/// When the table of mounts cannot be read.
pub(super) fn points() -> Result<Vec<PathBuf>, Error> {
    let table = fs::read(TABLE).map_err(Error::server("read the table of mounts"))?;
    Ok(rows(&table).filter(|row| row.kind == TYPE.as_bytes()).map(|row| unescaped(row.point)).collect())
}

/// Full path of the helper that mounts and unmounts for ordinary users.
pub fn helper() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An empty part of the PATH is the current directory, where nobody keeps a helper that becomes root.
    let dirs = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).chain(USUAL.map(PathBuf::from));
    dirs.map(|dir| dir.join(FUSERMOUNT)).find(|program| program.is_file())
}

/// Ends the topmost mount on `path`: by ourselves, else through the helper, which knows the mounts of its user.
fn end(path: &Path, force: Force) -> Result<(), io::Error> {
    let flags = if force == Force::Lazy { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    match detach(path, flags | UnmountFlags::NOFOLLOW) {
        Err(rustix::io::Errno::PERM) => fusermount(path, force),
        other => Ok(other?),
    }
}

/// The helper without arguments, in a process group of its own: when the terminal is closed, all of the group in its
/// foreground is ended, and the helper is to finish.
pub(super) fn helper_command(helper: &Path) -> Command {
    let mut command = Command::new(helper);
    command.stdin(Stdio::null()).process_group(0);
    command
}

fn fusermount(path: &Path, force: Force) -> Result<(), io::Error> {
    let mut command = helper_command(&helper().unwrap_or_else(|| FUSERMOUNT.into()));
    let output = command.arg("-u").args((force == Force::Lazy).then_some("-z")).arg("--").arg(path).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(said.trim().to_owned()))
}

/// Whether this is what the kernel says of a mount whose server is gone.
fn is_dead(error: &io::Error) -> bool {
    let dead = [rustix::io::Errno::NOTCONN, rustix::io::Errno::CONNABORTED].map(rustix::io::Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| dead.contains(&code))
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
    let table = fs::read(TABLE).map_err(Error::server("read the table of mounts"))?;
    Ok(topmost(&table, path))
}

/// A line of a mount table.
struct Row<'a> {
    device: Option<DeviceNumber>,
    /// Mount point, still escaped.
    point: &'a [u8],
    /// Type of the file system.
    kind: &'a [u8],
}

fn rows(table: &[u8]) -> impl DoubleEndedIterator<Item = Row<'_>> {
    table.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let device = device_number(fields.nth(2)?);
        let point = fields.nth(1)?;
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        Some(Row { device, point, kind })
    })
}

/// A number such as `0:40`.
fn device_number(field: &[u8]) -> Option<DeviceNumber> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn topmost_row<'a>(table: &'a [u8], path: &Path) -> Option<Row<'a>> {
    rows(table).rfind(|row| unescaped(row.point) == path)
}

/// The last mount on `path` in a mount table.
fn topmost(table: &[u8], path: &Path) -> Occupant {
    match topmost_row(table, path).map(|row| row.kind) {
        None => Occupant::Nothing,
        Some(kind) if kind == TYPE.as_bytes() => Occupant::Ours,
        Some(kind) => Occupant::Other(String::from_utf8_lossy(kind).into_owned()),
    }
}

/// A field of a mount table as a path: `\040` stands for a space, and so on.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        let value = digits.map(|digits| digits.iter().fold(0_u32, |sum, digit| sum * 8 + u32::from(digit - b'0')));
        match value.and_then(|value| u8::try_from(value).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsStr::from_bytes(&bytes).to_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = b"22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
        30 22 0:40 / /mnt/a\\040b ro,nosuid,nodev shared:1 - fuse.lkit lkit ro,user_id=0\n\
        31 22 0:41 / /mnt/c rw - fuse.lkit lkit ro\n\
        32 31 0:42 / /mnt/c rw master:1 propagate_from:2 - tmpfs none rw\n";

    #[test]
    fn the_topmost_mount_counts() {
        let rows = [
            ("/mnt/a b", Occupant::Ours),
            ("/mnt/c", Occupant::Other("tmpfs".to_owned())),
            ("/", Occupant::Other("ext4".to_owned())),
            ("/mnt", Occupant::Nothing),
        ];
        for (path, expected) in rows {
            assert_eq!(topmost(SAMPLE, Path::new(path)), expected, "{path}");
        }
        let devices = ["/mnt/a b", "/mnt/c", "/mnt"].map(|path| topmost_row(SAMPLE, Path::new(path))?.device);
        assert_eq!(devices, [Some((0, 40)), Some((0, 42)), None]);
    }

    #[test]
    fn a_table_that_makes_no_sense_holds_nothing() {
        for table in [b"".as_slice(), b"\n\n", b"1 2 3", b"1 2 3 / /x opts", b"1 2 3 / /x opts -"] {
            assert_eq!(topmost(table, Path::new("/x")), Occupant::Nothing);
        }
        assert_eq!(unescaped(br"\1"), Path::new(r"\1"));
        assert_eq!(unescaped(br"a\134\777b"), Path::new(r"a\\777b"));
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
