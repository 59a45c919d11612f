//! A file of the host as a source: opened when the spec is assembled, read when somebody reads it.
//!
//! # Invariants
//! What is read is what the file held when it was opened; a file that changes gives an error, never other bytes. One that
//! was replaced by another, and so has no name any more, keeps its content.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{Digest, ErrorKind, Patient, open_at_once};
use crate::extent::{Bytes, Origin, ReadError, SharedSource, Source, Traced, Visit, trace_as};

/// Largest content that is kept in memory, in bytes: of pipes and of files that do not know their size.
const MOST_IN_MEMORY: u64 = 16 << 20;

/// An open file of the host.
pub struct HostFile {
    file: File,
    path: Arc<Path>,
    size: u64,
    /// When it was written last.
    mtime: (i64, i64),
    stamp: Digest,
}

/// Which file it is, with what changes when its content does.
pub fn file_stamp(metadata: &Metadata) -> Digest {
    let numbers = [metadata.dev(), metadata.ino(), metadata.len()].map(u64::to_le_bytes);
    let times =
        [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()].map(i64::to_le_bytes);
    Digest::of(&[numbers.as_flattened(), times.as_flattened()].concat())
}

impl HostFile {
    /// Opens a file. What is no regular file, or does not know its size, is read at once.
    ///
    /// # Errors
    /// When it cannot be opened or read, is a directory, or is endless.
    pub fn open(path: &Path) -> io::Result<SharedSource> {
        let file = open_at_once(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if metadata.is_file() && metadata.len() > 0 {
            let (size, stamp) = (metadata.len(), file_stamp(&metadata));
            let mtime = (metadata.mtime(), metadata.mtime_nsec());
            return Ok(Arc::new(Self { file, path: path.into(), size, mtime, stamp }));
        }
        let mut bytes = Vec::new();
        Patient::new(file)?.take(MOST_IN_MEMORY + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_IN_MEMORY {
            let message = format!("it is no regular file and gives more than {MOST_IN_MEMORY} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        Ok(Arc::new(Bytes(bytes.into_boxed_slice())))
    }

    fn check(&self) -> Result<(), ReadError> {
        let metadata = self.file.metadata().map_err(|e| self.failed(e))?;
        // To lose its last name changes the stamp, by `ctime`, and not the content.
        let is_as_written =
            (metadata.len(), metadata.mtime(), metadata.mtime_nsec()) == (self.size, self.mtime.0, self.mtime.1);
        if file_stamp(&metadata) != self.stamp && !(metadata.nlink() == 0 && is_as_written) {
            let message = format!("`{}` has changed since it was opened", self.path.display());
            return Err(ReadError::new(ErrorKind::Corrupt, message));
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> ReadError {
        ReadError::io(format!("cannot read `{}`", self.path.display()), error)
    }
}

impl Source for HostFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            return Err(ReadError::out_of_range(offset, buf.len() as u64, self.size));
        }
        let read = self.file.read_exact_at(buf, offset);
        // After the read, so that a change between the two is not missed; before judging it, since a file that was cut
        // short fails to read.
        self.check()?;
        read.map_err(|e| self.failed(e))
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        let (path, stamp) = (self.path.clone(), self.stamp);
        trace_as(Origin::File { path, stamp, offset: range.start }, &range, visit)
    }
}

/// The file that a `source` names: absolute, below the home directory (`~/`), or relative to the working directory.
///
/// # Errors
/// When there is no home directory, or the path is empty.
pub fn host_path(text: &str, home: Option<&Path>) -> io::Result<PathBuf> {
    match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) if !rest.is_empty() => Ok(home.join(rest)),
        (Some(rest), None) if !rest.is_empty() => {
            Err(io::Error::new(io::ErrorKind::NotFound, "there is no home directory"))
        }
        _ => std::path::absolute(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "0123456789").unwrap();
        let source = HostFile::open(&path).unwrap();
        let mut buf = [0; 3];
        source.read_at(&mut buf, 7).unwrap();
        assert_eq!((&buf, source.size()), (b"789", 10));
        assert_eq!(crate::base::Fault::kind(&source.read_at(&mut buf, 8).unwrap_err()), ErrorKind::Corrupt);
        std::fs::write(&path, "cut").unwrap();
        let error = source.read_at(&mut buf, 0).unwrap_err();
        assert_eq!(error.to_string(), format!("`{}` has changed since it was opened", path.display()));
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("f"), dir.path().join("g"));
        std::fs::write(&path, "old").unwrap();
        std::fs::write(&other, "new").unwrap();
        let source = HostFile::open(&path).unwrap();
        let writer = File::options().write(true).open(&path).unwrap();
        std::fs::rename(&other, &path).unwrap();
        let mut buf = [0; 3];
        source.read_at(&mut buf, 0).unwrap();
        assert_eq!(&buf, b"old");
        // Who still has it open may write to it.
        writer.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(crate::base::Fault::kind(&source.read_at(&mut buf, 0).unwrap_err()), ErrorKind::Corrupt);
    }

    #[test]
    fn what_does_not_know_its_size_is_read_at_once() {
        assert_eq!(HostFile::open(Path::new("/dev/null")).unwrap().size(), 0);
        assert!(HostFile::open(Path::new("/proc/self/status")).unwrap().size() > 0);
        assert_eq!(HostFile::open(Path::new("/")).err().unwrap().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(HostFile::open(Path::new("/dev/zero")).err().unwrap().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_tilde_is_the_home_directory() {
        let home = Some(Path::new("/home/me"));
        assert_eq!(host_path("~/a", home).unwrap(), Path::new("/home/me/a"));
        assert_eq!(host_path("/a", home).unwrap(), Path::new("/a"));
        assert!(host_path("a", None).unwrap().is_absolute());
        assert!(host_path("~/a", None).is_err());
    }
}
