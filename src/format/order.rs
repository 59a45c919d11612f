//! The order in which archives list a tree: directories from the root down, then everything else as its content lies
//! in the layers, so that reading an archive from front to back decodes each layer once.

use std::sync::Arc;

use crate::tree::{EntryId, Tree};

/// Entries in archive order; names of one inode stand side by side.
pub(super) struct Order {
    pub tree: Arc<Tree>,
    pub entries: Vec<EntryId>,
    /// How many of them are directories; they come first.
    directories: usize,
}

/// Entries laid out together; a compromise between the table of offsets and the work to find a place in a page.
pub(super) const PAGE: usize = 32;

impl Order {
    pub fn new(tree: Arc<Tree>) -> Self {
        let mut entries = Vec::with_capacity(tree.entry_count());
        let mut files = Vec::with_capacity(tree.entry_count());
        for entry in tree.entries() {
            let id = tree.entry_inode(entry);
            match tree.inode(id).is_directory() {
                true => entries.push(entry),
                false => files.push((tree.content_order(id), id, entry)),
            }
        }
        // Stable only because that sort makes use of runs: files of a directory mostly lie in order already.
        files.sort();
        let directories = entries.len();
        entries.extend(files.into_iter().map(|(_, _, entry)| entry));
        Self { tree, entries, directories }
    }

    pub fn pages(&self) -> usize {
        self.entries.len().div_ceil(PAGE)
    }

    /// Positions of one page's entries.
    pub fn page(&self, page: usize) -> std::ops::Range<usize> {
        page * PAGE..self.entries.len().min((page + 1) * PAGE)
    }

    /// The entry that names the same inode and stands first, when it is not the one at `at` itself.
    pub fn first_name(&self, at: usize) -> Option<EntryId> {
        let before = self.entries[..at].get(self.directories..)?;
        let inode = self.tree.entry_inode(self.entries[at]);
        if before.last().is_none_or(|e| self.tree.entry_inode(*e) != inode) {
            return None;
        }
        // Files may have very many names, so the first is not looked for one by one.
        let place = |id| (self.tree.content_order(id), id);
        let first = before.partition_point(|e| place(self.tree.entry_inode(*e)) < place(inode));
        Some(before[first])
    }

    /// Whether no later entry names the same inode.
    pub fn is_last_name(&self, at: usize) -> bool {
        let inode = |at: usize| self.entries.get(at).map(|e| self.tree.entry_inode(*e));
        inode(at + 1) != inode(at)
    }
}
