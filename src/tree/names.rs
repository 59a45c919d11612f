//! The names of a tree under construction: a list for each directory, and one hash table over those that are looked in.

use std::hash::BuildHasher as _;
use std::ops::{Index, IndexMut};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::error::shown;
use super::inode::NONE;
use super::packing::{Piece, Start, keep, pack, renumbered};
use super::{Error, InodeId};
use crate::base::reserve_now;

/// A name in a directory. Siblings form a list, the latest first.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub parent: InodeId,
    pub inode: InodeId,
    /// The layer that named it last.
    pub layer: u32,
    start: u32,
    len: u16,
    previous: u32,
    next: u32,
    /// Of parent and text; meaningless in a directory that is not in the table.
    hash: u32,
}

impl Name {
    /// Where the name stands in the text of its tree.
    pub fn range(&self) -> (u32, u16) {
        (self.start, self.len)
    }
}

/// All names, by number.
#[derive(Clone, Default)]
pub(super) struct Names {
    all: Vec<Name>,
    /// Names of entries and targets of symbolic links.
    pub text: Vec<u8>,
    /// First name of each directory, by inode; `NONE` elsewhere.
    first: Vec<u32>,
    /// How the names of each directory are found, by inode.
    found_by: Vec<FoundBy>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// How a name is found in its directory. Most directories never get into the table: archives mostly list them in order,
/// and in what was grafted nothing is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FoundBy {
    /// Names came in ascending order, so one above the last is new, and they are sorted.
    Order,
    /// One after the other.
    Search,
    /// The table.
    Table,
}

impl Index<u32> for Names {
    type Output = Name;

    fn index(&self, number: u32) -> &Name {
        &self.all[number as usize]
    }
}

impl IndexMut<u32> for Names {
    fn index_mut(&mut self, number: u32) -> &mut Name {
        &mut self.all[number as usize]
    }
}

impl Names {
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Makes room for this many further names and inodes at once.
    pub fn reserve(&mut self, count: usize) {
        self.all.reserve(count);
        self.first.reserve(count);
        self.found_by.reserve(count);
    }

    /// The same for names that come at once.
    pub fn reserve_now(&mut self, count: usize) {
        reserve_now(&mut self.all, count);
    }

    /// Makes the next inode known, which has no names in it yet.
    pub fn push_inode(&mut self) {
        self.found_by.push(FoundBy::Order);
        self.first.push(NONE);
    }

    /// Numbers of the names in a directory, the latest first.
    pub fn in_directory(&self, dir: InodeId) -> impl Iterator<Item = u32> + '_ {
        let first = Some(self.first[dir.index()]).filter(|n| *n != NONE);
        std::iter::successors(first, |n| Some(self[*n].next).filter(|n| *n != NONE))
    }

    pub fn is_empty(&self, dir: InodeId) -> bool {
        self.first[dir.index()] == NONE
    }

    pub fn text_of(&self, name: &Name) -> &[u8] {
        &self.text[name.start as usize..name.start as usize + usize::from(name.len)]
    }

    /// The text alone; what else is here goes.
    pub fn into_text(self) -> Vec<u8> {
        self.text
    }

    /// Sorts the names of a directory, which are the latest first.
    pub fn sort(&self, dir: InodeId, names: &mut [u32]) {
        names.reverse();
        if self.found_by[dir.index()] == FoundBy::Order {
            return;
        }
        // Those of a directory that was copied have been turned round once.
        let text = |number: &u32| self.text_of(&self[*number]);
        if names.first().map(text) > names.last().map(text) {
            names.reverse();
        }
        names.sort_unstable_by(|a, b| text(a).cmp(text(b)));
    }

    /// Number of the name in a directory.
    pub fn find(&self, dir: InodeId, name: &[u8]) -> Option<u32> {
        if self.found_by[dir.index()] != FoundBy::Table {
            return self.in_directory(dir).find(|number| self.text_of(&self[*number]) == name);
        }
        let hash = self.hash(dir, name);
        let is_it = |number: &u32| {
            let entry = &self[*number];
            entry.hash == hash && entry.parent == dir && self.text_of(entry) == name
        };
        self.table.find(spread(hash), is_it).copied()
    }

    /// The same in a directory that is about to get the name.
    pub fn find_to_replace(&mut self, dir: InodeId, name: &[u8]) -> Option<u32> {
        let last = self.first[dir.index()];
        let is_above = || last == NONE || self.text_of(&self[last]) < name;
        if self.found_by[dir.index()] == FoundBy::Order && is_above() {
            return None;
        }
        self.index_names(dir);
        self.find(dir, name)
    }

    /// Whether finding this name in a directory means to look at all others.
    pub fn needs_index(&self, dir: InodeId, name: &[u8]) -> bool {
        let last = self.first[dir.index()];
        let is_last = || last == NONE || self.text_of(&self[last]) == name;
        self.found_by[dir.index()] != FoundBy::Table && !is_last()
    }

    /// Takes the names of a directory into the table, where they are not yet.
    pub fn index_names(&mut self, dir: InodeId) {
        if std::mem::replace(&mut self.found_by[dir.index()], FoundBy::Table) == FoundBy::Table {
            return;
        }
        let mut at = self.first[dir.index()];
        while at != NONE {
            self[at].hash = self.hash(dir, self.text_of(&self[at]));
            self.put_in_table(at);
            at = self[at].next;
        }
    }

    /// Takes the names of a directory out of the table.
    pub fn take_from_table(&mut self, dir: InodeId) {
        if std::mem::replace(&mut self.found_by[dir.index()], FoundBy::Search) != FoundBy::Table {
            return;
        }
        let mut at = self.first[dir.index()];
        while at != NONE {
            self.drop_from_table(at);
            at = self[at].next;
        }
    }

    /// Keeps a directory that has no names yet out of the table.
    pub fn keep_out_of_table(&mut self, dir: InodeId) {
        debug_assert!(self.is_empty(dir), "names in the table would be forgotten");
        self.found_by[dir.index()] = FoundBy::Search;
    }

    /// Moves the names of a directory that is not in the table to another that has none.
    pub fn move_all(&mut self, from: InodeId, to: InodeId) {
        debug_assert!(self.is_empty(to), "its names would be forgotten");
        self.first.swap(from.index(), to.index());
        let mut at = self.first[to.index()];
        while at != NONE {
            self[at].parent = to;
            at = self[at].next;
        }
    }

    fn drop_from_table(&mut self, number: u32) {
        let hash = spread(self[number].hash);
        if let Ok(slot) = self.table.find_entry(hash, |other| *other == number) {
            slot.remove();
        }
    }

    fn put_in_table(&mut self, number: u32) {
        let names = &self.all;
        let hash = |number: &u32| spread(names[*number as usize].hash);
        self.table.insert_unique(hash(&number), number, hash);
    }

    fn hash(&self, dir: InodeId, name: &[u8]) -> u32 {
        // The upper half is as good as the lower one.
        (self.hasher.hash_one((dir, name)) >> 32) as u32
    }

    /// Adds a name to a directory that has none of it.
    pub fn add(&mut self, parent: InodeId, name: &[u8], inode: InodeId, layer: u32) -> Result<(), Error> {
        let len = u16::try_from(name.len()).ok().filter(|len| *len <= 255 && !name.contains(&0));
        let len = len.ok_or_else(|| Error::BadName(shown(name)))?;
        let start = u32::try_from(self.text.len()).map_err(|_| Error::TooLarge)?;
        self.text.extend_from_slice(name);
        let number = self.append(parent, (start, len), inode, layer)?;
        if self.found_by[parent.index()] == FoundBy::Table {
            self[number].hash = self.hash(parent, name);
            self.put_in_table(number);
        }
        Ok(())
    }

    /// Adds a name that stands in the text already to a directory that has none of it. The table does not learn of it.
    pub fn append(
        &mut self,
        parent: InodeId,
        (start, len): (u32, u16),
        inode: InodeId,
        layer: u32,
    ) -> Result<u32, Error> {
        let number = u32::try_from(self.all.len()).ok().filter(|n| *n != NONE).ok_or(Error::TooLarge)?;
        let next = std::mem::replace(&mut self.first[parent.index()], number);
        if next != NONE {
            self[next].previous = number;
        }
        self.all.push(Name { parent, inode, layer, start, len, previous: NONE, next, hash: 0 });
        Ok(number)
    }

    /// Bytes of memory that are taken.
    pub fn memory(&self) -> usize {
        self.all.len() * size_of::<Name>() + self.text.len()
    }

    /// Drops the names that were removed, and all that belongs to inodes without a new number.
    pub fn compact(&mut self, inodes: &[u32]) {
        let new = renumbered(self.all.iter().map(|name| name.inode != InodeId(NONE)));
        let place = |number: u32| if number == NONE { NONE } else { new[number as usize] };
        keep(&mut self.all, &new);
        for name in &mut self.all {
            (name.parent, name.inode) = (InodeId(inodes[name.parent.index()]), InodeId(inodes[name.inode.index()]));
            (name.previous, name.next) = (place(name.previous), place(name.next));
        }
        keep(&mut self.first, inodes);
        self.first.iter_mut().for_each(|first| *first = place(*first));
        keep(&mut self.found_by, inodes);
        // Hashes are of parents, which have other numbers now.
        self.table.clear();
        self.found_by.iter_mut().filter(|by| **by == FoundBy::Table).for_each(|by| *by = FoundBy::Search);
    }

    /// Drops the text that is neither a name nor one of these targets of links.
    pub fn pack_text<'a>(&'a mut self, targets: impl Iterator<Item = Piece<'a>>) {
        let names = self.all.iter_mut().map(|name| Piece::new(Start::Short(&mut name.start), name.len.into()));
        pack(&mut self.text, names.chain(targets).collect());
    }

    /// Takes a name out of its directory for good; tells how many bytes of memory are of no use now, and what it named.
    pub fn remove(&mut self, number: u32) -> (usize, InodeId) {
        let name = self[number];
        match name.previous {
            NONE => self.first[name.parent.index()] = name.next,
            previous => self[previous].next = name.next,
        }
        if name.next != NONE {
            self[name.next].previous = name.previous;
        }
        if self.found_by[name.parent.index()] == FoundBy::Table {
            self.drop_from_table(number);
        }
        self[number].inode = InodeId(NONE);
        (size_of::<Name>() + usize::from(name.len), name.inode)
    }
}

/// A hash as the table takes it, which looks at the bits of both ends.
const fn spread(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}
