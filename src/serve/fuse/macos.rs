//! Attaching a mount on macOS: by macFUSE.
//!
//! # Format
//! Options of mount_macfuse, and the variables it is called with (lib/mount_darwin.c of macFUSE's libfuse). It hands the
//! device over, and ends when the first requests were answered.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Child;

use fuser::Config;

use super::handed::from_helper;
use super::options::MountOptions;
use crate::serve::Error;
use crate::serve::mounts::{self, DeviceNumber, Force};

/// A mount that macFUSE is making.
pub(super) struct Attached {
    point: PathBuf,
    helper: Child,
}

/// Looks whether something can be mounted here at all.
pub(super) fn check(_: MountOptions) -> Result<(), Error> {
    mounts::helper().map(drop).ok_or(Error::NoMacFuse)
}

/// Whether ordinary users may open their mounts to others: macFUSE itself refuses those who may not.
pub fn lets_users_allow_other() -> bool {
    true
}

/// Begins a mount on `point`, and gives the device to serve it by.
///
/// # Errors
/// When macFUSE refuses.
pub(super) fn attach(point: &Path, options: MountOptions) -> io::Result<(OwnedFd, Attached)> {
    let others = if options.allow_other { ",default_permissions,allow_other" } else { "" };
    let exec = if options.no_exec { ",noexec" } else { "" };
    let mut command = mounts::helper_command(&mounts::helper().ok_or(io::ErrorKind::NotFound)?);
    command.args(["-o", &format!("ro,nodev,nosuid,fsname=lkit,volname=lkit{others}{exec}")]).arg(point);
    command.env("_FUSE_COMMVERS", "2").env("_FUSE_CALL_BY_LIB", "1").env("_FUSE_DAEMON_PATH", std::env::current_exe()?);
    match from_helper(command)? {
        (Some(device), helper) => Ok((device, Attached { point: point.to_owned(), helper })),
        (None, helper) => Err(refusal(helper)?),
    }
}

impl Attached {
    /// Waits until the mount can be used, once its requests are answered; tells it from others.
    ///
    /// # Errors
    /// When macFUSE gives up.
    pub(super) fn served(mut self) -> io::Result<DeviceNumber> {
        if !self.helper.wait()?.success() {
            return Err(refusal(self.helper)?);
        }
        let mount = mounts::topmost(&self.point)?.and_then(|mount| mount.device);
        mount.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it has ended already"))
    }

    /// Ends a mount that is not served, for this reason.
    pub(super) fn undo(&self, error: Error) -> Error {
        let path = self.point.clone();
        let is_there = mounts::topmost(&path).is_ok_and(|mount| mount.is_some_and(|mount| mount.is_ours));
        let ended = if is_there { mounts::end(&path, Force::Lazy) } else { Ok(()) };
        ended.map_or_else(|source| Error::Unmount { path, source }, |()| error)
    }
}

/// What the helper says.
fn refusal(helper: Child) -> io::Result<io::Error> {
    let output = helper.wait_with_output()?;
    Ok(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// One thread that takes requests: more need what macFUSE does not have.
pub(super) const fn configure(config: &mut Config) {
    config.n_threads = Some(1);
}

/// No flag of macOS asks for that.
pub(super) const fn is_past_cache(_: i32) -> bool {
    false
}

/// macFUSE fails the requests of those who have a file open by itself.
pub(super) const fn cut_off(_: DeviceNumber) {}

/// macFUSE does not tell before everything is answered.
pub(super) const fn is_over(_: &OwnedFd) -> bool {
    false
}

/// macFUSE reads ahead as it likes.
pub(super) const fn raise_read_ahead(_: DeviceNumber) {}
