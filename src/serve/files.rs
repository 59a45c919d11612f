//! The files of a mount as a plain structure: inodes, names, attributes and bytes, without any protocol.
//!
//! ```text
//! inode 1        the root: the artifacts, `.lkit` where there is a note, then `rootfs`
//! inode 2 …      artifact 0, 1 …
//! inode 4094     `.lkit`, and 4095 the note in it: `why-not`
//! inode 2^39 …   look 0, 1 … at `.lkit/stats.json` or `.lkit/status.json`
//! inode 4096 …   inode 0, 1 … of the tree; 4096 is `rootfs` itself
//! ```
//! Of an image alone inode 1 is the root of the tree. Files that take the place of others have numbers of their own: but
//! for inode 1 the number of the generation stands above these 40 bits.

use std::sync::Arc;

use serde_json::Value;

use super::activity::{Counts, Looks};
use super::{Artifact, FileError, Status};
use crate::base::{ErrorKind, FileKind, Metadata, in_line};
use crate::extent::{Bytes, ReadError, SharedSource, Zeros};
use crate::layer::Layers;
use crate::output::{Catalog, Product};
use crate::tree::{Content, Inode, InodeId, Tree};

/// Inode of the root directory, as FUSE has it.
pub(super) const ROOT: u64 = 1;
const FIRST_ARTIFACT: u64 = 2;
const FIRST_OF_TREE: u64 = 4096;
/// The directory that tells of the mount, and its file.
const NOTES: u64 = FIRST_OF_TREE - 2;
const WHY_NOT: u64 = FIRST_OF_TREE - 1;
const NOTES_NAME: &[u8] = b".lkit";
const WHY_NOT_NAME: &[u8] = b"why-not";
const COUNTS_NAME: &[u8] = b"stats.json";
const STATUS_NAME: &[u8] = b"status.json";
/// The first look at one of these two.
const FIRST_LOOK: u64 = 1 << 39;
/// Bits of an inode's number, and of a position in the root, that count within a generation.
const BITS: u32 = 40;
const POSITIONS: u64 = (1 << BITS) - 1;
/// How many generations have numbers of their own: positions in directories are signed (`loff_t`).
pub(super) const GENERATIONS: u64 = 1 << 23;
/// Name of the directory that shows the tree.
const ROOTFS: &[u8] = b"rootfs";

/// The number of the generation that an inode belongs to, or a position in a listing of the root.
pub(super) const fn generation_of(inode: u64) -> u64 {
    inode >> BITS
}

/// What `stat` tells of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Number of the inode, above 0.
    pub inode: u64,
    /// Size in bytes, exact.
    pub size: u64,
    /// At most how many bytes of it are no hole.
    pub data: u64,
    /// Number of names.
    pub nlink: u32,
    /// Type, mode, owner, time, device numbers.
    pub metadata: Metadata,
    /// Whether the kernel may keep this; not when the size was not asked for and is not known.
    pub exact: bool,
}

/// An entry of a directory.
pub struct Listed<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its attributes; their size is not `exact` for an artifact that is not laid out yet.
    pub attributes: Attributes,
    /// Position after it, to continue a listing from.
    pub next: u64,
}

/// What an inode number stands for.
enum Target<'a> {
    Root,
    Artifact(u64, &'a Artifact),
    Notes,
    WhyNot(&'a SharedSource),
    Look(u64, SharedSource),
    Tree(&'a Tree, InodeId),
}

/// Artifacts in a directory, with the tree below `rootfs`.
pub struct Files {
    artifacts: Vec<Artifact>,
    tree: Option<Arc<Tree>>,
    /// Whether the tree is all there is, so that its root is the root.
    is_bare: bool,
    why_not: Option<SharedSource>,
    counts: Option<Arc<Counts>>,
    status: Option<Status>,
    looks: Looks,
    /// The catalog that the artifacts are of, where that was early; the tree is still to come then.
    early: Option<Catalog>,
    owner: (u32, u32),
    artifact_mode: u16,
    generation: u32,
    /// Number of the generation, above the bits that count within it.
    base: u64,
}

impl Files {
    /// These artifacts and the tree, if any; artifacts belong to the user and group of `owner`.
    ///
    /// Of two artifacts with one name the first is shown, and none called `rootfs` or `.lkit`.
    pub fn new(artifacts: Vec<Artifact>, tree: Option<Arc<Tree>>, owner: (u32, u32)) -> Self {
        let room = usize::try_from(NOTES - FIRST_ARTIFACT).expect("4092 is a usize");
        let mut kept: Vec<Artifact> = Vec::with_capacity(artifacts.len());
        for artifact in artifacts.into_iter().take(room) {
            let name = artifact.name().as_bytes();
            if name != ROOTFS && name != NOTES_NAME && kept.iter().all(|other| other.name().as_bytes() != name) {
                kept.push(artifact);
            }
        }
        Self {
            artifacts: kept,
            tree,
            is_bare: false,
            why_not: None,
            counts: None,
            status: None,
            looks: Looks::default(),
            early: None,
            owner,
            artifact_mode: 0o444,
            generation: 0,
            base: 0,
        }
    }

    /// A tree alone: its root is the root.
    pub fn of_tree(tree: Arc<Tree>) -> Self {
        Self { is_bare: true, ..Self::new(Vec::new(), Some(tree), (0, 0)) }
    }

    /// The same of an early catalog: what needs its whole root is awaited, `rootfs` with it.
    pub fn awaiting(self, early: Catalog) -> Self {
        Self { early: Some(early), ..self }
    }

    /// The same with a file `.lkit/why-not`, which tells what is not shown.
    pub fn with_why_not(self, text: String) -> Self {
        let bytes: SharedSource = Arc::new(Bytes(text.into_bytes().into()));
        Self { why_not: Some(bytes), ..self }
    }

    /// The same with a file `.lkit/stats.json`, which tells what was done so far to answer reads of these layers.
    pub fn with_counts(self, layers: Arc<Layers>) -> Self {
        Self { counts: Some(Arc::new(Counts::of(layers))), ..self }
    }

    /// The same with a file `.lkit/status.json`, which tells what is shown and what is wrong with what is to be shown next.
    pub fn with_status(self, status: Status) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The same in the place of other files, whose counts go on where both are read from the same layers.
    pub(super) fn instead_of(self, before: &Self) -> Self {
        let counts = match (&self.counts, &before.counts) {
            (Some(new), Some(old)) if old.are_of(new.layers()) => Some(old.clone()),
            _ => self.counts,
        };
        Self { counts, ..self }
    }

    /// The same with a number that tells files of different content with one inode number apart, when the kernel asks for
    /// a file by a number that it kept from an earlier mount.
    pub fn with_generation(self, generation: u32) -> Self {
        Self { generation, ..self }
    }

    /// The number that [`with_generation`](Self::with_generation) was given, else 0.
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// The same as the generation of this number, below [`GENERATIONS`].
    pub(super) fn numbered(self, number: u64) -> Self {
        Self { base: number << BITS, ..self }
    }

    /// The number of this generation; 0 unless it took the place of another one.
    pub(super) const fn number(&self) -> u64 {
        generation_of(self.base)
    }

    /// The same with other permissions of the artifacts than 0444.
    pub fn with_artifact_mode(self, mode: u16) -> Self {
        Self { artifact_mode: mode, ..self }
    }

    /// Attributes of an inode; lays out an artifact.
    ///
    /// # Errors
    /// When there is no such inode, or the artifact cannot be laid out.
    pub fn attributes(&self, inode: u64) -> Result<Attributes, FileError> {
        Ok(match self.node(inode)? {
            Target::Root => self.root(),
            Target::Artifact(at, artifact) => self.artifact(at, artifact, Some(opened(artifact)?)),
            Target::Notes => self.notes(),
            Target::WhyNot(text) => self.why_not(text),
            Target::Look(inode, text) => self.look(inode, &text),
            Target::Tree(tree, id) => self.in_tree(tree, id),
        })
    }

    /// Attributes of the file with this name in a directory.
    ///
    /// # Errors
    /// When there is no such name, or as [`Self::attributes`].
    pub fn lookup(&self, directory: u64, name: &[u8]) -> Result<Attributes, FileError> {
        let inode = match self.node(directory)? {
            // Asked by number alone, for a file that the kernel has forgotten and somebody holds a handle of.
            _ if name == b"." => directory,
            Target::Root => self.named(name).ok_or(FileError::NotFound)?,
            Target::Notes if name == b".." => ROOT,
            Target::Notes if name == WHY_NOT_NAME => self.base | WHY_NOT,
            Target::Notes => {
                let text = self.text_of(name).ok_or(FileError::NotFound)?;
                self.base | (FIRST_LOOK + self.looks.take(format!("{text:#}\n")))
            }
            Target::Artifact(..) | Target::WhyNot(_) | Target::Look(..) => return Err(FileError::NotADirectory),
            Target::Tree(tree, id) if !tree.inode(id).is_directory() => return Err(FileError::NotADirectory),
            Target::Tree(tree, id) if name == b".." => self.above(tree, id).inode,
            Target::Tree(tree, id) => self.number_of(tree, tree.lookup(id, name).ok_or(FileError::NotFound)?),
        };
        self.attributes(inode)
    }

    /// The early catalog, if it is one, whose whole is awaited.
    pub(super) fn early(&self) -> Option<&Catalog> {
        self.early.as_ref().filter(|early| early.is_early())
    }

    /// Whether what an inode stands for is still to come, so that asking for more than its name would wait.
    pub(super) fn is_awaited(&self, inode: u64) -> bool {
        let inode = inode & POSITIONS;
        self.early().is_some()
            && match inode {
                FIRST_ARTIFACT..NOTES => usize::try_from(inode - FIRST_ARTIFACT).is_ok_and(|at| {
                    self.artifacts.get(at).and_then(Artifact::product).is_some_and(Product::needs_whole_root)
                }),
                _ => inode == FIRST_OF_TREE,
            }
    }

    /// The same of a name in a directory.
    pub(super) fn is_awaited_at(&self, directory: u64, name: &[u8]) -> bool {
        directory == ROOT && self.early().is_some() && self.named(name).is_some_and(|inode| self.is_awaited(inode))
    }

    /// Whether [`Self::attributes`] of this inode has nothing to lay out.
    pub fn is_made(&self, inode: u64) -> bool {
        !matches!(self.node(inode), Ok(Target::Artifact(_, artifact)) if !artifact.is_made())
    }

    /// Whether [`Self::lookup`] has nothing to lay out.
    pub fn is_made_at(&self, directory: u64, name: &[u8]) -> bool {
        match name {
            b"." => self.is_made(directory),
            _ => directory != ROOT || self.is_bare || self.named(name).is_none_or(|inode| self.is_made(inode)),
        }
    }

    /// Reads up to `buf.len()` bytes at `offset` and tells how many; fewer only at the end of the file.
    ///
    /// # Errors
    /// When the inode has no bytes, or they cannot be had.
    pub fn read(&self, inode: u64, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let Content { source, offset: start, size } = self.content(inode)?;
        let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = left.min(buf.len());
        if len > 0 {
            source.read_at(&mut buf[..len], start + offset)?;
        }
        if let Some(counts) = &self.counts {
            counts.served(len);
        }
        Ok(len)
    }

    /// The first byte at or after `offset` that may be other than zero.
    ///
    /// # Errors
    /// `PastEnd` when only zeros follow; or as [`Self::read`].
    pub fn data_at(&self, inode: u64, offset: u64) -> Result<u64, FileError> {
        let content = self.content(inode)?;
        let start = content.offset + offset.min(content.size);
        let end = content.offset + content.size;
        let run = content.source.data_from(start).filter(|run| offset < content.size && run.start < end);
        Ok(run.ok_or(FileError::PastEnd)?.start.max(start) - content.offset)
    }

    /// The first hole at or after `offset`; the end of a file counts as one.
    ///
    /// # Errors
    /// `PastEnd` when the offset is not in the file; or as [`Self::read`].
    pub fn hole_at(&self, inode: u64, offset: u64) -> Result<u64, FileError> {
        let content = self.content(inode)?;
        if offset >= content.size {
            return Err(FileError::PastEnd);
        }
        let end = content.offset + content.size;
        let mut at = content.offset + offset;
        while let Some(run) = content.source.data_from(at).filter(|run| at < end && run.start <= at) {
            at = run.end;
        }
        Ok(at.min(end) - content.offset)
    }

    /// Target of a symbolic link.
    ///
    /// # Errors
    /// When the inode is not a symbolic link.
    pub fn link_target(&self, inode: u64) -> Result<&[u8], FileError> {
        match self.node(inode)? {
            Target::Tree(tree, id) if tree.inode(id).metadata.kind == FileKind::Symlink => Ok(tree.link_target(id)),
            _ => Err(FileError::WrongType),
        }
    }

    /// The value of an extended attribute.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn xattr(&self, inode: u64, name: &[u8]) -> Result<&[u8], FileError> {
        let Target::Tree(tree, id) = self.node(inode)? else { return Err(FileError::NoAttribute) };
        let found = tree.xattrs(id).iter().find(|xattr| *xattr.name == *name);
        found.map(|xattr| &*xattr.value).ok_or(FileError::NoAttribute)
    }

    /// Names of the extended attributes, each with a NUL behind it, as listxattr(2) gives them.
    ///
    /// # Errors
    /// When there is no such inode.
    pub fn xattr_names(&self, inode: u64) -> Result<Vec<u8>, FileError> {
        let Target::Tree(tree, id) = self.node(inode)? else { return Ok(Vec::new()) };
        Ok(tree.xattrs(id).iter().flat_map(|xattr| xattr.name.iter().copied().chain([0])).collect())
    }

    /// Whether any file has extended attributes; else the kernel need not ask again.
    pub fn has_xattrs(&self) -> bool {
        self.tree.as_ref().is_some_and(|tree| tree.has_xattrs())
    }

    /// Entries of a directory from position `from` on, 0 for all; `.` and `..` first.
    ///
    /// # Errors
    /// When the inode is no directory.
    pub fn list(&self, inode: u64, from: u64) -> Result<Box<dyn Iterator<Item = Listed<'_>> + '_>, FileError> {
        // Positions in the root tell the generation, too: a listing that goes on must not go on in another one.
        let base = if inode == ROOT { self.base } else { 0 };
        let from = if inode == ROOT { from & POSITIONS } else { from };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let (here, above) = match self.node(inode)? {
            Target::Root => (self.root(), self.root()),
            Target::Notes => (self.notes(), self.root()),
            Target::Tree(tree, id) if tree.inode(id).is_directory() => (self.in_tree(tree, id), self.above(tree, id)),
            Target::Artifact(..) | Target::WhyNot(_) | Target::Look(..) | Target::Tree(..) => {
                return Err(FileError::NotADirectory);
            }
        };
        let dots: [(&[u8], Attributes); 2] = [(b".", here), (b"..", above)];
        let dots = dots.into_iter().skip(from);
        let skip = from.saturating_sub(2);
        let rest: Box<dyn Iterator<Item = (&[u8], Attributes)>> = match self.node(inode)? {
            Target::Tree(tree, id) => {
                Box::new(tree.children_from(id, skip).map(move |(name, child)| (name, self.in_tree(tree, child))))
            }
            Target::Notes => Box::new(self.in_notes().skip(skip)),
            Target::Root | Target::Artifact(..) | Target::WhyNot(_) | Target::Look(..) => {
                Box::new(self.in_root().skip(skip))
            }
        };
        let numbered = dots.chain(rest).zip((base | from as u64) + 1..);
        Ok(Box::new(numbered.map(|((name, attributes), next)| Listed { name, attributes, next })))
    }

    /// Number of bytes in all that is laid out, and number of files.
    pub fn totals(&self) -> (u64, u64) {
        let made = self.artifacts.iter().filter(|artifact| artifact.is_made());
        let bytes =
            made.filter_map(|artifact| artifact.open().ok()).map(|source| source.size()).fold(0, u64::saturating_add);
        let files = self.tree.as_ref().map_or(0, |tree| tree.inode_count()) + self.artifacts.len() + 1;
        (bytes, files as u64)
    }

    /// A name for messages.
    pub fn shown(&self, inode: u64) -> String {
        match self.node(inode) {
            Ok(Target::Artifact(_, artifact)) => artifact.name().to_owned(),
            Ok(Target::Root) => "/".to_owned(),
            Ok(Target::Notes | Target::WhyNot(_)) => ".lkit/why-not".to_owned(),
            Ok(Target::Look(..)) => ".lkit/*.json".to_owned(),
            Ok(Target::Tree(tree, id)) => {
                let entry = tree.entries().find(|entry| tree.entry_inode(*entry) == id);
                let path = entry.map(|entry| tree.path(entry)).unwrap_or_default();
                let place = if self.is_bare { "" } else { "rootfs/" };
                format!("{place}{}", String::from_utf8_lossy(&path))
            }
            Err(_) => format!("inode {inode}"),
        }
    }

    fn node(&self, number: u64) -> Result<Target<'_>, FileError> {
        let inode = match number {
            ROOT => ROOT,
            _ if generation_of(number) == self.number() => number - self.base,
            _ => return Err(FileError::NotFound),
        };
        let index = |first: u64| usize::try_from(inode - first).map_err(|_| FileError::NotFound);
        match (inode, &self.tree) {
            (ROOT, Some(tree)) if self.is_bare => Ok(Target::Tree(tree, tree.root())),
            (ROOT, _) => Ok(Target::Root),
            (FIRST_LOOK.., _) => {
                let text = self.looks.taken(inode - FIRST_LOOK);
                text.map(|text| Target::Look(number, text)).ok_or(FileError::NotFound)
            }
            (NOTES, _) if self.has_notes() => Ok(Target::Notes),
            (WHY_NOT, _) => self.why_not.as_ref().map(Target::WhyNot).ok_or(FileError::NotFound),
            (FIRST_OF_TREE.., Some(tree)) => {
                let id = tree.id(index(FIRST_OF_TREE)?).ok_or(FileError::NotFound)?;
                Ok(Target::Tree(tree, id))
            }
            (FIRST_OF_TREE, None) => {
                // There is a tree below the root of the files that take the place of these, or there never will be one.
                self.early.as_ref().map_or(Ok(()), |early| early.wait_for_whole().map(drop))?;
                Err(FileError::NotFound)
            }
            (FIRST_ARTIFACT..FIRST_OF_TREE, _) => {
                let artifact = self.artifacts.get(index(FIRST_ARTIFACT)?).ok_or(FileError::NotFound)?;
                Ok(Target::Artifact(number, artifact))
            }
            _ => Err(FileError::NotFound),
        }
    }

    fn content(&self, inode: u64) -> Result<Content, FileError> {
        let source: SharedSource = match self.node(inode)? {
            Target::Root | Target::Notes => return Err(FileError::IsADirectory),
            Target::WhyNot(text) => text.clone(),
            Target::Look(_, text) => text,
            // Nobody has opened it: a name that is awaited is looked up when it is there.
            Target::Artifact(..) if self.is_awaited(inode) => {
                return Err(ReadError::new(ErrorKind::Io, "the root is not whole yet").into());
            }
            Target::Artifact(_, artifact) => opened(artifact)?.clone(),
            Target::Tree(tree, id) => match tree.inode(id).metadata.kind {
                FileKind::Directory => return Err(FileError::IsADirectory),
                FileKind::File => match tree.content(id) {
                    Some(content) => return Ok(content),
                    None => Arc::new(Zeros(0)),
                },
                _ => return Err(FileError::WrongType),
            },
        };
        Ok(Content::whole(source))
    }

    fn named(&self, name: &[u8]) -> Option<u64> {
        match name {
            b".." => return Some(ROOT),
            ROOTFS => return self.has_rootfs().then_some(self.base | FIRST_OF_TREE),
            NOTES_NAME => return self.has_notes().then_some(self.base | NOTES),
            _ => {}
        }
        let at = self.artifacts.iter().position(|artifact| artifact.name().as_bytes() == name)?;
        Some(self.base | (FIRST_ARTIFACT + at as u64))
    }

    fn in_root(&self) -> impl Iterator<Item = (&[u8], Attributes)> {
        let artifacts = (self.base | FIRST_ARTIFACT..).zip(&self.artifacts).map(|(inode, artifact)| {
            let source = if artifact.is_made() { artifact.open().ok() } else { None };
            (artifact.name().as_bytes(), self.artifact(inode, artifact, source))
        });
        let notes = self.has_notes().then(|| (NOTES_NAME, self.notes()));
        let rootfs = self.has_rootfs().then(|| match &self.tree {
            Some(tree) => self.in_tree(tree, tree.root()),
            None => Attributes { inode: self.base | FIRST_OF_TREE, exact: false, ..self.notes() },
        });
        artifacts.chain(notes).chain(rootfs.map(|rootfs| (ROOTFS, rootfs)))
    }

    fn has_rootfs(&self) -> bool {
        self.tree.is_some() || self.early.is_some()
    }

    fn root(&self) -> Attributes {
        let nlink = 2 + u32::from(self.has_rootfs()) + u32::from(self.has_notes());
        let metadata = self.owned(Metadata { mode: 0o555, ..Metadata::directory() });
        Attributes { inode: ROOT, size: 0, data: 0, nlink, metadata, exact: true }
    }

    fn notes(&self) -> Attributes {
        let metadata = self.owned(Metadata { mode: 0o555, ..Metadata::directory() });
        Attributes { inode: self.base | NOTES, size: 0, data: 0, nlink: 2, metadata, exact: true }
    }

    fn why_not(&self, text: &SharedSource) -> Attributes {
        let metadata = self.owned(Metadata { mode: 0o444, ..Metadata::file() });
        let size = text.size();
        Attributes { inode: self.base | WHY_NOT, size, data: size, nlink: 1, metadata, exact: true }
    }

    fn has_notes(&self) -> bool {
        self.why_not.is_some() || self.counts.is_some() || self.status.is_some()
    }

    /// What a file in `.lkit` says at this moment, of those that are another one each time.
    fn text_of(&self, name: &[u8]) -> Option<Value> {
        let status = self.status.as_ref().map(Status::to_json);
        match name {
            STATUS_NAME => status,
            COUNTS_NAME => {
                let mut counts = self.counts.as_ref()?.to_json();
                if let Some(status) = status {
                    counts["watch"] = status;
                }
                Some(counts)
            }
            _ => None,
        }
    }

    fn in_notes(&self) -> impl Iterator<Item = (&[u8], Attributes)> {
        let why_not = self.why_not.iter().map(|text| (WHY_NOT_NAME, self.why_not(text)));
        // Their sizes are others each time; who wants one looks it up.
        let looks = [(COUNTS_NAME, self.counts.is_some()), (STATUS_NAME, self.status.is_some())];
        let looks = looks.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| {
            let attributes =
                Attributes { inode: self.base | FIRST_LOOK, size: 0, data: 0, exact: false, ..self.notes() };
            let metadata = self.owned(Metadata { mode: 0o444, ..Metadata::file() });
            (name, Attributes { nlink: 1, metadata, ..attributes })
        });
        why_not.chain(looks)
    }

    fn look(&self, inode: u64, text: &SharedSource) -> Attributes {
        Attributes { inode, exact: false, ..self.why_not(text) }
    }

    fn artifact(&self, inode: u64, artifact: &Artifact, source: Option<&SharedSource>) -> Attributes {
        let size = source.map_or(0, |source| source.size());
        let data = source.map_or(0, |source| source.data_len(0..size));
        let metadata = Metadata { mode: self.artifact_mode, mtime: artifact.mtime(), ..Metadata::file() };
        let metadata = self.owned(metadata);
        Attributes { inode, size, data, nlink: 1, metadata, exact: source.is_some() }
    }

    fn owned(&self, metadata: Metadata) -> Metadata {
        Metadata { uid: self.owner.0, gid: self.owner.1, ..metadata }
    }

    fn above(&self, tree: &Tree, id: InodeId) -> Attributes {
        match id == tree.root() {
            true if self.is_bare => self.in_tree(tree, id),
            true => self.root(),
            false => self.in_tree(tree, tree.parent(id)),
        }
    }

    fn in_tree(&self, tree: &Tree, id: InodeId) -> Attributes {
        let &Inode { size, nlink, metadata, .. } = tree.inode(id);
        let data = tree.extent(id).map_or(size, |(source, offset)| source.data_len(offset..offset + size));
        Attributes { inode: self.number_of(tree, id), size, data, nlink, metadata, exact: true }
    }

    fn number_of(&self, tree: &Tree, id: InodeId) -> u64 {
        if self.is_bare && id == tree.root() { ROOT } else { self.base | (FIRST_OF_TREE + id.index() as u64) }
    }
}

/// The bytes of an artifact; one that never can be laid out is not there, and the log says why when that is found.
fn opened(artifact: &Artifact) -> Result<&SharedSource, FileError> {
    let known = artifact.is_made();
    artifact.open().map_err(|error| {
        if !artifact.is_impossible() {
            return error.into();
        }
        if !known {
            tracing::warn!("not shown: {}", in_line(&error));
        }
        FileError::NotFound
    })
}
