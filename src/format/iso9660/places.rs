//! What is known of an ISO's places; nothing in the run that measures them.

use super::BLOCK;
use super::outline::{Outline, PRIMARY};
use super::record::{ByteOrder, Location};
use crate::extent::{Label, Places, SharedSource};
use crate::tree::InodeId;

/// What is named by the number of a block.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    PathTable(usize, ByteOrder),
    Catalog,
    /// A directory's records by its side and number, and the block behind them.
    Directory(usize, usize),
    DirectoryEnd(usize, usize),
    Content(InodeId),
}

/// The kind of [`Mark::Content`].
pub(super) const CONTENTS: usize = 6;

impl Label for Mark {
    type Number = u32;
    const UNIT: u64 = BLOCK;

    fn slot(self) -> (usize, usize) {
        match self {
            Self::PathTable(side, order) => (0, 2 * side + usize::from(order == ByteOrder::Big)),
            Self::Catalog => (1, 0),
            Self::Directory(PRIMARY, number) => (2, number),
            Self::Directory(_, number) => (3, number),
            Self::DirectoryEnd(PRIMARY, number) => (4, number),
            Self::DirectoryEnd(_, number) => (5, number),
            Self::Content(id) => (CONTENTS, id.index()),
        }
    }
}

/// Where a page's records go on, when they do.
#[derive(Clone, Copy)]
pub(super) enum Continuations {
    Nowhere,
    /// In bytes from block 16.
    At(u64),
}

/// Places of a layout and of what lies behind it. Numbers of blocks count from the start of the ISO.
#[derive(Default)]
pub(super) struct Known {
    pub marks: Places<Mark>,
    /// By page of the primary side.
    pub continuations: Vec<Continuations>,
    pub volume_blocks: u32,
    pub partition_block: u32,
    pub bios_image: Option<SharedSource>,
}

impl Known {
    pub fn catalog(&self) -> u32 {
        self.marks.get(Mark::Catalog)
    }

    /// The block after the catalog.
    pub fn bios_image_block(&self) -> u32 {
        self.catalog() + 1
    }

    /// The path tables of types L and M.
    pub fn path_tables(&self, side: usize) -> [u32; 2] {
        [ByteOrder::Little, ByteOrder::Big].map(|order| self.marks.get(Mark::PathTable(side, order)))
    }

    pub fn directory(&self, side: usize, number: usize) -> Location {
        let block = self.marks.get(Mark::Directory(side, number));
        let end = self.marks.get(Mark::DirectoryEnd(side, number));
        let size = u64::from(end - block) * BLOCK;
        Location { block, size: u32::try_from(size).expect("larger directories are refused") }
    }

    /// The first block of a file's content; 0 when it has none.
    pub fn content(&self, outline: &Outline, id: InodeId) -> u32 {
        match outline.within_partition(id) {
            Some(offset) => {
                let block = u32::try_from(offset / BLOCK).expect("a larger partition is refused");
                self.partition_block + block
            }
            None => self.marks.get(Mark::Content(id)),
        }
    }

    /// Where the records of a page go on, in bytes from block 16; `None` when they do not.
    pub fn continuations(&self, page: usize) -> Option<u64> {
        match self.continuations.get(page) {
            Some(Continuations::Nowhere) => None,
            Some(Continuations::At(offset)) => Some(*offset),
            // Whether they go on is not known yet.
            None => Some(0),
        }
    }
}
