//! A file under construction that has no name yet, and takes its place in one step.
//!
//! # Invariants
//! - Until [`Staged::link`] there is nothing to clean up, where the file system has unnamed files; elsewhere the hidden
//!   name goes when this is dropped.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, linkat};

use crate::base::directory_of;

/// Hidden names that are tried before giving up.
const TRIES: u32 = 1000;
/// Permissions of a file that is asked for without any, before the umask.
const EVERYBODY: u32 = 0o666;

/// A file that will be at `target`.
pub(super) struct Staged {
    file: File,
    target: PathBuf,
    /// Its hidden name, when it has one.
    hidden: Option<PathBuf>,
}

impl Staged {
    /// A new file in the directory of `target`, with these permissions; without them as the umask says.
    ///
    /// # Errors
    /// When the directory is missing or cannot be written to.
    pub(super) fn new(target: PathBuf, mode: Option<u16>) -> io::Result<Self> {
        // From the start no more than asked for: who opens a file early reads what is written to it later.
        let first = mode.map_or(EVERYBODY, u32::from);
        let staged = match unnamed(directory_of(&target), first) {
            Ok(file) => Self { file, target, hidden: None },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            Err(_) => {
                let create = |path: &Path| File::options().write(true).create_new(true).mode(first).open(path);
                let (file, path) = hidden(&target, create)?;
                Self { file, target, hidden: Some(path) }
            }
        };
        if let Some(mode) = mode {
            staged.file.set_permissions(Permissions::from_mode(mode.into()))?;
        }
        Ok(staged)
    }

    /// Where it is written to.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Gives it a hidden name next to its target, so that what is left to do is a rename.
    ///
    /// # Errors
    /// When no name can be made.
    pub(super) fn link(&mut self) -> io::Result<()> {
        if self.hidden.is_none() {
            let unnamed = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let name = |path: &Path| Ok(linkat(CWD, unnamed.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW)?);
            let ((), path) = hidden(&self.target, name)?;
            self.hidden = Some(path);
        }
        Ok(())
    }

    /// Puts it in its place, over what is there.
    ///
    /// # Errors
    /// When the target is a directory, or a name cannot be made.
    pub(super) fn persist(mut self) -> io::Result<()> {
        self.link()?;
        let hidden = self.hidden.take().expect("it was linked just now");
        fs::rename(&hidden, &self.target).inspect_err(|_| self.hidden = Some(hidden))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(path) = &self.hidden
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!("cannot remove `{}`: {error}", path.display());
        }
    }
}

/// A file without a name in `dir`, with these permissions before the umask.
#[cfg(target_os = "linux")]
fn unnamed(dir: &Path, mode: u32) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    Ok(File::from(open(dir, flags, Mode::from_raw_mode(mode))?))
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: &Path, _: u32) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Calls `make` with hidden names next to `target` until one is free.
fn hidden<T>(target: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(T, PathBuf)> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for number in 0..TRIES {
        let path = directory_of(target).join(format!(".{name}.{}.{number}", std::process::id()));
        match make(&path) {
            Ok(made) => return Ok((made, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}
