//! Walking a finished tree: every name once, directories before what is in them.

use super::freeze::number_of;
use super::{InodeId, Tree};

/// A name in a finished tree; ordered as [`Tree::walk`] goes when compared within one directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub(super) u32);

/// Entries in depth-first order, names sorted.
pub struct Walk<'a> {
    tree: &'a Tree,
    /// Ranges still to go, the innermost last.
    todo: Vec<std::ops::Range<usize>>,
}

impl Tree {
    /// All entries but the root, depth first, sorted by name in each directory.
    pub fn walk(&self) -> Walk<'_> {
        Walk { tree: self, todo: vec![self.range(InodeId::ROOT)] }
    }
}

impl Iterator for Walk<'_> {
    type Item = EntryId;

    fn next(&mut self) -> Option<EntryId> {
        let range = loop {
            let range = self.todo.last_mut()?;
            if range.start < range.end {
                break range;
            }
            self.todo.pop();
        };
        let at = range.start;
        range.start += 1;
        let inode = self.tree.entries[at].inode;
        if self.tree.inode(inode).is_directory() {
            self.todo.push(self.tree.range(inode));
        }
        Some(EntryId(number_of(at)))
    }
}

impl Tree {
    /// All entries, every directory's names side by side, the directory's own name always before them.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = EntryId> + '_ {
        (0..self.entries.len()).map(|at| EntryId(number_of(at)))
    }
}
