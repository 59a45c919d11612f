//! Planning an ISO in stages: what it is made of, where that lies, where it ends, what its boot parts are.
//!
//! Each stage takes the one before and adds what it found, so no place is used before it is known.

use super::outline::{JOLIET, Outline, PRIMARY, Part, PrimaryPage, Side, too_large};
use super::pages::Pages;
use super::places::{CONTENTS, Continuations, Known, Mark};
use super::{BLOCK, SYSTEM_AREA};
use crate::extent::{PagedLayout, Places, Placing, SharedSource, Sink};
use crate::format::Error;
use crate::tree::InodeId;

/// A layout whose parts have their places.
pub(super) struct Placed {
    outline: Outline,
    marks: Places<Mark>,
    continuations: Vec<Continuations>,
}

/// A layout that also knows what lies behind it; its position 0 is block 16.
pub(super) struct Plan {
    outline: Outline,
    known: Known,
}

impl Placed {
    /// Notes where everything lies.
    pub fn new(outline: Outline) -> Result<Self, Error> {
        let pages = Pages { outline: &outline, known: &Known::default() };
        let mut continuations = vec![Continuations::Nowhere; outline.sides[PRIMARY].pages.len()];
        let marks = Places::measure(SYSTEM_AREA, |sink| {
            sink.reserve(CONTENTS, outline.tree.inode_count());
            (0..outline.pages()).for_each(|page| note(pages, page, &mut continuations, sink));
        });
        let marks = marks.checked().ok_or_else(too_large)?;
        let is_large = |side: usize, number: usize| {
            let blocks = marks.get(Mark::DirectoryEnd(side, number)) - marks.get(Mark::Directory(side, number));
            u64::from(blocks) * BLOCK > u32::MAX.into()
        };
        let sides = outline.sides.iter().enumerate();
        let mut directories =
            sides.flat_map(|(side, Side { hierarchy, .. })| (0..hierarchy.len()).map(move |n| (side, n)));
        match directories.any(|(side, number)| is_large(side, number)) {
            true => Err(too_large()),
            false => Ok(Self { outline, marks, continuations }),
        }
    }

    /// Where the layout ends, in bytes.
    pub const fn end(&self) -> u64 {
        self.marks.end()
    }

    /// Adds what lies behind the layout: the partition, and the end of the volume, in bytes.
    pub fn ending(self, partition: u64, size: u64) -> Result<Plan, Error> {
        let block_at = |offset: u64| u32::try_from(offset / BLOCK).map_err(|_| too_large());
        let known = Known {
            marks: self.marks,
            continuations: self.continuations,
            volume_blocks: block_at(size)?,
            partition_block: block_at(partition)?,
            bios_image: None,
        };
        Ok(Plan { outline: self.outline, known })
    }
}

/// Lays out one page and notes what begins and ends there.
fn note(pages: Pages<'_>, page: usize, continuations: &mut [Continuations], sink: &mut Placing<'_, Mark>) {
    let outline = pages.outline;
    match outline.part(page) {
        Part::Descriptors => pages.emit(page, sink),
        Part::PathTables(number) => {
            let table = outline.path_page(number);
            if table.part == 0 {
                sink.note(Mark::PathTable(table.side, table.order));
            }
            pages.emit(page, sink);
        }
        Part::Primary(PrimaryPage::Records(number)) => note_records(pages, page, (PRIMARY, number as usize), sink),
        Part::Joliet(number) => note_records(pages, page, (JOLIET, number), sink),
        Part::Primary(PrimaryPage::Continuations(number)) => {
            let start = sink.position();
            pages.emit(page, sink);
            if sink.position() > start {
                continuations[number as usize] = Continuations::At(start - SYSTEM_AREA);
            }
        }
        Part::Boot => {
            sink.note(Mark::Catalog);
            pages.emit(page, sink);
        }
        Part::Contents(number) => {
            for id in outline.contents.page(number) {
                sink.note(Mark::Content(*id));
                outline.contents.emit_file(*id, sink);
            }
        }
    }
}

/// The same for a page of records, by side and number.
fn note_records(pages: Pages<'_>, page: usize, (side, number): (usize, usize), sink: &mut Placing<'_, Mark>) {
    let names = &pages.outline.sides[side].pages[number];
    if names.first == 0 {
        sink.note(Mark::Directory(side, names.directory));
    }
    pages.emit(page, sink);
    if pages.outline.sides[side].is_last(names) {
        sink.note(Mark::DirectoryEnd(side, names.directory));
    }
}

impl Plan {
    /// Adds the image that a BIOS starts.
    pub fn with_bios_image(mut self, image: Option<SharedSource>) -> Self {
        self.known.bios_image = image.filter(|_| self.outline.bios_image.is_some());
        self
    }

    /// First byte of the boot image.
    pub fn bios_image_offset(&self) -> u64 {
        u64::from(self.known.bios_image_block()) * BLOCK
    }

    pub fn content_offset(&self, id: InodeId) -> Option<u64> {
        let block = self.known.content(&self.outline, id);
        Some(u64::from(block) * BLOCK).filter(|offset| *offset > 0)
    }
}

impl PagedLayout for Plan {
    fn pages(&self) -> usize {
        self.outline.pages()
    }

    fn emit(&self, page: usize, sink: &mut dyn Sink) {
        Pages { outline: &self.outline, known: &self.known }.emit(page, sink);
    }
}
