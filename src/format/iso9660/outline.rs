//! What an ISO is made of: pages in their order, whose number and size follow from the tree alone.

use std::sync::Arc;

use super::hierarchy::{Hierarchy, ViewName};
use super::name::View;
use super::record::{ByteOrder, path_record_len};
use super::{BLOCK, IsoOptions};
use crate::extent::{PagedLayout as _, SharedSource};
use crate::format::Error;
use crate::format::contents::Contents;
use crate::format::limits::{Room, count_of};
use crate::tree::{InodeId, Tree};

/// Names laid out together, and records of a path table.
const PAGE: usize = 32;
/// Blocks have numbers of 32 bits.
const LARGEST: u64 = u32::MAX as u64 * BLOCK;
const ROOM: Room = Room { format: "an ISO", file: LARGEST, image: LARGEST };

pub(super) const PRIMARY: usize = 0;
pub(super) const JOLIET: usize = 1;
const ORDERS: [ByteOrder; 2] = [ByteOrder::Little, ByteOrder::Big];

/// A layout from the volume descriptors to the last file.
pub(super) struct Outline {
    pub tree: Arc<Tree>,
    pub sides: [Side; 2],
    pub contents: Contents,
    pub volume_id: &'static str,
    pub mtime: i64,
    /// Bytes of the image that a BIOS starts.
    pub bios_image: Option<u64>,
    pub partition: Option<SharedSource>,
    /// The primary directories' pages, each directory's continuations right behind its records: readers that go
    /// through an ISO once must know a directory's whole name before they come to its own records.
    steps: Vec<PrimaryPage>,
    /// First page of each part, in the order of [`Part`]; one more for the end.
    bounds: [usize; 7],
}

/// The directories of one view.
pub(super) struct Side {
    pub view: View,
    pub hierarchy: Hierarchy,
    /// Bytes of one path table.
    pub path_table_size: u32,
    pub pages: Vec<NamePage>,
}

/// Up to [`PAGE`] names of one directory; the first page of a directory also has its own record and its parent's.
pub(super) struct NamePage {
    pub directory: usize,
    pub first: usize,
}

/// A part of the layout, with the page within it.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Descriptors,
    PathTables(usize),
    Primary(PrimaryPage),
    Joliet(usize),
    Boot,
    Contents(usize),
}

/// One of the pages of the primary side: its records, or what they go on with elsewhere.
#[derive(Clone, Copy)]
pub(super) enum PrimaryPage {
    Records(u32),
    Continuations(u32),
}

/// A page of one of the four path tables.
pub(super) struct PathPage {
    pub side: usize,
    pub order: ByteOrder,
    pub part: usize,
}

impl Outline {
    pub fn new(tree: Arc<Tree>, options: &IsoOptions) -> Result<Self, Error> {
        ROOM.check(&tree)?;
        let sides = [Side::new(&tree, View::Primary), Side::new(&tree, View::Joliet)];
        let partition = options.partition.clone();
        let contents = Contents::new(tree.clone(), BLOCK, |id| within(&tree, id, partition.as_ref()).is_none());
        let boot = usize::from(options.bios_image.is_some() || partition.is_some());
        let tables: usize = sides.iter().map(|side| 2 * side.path_pages()).sum();
        let steps = sides[PRIMARY].steps();
        let counts = [1, tables, steps.len(), sides[JOLIET].pages.len(), boot, contents.pages()];
        let mut bounds = [0; 7];
        for (at, count) in counts.into_iter().enumerate() {
            bounds[at + 1] = bounds[at] + count;
        }
        Ok(Self {
            tree,
            sides,
            contents,
            volume_id: options.volume_id,
            mtime: options.mtime,
            bios_image: options.bios_image,
            partition,
            steps,
            bounds,
        })
    }

    /// Number of pages.
    pub const fn pages(&self) -> usize {
        self.bounds[6]
    }

    /// What a page is.
    pub fn part(&self, page: usize) -> Part {
        let part = self.bounds.partition_point(|start| *start <= page) - 1;
        let page = page - self.bounds[part];
        match part {
            0 => Part::Descriptors,
            1 => Part::PathTables(page),
            2 => Part::Primary(self.steps[page]),
            3 => Part::Joliet(page),
            4 => Part::Boot,
            _ => Part::Contents(page),
        }
    }

    /// A page among those of all path tables.
    pub fn path_page(&self, page: usize) -> PathPage {
        // Both sides have the same directories, so all four tables have as many pages.
        let pages = self.sides[PRIMARY].path_pages();
        PathPage { side: page / (2 * pages), order: ORDERS[page / pages % 2], part: page % pages }
    }

    pub const fn has_boot(&self) -> bool {
        self.bios_image.is_some() || self.partition.is_some()
    }

    /// Where a file's content begins within the partition, in bytes, when it is a part of it.
    pub fn within_partition(&self, id: InodeId) -> Option<u64> {
        within(&self.tree, id, self.partition.as_ref())
    }
}

impl Side {
    fn new(tree: &Tree, view: View) -> Self {
        let hierarchy = Hierarchy::new(tree, view);
        let pages_of = |directory| {
            let rest = (1..).map(|n| n * PAGE).take_while(|first| *first < hierarchy.name_count(directory));
            std::iter::once(0).chain(rest).map(move |first| NamePage { directory, first }).collect::<Vec<_>>()
        };
        let pages = (0..hierarchy.len()).flat_map(pages_of).collect();
        let lengths = (0..hierarchy.len()).map(|number| path_record_len(hierarchy.own_name(tree, number).len()) as u64);
        let path_table_size = u32::try_from(lengths.sum::<u64>()).expect("2^32 names are no more than 4 GiB");
        Self { view, hierarchy, path_table_size, pages }
    }

    /// For each directory its pages twice: as records, as continuations.
    fn steps(&self) -> Vec<PrimaryPage> {
        let mut steps = Vec::with_capacity(2 * self.pages.len());
        let mut start = 0;
        for (number, page) in self.pages.iter().enumerate().filter(|(_, page)| self.is_last(page)) {
            debug_assert_eq!(self.pages[start].directory, page.directory);
            let pages = (start..=number).map(count_of);
            steps.extend(pages.clone().map(PrimaryPage::Records).chain(pages.map(PrimaryPage::Continuations)));
            start = number + 1;
        }
        steps
    }

    pub fn path_pages(&self) -> usize {
        self.hierarchy.len().div_ceil(PAGE)
    }

    /// The directories whose records stand in a part of a path table.
    pub fn path_part(&self, part: usize) -> std::ops::Range<usize> {
        part * PAGE..self.hierarchy.len().min((part + 1) * PAGE)
    }

    pub fn names<'a>(&'a self, tree: &'a Tree, page: &NamePage) -> impl Iterator<Item = ViewName<'a>> {
        let end = self.hierarchy.name_count(page.directory).min(page.first + PAGE);
        self.hierarchy.names(tree, page.directory, page.first..end)
    }

    /// Whether a page is the last of its directory.
    pub fn is_last(&self, page: &NamePage) -> bool {
        page.first + PAGE >= self.hierarchy.name_count(page.directory)
    }
}

/// The error for a layout that blocks cannot number.
pub(super) fn too_large() -> Error {
    Error::ImageTooLarge { format: "an ISO", limit: LARGEST }
}

/// The offset of a file's content within the partition, when it is a part of it at whole blocks.
fn within(tree: &Tree, id: InodeId, partition: Option<&SharedSource>) -> Option<u64> {
    let partition = partition?;
    if tree.inode(id).size == 0 {
        return None;
    }
    let (source, offset) = tree.extent(id)?;
    (Arc::ptr_eq(source, partition) && offset.is_multiple_of(BLOCK)).then_some(offset)
}
