//! A tree's directories as one view of an ISO lists them: own names, own order.
//!
//! # Invariants
//! - Four bytes a name and a few a directory; names themselves are made again from the tree when they are needed.
//! - Directories stand in path table order: by depth, then by the number of the directory above, then by name.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use super::name::{View, name, sort_key};
use crate::base::FileKind;
use crate::format::limits::count_of;
use crate::tree::{InodeId, Tree};

/// The directories of one view.
pub(super) struct Hierarchy {
    view: View,
    /// In path table order.
    directories: Vec<Directory>,
    /// Of each directory its names, as positions among the tree's, in the view's order.
    order: Vec<u32>,
    /// What tells names apart that would come out the same, by place in `order`.
    numbers: BTreeMap<u32, u32>,
    /// The directories' numbers by inode, ascending.
    by_inode: Vec<(InodeId, u32)>,
}

/// A directory of a view.
#[derive(Clone, Copy)]
struct Directory {
    id: InodeId,
    /// Number of the directory above; the root's is its own.
    parent: u32,
    /// First place in `order`, and how many.
    first: u32,
    len: u32,
    /// Location in `order` of the directory's own name; unused by the root.
    named_at: u32,
}

/// A name in a view.
pub(super) struct ViewName<'a> {
    /// As the view shows it.
    pub shown: Vec<u8>,
    /// As it is in the tree.
    pub raw: &'a [u8],
    pub id: InodeId,
}

impl Hierarchy {
    pub fn new(tree: &Tree, view: View) -> Self {
        let root = Directory { id: InodeId::ROOT, parent: 0, first: 0, len: 0, named_at: 0 };
        let mut hierarchy = Self {
            view,
            directories: vec![root],
            order: Vec::with_capacity(tree.entry_count()),
            numbers: BTreeMap::new(),
            by_inode: Vec::new(),
        };
        let mut number = 0;
        while number < hierarchy.directories.len() {
            hierarchy.list(tree, number);
            number += 1;
        }
        hierarchy.by_inode = hierarchy.directories.iter().enumerate().map(|(n, d)| (d.id, count_of(n))).collect();
        hierarchy.by_inode.sort_unstable();
        hierarchy
    }

    /// Orders the names of one directory and adds the directories among them behind all others.
    fn list(&mut self, tree: &Tree, number: usize) {
        let mut names = distinct_names(tree, self.directories[number].id, self.view);
        names.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        self.directories[number].first = count_of(self.order.len());
        self.directories[number].len = count_of(names.len());
        for found in names {
            let place = count_of(self.order.len());
            self.order.push(found.position);
            if let Some(number) = found.number {
                self.numbers.insert(place, number);
            }
            if tree.inode(found.id).is_directory() {
                let parent = count_of(number);
                self.directories.push(Directory { id: found.id, parent, first: 0, len: 0, named_at: place });
            }
        }
    }

    /// Number of directories.
    pub fn len(&self) -> usize {
        self.directories.len()
    }

    /// The inode of a directory, by number.
    pub fn id(&self, number: usize) -> InodeId {
        self.directories[number].id
    }

    /// The number of the directory above.
    pub fn parent(&self, number: usize) -> usize {
        self.directories[number].parent as usize
    }

    /// The number of a directory by its inode.
    pub fn number(&self, id: InodeId) -> Option<usize> {
        let at = self.by_inode.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.by_inode[at].1 as usize)
    }

    /// How many names a directory has in this view.
    pub fn name_count(&self, number: usize) -> usize {
        self.directories[number].len as usize
    }

    /// Names of a directory in order, those at `range`.
    pub fn names<'a>(
        &'a self,
        tree: &'a Tree,
        number: usize,
        range: Range<usize>,
    ) -> impl Iterator<Item = ViewName<'a>> {
        let directory = self.directories[number];
        range.map(move |at| self.name_at(tree, directory.id, directory.first + count_of(at)))
    }

    /// A directory's own name as the path table has it; the root's is a zero.
    pub fn own_name(&self, tree: &Tree, number: usize) -> Vec<u8> {
        if number == 0 {
            return vec![0];
        }
        let parent = self.directories[self.parent(number)];
        self.name_at(tree, parent.id, self.directories[number].named_at).shown
    }

    fn name_at<'a>(&self, tree: &'a Tree, dir: InodeId, place: u32) -> ViewName<'a> {
        let position = self.order[place as usize] as usize;
        let (raw, id) = tree.children_from(dir, position).next().expect("the order counts the tree's own names");
        let number = self.numbers.get(&place).copied();
        ViewName { shown: name(self.view, raw, tree.inode(id).is_directory(), number), raw, id }
    }
}

/// A name while its directory is being put in order.
struct Sorted {
    key: Vec<u8>,
    position: u32,
    number: Option<u32>,
    id: InodeId,
}

/// The names of a directory, numbered where two would come out the same.
fn distinct_names(tree: &Tree, dir: InodeId, view: View) -> Vec<Sorted> {
    let mut taken: HashSet<Vec<u8>> = HashSet::new();
    let mut next = HashMap::new();
    let mut names = Vec::new();
    for (position, (raw, id)) in tree.children(dir).enumerate() {
        let kind = tree.inode(id).metadata.kind;
        if view == View::Joliet && !matches!(kind, FileKind::File | FileKind::Directory) {
            continue;
        }
        let named = |number| name(view, raw, kind == FileKind::Directory, number);
        let mut shown = named(None);
        let mut number = None;
        if taken.contains(&shown) {
            let free = free_number(&named, &taken, &mut next);
            shown = named(Some(free));
            number = Some(free);
        }
        taken.insert(shown.clone());
        names.push(Sorted { key: sort_key(shown, view), position: count_of(position), number, id });
    }
    names
}

/// The least number that makes a name which is not taken. Names that are cut to the same letters share a counter in `next`
/// for each number of digits: the next of them starts where the last one ended, and tries no number twice.
fn free_number(
    named: &impl Fn(Option<u32>) -> Vec<u8>,
    taken: &HashSet<Vec<u8>>,
    next: &mut HashMap<(Vec<u8>, u32), u32>,
) -> u32 {
    let starts = std::iter::once(0).chain((1..9).map(|digits| 10_u32.pow(digits)));
    let free = starts.into_iter().find_map(|first| {
        let next = next.entry((named(Some(first)), first)).or_insert(first);
        let free = (*next..first.max(1) * 10).find(|number| !taken.contains(&named(Some(*number))));
        *next = free.map_or(first.max(1) * 10, |free| free + 1);
        free
    });
    free.expect("a directory has fewer names than numbers of nine digits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Metadata;
    use crate::tree::{Node, TreeBuilder};

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = TreeBuilder::new();
        for path in paths {
            tree.insert(path.as_bytes(), Node::Generated(Metadata::file(), b"")).unwrap();
        }
        tree.finish()
    }

    fn shown(hierarchy: &Hierarchy, tree: &Tree, number: usize) -> Vec<String> {
        let names = hierarchy.names(tree, number, 0..hierarchy.name_count(number));
        names.map(|n| String::from_utf8(n.shown).unwrap()).collect()
    }

    #[test]
    fn names_that_come_out_the_same_are_numbered() {
        let tree = tree(&["README", "Readme", "readme", "readme000", "b/x", "B/y", "é"]);
        let hierarchy = Hierarchy::new(&tree, View::Primary);
        let expected =
            ["B", "B000", "README.;1", "README000.;1", "README000000.;1", "README001.;1", "__.;1"].map(str::to_owned);
        let mut found = shown(&hierarchy, &tree, 0);
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn directories_stand_in_path_table_order() {
        let tree = tree(&["b/z/f", "a-/y/f", "a/x/f", "a/w/deep/f"]);
        let hierarchy = Hierarchy::new(&tree, View::Primary);
        let order: Vec<_> = (0..hierarchy.len()).map(|n| hierarchy.own_name(&tree, n)).collect();
        let text: Vec<&str> = order[1..].iter().map(|n| std::str::from_utf8(n).unwrap()).collect();
        assert_eq!(text, ["A", "A_", "B", "W", "X", "Y", "Z", "DEEP"]);
        let parents: Vec<usize> = (0..hierarchy.len()).map(|n| hierarchy.parent(n)).collect();
        assert_eq!(parents, [0, 0, 0, 0, 1, 1, 2, 3, 4]);
        let deep = tree.find(b"a/w/deep").unwrap();
        assert_eq!(hierarchy.number(deep), Some(8));
    }
}
