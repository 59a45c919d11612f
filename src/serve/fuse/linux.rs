//! Attaching the device to a directory: by the system call where that is allowed, else by fusermount3. And what else of a
//! mount is of Linux alone.
//!
//! # Format
//! The options of mount(2) for `fuse`, `/sys/fs/fuse/connections` (Documentation/filesystems/fuse.rst).

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fuser::Config;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, statat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use super::handed::from_helper;
use super::options::MountOptions;
use crate::serve::Error;
use crate::serve::mountpoint::detach_own;
use crate::serve::mounts::{self, DeviceNumber};

/// Threads that take requests from the kernel; two, so that one listing does not keep a stat waiting.
const SESSION_THREADS: usize = 2;
/// Read-ahead in KiB: as much as the kernel asks for in two requests, so that one is under way while one is read.
const READ_AHEAD_KIB: &str = "2048";
const DEVICE: &str = "/dev/fuse";
/// Its number (`Documentation/admin-guide/devices.txt`).
const DEVICE_NUMBER: DeviceNumber = (10, 229);
/// Source of our mounts in mount tables, and what their type `fuse` is called after.
const NAME: &str = "lkit";

/// A mount whose device is not served yet.
pub(super) struct Attached {
    point: PathBuf,
    device: DeviceNumber,
}

/// Looks whether this user can mount here at all, wherever.
///
/// # Errors
/// When the device or the helper is missing, or the system forbids what is asked for.
pub(super) fn check(options: MountOptions) -> Result<(), Error> {
    check_device().map_err(Error::NoDevice)?;
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    if mounts::helper().is_none() {
        return Err(Error::NoFusermount);
    }
    if options.allow_other && !lets_users_allow_other() { Err(Error::AllowOther) } else { Ok(()) }
}

/// Opens the device once, since what is wrong with it is seen best before anything is mounted.
fn check_device() -> io::Result<()> {
    let number = File::options().read(true).write(true).open(DEVICE)?.metadata()?.rdev();
    if (rustix::fs::major(number), rustix::fs::minor(number)) != DEVICE_NUMBER {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "it is not the FUSE device"));
    }
    Ok(())
}

/// Whether `/etc/fuse.conf` lets ordinary users open their mounts to others (mount.fuse3(8)).
pub fn lets_users_allow_other() -> bool {
    let text = fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    text.lines().any(|line| line.trim() == "user_allow_other")
}

/// Mounts on `point`, and gives the device to serve the mount by. It is to be detached by whoever ends it: nothing here
/// does, since another mount may lie on `point` by then.
///
/// # Errors
/// When the system or the helper refuses.
pub(super) fn attach(point: &Path, options: MountOptions) -> io::Result<(OwnedFd, Attached)> {
    // Permissions are for others only: they would lock an ordinary user out of the files of root in their own mount.
    let others = if options.allow_other { ",default_permissions,allow_other" } else { "" };
    let descriptor = match directly(point, others, options.no_exec) {
        Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => match mounts::helper() {
            Some(helper) => {
                by_helper(&helper, point, &format!("{others}{}", if options.no_exec { ",noexec" } else { "" }))?
            }
            None => return Err(error),
        },
        done => done?,
    };
    let device = mounts::topmost(point)?.and_then(|mount| mount.device);
    let device = device.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it has ended already"))?;
    Ok((descriptor, Attached { point: point.to_owned(), device }))
}

impl Attached {
    /// Tells the mount from others, once its requests are answered.
    #[expect(clippy::unnecessary_wraps, reason = "other systems finish the mount here")]
    pub(super) fn served(self) -> io::Result<DeviceNumber> {
        Ok(self.device)
    }

    /// Ends a mount that is not served, for this reason.
    pub(super) fn undo(&self, error: Error) -> Error {
        detach_own(&self.point, self.device).err().unwrap_or(error)
    }
}

fn directly(point: &Path, others: &str, no_exec: bool) -> io::Result<OwnedFd> {
    let device = File::options().read(true).write(true).open(DEVICE)?;
    // Not of what an automount on it would show.
    let mode = statat(CWD, point, AtFlags::NO_AUTOMOUNT)?.st_mode;
    let number = device.as_raw_fd();
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let data = format!("fd={number},rootmode={mode:o},user_id={user},group_id={group},subtype={NAME}{others}");
    let data = CString::new(data).expect("numbers and names hold no NUL");
    let exec = if no_exec { MountFlags::NOEXEC } else { MountFlags::empty() };
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID | exec;
    mount(NAME, point, "fuse", flags, data.as_c_str())?;
    Ok(device.into())
}

fn by_helper(helper: &Path, point: &Path, others: &str) -> io::Result<OwnedFd> {
    let mut command = mounts::helper_command(helper);
    command.args(["-o", &format!("ro,fsname={NAME},subtype={NAME}{others}"), "--"]).arg(point);
    let (device, child) = from_helper(command)?;
    let output = child.wait_with_output()?;
    device.ok_or_else(|| io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Several threads, each with a way of its own to the kernel.
pub(super) const fn configure(config: &mut Config) {
    config.n_threads = Some(SESSION_THREADS);
    config.clone_fd = true;
}

/// Whether a file that is opened with these flags is read past the kernel's cache.
pub(super) const fn is_past_cache(flags: i32) -> bool {
    flags & libc::O_DIRECT != 0
}

/// Fails every request of those who still have a file open, where the system lets us; the end of the process does it
/// everywhere.
pub(super) fn cut_off((major, minor): DeviceNumber) {
    // Called after the number as the kernel has it, with 20 bits for the minor one (linux/kdev_t.h).
    let abort = format!("/sys/fs/fuse/connections/{}/abort", u64::from(major) << 20 | u64::from(minor));
    if let Err(error) = fs::write(&abort, "1") {
        tracing::debug!("cannot write `{abort}`: {error}");
    }
}

/// Whether the kernel has ended a connection: nobody waits for answers any more.
pub(super) fn is_over(connection: &impl AsFd) -> bool {
    let mut ends = [PollFd::new(connection, PollFlags::empty())];
    poll(&mut ends, Some(&Timespec::default())).is_ok_and(|count| count > 0)
}

/// Root may let the kernel read ahead as much as one request holds; others keep the default of 128 KiB.
pub(super) fn raise_read_ahead((major, minor): DeviceNumber) {
    let setting = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
    if let Err(error) = fs::write(&setting, READ_AHEAD_KIB) {
        tracing::debug!("cannot raise read-ahead in `{setting}`: {error}");
    }
}
