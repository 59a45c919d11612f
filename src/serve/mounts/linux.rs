//! Mounts of Linux: the table of mounts, umount(2), and fusermount3 for ordinary users.
//!
//! # Format
//! `/proc/self/mountinfo`, proc_pid_mountinfo(5).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::{DeviceNumber, Force, Mount, helper_command};

/// What the kernel says of a mount whose server is gone.
pub(in crate::serve) const DEAD: [Errno; 2] = [Errno::NOTCONN, Errno::CONNABORTED];
/// Type of our mounts, as mount tables show it.
const TYPE: &str = "fuse.lkit";
const TABLE: &str = "/proc/self/mountinfo";
/// The helper that mounts and unmounts for ordinary users.
const FUSERMOUNT: &str = "fusermount3";
/// Where it usually is, for those whose PATH lacks it.
const USUAL: [&str; 5] = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"];

pub(super) fn list() -> io::Result<Vec<Mount>> {
    Ok(rows(&fs::read(TABLE)?))
}

/// Full path of the helper that mounts and unmounts for ordinary users.
pub fn helper() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An empty part of the PATH is the current directory, where nobody keeps a helper that becomes root.
    let dirs = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).chain(USUAL.map(PathBuf::from));
    dirs.map(|dir| dir.join(FUSERMOUNT)).find(|program| program.is_file())
}

/// Ends the topmost mount on `path`: by ourselves, else through the helper, which knows the mounts of its user.
///
/// # Errors
/// When the kernel and the helper refuse.
pub(in crate::serve) fn end(path: &Path, force: Force) -> io::Result<()> {
    let flags = if force == Force::Lazy { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    match unmount(path, flags | UnmountFlags::NOFOLLOW) {
        Err(Errno::PERM) => fusermount(path, force),
        other => Ok(other?),
    }
}

fn fusermount(path: &Path, force: Force) -> io::Result<()> {
    let mut command = helper_command(&helper().unwrap_or_else(|| FUSERMOUNT.into()));
    let output = command.arg("-u").args((force == Force::Lazy).then_some("-z")).arg("--").arg(path).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(said.trim().to_owned()))
}

fn rows(table: &[u8]) -> Vec<Mount> {
    table.split(|byte| *byte == b'\n').filter_map(row).collect()
}

fn row(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let device = device_number(fields.nth(2)?);
    let point = unescaped(fields.nth(1)?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Mount { device, point, kind: String::from_utf8_lossy(kind).into_owned(), is_ours: kind == TYPE.as_bytes() })
}

/// A number such as `0:40`.
fn device_number(field: &[u8]) -> Option<DeviceNumber> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
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

    #[test]
    fn a_row_names_device_place_and_type() {
        let table = b"22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
            30 22 0:40 / /mnt/a\\040b ro,nosuid,nodev shared:1 - fuse.lkit lkit ro,user_id=0\n\
            32 31 0:42 / /mnt/c rw master:1 propagate_from:2 - tmpfs none rw\n";
        let mount = |device, point: &str, kind: &str, is_ours| Mount {
            device: Some(device),
            point: point.into(),
            kind: kind.to_owned(),
            is_ours,
        };
        let expected = [
            mount((254, 0), "/", "ext4", false),
            mount((0, 40), "/mnt/a b", "fuse.lkit", true),
            mount((0, 42), "/mnt/c", "tmpfs", false),
        ];
        assert_eq!(rows(table), expected);
    }

    #[test]
    fn a_table_that_makes_no_sense_holds_nothing() {
        for table in [b"".as_slice(), b"\n\n", b"1 2 3", b"1 2 3 / /x opts", b"1 2 3 / /x opts -"] {
            assert_eq!(rows(table), []);
        }
        assert_eq!(unescaped(br"\1"), Path::new(r"\1"));
        assert_eq!(unescaped(br"a\134\777b"), Path::new(r"a\\777b"));
    }
}
