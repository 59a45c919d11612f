//! Files that a machine needs in addition to what it starts from: the CD with its metadata, what its monitor is to read,
//! and the sockets of its shares.
//!
//! # Invariants
//! - The files are shown in a mount of their own for as long as the machine runs; none is written.

use std::path::PathBuf;

use crate::cli::report::Failure;
use crate::extent::SharedSource;
use crate::output::Artifact;
use crate::serve::{Files, MountOptions, Session, TemporaryMountPoint, check_mount, mount};

/// A file by its name.
pub type File = (&'static str, SharedSource);

/// Where these files are.
pub enum Aside {
    /// Where whoever types the printed commands makes them.
    Printed(PathBuf),
    /// In a mount; sockets, which a mount cannot hold, next to it.
    Mounted(TemporaryMountPoint),
}

impl Aside {
    /// A place that goes when this is dropped.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self::Mounted(TemporaryMountPoint::new()?))
    }

    /// Where a file is.
    pub fn file(&self, name: &str) -> PathBuf {
        match self {
            Self::Printed(dir) => dir.join(name),
            Self::Mounted(point) => point.path().join(name),
        }
    }

    /// Where a socket is.
    pub fn socket(&self, name: &str) -> PathBuf {
        match self {
            Self::Printed(dir) => dir.join(name),
            Self::Mounted(point) => point.socket(name),
        }
    }

    /// Shows the files; nothing is mounted for none.
    ///
    /// # Errors
    /// When they cannot be mounted.
    pub fn show(&self, files: Vec<File>) -> Result<Option<Session>, Failure> {
        let Self::Mounted(point) = self else { return Ok(None) };
        if files.is_empty() {
            return Ok(None);
        }
        check_mount(MountOptions::default())?;
        let artifacts = files.into_iter().map(|(name, source)| Artifact::ready(name, source)).collect();
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Ok(Some(mount(Files::new(artifacts, None, owner), point.path(), MountOptions::default())?))
    }
}
