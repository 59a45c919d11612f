//! A tree that is still being put together.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::error::shown;
use super::inode::{Body, NONE};
use super::names::Names;
use super::resolve::{LastPath, SplitPath, UNNAMED, UNNAMED_PER_ENTRY};
use super::{Content, Error, Inode, InodeId};
use crate::base::{FileKind, Metadata, Xattrs, in_memory};
use crate::extent::{Bytes, SharedSource, Slice};

/// What to insert at a path.
#[derive(Clone)]
pub enum Node<'a> {
    /// A directory, device, fifo or socket, by the metadata's kind.
    Plain(Metadata),
    /// A regular file with content from a source.
    File(Metadata, Content),
    /// A regular file with generated content, which the tree keeps.
    Generated(Metadata, &'a [u8]),
    /// A symbolic link to a target.
    Symlink(Metadata, &'a [u8]),
}

/// A tree under construction.
#[derive(Clone)]
pub struct TreeBuilder {
    pub(super) inodes: Vec<Inode>,
    pub(super) names: Names,
    /// The directory above each directory, by inode.
    pub(super) parents: Vec<InodeId>,
    /// Number 0 stands for `generated`.
    pub(super) sources: Vec<SharedSource>,
    pub(super) generated: Vec<u8>,
    /// Bytes of memory of each source that one file alone has, by its number.
    pub(super) maps: HashMap<u32, usize>,
    /// Sets of attributes.
    pub(super) xattrs: Vec<Xattrs>,
    /// The number of a set by its address, of those that were given here.
    pub(super) set_numbers: HashMap<usize, u32>,
    /// Bytes of memory that nothing leads to any more.
    pub(super) dead: usize,
    /// Number of the layer being merged.
    pub(super) layer: u32,
    /// Directories below which the layer being merged has nothing left to hide.
    pub(super) pruned: HashSet<InodeId>,
    /// What further directories without an entry of their own may cost.
    pub(super) unnamed_left: usize,
    /// Somebody said what the root directory is like.
    pub(super) names_root: bool,
    /// Where the path that was resolved last led.
    pub(super) last_path: LastPath,
}

/// Source number of the builder's own bytes.
pub(super) const GENERATED: u32 = 0;

impl Default for TreeBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeBuilder {
    /// An empty root, 0755.
    pub fn new() -> Self {
        let generated: SharedSource = Arc::new(Bytes(Box::default()));
        let mut tree = Self {
            inodes: Vec::new(),
            names: Names::default(),
            parents: Vec::new(),
            sources: vec![generated],
            generated: Vec::new(),
            maps: HashMap::new(),
            xattrs: Vec::new(),
            set_numbers: HashMap::new(),
            dead: 0,
            layer: 0,
            pruned: HashSet::new(),
            unnamed_left: UNNAMED,
            names_root: false,
            last_path: LastPath::default(),
        };
        tree.push_inode(Inode::new(Metadata::directory()), InodeId::ROOT).expect("the first inode has a number");
        tree
    }

    /// Puts `node` at `path`, replacing what stands there; missing parents are made 0755, owned by root.
    ///
    /// The path is clamped to the root, and symbolic links in its parents are followed inside the root.
    /// A directory put on a directory changes its metadata and keeps its entries.
    ///
    /// # Errors
    /// When a parent is a file, links loop, or the name cannot be held.
    pub fn insert(&mut self, path: &[u8], node: Node<'_>) -> Result<InodeId, Error> {
        let inode = self.make_inode(node)?;
        self.unnamed_left = self.unnamed_left.saturating_add(UNNAMED_PER_ENTRY);
        self.place(SplitPath::new(path), inode)
    }

    /// Makes the directories above `path` that are missing, as [`insert`](Self::insert) does, but with this metadata.
    ///
    /// # Errors
    /// As `insert`.
    pub fn make_parents(&mut self, path: &[u8], metadata: &Metadata) -> Result<(), Error> {
        self.resolve_parent(SplitPath::new(path), metadata).map(drop)
    }

    /// Puts an inode that has no name yet at `path`.
    pub(super) fn place(&mut self, path: SplitPath<'_>, inode: Inode) -> Result<InodeId, Error> {
        match self.resolve_parent(path, &Metadata::directory())? {
            Some((parent, name)) => self.insert_at(parent, name, inode),
            None if inode.is_directory() => {
                self.inodes[0].metadata = inode.metadata;
                self.inodes[0].xattrs = inode.xattrs;
                self.names_root = true;
                Ok(InodeId::ROOT)
            }
            None => Err(Error::ReplacesRoot(shown(path.whole))),
        }
    }

    /// Puts an inode that has no name yet into the directory `parent`.
    pub(super) fn insert_at(&mut self, parent: InodeId, name: &[u8], inode: Inode) -> Result<InodeId, Error> {
        if let Some(old) = self.names.find_to_replace(parent, name) {
            let there = self.names[old].inode;
            if inode.is_directory() && self.inodes[there.index()].is_directory() {
                self.names[old].layer = self.layer;
                self.inodes[there.index()].metadata = inode.metadata;
                self.inodes[there.index()].xattrs = inode.xattrs;
                return Ok(there);
            }
            self.unlink(old);
        }
        let inode = self.push_inode(Inode { nlink: 1, ..inode }, parent)?;
        self.names.add(parent, name, inode, self.layer)?;
        Ok(inode)
    }

    /// The inode at `path`; links in parents are followed, the last component is not.
    pub fn lookup(&self, path: &[u8]) -> Option<InodeId> {
        self.find(path)
    }

    /// How many names it has; those that were removed count until their room is given back.
    pub fn entry_count(&self) -> usize {
        self.names.len()
    }

    /// The same for who looks for many: directories come into the table, so none is looked through twice.
    pub fn lookup_often(&mut self, path: &[u8]) -> Option<InodeId> {
        self.find_quickly(path)
    }

    /// The inode with this number.
    pub fn inode(&self, id: InodeId) -> &Inode {
        &self.inodes[id.index()]
    }

    /// Changes the metadata at an inode; its kind must stay.
    pub fn metadata_mut(&mut self, id: InodeId) -> &mut Metadata {
        &mut self.inodes[id.index()].metadata
    }

    /// Gives an inode these attributes, replacing those it had.
    pub fn set_xattrs(&mut self, id: InodeId, xattrs: Xattrs) {
        self.inodes[id.index()].xattrs = self.set_number(xattrs);
    }

    /// The number of a set, which it gets once; that of the empty set is `NONE`.
    pub(super) fn set_number(&mut self, set: Xattrs) -> u32 {
        let Some(address) = set.address() else { return NONE };
        let sets = &mut self.xattrs;
        *self.set_numbers.entry(address).or_insert_with(|| {
            sets.push(set);
            u32::try_from(sets.len() - 1).expect("there are no more sets than inodes")
        })
    }

    /// The directory that `path` leads to, links followed inside the root, the last one, too; `None` where there is none.
    pub fn lookup_directory(&self, path: &[u8]) -> Option<InodeId> {
        self.find_directory(path)
    }

    /// The same for who looks for many.
    pub fn lookup_directory_often(&mut self, path: &[u8]) -> Option<InodeId> {
        self.find_directory_quickly(path)
    }

    /// Removes `path` and what is below it; whether it was there. The root stays, empty.
    pub fn remove(&mut self, path: &[u8]) -> bool {
        match self.find_name_quickly(path) {
            Some(name) => {
                self.unlink(name);
                true
            }
            None => false,
        }
    }

    /// The target of a symbolic link; empty for anything else.
    pub fn link_target(&self, id: InodeId) -> &[u8] {
        &self.names.text[self.target_range(id)]
    }

    /// Where the target of a symbolic link stands in the text; nowhere for anything else.
    pub(super) fn target_range(&self, id: InodeId) -> Range<usize> {
        let inode = &self.inodes[id.index()];
        match inode.body {
            Body::Target { start } => in_memory(start)..in_memory(start + inode.size),
            _ => 0..0,
        }
    }

    /// The content of a regular file; `None` for anything else.
    pub fn content(&self, id: InodeId) -> Option<Content> {
        let inode = &self.inodes[id.index()];
        let kept = |bytes: &[u8]| Content::whole(Arc::new(Bytes(bytes.into())));
        match inode.body {
            Body::Content { source: GENERATED, offset } => Some(kept(slice(&self.generated, offset, inode.size))),
            Body::Content { source, offset } => {
                Some(Content { source: self.sources[source as usize].clone(), offset, size: inode.size })
            }
            _ => (inode.metadata.kind == FileKind::File).then(|| kept(&[])),
        }
    }

    /// Names in a directory, the latest first.
    pub fn children(&self, dir: InodeId) -> impl Iterator<Item = (&[u8], InodeId)> + '_ {
        self.names.in_directory(dir).map(|number| {
            let name = &self.names[number];
            (self.names.text_of(name), name.inode)
        })
    }

    /// Gives `inode` a name, in place of what had it.
    pub(super) fn link(&mut self, parent: InodeId, name: &[u8], inode: InodeId) -> Result<(), Error> {
        if let Some(old) = self.names.find_to_replace(parent, name) {
            self.unlink(old);
        }
        self.names.add(parent, name, inode, self.layer)?;
        self.inodes[inode.index()].nlink += 1;
        Ok(())
    }

    /// Gives `inode` a name that stands in the text already, in a directory that has none of it. The table does not
    /// learn of it.
    pub(super) fn append(&mut self, parent: InodeId, text: (u32, u16), inode: InodeId) -> Result<(), Error> {
        self.names.append(parent, text, inode, self.layer)?;
        self.inodes[inode.index()].nlink += 1;
        Ok(())
    }

    /// Makes room for this many further names and inodes at once.
    pub(super) fn reserve(&mut self, names: usize) {
        self.inodes.reserve(names);
        self.parents.reserve(names);
        self.names.reserve(names);
    }

    /// Takes a name away, and with a directory all that is below it.
    pub(super) fn unlink(&mut self, number: u32) {
        let mut doomed = vec![number];
        while let Some(number) = doomed.pop() {
            let inode = self.names[number].inode;
            if self.inodes[inode.index()].is_directory() {
                doomed.extend(self.names.in_directory(inode));
            }
            self.detach(number);
        }
    }

    pub(super) fn detach(&mut self, number: u32) {
        let (freed, inode) = self.names.remove(number);
        let inode = &mut self.inodes[inode.index()];
        inode.nlink -= 1;
        if matches!(inode.metadata.kind, FileKind::Directory | FileKind::Symlink) {
            // A path may have led through it.
            self.last_path = LastPath::default();
        }
        let inode = *inode;
        self.dead += freed + if inode.nlink == 0 { self.memory_of(&inode) } else { 0 };
    }

    /// An inode without a name.
    pub(super) fn make_inode(&mut self, node: Node<'_>) -> Result<Inode, Error> {
        Ok(match node {
            Node::Plain(metadata) => Inode::new(metadata),
            Node::File(metadata, content) => {
                let Content { source, offset, size } = content;
                let body = match size {
                    0 => Body::Empty,
                    _ => Body::Content { source: self.source_number(&source)?, offset },
                };
                Inode { size, body, ..Inode::new(metadata) }
            }
            Node::Generated(metadata, bytes) => {
                let offset = self.generated.len() as u64;
                self.generated.extend_from_slice(bytes);
                let body = Body::Content { source: GENERATED, offset };
                Inode { size: bytes.len() as u64, body, ..Inode::new(metadata) }
            }
            Node::Symlink(metadata, target) => {
                Inode { size: target.len() as u64, body: self.add_target(target), ..Inode::new(metadata) }
            }
        })
    }

    /// Keeps the target of a symbolic link.
    pub(super) fn add_target(&mut self, target: &[u8]) -> Body {
        let start = self.names.text.len() as u64;
        self.names.text.extend_from_slice(target);
        Body::Target { start }
    }

    /// The number of a source, which gets one when it has none.
    pub(super) fn source_number(&mut self, source: &SharedSource) -> Result<u32, Error> {
        match (0..).zip(&self.sources).find(|(_, known)| Arc::ptr_eq(known, source)) {
            Some((number, _)) => Ok(number),
            None => self.add_source(source.clone()),
        }
    }

    /// The number of a source that has none yet.
    pub(super) fn add_source(&mut self, source: SharedSource) -> Result<u32, Error> {
        let number = u32::try_from(self.sources.len()).ok().filter(|n| *n != NONE).ok_or(Error::TooLarge)?;
        self.sources.push(source);
        Ok(number)
    }

    pub(super) fn push_inode(&mut self, inode: Inode, parent: InodeId) -> Result<InodeId, Error> {
        let number = u32::try_from(self.inodes.len()).ok().filter(|n| *n != NONE).ok_or(Error::TooLarge)?;
        self.inodes.push(inode);
        self.parents.push(parent);
        self.names.push_inode();
        Ok(InodeId(number))
    }
}

impl Content {
    /// The content as a source of its own.
    ///
    /// # Errors
    /// When the range leaves the source.
    pub fn source(&self) -> Result<SharedSource, crate::extent::ReadError> {
        if self.offset == 0 && self.size == self.source.size() {
            return Ok(self.source.clone());
        }
        Ok(Arc::new(Slice::new(self.source.clone(), self.offset, self.size)?))
    }
}

/// A part of an arena; ranges come from the builder itself.
pub(super) fn slice(arena: &[u8], offset: u64, len: u64) -> &[u8] {
    &arena[in_memory(offset)..in_memory(offset + len)]
}
