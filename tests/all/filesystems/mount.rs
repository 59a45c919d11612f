//! Images mounted by the kernel through a loop device.

use std::path::Path;
use std::process::Command;

use super::image::{Directory, Image};
use crate::common::skip_unless;

/// A read-only mount; undone when it is dropped.
pub struct Mount {
    dir: Directory,
    // Behind the directory: dropped after the mount is gone.
    _image: Image,
}

impl Mount {
    /// Mounts an image as `filesystem`; `None`, said aloud, where this machine does not let us.
    pub fn new(image: Image, filesystem: &str) -> Option<Self> {
        let known = std::fs::read_to_string("/proc/filesystems").unwrap();
        let known = known.lines().any(|line| line.trim_start_matches("nodev").trim() == filesystem);
        if !skip_unless(known, &format!("this kernel has no {filesystem}")) {
            return None;
        }
        let dir = Directory::new(&format!("{filesystem}-{}.mnt", std::thread::current().name().unwrap()));
        let output = Command::new("mount")
            .args(["-t", filesystem, "-o", "ro,loop", image.arg()])
            .arg(dir.path())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let denied = errors.contains("permission denied") || errors.contains("must be superuser");
        if denied && !skip_unless(false, &format!("mounting is not allowed: {errors}")) {
            return None;
        }
        assert!(output.status.success(), "{errors}");
        Some(Self { dir, _image: image })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.path()).status().is_ok_and(|status| status.success());
        assert!(unmounted || std::thread::panicking(), "{} stays mounted", self.path().display());
    }
}
