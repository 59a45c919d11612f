//! Artifacts written as files: streamed, with their holes, all of them or none.

use std::fs::File;
use std::io::{self, Write};
use std::ops::{ControlFlow, Range};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::block_map::{BlockMap, blocks};
use super::compress::{Compression, Compressor};
use super::packed::{no_stream, write_root};
use super::staged::Staged;
use super::{Artifact, Error};
use crate::base::{Destination, GIB, Hasher, KIB, MIB, directory_of};
use crate::extent::{ReadError, Source};
use crate::format::PackError;
use crate::output::PackedRoot;

/// Bytes written at once: one request of what is below, and all the memory an export takes.
const CHUNK: u64 = MIB;
/// Zeros shorter than this are written, since a hole costs more to skip.
const LEAST_HOLE: u64 = 64 * KIB;

/// Most bytes of holes that are compressed: some two minutes of a processor with the levels that are usual. No layer is large
/// because of them, and unlike data they have no end.
const MOST_HOLES: u64 = 256 * GIB;

/// How far an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported<'a> {
    /// Name of the artifact.
    pub name: &'a str,
    /// Bytes of the artifact passed so far, holes included.
    pub done: u64,
    /// Size in bytes.
    pub size: u64,
}

/// An artifact on its way to a file.
pub struct Export<'a> {
    /// The artifact.
    pub artifact: &'a Artifact,
    /// Where to.
    pub path: PathBuf,
    /// How it is compressed; as it is without.
    pub coding: Option<Coding<'a>>,
    /// Permissions of the file, whatever the umask; readable and writable as far as the umask lets without them.
    pub mode: Option<u16>,
}

/// How an artifact is compressed, or what is written of it.
#[derive(Clone, Copy)]
pub enum Coding<'a> {
    /// As one stream that begins at this byte.
    Stream(Compression, u64),
    /// As this root, which is written in the place of the artifact.
    Root(&'a PackedRoot),
    /// Not at all: a map of its blocks is written in its place, for bmaptool.
    BlockMap,
}

impl<'a> Export<'a> {
    /// An artifact as it is.
    pub fn plain(artifact: &'a Artifact, path: impl Into<PathBuf>) -> Self {
        Self { artifact, path: path.into(), coding: None, mode: None }
    }
}

/// Hears how far an export is; `Break` ends it, with nothing left behind.
pub type Step<'a> = dyn FnMut(Exported<'_>) -> ControlFlow<()> + 'a;

/// Writes each artifact to its path, over what is there, and tells how many bytes each has. Files appear when all of
/// them are written.
///
/// A path that is a device or a pipe is written to as it is.
///
/// # Errors
/// When an artifact cannot be made or read, a file cannot be written, or `step` ends it; then no file has changed.
pub fn export(exports: &[Export<'_>], step: &mut Step<'_>) -> Result<Vec<u64>, Error> {
    let mut staged: Vec<(Staged, &Path, u64)> = Vec::new();
    let mut sizes = Vec::with_capacity(exports.len());
    for Export { artifact, path, coding, mode } in exports {
        let source = opened(artifact)?;
        let failed = |error| failure(error, path, source.size());
        let mut copy = Copy { name: artifact.name(), source: &**source, buf: Vec::new(), step };
        let size = match open(path, *mode).map_err(|error| failed(Failure::Write(error)))? {
            Output::Stream(file) => match coding {
                Some(Coding::Root(root)) => copy.root(root, &file).map_err(failed)?,
                _ => copy.stream(*coding, &file).map_err(failed)?,
            },
            Output::Staged(file) => {
                let size = match coding {
                    None => copy.sparse(file.file()).map_err(failed)?,
                    Some(Coding::Root(root)) => copy.root(root, file.file()).map_err(failed)?,
                    Some(Coding::Stream(..) | Coding::BlockMap) => copy.stream(*coding, file.file()).map_err(failed)?,
                };
                staged.push((file, path, size));
                size
            }
        };
        sizes.push(size);
    }
    for (file, path, size) in &mut staged {
        file.link().map_err(|error| failure(Failure::Write(error), path, *size))?;
    }
    for (file, path, size) in staged {
        file.persist().map_err(|error| failure(Failure::Write(error), path, size))?;
    }
    Ok(sizes)
}

/// Looks whether a file can be written at `path`, before anything is made for it.
///
/// # Errors
/// When the directory is missing or may not be written to, or `path` is a directory.
pub fn check_target(path: &Path) -> Result<(), Error> {
    can_open(path).map_err(|error| failure(Failure::Write(error), path, 0))
}

fn can_open(path: &Path) -> io::Result<()> {
    match Destination::of(path)? {
        Destination::Stream => Ok(access(path, Access::WRITE_OK)?),
        // `DIRECTORY/.`: where a file stands in the place of the directory, the system then says that it is no directory.
        Destination::File(place) => Ok(access(directory_of(&place).join("."), Access::WRITE_OK | Access::EXEC_OK)?),
    }
}

/// Writes an artifact to standard output, whatever the path of the export says.
///
/// # Errors
/// When it cannot be made, read or written, or `step` ends it.
pub fn export_to_stdout(export: &Export<'_>, step: &mut Step<'_>) -> Result<(), Error> {
    let path = Path::new("standard output");
    // Not through the standard library's handle, which looks for line ends.
    let output = io::stdout().as_fd().try_clone_to_owned();
    let output = output.map_err(|error| failure(Failure::Write(error), path, 0))?;
    export_to(&Export { path: path.into(), ..*export }, &File::from(output), step).map(|_| ())
}

/// Writes an artifact to whatever takes bytes, and tells how many they are.
///
/// # Errors
/// When it cannot be made, read or written, or `step` ends it.
pub fn export_to(export: &Export<'_>, output: impl Write, step: &mut Step<'_>) -> Result<u64, Error> {
    let source = opened(export.artifact)?;
    let mut copy = Copy { name: export.artifact.name(), source: &**source, buf: Vec::new(), step };
    copy.stream(export.coding, output).map_err(|error| failure(error, &export.path, source.size()))
}

/// What can fail between a source and a file.
enum Failure {
    Read(String, ReadError),
    Write(io::Error),
    Holes(String),
    Ended,
}

enum Output {
    Staged(Staged),
    Stream(File),
}

fn opened(artifact: &Artifact) -> Result<&crate::extent::SharedSource, Error> {
    artifact.open().map_err(|source| Error::Read { name: artifact.name().to_owned(), source })
}

fn failure(failure: Failure, path: &Path, size: u64) -> Error {
    match failure {
        Failure::Read(name, source) => Error::Read { name, source },
        Failure::Write(source) => Error::Write { path: path.to_owned(), size, source },
        Failure::Holes(name) => Error::Holes { name, limit: MOST_HOLES },
        Failure::Ended => Error::Interrupted,
    }
}

/// A place for a new file, or what `path` is already when a file must not replace it. A file that is replaced hands its
/// permissions on, unless others are asked for.
fn open(path: &Path, mode: Option<u16>) -> io::Result<Output> {
    match Destination::of(path)? {
        Destination::Stream => File::options().write(true).open(path).map(Output::Stream),
        Destination::File(place) => {
            let old = || place.metadata().ok().map(|old| (old.permissions().mode() & 0o777) as u16);
            let mode = mode.or_else(old);
            Staged::new(place, mode).map(Output::Staged)
        }
    }
}

struct Copy<'a, 'b> {
    name: &'a str,
    source: &'a dyn Source,
    buf: Vec<u8>,
    step: &'a mut Step<'b>,
}

impl Copy<'_, '_> {
    /// Writes the data of a source where it belongs in a new file, and nothing where there are holes.
    fn sparse(&mut self, file: &File) -> Result<u64, Failure> {
        let size = self.source.size();
        file.set_len(size).map_err(Failure::Write)?;
        let mut at = 0;
        while let Some(run) = data_run(self.source, at) {
            let bytes = self.read(&run)?;
            file.write_all_at(bytes, run.start).map_err(Failure::Write)?;
            at = run.end;
            self.tell(at)?;
        }
        self.tell(size)?;
        Ok(size)
    }

    /// Writes every byte of a source in order, compressed from where that begins.
    fn stream(&mut self, coding: Option<Coding<'_>>, output: impl Write) -> Result<u64, Failure> {
        let size = self.source.size();
        let mut output = Counted { output, count: 0 };
        let (compression, from) = match coding {
            None => {
                self.pass(0..size, &mut output)?;
                return Ok(output.count);
            }
            Some(Coding::Stream(compression, from)) => (compression, from),
            Some(Coding::Root(_)) => return Err(Failure::Write(no_stream())),
            Some(Coding::BlockMap) => {
                let map = self.block_map()?;
                output.write_all(map.as_bytes()).map_err(Failure::Write)?;
                return Ok(output.count);
            }
        };
        if holes_pass(self.source, from, MOST_HOLES) {
            return Err(Failure::Holes(self.name.to_owned()));
        }
        self.pass(0..from, &mut output)?;
        let mut compressor = Compressor::new(compression, size - from, output).map_err(Failure::Write)?;
        self.pass(from..size, &mut compressor)?;
        Ok(compressor.finish().map_err(Failure::Write)?.count)
    }

    /// The map of the blocks that have data; holes are not read.
    fn block_map(&mut self) -> Result<String, Failure> {
        let (mut map, mut at) = (BlockMap::new(self.source.size()), 0);
        while let Some(run) = blocks(self.source, at) {
            let mut hash = Hasher::default();
            self.pass(run.clone(), &mut hash)?;
            map.add(&run, &hash.finish());
            at = run.end;
        }
        self.tell(self.source.size())?;
        Ok(map.finish())
    }

    /// Writes a compressed root in the place of the source.
    fn root(&mut self, root: &PackedRoot, file: &File) -> Result<u64, Failure> {
        let (mut done, mut told) = (0, Ok(()));
        let mut passed = |bytes| {
            done += bytes;
            told = self.tell(done);
            if told.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let written = write_root(root, file, &mut passed);
        told?;
        written.map_err(|error| match error {
            PackError::Read(error) => Failure::Read(self.name.to_owned(), error),
            PackError::Format(error) => {
                Failure::Read(self.name.to_owned(), ReadError::wrap("it cannot be laid out", error))
            }
            PackError::Write(error) => Failure::Write(error),
            PackError::Ended => Failure::Ended,
        })
    }

    fn pass(&mut self, range: Range<u64>, output: &mut impl Write) -> Result<(), Failure> {
        let mut at = range.start;
        while at < range.end {
            let run = at..range.end.min(at + CHUNK);
            output.write_all(self.read(&run)?).map_err(Failure::Write)?;
            at = run.end;
            self.tell(at)?;
        }
        Ok(())
    }

    fn read(&mut self, run: &Range<u64>) -> Result<&[u8], Failure> {
        let len = usize::try_from(run.end - run.start).expect("a chunk fits in memory");
        if self.buf.len() < len {
            self.buf.resize(len, 0);
        }
        let buf = &mut self.buf[..len];
        self.source.read_at(buf, run.start).map_err(|error| Failure::Read(self.name.to_owned(), error))?;
        Ok(buf)
    }

    fn tell(&mut self, done: u64) -> Result<(), Failure> {
        match (self.step)(Exported { name: self.name, done, size: self.source.size() }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Failure::Ended),
        }
    }
}

/// Counts what is written.
struct Counted<W> {
    output: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.output.write(bytes)?;
        self.count += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Whether the holes of a source behind `from` have more than `limit` bytes.
fn holes_pass(source: &dyn Source, from: u64, limit: u64) -> bool {
    let (size, mut at, mut left) = (source.size(), from, limit);
    // Once the rest is no longer than what holes may still have, they cannot pass the limit.
    while size.saturating_sub(at) > left {
        let data = source.data_from(at).unwrap_or(size..size);
        match left.checked_sub(data.start.saturating_sub(at)) {
            None => return true,
            Some(rest) => (at, left) = (data.end.max(at + 1), rest),
        }
    }
    false
}

/// The next data at or after `at`, a chunk at most; runs that only small holes part are one.
fn data_run(source: &dyn Source, at: u64) -> Option<Range<u64>> {
    let mut run = source.data_from(at)?;
    run.start = run.start.max(at);
    let limit = source.size().min(run.start + CHUNK);
    while run.end < limit {
        match source.data_from(run.end) {
            Some(next) if next.start < run.end + LEAST_HOLE => run.end = next.end.max(run.end + 1),
            _ => break,
        }
    }
    run.end = run.end.min(limit);
    Some(run)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::sync::Arc;

    use super::*;
    use crate::base::{ErrorKind, Fault as _};
    use crate::extent::{Bytes, MapBuilder, SharedSource, Sink as _};

    fn artifact(name: &str, bytes: &[u8]) -> Artifact {
        Artifact::ready(name, Arc::new(Bytes(bytes.into())))
    }

    fn damaged() -> Artifact {
        struct Damaged;
        impl Source for Damaged {
            fn size(&self) -> u64 {
                3 * CHUNK
            }
            fn read_at(&self, _: &mut [u8], offset: u64) -> Result<(), ReadError> {
                if offset < CHUNK { Ok(()) } else { Err(ReadError::new(ErrorKind::Corrupt, "damaged")) }
            }
        }
        Artifact::ready("damaged", Arc::new(Damaged))
    }

    fn go_on(_: Exported<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn holes_stay_holes_and_bytes_stay_bytes() {
        let mut map = MapBuilder::default();
        let bytes: SharedSource = Arc::new(Bytes((0..=255).cycle().take(3_000_000).collect()));
        map.bytes(b"begin");
        map.zeros(100);
        map.extent(&bytes, 0, 2_500_000);
        map.zeros(64 << 20);
        map.bytes(b"end");
        map.zeros(1 << 20);
        let map = map.finish();
        let mut expected = vec![0; usize::try_from(map.size()).unwrap()];
        map.read_at(&mut expected, 0).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        let mut told = Vec::new();
        let mut step = |exported: Exported<'_>| {
            told.push(exported.done);
            ControlFlow::Continue(())
        };
        let artifact = Artifact::ready("disk", Arc::new(map));
        export(&[Export::plain(&artifact, &path)], &mut step).unwrap();
        assert!(fs::read(&path).unwrap() == expected);
        assert!(fs::metadata(&path).unwrap().blocks() * 512 < 3 << 20);
        assert!(told.is_sorted() && told.last() == Some(&(expected.len() as u64)));
    }

    #[test]
    fn what_stands_in_front_of_the_compressed_part_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("initrd.img");
        let bytes = [&b"code"[..], &[b'x'; 3_000_000]].concat();
        let artifact = artifact("initrd.img", &bytes);
        let coding = Some(Coding::Stream(Compression::Gzip(6), 4));
        let export = Export { artifact: &artifact, path: path.clone(), coding, mode: None };
        let sizes = super::export(&[export], &mut go_on).unwrap();
        let written = fs::read(&path).unwrap();
        assert_eq!((sizes, &written[..6]), (vec![written.len() as u64], &b"code\x1f\x8b"[..]));
        let mut content = Vec::new();
        io::Read::read_to_end(&mut flate2::bufread::GzDecoder::new(&written[4..]), &mut content).unwrap();
        assert!(content == bytes[4..] && written.len() < 10_000);
    }

    #[test]
    fn holes_are_counted_up_to_what_is_compressed() {
        let mut map = MapBuilder::default();
        for (hole, data) in [(10, 5), (7, 1), (3, 0)] {
            map.zeros(hole);
            map.bytes(&vec![b'x'; data]);
        }
        let map = map.finish();
        for (from, holes) in [(0, 20), (4, 16), (12, 10), (23, 3), (26, 0)] {
            assert!(!holes_pass(&map, from, holes), "{from}");
            assert!(holes == 0 || holes_pass(&map, from, holes - 1), "{from}");
        }
    }

    #[test]
    fn regression_more_holes_than_are_compressed_are_refused_at_once() {
        let holes = Artifact::ready("a", Arc::new(crate::extent::Zeros(1 << 60)));
        for coding in [Compression::Gzip(1), Compression::Zstd(1), Compression::Xz(1)] {
            let export = Export { coding: Some(Coding::Stream(coding, 0)), ..Export::plain(&holes, "a") };
            let error = export_to(&export, io::sink(), &mut go_on).unwrap_err();
            let message = "the holes of `a` are more than what is compressed (274877906944 bytes)";
            assert_eq!((error.to_string().as_str(), error.kind()), (message, ErrorKind::Unsupported));
        }
    }

    #[test]
    fn no_file_appears_when_one_of_them_fails() {
        let dir = tempfile::tempdir().unwrap();
        let (kernel, initrd) = (dir.path().join("x-kernel"), dir.path().join("x-initrd.img"));
        fs::write(&kernel, "the old kernel").unwrap();
        let good = artifact("kernel", b"the new kernel");
        let error =
            export(&[Export::plain(&good, &kernel), Export::plain(&damaged(), &initrd)], &mut go_on).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Corrupt, "cannot read `damaged`".to_owned()));
        assert_eq!(fs::read(&kernel).unwrap(), b"the old kernel");
        assert_eq!(names(dir.path()), ["x-kernel"]);
        export(&[Export::plain(&good, &kernel), Export::plain(&good, &initrd)], &mut go_on).unwrap();
        assert_eq!(fs::read(&kernel).unwrap(), b"the new kernel");
        assert_eq!(names(dir.path()), ["x-initrd.img", "x-kernel"]);
        assert_eq!(fs::metadata(&kernel).unwrap().permissions().mode() & 0o600, 0o600);
    }

    #[test]
    fn a_file_has_the_permissions_that_were_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let artifact = artifact("a", b"bytes");
        for mode in [0o400, 0o666, 0o640, 0o000] {
            let path = dir.path().join("a");
            export(&[Export { mode: Some(mode), ..Export::plain(&artifact, &path) }], &mut go_on).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, u32::from(mode), "{mode:o}");
        }
    }

    #[test]
    fn an_export_ends_when_it_is_told_to_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut step = |_: Exported<'_>| ControlFlow::Break(());
        let error = export(&[Export::plain(&artifact("a", b"bytes"), dir.path().join("a"))], &mut step).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert_eq!(names(dir.path()), [] as [&str; 0]);
    }

    #[test]
    fn links_are_followed_devices_are_written_to_and_directories_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        let new = artifact("a", b"new");
        export(&[Export::plain(&new, &link)], &mut go_on).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink() && fs::read(&file).unwrap() == b"new");
        export(&[Export::plain(&new, "/dev/null")], &mut go_on).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let error = export(&[Export::plain(&new, dir.path())], &mut go_on).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write `{}`", dir.path().display()));
        let error = export(&[Export::plain(&new, dir.path().join("no/file"))], &mut go_on).unwrap_err();
        assert_eq!(
            error.hint().unwrap(),
            format!("make the directory with `mkdir -p {}`", dir.path().join("no").display())
        );
        assert_eq!(names(dir.path()), ["file", "link"]);
    }

    #[test]
    fn a_full_disk_is_told_with_what_is_needed() {
        let error = export(&[Export::plain(&artifact("a", &[1; 100]), "/dev/full")], &mut go_on).unwrap_err();
        assert_eq!(error.hint().unwrap(), "make room in `/dev`: the file has 100 bytes");
    }
}
