//! Where everything on an ISO lies, and the pages it is laid out in.
//!
//! # Invariants
//! Places are noted while the very code runs that emits the bytes later, over a sink that only counts. The first run
//! finds no places yet and writes zeros for them; that changes no length.

use std::ops::Range;
use std::sync::Arc;

use super::boot_catalog::{BootImage, Platform, boot_catalog};
use super::hierarchy::Hierarchy;
use super::name::View;
use super::record::{
    ByteOrder, DIRECTORY, DOT, DOT_DOT, MULTI_EXTENT, Place, Record, emit_within_block, head_len, path_record,
};
use super::rock_ridge::{Entries, announcement, entries, split};
use super::volume::{Volume, boot_record, terminator};
use super::{BLOCK, FIRST_BLOCK, IsoOptions, SYSTEM_AREA};
use crate::extent::{Measure, PagedLayout, SharedSource, Sink};
use crate::format::Error;
use crate::format::contents::Contents;
use crate::format::limits::Room;
use crate::tree::{InodeId, Tree};

/// Names laid out together, and records of a path table.
const PAGE: usize = 32;
/// Most bytes of one directory record's content: the largest multiple of a block in 32 bits, less one block, as other
/// writers choose it.
const SECTION: u64 = 0xffff_f800;
const BLOCKS_OF_SECTION: u32 = 0x001f_ffff;
/// Blocks have numbers of 32 bits.
const LARGEST: u64 = u32::MAX as u64 * BLOCK;
const ROOM: Room = Room { format: "an ISO", file: LARGEST, image: LARGEST };

/// The directories of one view and where they lie.
struct Side {
    view: View,
    hierarchy: Hierarchy,
    places: Vec<Place>,
    /// First blocks of the path tables of types L and M, and the bytes of one.
    path_tables: [u32; 2],
    path_table_size: u32,
    pages: Vec<NamePage>,
}

/// Up to [`PAGE`] names of one directory; the first page of a directory also has its own record and its parent's.
struct NamePage {
    directory: usize,
    first: usize,
    /// Where what does not fit the page's records goes on, in bytes from block 16.
    continuations: u64,
    /// Whether anything does; known once it has been placed.
    continued: bool,
}

/// A layout from the volume descriptors to the last file; its position 0 is block 16.
pub(super) struct Plan {
    tree: Arc<Tree>,
    sides: [Side; 2],
    contents: Contents,
    /// First block of each file by inode.
    blocks: Vec<u32>,
    volume_id: &'static str,
    mtime: i64,
    volume_blocks: u32,
    catalog: u32,
    bios_image: Option<(u64, Option<SharedSource>)>,
    partition: Option<SharedSource>,
    partition_block: u32,
    /// The primary directories' pages, each directory's continuations right behind its records: readers that go
    /// through an ISO once must know a directory's whole name before they come to its own records.
    steps: Vec<Step>,
    /// First page of each part, in the order of [`Part`]; one more for the end.
    bounds: [usize; 7],
}

/// A part of the layout, with the page within it.
#[derive(Clone, Copy)]
enum Part {
    Descriptors,
    PathTables(usize),
    Primary(Step),
    Joliet(usize),
    Boot,
    Contents(usize),
}

/// One of the pages of the primary side: its records, or what they go on with elsewhere.
#[derive(Clone, Copy)]
enum Step {
    Records(u32),
    Continuations(u32),
}

const PRIMARY: usize = 0;
const JOLIET: usize = 1;
const ORDERS: [ByteOrder; 2] = [ByteOrder::Little, ByteOrder::Big];

impl Plan {
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
            blocks: vec![0; tree.inode_count()],
            tree,
            sides,
            contents,
            volume_id: options.volume_id,
            mtime: options.mtime,
            volume_blocks: 0,
            catalog: 0,
            bios_image: options.bios_image.map(|size| (size, None)),
            partition,
            partition_block: 0,
            steps,
            bounds,
        })
    }

    /// Notes where everything lies; the layout's size in bytes.
    pub fn place(&mut self) -> Result<u64, Error> {
        let mut sink = Measure::default();
        for page in 0..self.pages() {
            let start = sink.position();
            self.emit(page, &mut sink);
            self.note(page, start..sink.position())?;
        }
        Ok(sink.position())
    }

    fn note(&mut self, page: usize, range: Range<u64>) -> Result<(), Error> {
        let block = block_at(range.start)?;
        match self.part(page) {
            Part::Descriptors => {}
            Part::PathTables(page) => {
                let (side, order, part) = self.path_page(page);
                if part == 0 {
                    let order = usize::from(order == ByteOrder::Big);
                    self.sides[side].path_tables[order] = block;
                }
            }
            Part::Primary(Step::Records(page)) => self.sides[PRIMARY].note_records(page as usize, block, range)?,
            Part::Primary(Step::Continuations(page)) => {
                let page = &mut self.sides[PRIMARY].pages[page as usize];
                (page.continuations, page.continued) = (range.start, !range.is_empty());
            }
            Part::Joliet(page) => self.sides[JOLIET].note_records(page, block, range)?,
            Part::Boot => self.catalog = block,
            Part::Contents(page) => self.note_contents(page, range.start)?,
        }
        Ok(())
    }

    fn note_contents(&mut self, page: usize, start: u64) -> Result<(), Error> {
        let mut sink = Measure::at(start);
        for id in self.contents.page(page) {
            self.blocks[id.index()] = block_at(sink.position())?;
            self.contents.emit_file(*id, &mut sink);
        }
        Ok(())
    }

    /// Notes what lies behind the layout: the partition, and the end of the volume, in bytes from block 0.
    pub fn set_end(&mut self, partition: u64, size: u64) -> Result<(), Error> {
        self.volume_blocks = block_at(size - SYSTEM_AREA)?;
        self.partition_block = block_at(partition - SYSTEM_AREA)?;
        for index in 0..self.blocks.len() {
            let id = self.tree.id(index).expect("there is a block for each inode");
            if let Some(offset) = within(&self.tree, id, self.partition.as_ref()) {
                self.blocks[index] = block_at(partition - SYSTEM_AREA + offset)?;
            }
        }
        Ok(())
    }

    pub fn with_bios_image(mut self, image: Option<SharedSource>) -> Self {
        self.bios_image = self.bios_image.map(|(size, _)| (size, image));
        self
    }

    /// First byte of the boot image: the block after the catalog.
    pub fn bios_image_offset(&self) -> u64 {
        u64::from(self.catalog + 1) * BLOCK
    }

    pub fn content_offset(&self, id: InodeId) -> Option<u64> {
        Some(u64::from(self.blocks[id.index()]) * BLOCK).filter(|offset| *offset > 0)
    }

    fn part(&self, page: usize) -> Part {
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

    /// Side, byte order and part of a table, for a page among those of all path tables.
    fn path_page(&self, page: usize) -> (usize, ByteOrder, usize) {
        // Both sides have the same directories, so all four tables have as many pages.
        let pages = self.sides[PRIMARY].path_pages();
        (page / (2 * pages), ORDERS[page / pages % 2], page % pages)
    }

    fn emit_descriptors(&self, sink: &mut dyn Sink) {
        sink.bytes(&self.volume(PRIMARY));
        if self.has_boot() {
            sink.bytes(&boot_record(self.catalog));
        }
        sink.bytes(&self.volume(JOLIET));
        sink.bytes(&terminator());
    }

    fn volume(&self, side: usize) -> [u8; BLOCK as usize] {
        let side = &self.sides[side];
        Volume {
            view: side.view,
            id: self.volume_id,
            mtime: self.mtime,
            blocks: self.volume_blocks,
            path_table_size: side.path_table_size,
            path_tables: side.path_tables,
            root: side.places[0],
        }
        .encode()
    }

    fn emit_path_table(&self, page: usize, sink: &mut dyn Sink) {
        let (side, order, part) = self.path_page(page);
        let side = &self.sides[side];
        side.emit_path_records(&self.tree, part, order, sink);
        if part + 1 == side.path_pages() {
            sink.align(BLOCK);
        }
    }

    fn emit_records(&self, page: usize, sink: &mut dyn Sink) {
        let page = &self.sides[PRIMARY].pages[page];
        let mut continuations = Measure::at(page.continuations);
        self.for_each_name(page, |name, id, entries| {
            let system_use = split(entries, head_len(name.len())).emit(FIRST_BLOCK, &mut continuations);
            self.emit_record(PRIMARY, name, id, &system_use, sink);
        });
        self.sides[PRIMARY].end_page(page, sink);
    }

    fn emit_continuations(&self, page: usize, sink: &mut dyn Sink) {
        let page = &self.sides[PRIMARY].pages[page];
        if page.continued {
            self.for_each_name(page, |name, _, entries| {
                split(entries, head_len(name.len())).emit(FIRST_BLOCK, sink);
            });
        }
        self.sides[PRIMARY].end_page(page, sink);
    }

    /// Calls `emit` with the name, inode and Rock Ridge entries of each record of a page.
    fn for_each_name(&self, page: &NamePage, mut emit: impl FnMut(&[u8], InodeId, Entries)) {
        let hierarchy = &self.sides[PRIMARY].hierarchy;
        if page.first == 0 {
            let (own, parent) = (hierarchy.id(page.directory), hierarchy.id(hierarchy.parent(page.directory)));
            let mut own_entries = if own == InodeId::ROOT { announcement() } else { Vec::new() };
            // SP must be the first, and ER is so long that it always goes on elsewhere: so it stands last.
            let at = own_entries.len().min(1);
            own_entries.splice(at..at, entries(&self.tree, own, None));
            emit(DOT, own, own_entries);
            emit(DOT_DOT, parent, entries(&self.tree, parent, None));
        }
        for name in self.sides[PRIMARY].names(&self.tree, page) {
            emit(&name.shown, name.id, entries(&self.tree, name.id, Some(name.raw)));
        }
    }

    fn emit_joliet_records(&self, page: usize, sink: &mut dyn Sink) {
        let side = &self.sides[JOLIET];
        let page = &side.pages[page];
        if page.first == 0 {
            let parent = side.hierarchy.parent(page.directory);
            self.emit_record(JOLIET, DOT, side.hierarchy.id(page.directory), &[], sink);
            self.emit_record(JOLIET, DOT_DOT, side.hierarchy.id(parent), &[], sink);
        }
        for name in side.names(&self.tree, page) {
            self.emit_record(JOLIET, &name.shown, name.id, &[], sink);
        }
        side.end_page(page, sink);
    }

    /// A record, or one for each section of a file over 4 GiB.
    fn emit_record(&self, side: usize, name: &[u8], id: InodeId, system_use: &[u8], sink: &mut dyn Sink) {
        let inode = self.tree.inode(id);
        let mtime = inode.metadata.mtime;
        if let Some(number) = self.sides[side].hierarchy.number(id) {
            let record = Record { name, place: self.sides[side].places[number], flags: DIRECTORY, mtime };
            return emit_within_block(&record.encode(system_use), sink);
        }
        let mut left = if inode.metadata.kind == crate::base::FileKind::File { inode.size } else { 0 };
        let mut block = self.blocks[id.index()];
        loop {
            let size = u32::try_from(left.min(SECTION)).expect("a section has 32 bits");
            left -= u64::from(size);
            let flags = if left > 0 { MULTI_EXTENT } else { 0 };
            let record = Record { name, place: Place { block, size }, flags, mtime };
            emit_within_block(&record.encode(system_use), sink);
            if left == 0 {
                return;
            }
            block += BLOCKS_OF_SECTION;
        }
    }

    fn emit_boot(&self, sink: &mut dyn Sink) {
        let bios = self.bios_image.as_ref().map(|_| BootImage {
            platform: Platform::Bios,
            block: self.catalog + 1,
            // One block: our loader reads the rest itself.
            sectors: 4,
        });
        let efi = self.partition.as_ref().map(|_| BootImage {
            platform: Platform::Efi,
            block: self.partition_block,
            // Up to the end of the volume (UEFI 2.10 section 13.3.2.1): a count has only 16 bits.
            sectors: 0,
        });
        sink.bytes(&boot_catalog(&bios.into_iter().chain(efi).collect::<Vec<_>>()));
        sink.align(BLOCK);
        if let Some((size, image)) = &self.bios_image {
            let end = sink.position() + size;
            if let Some(image) = image {
                sink.whole(image);
            }
            sink.pad_to(end);
            sink.align(BLOCK);
        }
    }

    fn has_boot(&self) -> bool {
        self.bios_image.is_some() || self.partition.is_some()
    }
}

impl PagedLayout for Plan {
    fn pages(&self) -> usize {
        self.bounds[6]
    }

    fn emit(&self, page: usize, sink: &mut dyn Sink) {
        match self.part(page) {
            Part::Descriptors => self.emit_descriptors(sink),
            Part::PathTables(page) => self.emit_path_table(page, sink),
            Part::Primary(Step::Records(page)) => self.emit_records(page as usize, sink),
            Part::Primary(Step::Continuations(page)) => self.emit_continuations(page as usize, sink),
            Part::Joliet(page) => self.emit_joliet_records(page, sink),
            Part::Boot => self.emit_boot(sink),
            Part::Contents(page) => self.contents.emit(page, sink),
        }
    }
}

impl Side {
    fn new(tree: &Tree, view: View) -> Self {
        let hierarchy = Hierarchy::new(tree, view);
        let page = |directory, first| NamePage { directory, first, continuations: 0, continued: true };
        let pages_of = |directory| {
            let rest = (1..).map(|n| n * PAGE).take_while(|first| *first < hierarchy.name_count(directory));
            std::iter::once(0).chain(rest).map(move |first| page(directory, first)).collect::<Vec<_>>()
        };
        let pages = (0..hierarchy.len()).flat_map(pages_of).collect();
        let places = vec![Place::default(); hierarchy.len()];
        let mut side = Self { view, hierarchy, places, path_tables: [0; 2], path_table_size: 0, pages };
        let mut table = Measure::default();
        (0..side.path_pages()).for_each(|part| side.emit_path_records(tree, part, ByteOrder::Little, &mut table));
        side.path_table_size = u32::try_from(table.position()).expect("2^32 names are no more than 4 GiB");
        side
    }

    /// For each directory its pages twice: as records, as continuations.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::with_capacity(2 * self.pages.len());
        let mut start = 0;
        for (number, page) in self.pages.iter().enumerate().filter(|(_, page)| self.is_last(page)) {
            debug_assert_eq!(self.pages[start].directory, page.directory);
            let pages = (start..=number).map(|page| u32::try_from(page).expect("there are no more pages than names"));
            steps.extend(pages.clone().map(Step::Records).chain(pages.map(Step::Continuations)));
            start = number + 1;
        }
        steps
    }

    fn path_pages(&self) -> usize {
        self.hierarchy.len().div_ceil(PAGE)
    }

    fn emit_path_records(&self, tree: &Tree, part: usize, order: ByteOrder, sink: &mut dyn Sink) {
        for number in part * PAGE..self.hierarchy.len().min((part + 1) * PAGE) {
            let name = self.hierarchy.own_name(tree, number);
            // Parents beyond 65535 cannot be told; readers that follow directory records do not miss it.
            let parent = u16::try_from(self.hierarchy.parent(number) + 1).unwrap_or(u16::MAX);
            sink.bytes(&path_record(&name, self.places[number].block, parent, order));
        }
    }

    fn names<'a>(&'a self, tree: &'a Tree, page: &NamePage) -> impl Iterator<Item = super::hierarchy::Name<'a>> {
        let end = self.hierarchy.name_count(page.directory).min(page.first + PAGE);
        self.hierarchy.names(tree, page.directory, page.first..end)
    }

    fn is_last(&self, page: &NamePage) -> bool {
        page.first + PAGE >= self.hierarchy.name_count(page.directory)
    }

    /// A directory takes whole blocks.
    fn end_page(&self, page: &NamePage, sink: &mut dyn Sink) {
        if self.is_last(page) {
            sink.align(BLOCK);
        }
    }

    fn note_records(&mut self, page: usize, block: u32, range: Range<u64>) -> Result<(), Error> {
        let page = &self.pages[page];
        let place = &mut self.places[page.directory];
        if page.first == 0 {
            *place = Place { block, size: 0 };
        }
        let start = u64::from(place.block - FIRST_BLOCK) * BLOCK;
        place.size = u32::try_from(range.end - start).map_err(|_| too_large())?;
        Ok(())
    }
}

/// The block at a position of the layout.
fn block_at(position: u64) -> Result<u32, Error> {
    u32::try_from((SYSTEM_AREA + position) / BLOCK).map_err(|_| too_large())
}

fn too_large() -> Error {
    Error::ImageTooLarge { format: "an ISO", limit: LARGEST }
}

/// The offset of a file's content within the partition, when it is a part of it at whole blocks.
fn within(tree: &Tree, id: InodeId, partition: Option<&SharedSource>) -> Option<u64> {
    let partition = partition?;
    let content = tree.content(id).filter(|content| content.size > 0)?;
    let is_part = Arc::ptr_eq(&content.source, partition) && content.offset.is_multiple_of(BLOCK);
    is_part.then_some(content.offset)
}
