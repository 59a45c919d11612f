//! Artifacts as files on a disk, or as a stream: written through one bounded buffer.
//!
//! # Invariants
//! - A file appears whole or not at all, and of several files none before all are written.
//! - Nothing is left behind on failure, not even by a killed process: files have no name until they are whole.
//! - Holes of an artifact are holes of the file.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::extent::{ReadError, SharedSource};
use crate::serve::Error;

/// Bytes moved at a time; as large as a span, so that each is decoded once.
const CHUNK: usize = 1 << 20;

/// Writes artifacts as files.
///
/// # Errors
/// When an artifact cannot be read or a file not be written; then no file has changed.
pub fn to_files(files: &[(PathBuf, SharedSource)]) -> Result<(), Error> {
    let mut written = Vec::new();
    for (path, source) in files {
        let size = source.size();
        let failed = |source| Error::Write { path: path.clone(), size, source };
        let file = tempfile::tempfile_in(parent(path)).map_err(failed)?;
        copy_data(source, &file).map_err(|error| error.at(path))?;
        file.set_len(source.size()).map_err(failed)?;
        file.set_permissions(Permissions::from_mode(0o644)).map_err(failed)?;
        written.push((path, file));
    }
    written.iter().try_for_each(|(path, file)| name(file, path))
}

/// Writes an artifact to a stream.
///
/// # Errors
/// When it cannot be read, or the stream is closed.
pub fn to_stream(source: &SharedSource, output: &mut dyn Write) -> Result<(), Error> {
    let stream = |source| Error::Write { path: "-".into(), size: 0, source };
    let mut buf = vec![0; CHUNK];
    let mut offset = 0;
    while offset < source.size() {
        let part = part(&mut buf, source.size() - offset);
        source.read_at(part, offset).map_err(|source| Error::Read { name: "-".to_owned(), source })?;
        output.write_all(part).map_err(stream)?;
        offset += part.len() as u64;
    }
    output.flush().map_err(stream)
}

enum CopyError {
    Read(ReadError),
    Write(io::Error),
}

impl CopyError {
    fn at(self, path: &Path) -> Error {
        match self {
            Self::Read(source) => Error::Read { name: path.display().to_string(), source },
            Self::Write(source) => Error::Write { path: path.to_owned(), size: 0, source },
        }
    }
}

/// Writes what is no hole.
fn copy_data(source: &SharedSource, file: &File) -> Result<(), CopyError> {
    let mut buf = vec![0; CHUNK];
    let mut offset = 0;
    while let Some(run) = source.data_from(offset) {
        offset = run.start;
        while offset < run.end {
            let part = part(&mut buf, run.end - offset);
            source.read_at(part, offset).map_err(CopyError::Read)?;
            file.write_all_at(part, offset).map_err(CopyError::Write)?;
            offset += part.len() as u64;
        }
    }
    Ok(())
}

fn part(buf: &mut [u8], left: u64) -> &mut [u8] {
    let len = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
    &mut buf[..len]
}

/// Gives a file without a name its name, in place of what has it. A link cannot replace a file, a rename can.
fn name(file: &File, path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), size: 0, source };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(path.file_name().unwrap_or_default());
    hidden.push(format!(".{}", std::process::id()));
    let hidden = path.with_file_name(hidden);
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    let (cwd, flags) = (rustix::fs::CWD, rustix::fs::AtFlags::SYMLINK_FOLLOW);
    rustix::fs::linkat(cwd, open, cwd, &hidden, flags).map_err(|errno| failed(errno.into()))?;
    fs::rename(&hidden, path).map_err(|error| {
        // The name is in the way of nothing; what matters is why the other one could not be had.
        let _ = fs::remove_file(&hidden);
        failed(error)
    })
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::Arc;

    use super::*;
    use crate::base::ErrorKind;
    use crate::extent::{Bytes, MapBuilder, Sink as _, Source};

    struct Broken;

    impl Source for Broken {
        fn size(&self) -> u64 {
            1
        }

        fn read_at(&self, _: &mut [u8], _: u64) -> Result<(), ReadError> {
            Err(ReadError::new(ErrorKind::Corrupt, "broken"))
        }
    }

    fn with_a_hole() -> SharedSource {
        let mut map = MapBuilder::default();
        map.bytes(b"head");
        map.zeros(64 << 20);
        map.bytes(b"tail");
        map.share()
    }

    #[test]
    fn holes_stay_holes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        to_files(&[(path.clone(), with_a_hole())]).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.len(), metadata.mode() & 0o7777), ((64 << 20) + 8, 0o644));
        assert!(metadata.blocks() * 512 < 1 << 20, "{} blocks", metadata.blocks());
        let mut stream = Vec::new();
        to_stream(&with_a_hole(), &mut stream).unwrap();
        assert!(fs::read(&path).unwrap() == stream);
    }

    #[test]
    fn one_that_fails_leaves_all_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        fs::write(&old, "old").unwrap();
        let good: SharedSource = Arc::new(Bytes(b"good".as_slice().into()));
        let files = [(old.clone(), good.clone()), (new.clone(), Arc::new(Broken) as SharedSource)];
        assert!(to_files(&files).is_err());
        assert_eq!(fs::read(&old).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        to_files(&[(old.clone(), good)]).unwrap();
        assert_eq!(fs::read(&old).unwrap(), b"good");
    }
}
