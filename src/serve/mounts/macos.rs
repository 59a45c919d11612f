//! Mounts of macOS: getfsstat(2), unmount(2), and the helper of macFUSE.

use std::ffi::{CString, OsString, c_char, c_int};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::ptr;

use rustix::io::Errno;

use super::{Force, Mount};

/// What the kernel says of a mount whose server is gone.
pub(in crate::serve) const DEAD: [Errno; 2] = [Errno::NOTCONN, Errno::NXIO];
/// Type of mounts of macFUSE.
const TYPE: &str = "macfuse";
/// Source of our mounts, the `fsname` they are made with.
const NAME: &str = "lkit";
/// The program of macFUSE that mounts.
const HELPER: &str = "/Library/Filesystems/macfuse.fs/Contents/Resources/mount_macfuse";
/// Room for file systems that are mounted between the two calls.
const SPARE: usize = 8;

pub(super) fn list() -> io::Result<Vec<Mount>> {
    Ok(all()?.iter().map(mount).collect())
}

/// Full path of the helper that mounts.
pub fn helper() -> Option<PathBuf> {
    Some(PathBuf::from(HELPER)).filter(|program| program.is_file())
}

/// Ends the topmost mount on `path`.
///
/// # Errors
/// When the kernel refuses.
pub(in crate::serve) fn end(path: &Path, force: Force) -> io::Result<()> {
    let flags = if force == Force::Lazy { libc::MNT_FORCE } else { 0 };
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a text that ends with NUL, and lives until the call returns.
    match unsafe { libc::unmount(path.as_ptr(), flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn all() -> io::Result<Vec<libc::statfs>> {
    // SAFETY: without room nothing is written, and the number of mounts is returned.
    let count = unsafe { libc::getfsstat(ptr::null_mut(), 0, libc::MNT_NOWAIT) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    let mut mounts: Vec<libc::statfs> = Vec::with_capacity(count + SPARE);
    let size = c_int::try_from(mounts.capacity() * size_of::<libc::statfs>()).map_err(io::Error::other)?;
    // SAFETY: the room has the size that is passed.
    let written = unsafe { libc::getfsstat(mounts.as_mut_ptr(), size, libc::MNT_NOWAIT) };
    let written = usize::try_from(written).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the system wrote that many, which is at most what has room.
    unsafe { mounts.set_len(written.min(mounts.capacity())) };
    Ok(mounts)
}

fn mount(found: &libc::statfs) -> Mount {
    // SAFETY: a `fsid_t` is two numbers of 32 bits (sys/_types/_fsid_t.h), which the library keeps private.
    let [high, low] = unsafe { std::mem::transmute::<libc::fsid_t, [i32; 2]>(found.f_fsid) };
    let kind = text(&found.f_fstypename).to_string_lossy().into_owned();
    let is_ours = kind == TYPE && text(&found.f_mntfromname) == NAME;
    let device = Some((high.cast_unsigned(), low.cast_unsigned()));
    Mount { device, point: text(&found.f_mntonname).into(), kind, is_ours }
}

/// A text that ends with NUL where it does not fill its field.
fn text(field: &[c_char]) -> OsString {
    let bytes = field.iter().map(|byte| byte.cast_unsigned()).take_while(|byte| *byte != 0);
    OsString::from_vec(bytes.collect())
}
