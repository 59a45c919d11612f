//! Directory listings: blocks of entries and names, sorted by bytes, "." and ".." among them.
//!
//! # Format
//! `erofs_fs.h`: `erofs_dirent`. A block has its entries first, then their names; the first entry's name offset tells
//! how many there are.

use zerocopy::little_endian::{U16, U64};
use zerocopy::{Immutable, IntoBytes};

use super::BLOCK;
use crate::base::FileKind;
use crate::extent::{Label, Places, Sink};
use crate::format::limits::count_of;
use crate::tree::{InodeId, Tree};

/// `erofs_dirent`.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct Dirent {
    nid: U64,
    nameoff: U16,
    file_type: u8,
    reserved: u8,
}

/// Bytes of an entry without its name.
const ENTRY: u64 = size_of::<Dirent>() as u64;
const _: () = assert!(ENTRY == 12);

/// The number of an inode: its place among all inodes, in slots.
#[derive(Clone, Copy)]
pub(super) struct Nid(pub InodeId);

/// The unit of inode numbers in bytes.
pub(super) const SLOT: u64 = 32;

impl Label for Nid {
    type Number = u32;
    const UNIT: u64 = SLOT;

    fn slot(self) -> (usize, usize) {
        (0, self.0.index())
    }
}

/// A directory's names in the order they are stored.
pub(super) struct Names<'a> {
    tree: &'a Tree,
    directory: InodeId,
    count: usize,
    /// Places of "." and "..".
    dots: [usize; 2],
}

impl<'a> Names<'a> {
    pub fn of(tree: &'a Tree, directory: InodeId) -> Self {
        let count = tree.children(directory).len();
        let before = |dots: &[u8]| {
            let (mut low, mut high) = (0, count);
            while low < high {
                let middle = usize::midpoint(low, high);
                let name = tree.children_from(directory, middle).next().expect("the middle is below the count").0;
                if name < dots { low = middle + 1 } else { high = middle }
            }
            low
        };
        Self { tree, directory, count: count + 2, dots: [before(b"."), before(b"..") + 1] }
    }

    /// The name at a place, and its inode.
    fn at(&self, place: usize) -> (&'a [u8], InodeId) {
        if place == self.dots[0] {
            return (b".", self.directory);
        }
        if place == self.dots[1] {
            return (b"..", self.tree.parent(self.directory));
        }
        let before = self.dots.iter().filter(|dot| **dot < place).count();
        let child = self.tree.children_from(self.directory, place - before).next();
        child.expect("places are below the count")
    }
}

/// Where a listing is cut into blocks.
pub(super) struct Listing {
    pub directory: InodeId,
    /// The first name of each block; the first is 0.
    starts: Box<[u32]>,
    /// Bytes used of the last block.
    last: u64,
}

impl Listing {
    pub fn new(tree: &Tree, directory: InodeId) -> Self {
        let names = Names::of(tree, directory);
        let (mut starts, mut used) = (vec![0], 0);
        for place in 0..names.count {
            let len = ENTRY + names.at(place).0.len() as u64;
            if used + len > BLOCK {
                starts.push(count_of(place));
                used = 0;
            }
            used += len;
        }
        Self { directory, starts: starts.into_boxed_slice(), last: used }
    }

    /// Size in bytes: whole blocks but for the last.
    pub fn size(&self) -> u64 {
        (self.starts.len() as u64 - 1) * BLOCK + self.last
    }

    /// Adds one block's entries and names.
    pub fn emit_block(&self, tree: &Tree, block: usize, nids: &Places<Nid>, sink: &mut dyn Sink) {
        let names = Names::of(tree, self.directory);
        let end = self.starts.get(block + 1).map_or(names.count, |start| *start as usize);
        let places = self.starts[block] as usize..end;
        let mut name_at = ENTRY * places.len() as u64;
        for place in places.clone() {
            let (name, id) = names.at(place);
            let entry = Dirent {
                nid: u64::from(nids.get(Nid(id))).into(),
                nameoff: u16::try_from(name_at).expect("a name starts within its block").into(),
                file_type: file_type(tree.inode(id).metadata.kind),
                reserved: 0,
            };
            sink.bytes(entry.as_bytes());
            name_at += name.len() as u64;
        }
        places.for_each(|place| sink.bytes(names.at(place).0));
    }
}

/// The type in an entry, `include/linux/fs_types.h`.
const fn file_type(kind: FileKind) -> u8 {
    match kind {
        FileKind::File => 1,
        FileKind::Directory => 2,
        FileKind::CharDevice => 3,
        FileKind::BlockDevice => 4,
        FileKind::Fifo => 5,
        FileKind::Socket => 6,
        FileKind::Symlink => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Metadata;
    use crate::tree::{Node, TreeBuilder};

    fn stored(names: &[&str]) -> Vec<String> {
        let mut tree = TreeBuilder::new();
        for name in names {
            tree.insert(name.as_bytes(), Node::Generated(Metadata::file(), b"")).unwrap();
        }
        let tree = tree.finish();
        let names = Names::of(&tree, InodeId::ROOT);
        (0..names.count).map(|place| String::from_utf8_lossy(names.at(place).0).into_owned()).collect()
    }

    #[test]
    fn the_dots_stand_where_their_bytes_sort() {
        assert_eq!(stored(&[]), [".", ".."]);
        assert_eq!(stored(&["a", "b"]), [".", "..", "a", "b"]);
        assert_eq!(stored(&["!", "+", ".-", "..a", ".a", "a"]), ["!", "+", ".", ".-", "..", "..a", ".a", "a"]);
        assert_eq!(stored(&["-"]), ["-", ".", ".."]);
    }
}
