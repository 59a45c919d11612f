//! Where a file is written: what a path leads to, and small files that appear whole.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Links that are followed to a file that is not there yet: as many as Linux follows.
const LINKS: u32 = 40;

/// What a path leads to that is to be written. Links are followed, those too that lead to nothing yet; none is replaced.
#[derive(Debug, PartialEq, Eq)]
pub enum Destination {
    /// A file, or nothing yet. A new file takes this place when it is whole.
    File(PathBuf),
    /// A pipe, a device, or a file that has no name any more: written to as it is.
    Stream,
}

impl Destination {
    /// Looks where a path leads.
    ///
    /// # Errors
    /// When that is a directory, or nobody can tell.
    pub fn of(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() => Ok(Self::Stream),
            Ok(_) => match path.canonicalize() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::Stream),
                found => found.map(Self::File),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => behind_links(path).map(Self::File),
            Err(error) => Err(error),
        }
    }
}

/// Where links lead that lead to nothing yet.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = directory_of(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(Errno::LOOP.into())
}

/// The directory that holds what a path names.
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file that everybody may read, in the place of what is there: it is whole, or as before.
///
/// # Errors
/// When the file system fails.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Destination::File(place) = Destination::of(path)? else {
        return File::options().write(true).open(path)?.write_all(bytes);
    };
    let mut file = tempfile::NamedTempFile::new_in(directory_of(&place))?;
    file.write_all(bytes)?;
    // Temporary files are private.
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.persist(place).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        symlink("there", at("link")).unwrap();
        symlink(at("link"), at("to-link")).unwrap();
        assert_eq!(Destination::of(&at("to-link")).unwrap(), Destination::File(at("there")));
        write_whole(&at("to-link"), b"first").unwrap();
        write_whole(&at("to-link"), b"second").unwrap();
        assert_eq!(fs::read(at("there")).unwrap(), b"second");
        assert!(at("link").is_symlink() && at("to-link").is_symlink());
        symlink("circle", at("circle")).unwrap();
        assert!(Destination::of(&at("circle")).is_err());
        assert_eq!(Destination::of(dir.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn what_has_no_name_is_written_to_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (mut from, to) = io::pipe().unwrap();
        // As `/dev/stdout` is one.
        let link = dir.path().join("out");
        symlink(format!("/proc/self/fd/{}", to.as_raw_fd()), &link).unwrap();
        assert_eq!(Destination::of(&link).unwrap(), Destination::Stream);
        write_whole(&link, b"through the pipe").unwrap();
        drop(to);
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through the pipe");
        assert!(link.is_symlink());
        assert_eq!(Destination::of(Path::new("/dev/null")).unwrap(), Destination::Stream);
    }
}
