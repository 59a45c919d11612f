//! The finished tree: inodes numbered from the root down, every directory's names sorted and side by side.

use std::sync::Arc;

use super::build::{GENERATED, slice};
use super::inode::{Body, NONE};
use super::{Content, EntryId, Inode, InodeId, TreeBuilder};
use crate::base::{Xattr, Xattrs};
use crate::extent::{Bytes, SharedSource};

/// A name in a finished tree.
#[derive(Clone, Copy)]
pub(super) struct Dirent {
    pub parent: InodeId,
    pub inode: InodeId,
    start: u32,
    len: u16,
}

/// A merged root; nothing in it changes.
pub struct Tree {
    inodes: Vec<Inode>,
    pub(super) entries: Vec<Dirent>,
    /// The entry that names each directory; `NONE` for the root and for what is no directory.
    named_by: Vec<u32>,
    text: Vec<u8>,
    sources: Vec<SharedSource>,
    xattrs: Vec<Xattrs>,
    names_root: bool,
}

impl TreeBuilder {
    /// Sorts and packs the tree. Inodes that no name leads to are dropped.
    pub fn finish(mut self) -> Tree {
        let mut tree = Tree {
            inodes: Vec::new(),
            entries: Vec::with_capacity(self.names.len()),
            named_by: vec![NONE],
            text: Vec::new(),
            sources: Vec::new(),
            xattrs: Vec::new(),
            names_root: self.names_root,
        };
        let mut new = vec![NONE; self.inodes.len()];
        new[0] = 0;
        self.inodes[0].nlink = 2;
        let mut todo = std::collections::VecDeque::from([InodeId::ROOT]);
        while let Some(dir) = todo.pop_front() {
            self.pack_directory(dir, &mut tree, &mut new, &mut todo);
        }
        tree.inodes = self.inodes;
        rearrange(&mut tree.inodes, new);
        tree.inodes.truncate(tree.named_by.len());
        tree.inodes.shrink_to_fit();
        tree.text = self.names.text;
        tree.xattrs = self.xattrs;
        tree.sources = self.sources;
        tree.sources[GENERATED as usize] = Arc::new(Bytes(self.generated.into_boxed_slice()));
        tree
    }

    fn pack_directory(
        &mut self,
        dir: InodeId,
        tree: &mut Tree,
        new: &mut [u32],
        todo: &mut std::collections::VecDeque<InodeId>,
    ) {
        let mut names: Vec<u32> = self.names.in_directory(dir).collect();
        names.sort_unstable_by(|a, b| self.names.text_of(&self.names[*a]).cmp(self.names.text_of(&self.names[*b])));
        let first = tree.entries.len();
        let here = InodeId(new[dir.index()]);
        for number in &names {
            let name = self.names[*number];
            let slot = &mut new[name.inode.index()];
            if *slot == NONE {
                *slot = number_of(tree.named_by.len());
                tree.named_by.push(NONE);
            }
            if self.inodes[name.inode.index()].is_directory() {
                tree.named_by[*slot as usize] = number_of(tree.entries.len());
                self.inodes[name.inode.index()].nlink = 2;
                self.inodes[dir.index()].nlink += 1;
                todo.push_back(name.inode);
            }
            let (start, len) = name.range();
            tree.entries.push(Dirent { parent: here, inode: InodeId(*slot), start, len });
        }
        self.inodes[dir.index()].body = Body::Entries { first: number_of(first), count: number_of(names.len()) };
    }
}

/// Moves each item to its new place, where it has one: those without come to stand behind all others.
fn rearrange<T>(items: &mut [T], mut new: Vec<u32>) {
    for at in 0..items.len() {
        while new[at] != NONE && new[at] as usize != at {
            let to = new[at] as usize;
            items.swap(at, to);
            new.swap(at, to);
        }
    }
}

impl Tree {
    /// Number of inodes; their ids are below it.
    pub fn inode_count(&self) -> usize {
        self.inodes.len()
    }

    /// Number of names, the root's not counted.
    pub fn entry_count(&self) -> usize {
        self.entries.len()
    }

    /// What the content of files is read from, each once: layers, files of this machine, bytes that were made for the root.
    pub fn sources(&self) -> &[SharedSource] {
        &self.sources
    }

    /// Whether some layer says what the root directory is like; an archive then has an entry for it.
    pub fn names_root(&self) -> bool {
        self.names_root
    }

    /// The root directory.
    pub fn root(&self) -> InodeId {
        InodeId::ROOT
    }

    /// The id of an inode number, when there is one.
    pub fn id(&self, index: usize) -> Option<InodeId> {
        u32::try_from(index).ok().filter(|_| index < self.inodes.len()).map(InodeId)
    }

    /// The inode with this id.
    pub fn inode(&self, id: InodeId) -> &Inode {
        &self.inodes[id.index()]
    }

    /// The inode with this name in a directory.
    pub fn lookup(&self, dir: InodeId, name: &[u8]) -> Option<InodeId> {
        let range = self.range(dir);
        let found = self.entries[range.clone()].binary_search_by(|e| self.text_of(e).cmp(name)).ok()?;
        Some(self.entries[range.start + found].inode)
    }

    /// The inode at a path of plain components; links are not followed.
    pub fn find(&self, path: &[u8]) -> Option<InodeId> {
        let parts = path.split(|b| *b == b'/').filter(|part| !part.is_empty());
        parts.into_iter().try_fold(InodeId::ROOT, |dir, name| self.lookup(dir, name))
    }

    /// Names in a directory, sorted by their bytes.
    pub fn children(&self, dir: InodeId) -> impl ExactSizeIterator<Item = (&[u8], InodeId)> + '_ {
        self.children_from(dir, 0)
    }

    /// Names in a directory from the `skip`th on; the numbers never change.
    pub fn children_from(&self, dir: InodeId, skip: usize) -> impl ExactSizeIterator<Item = (&[u8], InodeId)> + '_ {
        let range = self.range(dir);
        let start = range.start.saturating_add(skip).min(range.end);
        self.entries[start..range.end].iter().map(|e| (self.text_of(e), e.inode))
    }

    /// The directory above a directory; the root is above itself.
    pub fn parent(&self, dir: InodeId) -> InodeId {
        match self.named_by[dir.index()] {
            NONE => InodeId::ROOT,
            entry => self.entries[entry as usize].parent,
        }
    }

    /// The target of a symbolic link; empty for anything else.
    pub fn link_target(&self, id: InodeId) -> &[u8] {
        let inode = self.inode(id);
        match inode.body {
            Body::Target { start } => slice(&self.text, start, inode.size),
            _ => &[],
        }
    }

    /// The content of a regular file; `None` for anything else and for empty files.
    pub fn content(&self, id: InodeId) -> Option<Content> {
        let (source, offset) = self.extent(id)?;
        Some(Content { source: source.clone(), offset, size: self.inode(id).size })
    }

    /// Where the content of a regular file begins; `None` for anything else and for empty files.
    pub fn extent(&self, id: InodeId) -> Option<(&SharedSource, u64)> {
        match self.inode(id).body {
            Body::Content { source, offset } => Some((&self.sources[source as usize], offset)),
            _ => None,
        }
    }

    /// Where a regular file's content is, for sorting: number of the source, offset in it. What has none comes last,
    /// symbolic links in the order of their targets.
    pub fn content_order(&self, id: InodeId) -> (u32, u64) {
        match self.inode(id).body {
            Body::Content { source, offset } => (source, offset),
            Body::Target { start } => (NONE, start),
            Body::Empty | Body::Entries { .. } => (NONE, 0),
        }
    }

    /// Extended attributes, sorted by name.
    pub fn xattrs(&self, id: InodeId) -> &[Xattr] {
        match self.inode(id).xattrs {
            NONE => &[],
            number => &self.xattrs[number as usize],
        }
    }

    /// Whether any inode has extended attributes.
    pub fn has_xattrs(&self) -> bool {
        self.inodes.iter().any(|inode| inode.xattrs != NONE)
    }

    /// The inode an entry names.
    pub fn entry_inode(&self, entry: EntryId) -> InodeId {
        self.entries[entry.0 as usize].inode
    }

    /// The path of an entry, without a leading slash.
    pub fn path(&self, entry: EntryId) -> Vec<u8> {
        let mut path = vec![b'/'; self.path_len(entry)];
        let mut end = path.len();
        for name in self.upwards(entry).map(|entry| self.text_of(entry)) {
            path[end - name.len()..end].copy_from_slice(name);
            end = (end - name.len()).saturating_sub(1);
        }
        path
    }

    /// Length in bytes of the path of an entry.
    pub fn path_len(&self, entry: EntryId) -> usize {
        self.upwards(entry).map(|entry| usize::from(entry.len) + 1).sum::<usize>() - 1
    }

    /// An entry and those that name the directories above it.
    fn upwards(&self, entry: EntryId) -> impl Iterator<Item = &Dirent> {
        let above = |entry: &&Dirent| self.entries.get(self.named_by[entry.parent.index()] as usize);
        std::iter::successors(self.entries.get(entry.0 as usize), above)
    }

    pub(super) fn range(&self, dir: InodeId) -> std::ops::Range<usize> {
        match self.inode(dir).body {
            Body::Entries { first, count } => first as usize..first as usize + count as usize,
            _ => 0..0,
        }
    }

    fn text_of(&self, entry: &Dirent) -> &[u8] {
        &self.text[entry.start as usize..entry.start as usize + usize::from(entry.len)]
    }
}

/// A number the builder has made sure of.
pub(super) fn number_of(count: usize) -> u32 {
    u32::try_from(count).expect("a builder holds fewer than 2^32 inodes and names")
}
