//! Files below a directory, opened by paths that clients write: none leads out of it, neither by `..` nor by a link.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// A pipe that nobody writes to keeps nobody waiting.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens what a path leads to from `root`.
///
/// # Errors
/// When it leads out of `root` (`XDEV`), to nothing, or to what may not be read.
pub(super) fn open(root: &Path, path: &[u8]) -> io::Result<File> {
    let path = relative(path)?;
    Ok(open_below(root, &path)?.into())
}

/// A path without empty parts and dots.
fn relative(path: &[u8]) -> io::Result<PathBuf> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    let mut path = PathBuf::new();
    for part in parts {
        if part == b".." {
            return Err(Errno::XDEV.into());
        }
        if part.contains(&0) {
            return Err(Errno::NOENT.into());
        }
        path.push(OsStr::from_bytes(part));
    }
    Ok(if path.as_os_str().is_empty() { ".".into() } else { path })
}

/// The kernel itself keeps the path below `root`, whoever moves directories meanwhile (openat2(2), from Linux 5.6 on).
#[cfg(target_os = "linux")]
fn open_below(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, open, openat2};

    let directory = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match openat2(directory, path, FLAGS, Mode::empty(), resolve) {
        // Sandboxes that do not know the call deny it.
        Err(Errno::NOSYS | Errno::PERM) => open_checked(root, path),
        opened => Ok(opened?),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_below(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    open_checked(root, path)
}

/// Follows all links first, and looks where they lead.
fn open_checked(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    let found = root.join(path).canonicalize()?;
    if !found.starts_with(root.canonicalize()?) {
        return Err(Errno::XDEV.into());
    }
    Ok(rustix::fs::open(&found, FLAGS | OFlags::NOFOLLOW, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_path_leads_out_of_the_directory_by_either_way_of_opening() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(root.join("sub/in"), "in").unwrap();
        fs::write(dir.path().join("out"), "out").unwrap();
        for (link, to) in [("up", "../out"), ("abs", "/etc/passwd"), ("good", "sub/in"), ("sub/back", "../sub/in")] {
            symlink(to, root.join(link)).unwrap();
        }
        symlink("..", root.join("above")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let errno = |opened: io::Result<File>| opened.map(|_| ()).map_err(|error| error.raw_os_error().unwrap());
        let [xdev, noent, looped, notdir] =
            [Errno::XDEV, Errno::NOENT, Errno::LOOP, Errno::NOTDIR].map(Errno::raw_os_error);
        let rows = [
            ("sub/in", Ok(())),
            ("//sub/.//in", Ok(())),
            ("good", Ok(())),
            ("sub/back", Ok(())),
            ("", Ok(())),
            ("up", Err(xdev)),
            ("abs", Err(xdev)),
            ("above/out", Err(xdev)),
            ("../out", Err(xdev)),
            ("sub/../../out", Err(xdev)),
            ("loop", Err(looped)),
            ("none", Err(noent)),
            ("sub/in\0", Err(noent)),
            ("sub/in/x", Err(notdir)),
        ];
        for (path, expected) in rows {
            assert_eq!(errno(open(&root, path.as_bytes())), expected, "{path}");
            let checked = relative(path.as_bytes()).and_then(|path| open_checked(&root, &path).map(File::from));
            assert_eq!(errno(checked), expected, "{path}, checked");
        }
    }
}
