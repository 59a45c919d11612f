//! What is mounted on this machine, and how a mount is ended: as each system has them.

#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(not(target_os = "macos"), path = "linux.rs")]
mod host;

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use host::helper;
pub(super) use host::{DEAD, end};

use crate::base::command;

/// Numbers by which the system tells mounted file systems apart; on Linux major and minor number of the device.
pub(super) type DeviceNumber = (u32, u32);

/// Something that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// What tells it from others, if the system says so.
    pub device: Option<DeviceNumber>,
    /// The directory it lies on.
    pub point: PathBuf,
    /// Type of the file system.
    pub kind: String,
    /// Whether lkit mounted it.
    pub is_ours: bool,
}

/// How long a mount may still be used once it is to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Force {
    /// Not at all; refused while a file is open.
    Gentle,
    /// It disappears now. On Linux it lives on for those who have a file open; on macOS their reads fail.
    Lazy,
}

/// All that is mounted, in the order of mounting.
///
/// # Errors
/// When the system does not tell.
pub(super) fn list() -> io::Result<Vec<Mount>> {
    host::list()
}

/// The last mount on `path`.
///
/// # Errors
/// When the system does not tell what is mounted.
pub(super) fn topmost(path: &Path) -> io::Result<Option<Mount>> {
    Ok(last_on(list()?, path))
}

fn last_on(mounts: Vec<Mount>, path: &Path) -> Option<Mount> {
    mounts.into_iter().rfind(|mount| mount.point == path)
}

/// The helper without arguments, in a process group of its own: when the terminal is closed, all of the group in its
/// foreground is ended, and the helper is to finish.
pub(super) fn helper_command(helper: &Path) -> Command {
    let mut command = command(helper);
    command.stdin(Stdio::null()).process_group(0);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_mount_counts() {
        let mount = |minor, point: &str| Mount {
            device: Some((0, minor)),
            point: point.into(),
            kind: "tmpfs".to_owned(),
            is_ours: false,
        };
        let mounts = [mount(41, "/mnt/c"), mount(42, "/mnt/c"), mount(43, "/mnt/c/d")];
        let found = |path: &str| last_on(mounts.to_vec(), Path::new(path)).and_then(|mount| mount.device);
        assert_eq!(["/mnt/c", "/mnt/c/d", "/mnt"].map(found), [Some((0, 42)), Some((0, 43)), None]);
    }
}
