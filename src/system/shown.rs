//! A directory that shows a system, such as a mount of lkit: its root as a tree, its artifacts as files.
//!
//! # Invariants
//! No content is read to make the tree. What is read later is what the file held when it was found, or an error.

use std::collections::HashMap;
use std::fs::{self, Metadata as Found};
use std::io;
use std::ops::{ControlFlow, Range};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Dev, FileType, RawMode, SeekFrom, major, minor, seek};
use rustix::io::Errno;

use super::Problem;
use crate::base::{Digest, ErrorKind, FileKind, Metadata, Xattr, Xattrs};
use crate::blob::open_regular;
use crate::extent::{Origin, ReadError, SharedSource, Slice, Source, Traced, Visit, trace_as};
use crate::output::Artifact;
use crate::rootfs::file_stamp;
use crate::tree::{Content, Node, Tree, TreeBuilder};

/// The directory that has the root.
const ROOTFS: &str = "rootfs";

/// What a directory shows.
pub(super) struct Shown {
    /// The root.
    pub tree: Tree,
    /// The files beside it, sorted by name.
    pub artifacts: Vec<Artifact>,
}

/// Looks through a directory.
///
/// # Errors
/// When it has no `rootfs`, or cannot be read.
pub(super) fn shown(dir: &Path) -> Result<Shown, Problem> {
    let rootfs = dir.join(ROOTFS);
    let root = fs::symlink_metadata(&rootfs).ok().filter(Found::is_dir);
    let root = root.ok_or_else(|| Problem::ShowsNoSystem(dir.to_owned()))?;
    let (mut files, mut entries) = (Files::default(), Vec::new());
    walk(&rootfs, &mut |path, found| {
        let start = if found.is_file() { files.add(path, found) } else { 0 };
        entries.push((path.to_owned(), found.clone(), start));
    })?;
    let mut artifacts = Vec::new();
    for path in names(dir)? {
        // What is listed and not found is an artifact that cannot be made.
        let found = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found.map_err(failed(&path))?,
        };
        if found.is_file() {
            artifacts.push((path.clone(), files.add(&path, &found), found.len()));
        }
    }
    let files: SharedSource = Arc::new(files);
    let mut tree = TreeBuilder::new();
    add(&mut tree, &rootfs, Path::new(""), &root, Node::Plain(metadata_of(&root)))?;
    let mut links = HashMap::new();
    for (path, found, start) in entries {
        let name = path.strip_prefix(&rootfs).expect("it was found below");
        let content = Content { source: files.clone(), offset: start, size: found.len() };
        put(&mut tree, &path, name, (&found, content), &mut links)?;
    }
    let artifacts = artifacts.into_iter().map(|(path, start, len)| artifact(&path, &files, start..start + len));
    Ok(Shown { tree: tree.finish(), artifacts: artifacts.collect() })
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Problem {
    move |source| Problem::ReadShown { path: path.to_owned(), source }
}

fn artifact(path: &Path, files: &SharedSource, range: Range<u64>) -> Artifact {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let files = files.clone();
    Artifact::new(name, move || Ok(Arc::new(Slice::new(files.clone(), range.start, range.end - range.start)?)))
}

/// The paths of what is in a directory, sorted.
fn names(dir: &Path) -> Result<Vec<PathBuf>, Problem> {
    let read = || fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut paths = read().map_err(failed(dir))?;
    paths.sort_unstable();
    Ok(paths)
}

/// Visits all below a directory, directories before what is in them.
fn walk(root: &Path, visit: &mut dyn FnMut(&Path, &Found)) -> Result<(), Problem> {
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for path in names(&dir)? {
            let found = fs::symlink_metadata(&path).map_err(failed(&path))?;
            visit(&path, &found);
            if found.is_dir() {
                todo.push(path);
            }
        }
    }
    Ok(())
}

/// Puts a file of any kind into the tree; a further name of one that is there becomes a hard link.
fn put(
    tree: &mut TreeBuilder,
    path: &Path,
    name: &Path,
    (found, content): (&Found, Content),
    links: &mut HashMap<(u64, u64), PathBuf>,
) -> Result<(), Problem> {
    if found.nlink() > 1 && !found.is_dir() {
        let known = links.entry((found.dev(), found.ino())).or_insert_with(|| name.to_owned());
        if *known != name {
            let linked = tree.hard_link(name.as_os_str().as_bytes(), known.as_os_str().as_bytes());
            return linked.map_err(|source| Problem::PutShown { path: path.to_owned(), source });
        }
    }
    let metadata = metadata_of(found);
    let target =
        if metadata.kind == FileKind::Symlink { fs::read_link(path).map_err(failed(path))? } else { PathBuf::new() };
    let node = match metadata.kind {
        FileKind::Symlink => Node::Symlink(metadata, target.as_os_str().as_bytes()),
        FileKind::File => Node::File(metadata, content),
        _ => Node::Plain(metadata),
    };
    add(tree, path, name, found, node)
}

fn add(tree: &mut TreeBuilder, path: &Path, name: &Path, found: &Found, node: Node<'_>) -> Result<(), Problem> {
    let put = |source| Problem::PutShown { path: path.to_owned(), source };
    let inode = tree.insert(name.as_os_str().as_bytes(), node).map_err(put)?;
    if !found.is_symlink() {
        tree.set_xattrs(inode, xattrs(path).map_err(failed(path))?);
    }
    Ok(())
}

fn metadata_of(found: &Found) -> Metadata {
    let mode = RawMode::try_from(found.mode()).unwrap_or_default();
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        _ => FileKind::File,
    };
    let mode = u16::try_from(found.mode() & 0o7777).unwrap_or_default();
    let number = Dev::try_from(found.rdev()).unwrap_or_default();
    let rdev = match kind {
        FileKind::CharDevice | FileKind::BlockDevice => (major(number), minor(number)),
        _ => (0, 0),
    };
    Metadata { kind, mode, uid: found.uid(), gid: found.gid(), mtime: found.mtime(), rdev }
}

/// The extended attributes of a file, sorted by name; a file system without them has none.
fn xattrs(path: &Path) -> io::Result<Xattrs> {
    let mut names = vec![0; Xattrs::LIST_MAX];
    let len = match rustix::fs::llistxattr(path, &mut names[..]) {
        Err(Errno::NOTSUP) => 0,
        len => len?,
    };
    let mut xattrs = Vec::new();
    for name in names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; Xattrs::VALUE_MAX];
        let len = rustix::fs::lgetxattr(path, name, &mut value[..])?;
        xattrs.push(Xattr { name: name.into(), value: value[..len].into() });
    }
    xattrs.sort_unstable();
    Ok(xattrs.into_iter().collect())
}

/// Files one behind the other, each opened when it is read.
#[derive(Default)]
struct Files {
    /// By offset.
    files: Vec<File>,
    size: u64,
}

struct File {
    start: u64,
    path: Arc<Path>,
    stamp: Digest,
}

impl Files {
    /// Adds a file and tells its offset.
    fn add(&mut self, path: &Path, found: &Found) -> u64 {
        let start = self.size;
        if found.len() > 0 {
            self.files.push(File { start, path: path.into(), stamp: file_stamp(found) });
            self.size = self.size.saturating_add(found.len());
        }
        start
    }

    /// The file that holds `offset`, which is below the size, and its end.
    fn at(&self, offset: u64) -> (&File, u64) {
        let next = self.files.partition_point(|file| file.start <= offset);
        (&self.files[next - 1], self.files.get(next).map_or(self.size, |file| file.start))
    }
}

impl File {
    fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let cannot = |error| ReadError::io(format!("cannot read `{}`", self.path.display()), error);
        let file = open_regular(&self.path).map_err(cannot)?;
        let read = file.read_exact_at(buf, offset);
        if file_stamp(&file.metadata().map_err(cannot)?) != self.stamp {
            let message = format!("`{}` has changed since it was found", self.path.display());
            return Err(ReadError::new(ErrorKind::Io, message));
        }
        read.map_err(cannot)
    }
}

impl File {
    /// The first run of data at or after an offset (lseek(2)); `None` when a hole goes on to the end of the file.
    fn data_from(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let file = open_regular(&self.path)?;
        if file_stamp(&file.metadata()?) != self.stamp {
            return Err(io::ErrorKind::Other.into());
        }
        match seek(&file, SeekFrom::Data(offset)) {
            Ok(start) => Ok(Some(start..seek(&file, SeekFrom::Hole(start))?)),
            Err(Errno::NXIO) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Source for Files {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, mut buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let out_of_range = || ReadError::out_of_range(offset, buf.len() as u64, self.size);
        offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size).ok_or_else(out_of_range)?;
        let mut at = offset;
        while !buf.is_empty() {
            let (file, end) = self.at(at);
            let len = usize::try_from(end - at).map_or(buf.len(), |len| len.min(buf.len()));
            let (head, rest) = buf.split_at_mut(len);
            file.read(head, at - file.start)?;
            (buf, at) = (rest, at + len as u64);
        }
        Ok(())
    }

    /// Asks the file that holds `offset` alone. What it does not tell counts as data, which a read then finds out about.
    fn data_from(&self, offset: u64) -> Option<Range<u64>> {
        if offset >= self.size {
            return None;
        }
        let (file, end) = self.at(offset);
        match file.data_from(offset - file.start) {
            Ok(Some(data)) => Some(file.start + data.start..end.min(file.start + data.end)),
            Ok(None) if end == self.size => None,
            Ok(None) => Some(end..self.size),
            Err(_) => Some(offset..end),
        }
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        let mut at = range.start;
        while at < range.end {
            let (file, end) = self.at(at);
            let (path, stamp, end) = (file.path.clone(), file.stamp, end.min(range.end));
            if trace_as(Origin::File { path, stamp, offset: at - file.start }, &(at..end), visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            at = end;
        }
        Ok(ControlFlow::Continue(()))
    }
}
