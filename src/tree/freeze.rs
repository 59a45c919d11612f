//! The finished tree: inodes numbered from the root down, every directory's names sorted and side by side.

use std::collections::VecDeque;
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
    longest_path: usize,
}

impl TreeBuilder {
    /// Sorts and packs the tree. Inodes that no name leads to are dropped.
    pub fn finish(mut self) -> Tree {
        let mut packed = Packed::with_room(self.inodes.len(), self.names.len());
        self.inodes[0].nlink = 2;
        while let Some((dir, above)) = packed.todo.pop_front() {
            self.pack_directory(dir, above, &mut packed);
        }
        let Packed { entries, named_by, new, longest_path, .. } = packed;
        let Self { mut inodes, names, mut sources, generated, xattrs, names_root, .. } = self;
        let text = names.into_text();
        rearrange(&mut inodes, new, named_by.len());
        inodes.truncate(named_by.len());
        inodes.shrink_to_fit();
        sources[GENERATED as usize] = Arc::new(Bytes(generated.into_boxed_slice()));
        Tree { inodes, entries, named_by, text, sources, xattrs, names_root, longest_path }
    }

    /// Packs a directory; in paths, `above` bytes stand before its names.
    fn pack_directory(&mut self, dir: InodeId, above: usize, packed: &mut Packed) {
        let first = packed.entries.len();
        let parent = InodeId(packed.new[dir.index()]);
        let mut names = std::mem::take(&mut packed.names);
        names.extend(self.names.in_directory(dir));
        self.names.sort(dir, &mut names);
        for number in names.drain(..) {
            let name = self.names[number];
            let (start, len) = name.range();
            let path_len = above + usize::from(len);
            packed.longest_path = packed.longest_path.max(path_len);
            let slot = &mut packed.new[name.inode.index()];
            if *slot == NONE {
                *slot = number_of(packed.named_by.len());
                packed.named_by.push(NONE);
            }
            if self.inodes[name.inode.index()].is_directory() {
                packed.named_by[*slot as usize] = number_of(packed.entries.len());
                self.inodes[name.inode.index()].nlink = 2;
                self.inodes[dir.index()].nlink += 1;
                packed.todo.push_back((name.inode, path_len + 1));
            }
            packed.entries.push(Dirent { parent, inode: InodeId(*slot), start, len });
        }
        packed.names = names;
        let count = number_of(packed.entries.len() - first);
        self.inodes[dir.index()].body = Body::Entries { first: number_of(first), count };
    }
}

/// What is packed of a tree so far.
struct Packed {
    entries: Vec<Dirent>,
    named_by: Vec<u32>,
    /// The numbers that inodes get, by those they have.
    new: Vec<u32>,
    /// Directories that are packed next, by the numbers they have, and the lengths of their paths with a slash.
    todo: VecDeque<(InodeId, usize)>,
    longest_path: usize,
    /// Room for the names of one directory.
    names: Vec<u32>,
}

impl Packed {
    /// Nothing but the root, whose number stays.
    fn with_room(inodes: usize, entries: usize) -> Self {
        // The largest first: it may fit where the table of contents was.
        let entries = Vec::with_capacity(entries);
        let mut named_by = Vec::with_capacity(inodes);
        named_by.push(NONE);
        let mut new = vec![NONE; inodes];
        new[0] = 0;
        let todo = VecDeque::from([(InodeId::ROOT, 0)]);
        Self { entries, named_by, new, todo, longest_path: 0, names: Vec::new() }
    }
}

/// Moves the items that have a new place there, the first `count` of all. Those without come to stand behind them.
///
/// Goes from place to place, since what stands together has mostly stood together before. Along the circles of the
/// permutation each step would wait for memory.
fn rearrange<T>(items: &mut [T], mut new: Vec<u32>, count: usize) {
    let mut order = vec![0_u32; count];
    for (old, new) in (0..).zip(&new).filter(|(_, new)| **new != NONE) {
        order[*new as usize] = old;
    }
    // Where each item is, by its old place, and the other way round.
    (0..).zip(&mut new).for_each(|(old, now)| *now = old);
    let (mut now, mut item_at) = (new.clone(), new);
    for (at, item) in order.into_iter().enumerate() {
        let (from, moved) = (now[item as usize], item_at[at]);
        items.swap(at, from as usize);
        item_at[from as usize] = moved;
        now[moved as usize] = from;
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

    /// Length in bytes of the longest path.
    pub fn longest_path(&self) -> usize {
        self.longest_path
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Metadata;
    use crate::tree::Node;

    fn with(names: &[&str]) -> TreeBuilder {
        let mut tree = TreeBuilder::new();
        for name in names {
            tree.insert(name.as_bytes(), Node::Plain(Metadata::file())).unwrap();
        }
        tree
    }

    fn listed(tree: &Tree, dir: InodeId) -> String {
        tree.children(dir).map(|(name, _)| char::from(name[0])).collect()
    }

    #[test]
    fn items_move_to_their_places_and_those_without_one_come_last() {
        let rows: [(&str, &[u32], &str); 5] = [
            ("abcd", &[0, 1, 2, 3], "abcd"),
            ("abcd", &[3, 0, 1, 2], "bcda"),
            ("abcd", &[1, 0, 3, 2], "badc"),
            ("abcde", &[2, NONE, 0, NONE, 1], "cea"),
            ("ab", &[0, NONE], "a"),
        ];
        for (items, new, moved) in rows {
            let mut items: Vec<char> = items.chars().collect();
            rearrange(&mut items, new.to_vec(), moved.len());
            assert_eq!(items[..moved.len()].iter().collect::<String>(), moved, "{new:?}");
        }
    }

    #[test]
    fn names_are_sorted_however_they_came() {
        let rising: Vec<String> = ('a'..='z').map(String::from).collect();
        let rising: Vec<&str> = rising.iter().map(String::as_str).collect();
        let falling: Vec<&str> = rising.iter().rev().copied().collect();
        let mixed = [&rising[13..], &falling[13..]].concat();
        for names in [&rising, &falling, &mixed] {
            assert_eq!(listed(&with(names).finish(), InodeId::ROOT), rising.concat(), "{names:?}");
            let mut root = with(&["x", "q", "y", "z"]);
            root.remove(b"z");
            root.insert(b"r", Node::Plain(Metadata::file())).unwrap();
            root.graft(b"s", with(names)).unwrap();
            root.graft(b"t", with(&falling[..3])).unwrap();
            let tree = root.finish();
            let below = |name: &[u8]| listed(&tree, tree.lookup(InodeId::ROOT, name).unwrap());
            assert_eq!((below(b"s"), below(b"t")), (rising.concat(), "xyz".to_owned()), "{names:?}");
            assert_eq!(listed(&tree, InodeId::ROOT), "qrstxy", "{names:?}");
        }
    }
}
